//! A process that is killed while its bodies hold a lock: the next one finds it free, and no two bodies ever hold it at once.
//!
//! `HUEY_KILLS` sets the number of rounds, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use child::{Folder, Lines, Random, child, role, setting};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use huey::{BoxError, Context, Huey, JobState, task};

static INSIDE: AtomicU64 = AtomicU64::new(0);

fn inside() {
    if INSIDE.fetch_add(1, Ordering::SeqCst) > 0 {
        println!("\nOVERLAP two bodies at once");
    }
    println!("\nINSIDE");
    INSIDE.fetch_sub(1, Ordering::SeqCst);
}

#[task(lock = "ledger", crash_limit = 0, retention = "1d")]
fn declares() {
    inside();
}

#[task(crash_limit = 0, retention = "1d")]
fn takes(#[ctx] ctx: &Context) -> Result<(), BoxError> {
    let _ledger = ctx.lock("ledger")?;
    inside();
    Ok(())
}

fn until_killed(folder: PathBuf) {
    let huey = huey::open(folder).unwrap();
    println!("\nOPEN");
    let _consumer = huey.consumer().workers(4).start().unwrap();
    loop {
        let _ = (declares::enqueue(&huey).unwrap(), takes::enqueue(&huey).unwrap());
    }
}

fn left(huey: &Huey) -> u64 {
    let counts = huey.counts().unwrap();
    counts.queued + counts.scheduled + counts.running
}

#[test]
fn a_killed_process_holds_no_lock_and_no_two_bodies_ever_do() {
    if let Some(folder) = role("lock") {
        return until_killed(folder);
    }
    let mut random = Random::seeded();
    let folder = Folder::new();
    let queue = folder.join("queue");
    let rounds = setting("HUEY_KILLS", 4);
    let mut bodies = 0;
    for round in 0..rounds {
        let test = "a_killed_process_holds_no_lock_and_no_two_bodies_ever_do";
        let mut running = child(&[], test, "lock", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        let most = 1 + random.below(40);
        let mut here = 0;
        while let Some(line) = said.next("") {
            assert!(!line.starts_with("OVERLAP"), "round {round}: {line}");
            here += u64::from(line.starts_with("INSIDE"));
            if here == most {
                // In the middle of bodies, with others in line.
                running.kill().unwrap();
            }
        }
        running.wait().unwrap();
        assert!(here >= most, "round {round}: the lock of the last life is held: {here} bodies of {most}");
        bodies += here;
    }
    let huey = huey::open(&queue).unwrap();
    huey.consumer().workers(4).run_until_idle().unwrap();
    assert_eq!(left(&huey), 0, "all who waited had their turn");
    assert!(huey.jobs().state(JobState::Dead).count() == 0);
    println!("{rounds} kills, {bodies} bodies under the lock, never two at once");
}
