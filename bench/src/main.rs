//! Measures the queue beside what it stands on: raw sled with the same bytes, a write and a sync, a hop over a channel.
//!
//! ```text
//! cargo run --release -p huey-bench -- all
//! cargo run --release -p huey-bench -- drain [--work FOLDER] [--json FILE]
//! ```
//!
//! Machines differ and are never quiet, so every figure stands beside a baseline that was measured in the same run,
//! round by round in turns, and the ratio of the two is what counts. Figures are medians of the rounds.

mod args;
mod backlog;
mod chord;
mod count;
mod drain;
mod enqueue;
mod figure;
mod hooks;
mod idle;
mod latency;
mod place;
mod queues;
mod rate;
mod raw;

use std::process::{Command, ExitCode};

use args::Args;
use figure::Figure;
use huey::BoxError;

type Scenario = fn(&Args) -> Result<Vec<Figure>, BoxError>;

/// Every scenario, in the order of `all`. The backlog comes first: memory that others had and gave back would hide what
/// it takes.
const SCENARIOS: &[(&str, Scenario)] = &[
    ("backlog", backlog::run),
    ("enqueue", enqueue::one_by_one),
    ("enqueue-many", enqueue::many),
    ("enqueue-threads", enqueue::threads),
    ("drain", drain::run),
    ("roundtrip", latency::roundtrip),
    ("latency", latency::idle),
    ("lateness", latency::lateness),
    ("idle", idle::run),
    ("hooks", hooks::run),
    ("chord", chord::run),
    ("queues", queues::run),
    ("rate", rate::run),
];

/// What is no measurement of its own: see [`count`]; and what needs a process of its own.
const COUNTED: &[(&str, Scenario)] = &[
    ("count-enqueue", count::enqueue),
    ("count-bulk", count::bulk),
    ("count-drain", count::drain),
    ("count-work", count::work),
    ("count-raw", count::raw_inserts),
];

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let names: Vec<_> = SCENARIOS.iter().map(|(name, _)| *name).collect();
            eprintln!(
                "huey-bench: {error}\nusage: huey-bench all | {} [--work FOLDER] [--json FILE]",
                names.join(" | ")
            );
            ExitCode::FAILURE
        }
    }
}

/// Has the system write what an earlier scenario, or whoever built this, left to be written: it would count against the next.
fn settle() {
    if cfg!(unix) && !Command::new("sync").status().is_ok_and(|status| status.success()) {
        eprintln!("huey-bench: `sync` did not run, so what is left to be written may disturb what is measured");
    }
}

fn run(args: &Args) -> Result<(), BoxError> {
    let is_named = |(name, _): &&(&str, Scenario)| args.scenario() == *name;
    let wanted: Vec<_> = match args.scenario() {
        "all" => SCENARIOS.iter().collect(),
        _ => SCENARIOS.iter().chain(COUNTED).filter(is_named).collect(),
    };
    if wanted.is_empty() {
        return Err(format!("there is no scenario `{}`", args.scenario()).into());
    }
    figure::print_head();
    let mut figures = Vec::new();
    for (_, scenario) in wanted {
        settle();
        let measured = scenario(args)?;
        measured.iter().for_each(figure::print_row);
        figures.extend(measured);
    }
    if let Some(path) = args.json() {
        std::fs::write(path, figure::json(&figures))?;
    }
    Ok(())
}
