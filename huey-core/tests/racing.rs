//! Many threads, a disk that fails under them, and nobody who hangs.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey_core::store::{
    Answer, Body, Commit, Lease, NewJob, Outcome, Placed, Plan, Query, Settled, Settlement, Storage, StorageError,
    StorageOptions, Tasks, Tick, Ticked, Transition, UniqueKey, Verdict, Version,
};
use huey_core::testing::{Fault, Random, SimDisk, inspected, job_id, new_job};
use huey_core::{Durability, JobId, JobState, OnConflict, Overlap, Scope, Timestamp};

const THREADS: u64 = 8;
const ROUNDS: usize = 60;

/// What a thread was told.
#[derive(Default)]
struct Told {
    /// Stored at `Synced`.
    stored: Vec<JobId>,
    settled: Vec<(JobId, Durability)>,
    claimed: Vec<Lease>,
}

fn how(random: &mut Random) -> Commit {
    Commit { durability: *random.pick(&[Durability::Synced, Durability::Relaxed]), hold: false }
}

/// Commits, or submits and waits for the answer.
fn act(storage: &Arc<dyn Storage>, random: &mut Random, transition: Transition, how: Commit) -> Option<Outcome> {
    let outcome = if random.one_in(3) {
        let (tell, told) = channel();
        storage.submit(transition, how, Box::new(move |outcome| tell.send(outcome).expect("somebody waits")));
        told.recv().expect("a submitted transition is answered")
    } else {
        storage.commit(transition, how)
    };
    match outcome {
        Ok(outcome) => Some(outcome),
        Err(StorageError::Unknown(_) | StorageError::Unavailable(_) | StorageError::Refused(_)) => None,
        Err(other) => panic!("{other:?}"),
    }
}

fn work(storage: &Arc<dyn Storage>, seed: u64) -> Told {
    let mut random = Random::new(seed);
    let mut told = Told::default();
    for _ in 0..ROUNDS {
        let reserve = Transition::Reserve { count: 2 };
        let level = how(&mut random);
        if let Some(Outcome::Reserved { first, salt }) = act(storage, &mut random, reserve, level) {
            let now = storage.clock().now();
            let jobs: Vec<NewJob> = (first..first + 2)
                .map(|counter| NewJob {
                    at_most_once: random.one_in(9),
                    body: Body {
                        head: vec![1; 8].into(),
                        args: vec![2; random.below(3_000)].into(),
                        ..Body::default()
                    },
                    ..new_job(job_id(now, counter, salt))
                })
                .collect();
            let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
            let level = how(&mut random);
            let enqueue = Transition::enqueue(jobs);
            if act(storage, &mut random, enqueue, level).is_some() && level.durability == Durability::Synced {
                told.stored.extend(ids);
            }
        }
        let claim = Transition::Claim {
            queues: vec!["default".into()],
            tasks: Tasks::Except(Vec::new()),
            most: 3,
            many: Tasks::ALL,
            keep: Duration::ZERO,
        };
        let level = how(&mut random);
        let Some(Outcome::Claimed { claimed, .. }) = act(storage, &mut random, claim, level) else { continue };
        for one in claimed {
            told.claimed.push(one.lease);
            let keep = Duration::from_secs(1_000_000);
            let verdict = Verdict::Complete { output: vec![3; 10].into(), signature: 0, keep, next: None };
            let settle = Transition::Settle(vec![Settlement { lease: one.lease, verdict }]);
            let level = how(&mut random);
            if let Some(Outcome::Settled(all)) = act(storage, &mut random, settle, level)
                && all == [Some(Settled::new(JobState::Complete, None))]
            {
                told.settled.push((one.lease.id, level.durability));
            }
        }
    }
    told
}

fn race(seed: u64, fault: Option<Fault>) {
    let disk = SimDisk::new(seed);
    let medium = disk.medium();
    let mut options = StorageOptions::default();
    options.flush_interval = Duration::from_millis(1);
    let (storage, inspector) = inspected(medium.clone(), options.clone()).unwrap();
    let all = Mutex::new(Told::default());
    let waits = AtomicUsize::new(0);
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|at| {
                let (storage, all, finished) = (&storage, &all, &finished);
                scope.spawn(move || {
                    let told = work(storage, seed * 100 + at);
                    let mut all = all.lock().unwrap();
                    all.stored.extend(told.stored);
                    all.settled.extend(told.settled);
                    all.claimed.extend(told.claimed);
                    finished.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        scope.spawn(|| {
            let mut version = Version::default();
            while finished.load(Ordering::SeqCst) < usize::try_from(THREADS).unwrap() {
                version = storage.wait(version, Timestamp::MAX);
                waits.fetch_add(1, Ordering::SeqCst);
            }
        });
        if let Some(fault) = fault {
            disk.fault_at((seed * 61) % 900, fault);
        }
        for worker in workers {
            worker.join().unwrap();
        }
        storage.wake();
    });
    assert!(waits.load(Ordering::SeqCst) > 0);
    let told = all.into_inner().unwrap();
    let leases: HashSet<_> = told.claimed.iter().collect();
    assert_eq!(leases.len(), told.claimed.len(), "no lease is given out twice");
    disk.no_fault();
    while storage.read(Query::all_counts()).is_err() {
        std::thread::yield_now();
    }
    inspector.check().unwrap();
    verify(&*storage, &told, fault.is_none());
    if seed.is_multiple_of(2) {
        disk.power_cut();
    } else {
        storage.close().unwrap();
        disk.kill();
    }
    drop((storage, inspector));
    let (storage, inspector) = inspected(disk.medium(), options).unwrap();
    inspector.check().unwrap();
    verify(&*storage, &told, false);
}

fn verify(storage: &dyn Storage, told: &Told, whole: bool) {
    let state = |id: &JobId| match storage.read(Query::Job(*id)).unwrap() {
        Answer::Job(Ok(row)) => Some(row.state),
        _ => None,
    };
    for id in &told.stored {
        assert!(state(id).is_some(), "{id} was stored and is gone");
    }
    for (id, durability) in &told.settled {
        if whole || *durability == Durability::Synced {
            assert_eq!(state(id), Some(JobState::Complete), "{id} was settled");
        }
    }
}

#[test]
fn eight_threads_and_a_disk_that_works() {
    race(1, None);
    race(2, None);
}

#[test]
fn eight_threads_and_a_disk_that_fails_once() {
    for seed in 3..15 {
        race(seed, Some(Fault::Fail));
    }
}

/// A tick of the schedule that makes this job, decided from wherever the schedule stands; its placement, if it was decided.
fn tick(storage: &dyn Storage, job: &NewJob, how: Commit) -> Option<Vec<Placed>> {
    loop {
        let Ok(Answer::Schedules(rows)) = storage.read(Query::Schedules) else { return None };
        let seen = rows.first()?.upto;
        let tick = Tick {
            schedule: "often".into(),
            by: job.id.counter(),
            id: job.id,
            seen,
            upto: seen + Duration::from_secs(1),
            newest: None,
            tasks: vec![job.task.to_string()],
            overlap: Overlap::Allow,
            jobs: vec![job.clone()],
        };
        match storage.commit(Transition::Tick(tick), how) {
            Ok(Outcome::Ticked(Ticked::Decided(placed))) => return Some(placed),
            Ok(Outcome::Ticked(Ticked::Overtaken)) => {}
            _ => return None,
        }
    }
}

/// Enqueues one key from a thousand threads, one in eight of them through a schedule, while two others drain it and the process dies at a random call.
fn race_for_a_key(seed: u64) {
    let disk = SimDisk::new(seed);
    let medium = disk.medium();
    let (storage, _) = inspected(medium, StorageOptions::default()).unwrap();
    let Outcome::Reserved { first, salt } =
        storage.commit(Transition::Reserve { count: 1_000 }, Commit::RELAXED).unwrap()
    else {
        panic!("no counters");
    };
    let now = storage.clock().now();
    let plan = Plan { schedule: "often".into(), seen: 0, choices: Some(vec![].into()), from: Some(now) };
    storage.commit(Transition::Plan(plan), Commit::default()).unwrap();
    let (stored, finished) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let active = |storage: &dyn Storage| match storage.read(Query::all_counts()) {
        Ok(Answer::Counts(counts)) => counts.queued + counts.running,
        _ => 0,
    };
    std::thread::scope(|scope| {
        for counter in first..first + 1_000 {
            let (storage, stored, finished) = (&storage, &stored, &finished);
            scope.spawn(move || {
                let key = UniqueKey {
                    key: b"key".to_vec().into(),
                    scope: Scope::Active,
                    on_conflict: OnConflict::Existing,
                    keep: Duration::ZERO,
                };
                let job = NewJob { unique: Some(key), ..new_job(job_id(now, counter, salt)) };
                let (id, synced) = (job.id, Commit { durability: Durability::Synced, hold: false });
                let placed = if counter % 8 == 0 {
                    tick(&**storage, &job, synced)
                } else {
                    match storage.commit(Transition::enqueue(vec![job]), synced) {
                        Ok(Outcome::Enqueued(placed)) => Some(placed),
                        _ => None,
                    }
                };
                if placed.is_some_and(|placed| placed == [Placed::New]) {
                    stored.lock().unwrap().push(id);
                }
                finished.fetch_add(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while finished.load(Ordering::SeqCst) < 1_000 {
                    let (queues, tasks) = (vec!["default".into()], Tasks::ALL);
                    let claim = Transition::Claim { queues, tasks, most: 3, many: Tasks::ALL, keep: Duration::ZERO };
                    let Ok(Outcome::Claimed { claimed, .. }) = storage.commit(claim, Commit::RELAXED) else { continue };
                    assert!(claimed.len() <= 1, "two jobs of one key at once");
                    let keep = Duration::from_hours(1);
                    for one in claimed {
                        let verdict = Verdict::Complete { output: vec![].into(), signature: 0, keep, next: None };
                        let settle = Transition::Settle(vec![Settlement { lease: one.lease, verdict }]);
                        drop(storage.commit(settle, Commit::RELAXED));
                    }
                }
            });
        }
        disk.fault_at((seed * 37) % 700, Fault::Kill);
        while finished.load(Ordering::SeqCst) < 1_000 {
            assert!(active(&*storage) <= 1, "two jobs of one key at once");
        }
    });
    drop(storage.close());
    drop(storage);
    disk.kill();
    let (storage, inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    inspector.check().unwrap();
    assert!(active(&*storage) <= 1, "two jobs of one key after the kill");
    verify(&*storage, &Told { stored: stored.into_inner().unwrap(), ..Told::default() }, false);
}

#[test]
fn a_thousand_threads_race_for_one_key_and_the_process_dies() {
    for seed in 0..10 {
        race_for_a_key(seed);
    }
}
