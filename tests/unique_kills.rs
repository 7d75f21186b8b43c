//! A thousand threads that enqueue one unique key, workers that drain it, and kills at random instants: at every instant
//! at most one job of the key waits or runs, and none that was acknowledged is lost.
//!
//! `HUEY_KILLS` sets the number of rounds, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use child::{Folder, Lines, Random, child, role, setting};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use huey::{Decision, EnqueueRequest, Huey, JobId, JobState, Memory, Origin, Overlap, Schedule, SignalKind, task};

const THREADS: u64 = 1_000;

static RUNNING: AtomicU64 = AtomicU64::new(0);
static RAN: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Says so if another of its kind runs.
#[task(unique, retention = "1d")]
fn alone(caller: u64) -> u64 {
    if RUNNING.fetch_add(1, Ordering::SeqCst) > 0 {
        println!("\nOVERLAP two bodies at once");
    }
    RAN.fetch_add(1, Ordering::SeqCst);
    RUNNING.fetch_sub(1, Ordering::SeqCst);
    caller
}

fn most_one(huey: &Huey) -> Result<(), String> {
    let counts = huey.counts_of::<alone>().unwrap();
    let active = counts.queued + counts.scheduled + counts.running;
    if active <= 1 { Ok(()) } else { Err(format!("{active} jobs of one key: {counts:?}")) }
}

/// Threads enqueue the key, by itself and in bulk, until `stop`; each acknowledged job is told.
fn race(huey: &Huey, stop: &AtomicBool, tell: &(impl Fn(JobId) + Sync)) -> Result<(), String> {
    // A schedule makes jobs of the key as well; from an earlier life it may be there already.
    let often = Schedule::every(Duration::from_secs(1)).unwrap().overlap(Overlap::Allow);
    let _ = huey.schedules().add("often", often, alone::job(THREADS));
    let consumer = huey.consumer().workers(4).start().unwrap();
    let result = std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let handles = if thread % 2 == 0 {
                        vec![alone::enqueue(huey, thread).unwrap()]
                    } else {
                        alone::map(huey, [thread, thread]).unwrap()
                    };
                    handles.iter().filter(|handle| handle.is_new()).for_each(|handle| tell(handle.id()));
                }
            });
        }
        let mut result = Ok(());
        while !stop.load(Ordering::SeqCst) && result.is_ok() {
            result = most_one(huey);
        }
        stop.store(true, Ordering::SeqCst);
        result
    });
    consumer.shutdown().wait().unwrap();
    result
}

fn until_killed(folder: PathBuf) {
    let ticks = |signal: &huey::Signal| {
        if matches!(signal.origin, Origin::Periodic { .. }) {
            println!("\nID {}", signal.id);
        }
    };
    let huey = Huey::builder().on(SignalKind::Enqueued, ticks).open(huey::Sled::at(folder)).unwrap();
    if let Err(text) = most_one(&huey) {
        println!("\nOVERLAP {text}");
    }
    println!("\nOPEN");
    if let Err(text) = race(&huey, &AtomicBool::new(false), &|id| println!("\nID {id}")) {
        println!("\nOVERLAP {text}");
    }
}

#[test]
fn one_unique_key_has_at_most_one_job_through_kills_on_sled() {
    if let Some(folder) = role("race") {
        return until_killed(folder);
    }
    let mut random = Random::seeded();
    let folder = Folder::new();
    let queue = folder.join("queue");
    let mut acknowledged: HashSet<JobId> = HashSet::new();
    let rounds = setting("HUEY_KILLS", 4);
    for round in 0..rounds {
        let test = "one_unique_key_has_at_most_one_job_through_kills_on_sled";
        let mut running = child(&[], test, "race", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        let mut left = random.below(60);
        let mut killed = false;
        while let Some(line) = said.next("") {
            assert!(!line.starts_with("OVERLAP"), "round {round}: {line}");
            if let Some(id) = line.strip_prefix("ID ") {
                acknowledged.insert(id.parse().unwrap());
                left = left.saturating_sub(1);
            }
            // What it had said before it died was acknowledged too.
            if left == 0 && !killed {
                running.kill().unwrap();
                killed = true;
            }
        }
        running.wait().unwrap();
        let huey = huey::open(&queue).unwrap();
        most_one(&huey).unwrap_or_else(|error| panic!("round {round}: {error}"));
        for id in &acknowledged {
            let state = huey.status(*id).unwrap();
            assert!(matches!(state, JobState::Queued | JobState::Complete), "round {round}: {id} is {state}");
        }
        let listed = huey.jobs().task::<alone>().state(JobState::Queued).count();
        assert!(listed <= 1, "round {round}: {listed} are listed as queued");
    }
    println!("{rounds} kills, {} acknowledged jobs of one key, never two at once", acknowledged.len());
    assert!(!acknowledged.is_empty());
}

#[test]
fn one_unique_key_has_at_most_one_job_in_memory_while_workers_drain() {
    if role("race").is_some() {
        return;
    }
    let ticks = |signal: &huey::Signal| {
        if matches!(signal.origin, Origin::Periodic { .. }) {
            TICKS.fetch_add(1, Ordering::SeqCst);
        }
    };
    let tried = Arc::new(AtomicBool::new(false));
    let by_tick = Arc::clone(&tried);
    let watch = move |request: &mut EnqueueRequest<'_>| {
        if matches!(request.origin(), Origin::Periodic { .. }) {
            by_tick.store(true, Ordering::SeqCst);
        }
        Ok(Decision::Go)
    };
    let huey = Huey::builder().hook(watch).on(SignalKind::Enqueued, ticks).open(Memory::new()).unwrap();
    let (stop, told) = (AtomicBool::new(false), AtomicU64::new(0));
    let tell = |_| {
        // Until a tick has tried to make a job of the key as well; whether it does is a matter of luck.
        if told.fetch_add(1, Ordering::SeqCst) > 500 && tried.load(Ordering::SeqCst) {
            stop.store(true, Ordering::SeqCst);
        }
    };
    race(&huey, &stop, &tell).unwrap();
    huey.schedules().remove("often").unwrap();
    huey.consumer().workers(1).run_until_idle().unwrap();
    let told = told.load(Ordering::SeqCst) + TICKS.load(Ordering::SeqCst);
    assert_eq!(RAN.load(Ordering::SeqCst), told, "each ran once");
}
