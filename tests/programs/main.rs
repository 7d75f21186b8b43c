//! Random programs of all that can be done to jobs, in memory, on a simulated disk and on sled, beside a plain model.
//!
//! `HUEY_PROGRAMS` sets how many run on each of the first two, `HUEY_SEED` where they begin; every tenth runs on sled, where
//! what takes the time is waiting for the disk. Ten thousand take a few minutes:
//!
//! ```text
//! HUEY_PROGRAMS=10000 cargo test --release --test programs random
//! ```
//!
//! One that fails is made as short as it can be and printed as a test, to be pasted into `pasted.rs`.

#[path = "../child/mod.rs"]
mod child;
mod generate;
mod model;
mod pasted;
mod shrink;
mod stage;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use child::setting;
use stage::{On, Stage};
use words::Step;

/// Plays a program. What went wrong, if anything.
fn outcome(on: &On, program: &[Step]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| Stage::new(*on).play(program))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("it panicked: {}", text.unwrap_or_default()))
    })
}

/// Bodies panic on purpose, and nobody need see that: only what this program itself says.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = panic.payload_as_str().is_some_and(|text| text.contains("step ") || text.contains("seed "));
            if is_ours || std::env::var_os("HUEY_LOUD").is_some() {
                before(panic);
            }
        }));
    });
}

/// For pasted programs.
fn holds(on: &On, program: &[Step]) {
    hush();
    if let Err(error) = outcome(on, program) {
        panic!("{error}");
    }
}

fn run(on: impl Fn(u64) -> On, every: u64) {
    let (programs, first) = (setting("HUEY_PROGRAMS", 150), setting("HUEY_SEED", 1));
    hush();
    println!("{programs} programs from seed {first}, each {every}th");
    for seed in (first..first + programs).step_by(usize::try_from(every).expect("it is small")) {
        let on = on(seed);
        let program = generate::program(seed, matches!(on, On::Sim(_)));
        if outcome(&on, &program).is_err() {
            let (program, error) = shrink::shrink(program, |program| outcome(&on, program).err());
            panic!("seed {seed}: {error}\n\n{}", words::as_code(&program, &format!("On::{on:?}")));
        }
    }
}

#[test]
fn random_programs_come_to_what_the_model_says_in_memory() {
    run(|_| On::Memory, 1);
}

#[test]
fn random_programs_come_to_what_the_model_says_on_a_disk_that_crashes() {
    run(On::Sim, 1);
}

#[test]
fn random_programs_come_to_what_the_model_says_on_sled() {
    run(|_| On::Sled, 10);
}
