//! What a store does when its disk fails, panics, fills up, or lies.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use huey_core::store::{
    Answer, BARRIER, Body, Claimed, Commit, Log, Medium, NewJob, Outcome, Query, Revocation, Settled, Settlement,
    Storage, StorageError, StorageOptions, Tasks, Transition, Verdict, Version, engine,
};
use huey_core::testing::{Fault, Inspector, SimDisk, inspected, job_id, new_job};
use huey_core::{Durability, JobId, JobState, Timestamp};

const SYNCED: Commit = Commit { durability: Durability::Synced, hold: false };
const RELAXED: Commit = Commit { durability: Durability::Relaxed, hold: false };

fn options() -> StorageOptions {
    let mut options = StorageOptions::default();
    // Only what a test asks for is synced.
    options.flush_interval = Duration::from_secs(1_000_000);
    options
}

fn open(disk: &SimDisk) -> (Arc<dyn Storage>, Inspector) {
    inspected(disk.medium(), options()).unwrap()
}

fn jobs(storage: &dyn Storage, count: u32, bytes: usize) -> Vec<NewJob> {
    let Ok(Outcome::Reserved { first, salt }) = storage.commit(Transition::Reserve { count }, SYNCED) else {
        panic!("no counters");
    };
    let now = storage.clock().now();
    (first..first + u64::from(count))
        .map(|counter| NewJob {
            body: Body { head: vec![1; 16].into(), args: vec![2; bytes].into(), ..Body::default() },
            ..new_job(job_id(now, counter, salt))
        })
        .collect()
}

fn enqueue(jobs: &[NewJob]) -> Transition {
    Transition::enqueue(jobs.to_vec())
}

fn write(key: &str, bytes: usize) -> Transition {
    Transition::Write { writes: vec![(key.into(), vec![7; bytes].into())] }
}

fn claim(storage: &dyn Storage, most: u32) -> Vec<Claimed> {
    let (queues, tasks, keep) = (vec!["default".into()], Tasks::Except(Vec::new()), Duration::ZERO);
    match storage.commit(Transition::Claim { queues, tasks, most, many: Tasks::ALL, keep }, SYNCED) {
        Ok(Outcome::Claimed { claimed, .. }) => claimed,
        other => panic!("a claim gave {other:?}"),
    }
}

fn complete(claimed: &Claimed, keep: Duration) -> Transition {
    let verdict = Verdict::Complete { output: vec![3; 8].into(), signature: 0, keep, next: None };
    Transition::Settle(vec![Settlement { lease: claimed.lease, verdict }])
}

fn state(storage: &dyn Storage, id: JobId) -> Option<JobState> {
    match storage.read(Query::Job(id)).unwrap() {
        Answer::Job(row) => row.ok().map(|row| row.state),
        other => panic!("asked for a job, got {other:?}"),
    }
}

#[test]
fn a_running_attempt_keeps_its_lease_when_the_log_is_opened_again() {
    let disk = SimDisk::new(1);
    let (storage, inspector) = open(&disk);
    let all = jobs(&*storage, 2, 10);
    storage.commit(enqueue(&all), SYNCED).unwrap();
    let claimed = claim(&*storage, 2);
    storage.begin(0, claimed[0].lease, Durability::Relaxed).unwrap();
    disk.fault_at(0, Fault::Fail);
    let failed = storage.commit(write("key", 10), SYNCED);
    assert!(matches!(failed, Err(StorageError::Unknown(_))), "{failed:?}");
    let settled = storage.commit(complete(&claimed[0], Duration::from_secs(9)), SYNCED).unwrap();
    assert_eq!(settled, Outcome::Settled(vec![Some(Settled::new(JobState::Complete, None))]));
    // The other one had not begun, and goes back: nobody may run it under the lease that was given out.
    assert_eq!(state(&*storage, all[1].id), Some(JobState::Queued));
    assert!(storage.begin(1, claimed[1].lease, Durability::Relaxed).is_err());
    inspector.check().unwrap();
}

#[test]
fn a_log_that_cannot_be_opened_for_a_while_comes_back_without_being_asked() {
    let disk = SimDisk::new(2);
    let (storage, _) = open(&disk);
    let all = jobs(&*storage, 1, 10);
    storage.commit(enqueue(&all), SYNCED).unwrap();
    disk.fail_opens(3);
    disk.fault_at(0, Fault::Fail);
    assert!(matches!(storage.commit(write("key", 10), SYNCED), Err(StorageError::Unknown(_))));
    // Nobody calls it but this wait, which each attempt wakes.
    while storage.read(Query::all_counts()).is_err() {
        let version = storage.wait(Version(0), Timestamp::from_micros(0));
        if storage.read(Query::all_counts()).is_err() {
            storage.wait(version, Timestamp::MAX);
        }
    }
    assert_eq!(state(&*storage, all[0].id), Some(JobState::Queued));
}

#[test]
fn a_panic_of_the_log_is_contained_and_the_log_left_alone() {
    let disk = SimDisk::new(3);
    let (storage, inspector) = open(&disk);
    let all = jobs(&*storage, 1, 10);
    storage.commit(enqueue(&all), SYNCED).unwrap();
    for fault in [Fault::Panic, Fault::Fail] {
        disk.fault_at(0, fault);
        let failed = storage.commit(write("key", 10), SYNCED);
        match fault {
            Fault::Panic => assert!(matches!(failed, Err(StorageError::Unknown(_))), "{failed:?}"),
            _ => assert!(matches!(failed, Err(StorageError::Damaged(_))), "it was not opened again: {failed:?}"),
        }
    }
    assert!(matches!(storage.read(Query::all_counts()), Err(StorageError::Damaged(_))));
    let (tell, told) = channel();
    storage.submit(write("key", 10), SYNCED, Box::new(move |outcome| tell.send(outcome).unwrap()));
    assert!(matches!(told.recv().unwrap(), Err(StorageError::Damaged(_))));
    assert!(storage.close().is_err());
    drop((storage, inspector));
    disk.kill();
    let (storage, _) = open(&disk);
    assert_eq!(state(&*storage, all[0].id), Some(JobState::Queued));
}

#[test]
fn a_panic_while_opening_is_an_error_that_names_the_place() {
    let disk = SimDisk::new(4);
    disk.fault_at(0, Fault::Panic);
    let error = inspected(disk.medium(), options()).map(drop).unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("a simulated disk"), "{error}");
}

#[test]
fn little_space_refuses_new_jobs_and_lets_the_others_end() {
    let disk = SimDisk::new(5);
    let (storage, _) = open(&disk);
    let all = jobs(&*storage, 2, 10);
    disk.set_free_space(Some(17 * 1024 * 1024));
    storage.commit(enqueue(&all[..1]), SYNCED).unwrap();
    disk.set_free_space(Some(1024 * 1024));
    // The space is measured now and then.
    while !matches!(storage.commit(write("key", 1), RELAXED), Err(StorageError::Full(_))) {}
    let refused = storage.commit(enqueue(&all[1..]), SYNCED);
    assert!(matches!(&refused, Err(StorageError::Full(text)) if text.contains("min_free")), "{refused:?}");
    let claimed = claim(&*storage, 9).remove(0);
    storage.commit(complete(&claimed, Duration::from_secs(9)), SYNCED).unwrap();
    assert_eq!((state(&*storage, all[0].id), state(&*storage, all[1].id)), (Some(JobState::Complete), None));
    disk.set_free_space(None);
    while storage.commit(enqueue(&all[1..]), SYNCED).is_err() {}
    assert_eq!(claim(&*storage, 9).len(), 1);
}

#[test]
fn a_bulk_over_many_entries_is_there_whole_or_not_at_all() {
    let mut whole = 0;
    for nth in (0..80).step_by(4) {
        for fault in [Fault::Kill, Fault::PowerCut] {
            let disk = SimDisk::new(nth);
            let (storage, inspector) = open(&disk);
            let all = jobs(&*storage, 5_000, 20);
            disk.fault_at(nth, fault);
            let stored = storage.commit(enqueue(&all), SYNCED);
            drop((storage, inspector));
            disk.kill();
            let (storage, inspector) = open(&disk);
            inspector.check().unwrap();
            let there = all.iter().filter(|job| state(&*storage, job.id).is_some()).count();
            assert!(there == all.len() || (there == 0 && stored.is_err()), "{there} of {} are there", all.len());
            whole += usize::from(there > 0);
        }
    }
    assert!(whole > 0, "none was ever whole");
}

#[test]
fn the_barrier_by_volume_saves_what_was_synced_before() {
    let lost_with = |reuse_after| {
        let mut lost = 0;
        for seed in 0..12 {
            let disk = SimDisk::new(seed);
            disk.reuse_after(reuse_after);
            let (storage, inspector) = open(&disk);
            let all = jobs(&*storage, 1, 10);
            storage.commit(enqueue(&all), SYNCED).unwrap();
            for at in 0..100 + seed * 3 {
                storage.commit(write(&format!("key {at}"), 5_000), RELAXED).unwrap();
            }
            disk.power_cut();
            drop((storage, inspector));
            let there =
                inspected(disk.medium(), options()).is_ok_and(|(storage, _)| state(&*storage, all[0].id).is_some());
            lost += usize::from(!there);
        }
        lost
    };
    assert_eq!(lost_with(BARRIER), 0);
    assert!(lost_with(BARRIER / 8) > 0, "without the barrier something is lost, so that this test can fail");
}

#[test]
fn a_journal_that_ends_below_its_mark_is_damage() {
    let disk = SimDisk::new(6);
    let (storage, inspector) = open(&disk);
    for _ in 0..3 {
        storage.commit(write("key", 10), SYNCED).unwrap();
    }
    storage.close().unwrap();
    drop((storage, inspector));
    let mut log = disk.medium().open().unwrap();
    let newest = disk.medium().marked().unwrap();
    log.remove_newest(newest).unwrap();
    drop(log);
    let error = engine(disk.medium(), options()).map(drop).unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("nothing was deleted"), "{error}");
}

#[test]
fn submitted_transitions_are_answered_once_when_the_disk_fails_under_them() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let (storage, inspector) = open(&disk);
        let all = jobs(&*storage, 20, 10);
        disk.fault_at(seed, Fault::Fail);
        let (tell, told) = channel();
        for job in &all {
            let tell = tell.clone();
            let id = job.id;
            let done = move |outcome: Result<Outcome, _>| tell.send((id, outcome.is_ok())).unwrap();
            storage.submit(enqueue(std::slice::from_ref(job)), SYNCED, Box::new(done));
        }
        drop(tell);
        // The channel ends once every callback was called or dropped.
        let told: Vec<_> = told.iter().collect();
        assert_eq!(told.len(), all.len());
        disk.no_fault();
        while storage.read(Query::all_counts()).is_err() {}
        inspector.check().unwrap();
        let stored = told.iter().filter(|(_, stored)| *stored);
        for (id, _) in stored {
            assert!(state(&*storage, *id).is_some(), "what was confirmed is there");
        }
        // Nothing stays held: whatever is there can be claimed, once it has been announced.
        let there = all.iter().filter(|job| state(&*storage, job.id).is_some()).count();
        let mut claimed = 0;
        while claimed < there {
            claimed += claim(&*storage, 64).len();
        }
    }
}

#[test]
fn the_last_handle_may_be_dropped_in_a_callback() {
    let disk = SimDisk::new(7);
    let storage = engine(disk.medium(), options()).unwrap();
    let (tell, told) = channel();
    let last = Arc::clone(&storage);
    let done = move |outcome: Result<Outcome, StorageError>| {
        drop(last);
        tell.send(outcome.is_ok()).unwrap();
    };
    storage.submit(write("key", 10), SYNCED, Box::new(done));
    drop(storage);
    assert!(told.recv().unwrap());
    let storage = loop {
        // The log is let go of by whoever closes, here or there.
        if let Ok(storage) = engine(disk.medium(), options()) {
            break storage;
        }
    };
    assert!(matches!(storage.read(Query::Value("key".into())), Ok(Answer::Value(Some(_)))));
}

#[test]
fn compaction_keeps_the_journal_small_and_writes_little_for_it() {
    let disk = SimDisk::new(8);
    let (storage, inspector) = open(&disk);
    // What stays: jobs with bodies that span entries, at the old end.
    let all = jobs(&*storage, 400, 20_000);
    storage.commit(enqueue(&all), SYNCED).unwrap();
    let (before, mut user, mut peak) = (disk.appended(), 0, 0);
    for at in 0..12_000 {
        let bytes = 500 + at % 3_000;
        storage.commit(write(&format!("key {}", at % 10), bytes), RELAXED).unwrap();
        user += bytes as u64;
        let sizes = inspector.sizes().unwrap();
        // What has moved is removed once it is durable.
        peak = peak.max((sizes.total - (BARRIER as u64).min(sizes.total)) * 10 / sizes.live);
    }
    let written = disk.appended() - before;
    assert!(written < 3 * user, "{written} bytes were written for {user}");
    assert!(peak <= 22, "the journal grew to {peak} tenths of what lives");
    inspector.check().unwrap();
    drop((storage, inspector));
    disk.kill();
    let (storage, inspector) = open(&disk);
    inspector.check().unwrap();
    let claimed = claim(&*storage, 400);
    assert!(claimed.len() == all.len() && claimed.iter().zip(&all).all(|(one, job)| one.body == job.body));
}

#[test]
fn results_above_the_bound_do_not_pile_up_under_large_commits() {
    let disk = SimDisk::new(9);
    let mut options = options();
    options.max_results = 100;
    let (storage, inspector) = inspected(disk.medium(), options).unwrap();
    for _ in 0..3 {
        let all = jobs(&*storage, 2_000, 10);
        storage.commit(enqueue(&all), RELAXED).unwrap();
        let claimed = claim(&*storage, 2_000);
        let one = |claimed: &Claimed| match complete(claimed, Duration::from_mins(15)) {
            Transition::Settle(mut all) => all.remove(0),
            other => panic!("{other:?}"),
        };
        storage.commit(Transition::Settle(claimed.iter().map(one).collect()), RELAXED).unwrap();
        let Ok(Answer::Counts(counts)) = storage.read(Query::all_counts()) else { panic!("no counts") };
        assert!(counts.results <= 100, "{} results are kept", counts.results);
    }
    inspector.check().unwrap();
}

#[test]
fn a_synced_job_that_ends_when_it_is_picked_up_stays_ended_through_a_power_cut() {
    let disk = SimDisk::new(12);
    let (storage, _) = open(&disk);
    let all = jobs(&*storage, 1, 10);
    storage.commit(enqueue(&all), SYNCED).unwrap();
    let mark = Some(Revocation::Once);
    storage.commit(Transition::Revoke { task: all[0].task.to_string(), mark }, SYNCED).unwrap();
    let (queues, tasks, keep) = (vec!["default".into()], Tasks::Except(Vec::new()), Duration::from_secs(9));
    let claim = Transition::Claim { queues, tasks, most: 1, many: Tasks::ALL, keep };
    // Nothing that runs is taken back by a cut that takes back its claim, so a claim asks for no more than this.
    let Ok(Outcome::Claimed { ended, .. }) = storage.commit(claim, RELAXED) else { panic!("no claim") };
    assert_eq!(ended.iter().map(|end| end.state).collect::<Vec<_>>(), [JobState::Revoked]);
    disk.power_cut();
    drop(storage);
    let (storage, inspector) = open(&disk);
    assert_eq!(state(&*storage, all[0].id), Some(JobState::Revoked), "its end was announced");
    inspector.check().unwrap();
}
