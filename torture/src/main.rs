//! Attacks the queue on a real disk, in processes of its own, and checks every acknowledgement afterwards.
//!
//! ```text
//! huey-torture        --kills N --images N [--seed S] [--json FILE]
//! huey-torture images --images N [--seed S] [--without-sealing] [--json FILE]
//! huey-torture kills  --kills N [--crash-limit N] [--seed S] [--json FILE]
//! huey-torture opens  [--turns N] [--seed S] [--json FILE]
//! huey-torture damage --corruptions N [--seed S] [--json FILE]
//! huey-torture fuzz   [TARGET] --seconds N [--keep] [--seed S] [--json FILE]
//! huey-torture seeds
//! huey-torture rounds --jobs N --round N --scheduled N [--kept SECONDS] [--every SECONDS] [--ahead N] [--json FILE]
//! huey-torture soak   --minutes N [--seed S] [--json FILE]
//! ```
//!
//! | command | what it attacks | module |
//! |---|---|---|
//! | none | kills and images, side by side | [`kills`], [`images`] |
//! | `images` | power cuts: folders as a disk may hold them after one | [`images`], [`disk`] |
//! | `kills` | SIGKILL at random instants, also while the queue opens | [`kills`] |
//! | `opens` | a kill at each change that opening and closing make, and the beginning and removal of volumes | [`opens`] |
//! | `damage` | every file of a folder, changed, cut, replaced or gone | [`damage`] |
//! | `fuzz` | what reads stored bytes, texts and cron expressions | [`fuzz`], [`mutate`], [`coverage`] |
//! | `seeds` | nothing: makes the inputs that `fuzz` begins with | [`seeds`] |
//! | `rounds` | growth: disk and memory over many rounds of jobs | [`rounds`] |
//! | `soak` | leaks: memory, disk, threads and open files under all traffic | [`soak`] |
//!
//! The exit status is 1 if anything was lost, done twice or torn. Folders are made below `--work`, the system's folder
//! for temporary files unless set. `images` needs Linux; what failed stays there to be looked at.

mod allocations;
mod args;
mod book;
mod check;
mod child;
mod coverage;
mod damage;
mod disk;
mod flows;
mod fuzz;
mod image;
mod images;
mod interpose;
mod judge;
mod kills;
mod mutate;
mod opens;
mod record;
mod report;
mod rounds;
mod seeds;
mod soak;
mod tasks;
mod traffic;

use std::process::ExitCode;
use std::thread;

use args::Args;
use huey::BoxError;
use report::Report;

const USAGE: &str = "usage: huey-torture --kills N --images N | images --images N [--without-sealing] | kills --kills N \
                     [--crash-limit N] | opens [--turns N] | damage --corruptions N | fuzz [TARGET] --seconds N | seeds | rounds --jobs N --round N --scheduled N [--kept SECONDS] [--every SECONDS] [--ahead N] | soak --minutes N, each with [--seed S] [--work \
                     FOLDER] [--json FILE]";

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
        "all" => all(args),
        "images" => images::run(args),
        "opens" => opens::run(args),
        "damage" => damage::run(args),
        "fuzz" => fuzz::run(args),
        "seeds" => seeds::run().map(|()| true),
        "kills" => kills::run(args),
        "rounds" => rounds::run(args),
        "soak" => soak::run(args),
        // What the commands start in processes of their own.
        "traffic" => traffic::run(args).map(|()| true),
        "soaking" => soak::soak(args).map(|()| true),
        "half" => rounds::half(args).map(|()| true),
        "check" => check::run(args).map(|()| true),
        "fill" => damage::fill(args).map(|()| true),
        "look" => damage::look_at(args).map(|()| true),
        other => Err(format!("unknown command `{other}`").into()),
    }
}

/// Kills and images at once, since each of them waits a good part of its time.
fn all(args: &Args) -> Result<bool, BoxError> {
    let (seed, work) = (args.seed()?, args.work()?);
    let (kills, images) = (args.number("kills", 60)?, args.number("images", 60)?);
    println!("seed {seed}, {kills} kills and {images} images, in {}", work.display());
    let (for_kills, for_images) = (work.join("kills"), work.join("images"));
    std::fs::create_dir_all(&for_images)?;
    let mut report = Report::new();
    thread::scope(|scope| {
        let killing = scope.spawn(|| kills::attack(&for_kills, seed, kills, 0));
        report.add_all(&images::attack(args, &for_images, seed, images)?);
        match killing.join() {
            Ok(killed) => report.add_all(&killed?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok::<_, BoxError>(())
    })?;
    report.publish(args)?;
    if report.is_clean() {
        std::fs::remove_dir_all(work)?;
    }
    Ok(report.is_clean())
}
