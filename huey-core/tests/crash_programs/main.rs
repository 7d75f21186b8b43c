//! Random programs over a disk that is killed, cut off from power and made to fail anywhere, judged by a plain model.
//!
//! `HUEY_PROGRAMS` sets how many run, `HUEY_SEED` where they begin. A failure prints its seed and the shortest
//! beginning of the program that still fails.

#![expect(clippy::unwrap_used, reason = "a test")]

mod controls;
mod flows;
mod model;
mod program;
mod schedules;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use program::{HANDED, Program};

const STEPS: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

fn run(seed: u64, steps: usize) -> (Result<(), String>, Vec<String>) {
    catch_unwind(AssertUnwindSafe(|| Program::run(seed, steps))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (Err(format!("it panicked: {}", text.unwrap_or_default())), Vec::new())
    })
}

#[test]
fn no_crash_leaves_a_store_in_a_state_that_it_was_never_in() {
    let (programs, first) = (number("HUEY_PROGRAMS", 200), number("HUEY_SEED", 1));
    println!("{programs} programs from seed {first}");
    // The disk panics too, on purpose.
    let hook = std::panic::take_hook();
    if std::env::var_os("HUEY_LOUD").is_none() {
        std::panic::set_hook(Box::new(|_| ()));
    }
    for seed in first..first + programs {
        if run(seed, STEPS).0.is_ok() {
            continue;
        }
        let shortest = (1..=STEPS).find(|steps| run(seed, *steps).0.is_err()).unwrap_or(STEPS);
        let (result, steps) = run(seed, shortest);
        std::panic::set_hook(hook);
        panic!("seed {seed} fails after {shortest} steps:\n  {}\n{result:?}", steps.join("\n  "));
    }
    let handed = HANDED.load(Ordering::Relaxed);
    println!("{handed} jobs were handed to who waited");
    assert!(handed >= programs / 10, "nobody was ever handed a job");
}
