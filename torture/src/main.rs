//! Attacks the queue on a real disk, in processes of its own, and checks every acknowledgement afterwards.
//!
//! ```text
//! huey-torture images --images N [--seed S] [--without-barrier] [--json FILE]
//! huey-torture kills  --kills N  [--seed S] [--json FILE]
//! huey-torture opens  [--seed S] [--json FILE]
//! huey-torture rounds --jobs N --round N --scheduled N [--json FILE]
//! ```
//!
//! | command | what it attacks | module |
//! |---|---|---|
//! | `images` | power cuts: folders as a disk may hold them after one | [`images`], [`disk`] |
//! | `kills` | SIGKILL at random instants, also while the queue opens | [`kills`] |
//! | `opens` | a kill at each change that opening and closing make | [`opens`] |
//! | `rounds` | growth: disk and memory over many rounds of jobs | [`rounds`] |
//!
//! The exit status is 1 if anything was lost, done twice or torn. Folders are made below `--work`, the system's folder
//! for temporary files unless set. `images` needs Linux; what failed stays there to be looked at.

mod args;
mod book;
mod check;
mod child;
mod disk;
mod image;
mod images;
mod interpose;
mod judge;
mod kills;
mod opens;
mod record;
mod report;
mod rounds;
mod tasks;
mod traffic;
mod unbarred;

use std::process::ExitCode;

use args::Args;
use huey::BoxError;

const USAGE: &str = "usage: huey-torture images --images N [--without-barrier] | kills --kills N | opens | rounds --jobs N \
                     --round N --scheduled N, each with [--seed S] [--work FOLDER] [--json FILE]";

fn main() -> ExitCode {
    let ran = Args::parse(std::env::args().skip(1)).and_then(|args| run(&args));
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("huey-torture: {error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Whether nothing was lost.
fn run(args: &Args) -> Result<bool, BoxError> {
    match args.command() {
        "images" => images::run(args),
        "opens" => opens::run(args),
        "kills" => kills::run(args),
        "rounds" => rounds::run(args),
        // What the commands start in processes of their own.
        "traffic" => traffic::run(args).map(|()| true),
        "half" => rounds::half(args).map(|()| true),
        "check" => check::run(args).map(|()| true),
        other => Err(format!("unknown command `{other}`").into()),
    }
}
