//! Waiting, holding, and transitions that nobody waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use super::super::Sleeper;
use super::kit::{Kit, RELAXED, SYNCED, complete, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Claimed, Commit, OnWork, Outcome, Roused, Settlement, StorageError, Transition, Version};
use crate::task::Durability;
use crate::time::Timestamp;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a wait ends with its instant", run: wait_until },
    Check { name: "a wait ends with a change, also one between looking and waiting", run: wait_change },
    Check { name: "a wait ends when a job is due", run: wait_due },
    Check { name: "a wait ends when it is told to", run: wait_wake },
    Check { name: "who keeps the time hears when it is woken, and that the storage is closed", run: wait_due_wake },
    Check { name: "what may be claimed is told of", run: on_work },
    Check { name: "a job may be handed to who waits for it, and is claimed then", run: handed },
    Check { name: "a held job is not given out before it is released", run: hold_new },
    Check { name: "an end is shown before it is announced, and a retry not given out", run: hold_end },
    Check { name: "a submitted transition happens, and is answered exactly once", run: submit },
    Check { name: "at least one level of durability is offered, and it works", run: offers },
    Check { name: "a closed store says so", run: closed },
];

const HELD: Commit = Commit { durability: Durability::Synced, hold: true };

fn wait_until(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let version = kit.storage.wait(Version::default(), kit.now());
    assert_eq!(kit.storage.wait(version, kit.now()), version);
    let until = kit.now() + Duration::from_secs(10);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            // It may return early.
            while kit_now(&*kit.storage) < until {
                let version = kit.storage.wait(Version::default(), Timestamp::from_micros(0));
                kit.storage.wait(version, until);
            }
        });
        kit.clock.set(until);
        waiter.join().expect("the wait ends");
    });
}

fn kit_now(storage: &dyn crate::store::Storage) -> Timestamp {
    storage.clock().now()
}

fn wait_change(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let changes: [&dyn Fn(); 4] = [
        &|| {
            kit.add(|_| ());
        },
        &|| drop(kit.claim_one()),
        &|| {
            kit.add(|_| ());
            let claimed = kit.claim_one();
            kit.settle(claimed.lease, retry(0));
        },
        &|| {
            let claimed = kit.claim_one();
            kit.settle(claimed.lease, complete(b"x"));
        },
    ];
    for change in changes {
        let before = kit.storage.wait(Version::default(), kit.now());
        change();
        // With nothing missed this returns at once, and else never.
        assert!(kit.storage.wait(before, Timestamp::MAX) > before);
    }
}

fn wait_due(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let at = kit.now() + Duration::from_secs(10);
    let id = kit.add(|job| job.run_at = at);
    std::thread::scope(|scope| {
        let storage = &kit.storage;
        let waiter = scope.spawn(move || {
            let mut version = Version::default();
            while storage.clock().now() < at {
                version = storage.wait(version, Timestamp::MAX);
            }
        });
        kit.clock.set(at);
        waiter.join().expect("the wait ends");
    });
    assert_eq!(kit.claim_one().lease.id, id);
}

fn wait_wake(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let before = kit.storage.wait(Version::default(), kit.now());
    kit.storage.wake();
    assert!(kit.storage.wait(before, Timestamp::MAX) > before);
}

fn on_work(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (tell, told) = channel();
    let listener: Arc<dyn OnWork> = Arc::new(move |roused: &Roused| drop(tell.send(roused.clone())));
    kit.storage.on_work(Arc::downgrade(&listener));
    let changes: [&dyn Fn(); 3] = [
        &|| {
            kit.add(|_| ());
        },
        &|| {
            let claimed = kit.claim_one();
            kit.settle(claimed.lease, retry(0));
        },
        &|| {
            let claimed = kit.claim_one();
            kit.settle(claimed.lease, retry(10));
            kit.clock.set(kit.now() + Duration::from_secs(10));
            kit.storage.wait_due(Version::default(), kit.now());
        },
    ];
    let job = kit.job();
    for change in changes {
        while told.try_recv().is_ok() {}
        change();
        // It comes at once, and else never.
        match told.recv() {
            Ok(Roused::Lane { queue, task }) => assert_eq!((&*queue, &*task), (&*job.queue, &*job.task)),
            told => assert_eq!(told, Ok(Roused::All)),
        }
    }
    drop(listener);
    kit.add(|_| ());
    while told.try_recv().is_ok() {}
    assert!(told.recv().is_err(), "one who listens no more is told nothing");
}

fn handed(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let sleeper = Sleeper::of(&*kit.storage);
    for _ in 0..2 {
        let job = kit.job();
        let (id, body) = (job.id, job.body.clone());
        sleeper.sleep();
        kit.commit(Transition::enqueue(vec![job]), RELAXED);
        let job = match sleeper.wake() {
            Some(job) => {
                assert_eq!(kit.claim(1), [], "nobody else gets it");
                job
            }
            None => kit.claim_one(),
        };
        assert_eq!((job.lease.id, job.attempt, job.body), (id, 1, body));
        assert_eq!(kit.state(id), JobState::Running);
        assert_eq!(kit.settle(job.lease, complete(b"done")), JobState::Complete);
    }
    // What nobody may claim is not handed over.
    sleeper.sleep();
    let mut later = kit.job();
    later.run_at = kit.now() + Duration::from_secs(10);
    kit.commit(Transition::enqueue(vec![later]), RELAXED);
    let held = kit.job();
    let id = held.id;
    kit.commit(Transition::enqueue(vec![held]), Commit { hold: true, ..RELAXED });
    assert_eq!(sleeper.wake(), None);
    kit.storage.release(&[id]);
    assert_eq!(claim_in_the_end(&kit).lease.id, id);
}

fn wait_due_wake(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let before = kit.storage.wait_due(Version::default(), kit.now());
    assert!(before.is_some());
    kit.storage.wake();
    assert!(kit.storage.wait_due(before.unwrap_or_default(), Timestamp::MAX) > before);
    kit.storage.close().expect("it closes");
    assert_eq!(kit.storage.wait_due(Version::default(), Timestamp::MAX), None);
}

/// Claims until something comes: a release may be on its way.
fn claim_in_the_end(kit: &Kit<'_>) -> Claimed {
    let claimed = (0..200).map(|_| kit.claim(9)).find(|claimed| !claimed.is_empty());
    claimed.expect("it can be claimed in the end").remove(0)
}

fn hold_new(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs = [kit.job(), {
        let mut job = kit.job();
        job.run_at = kit.now() + Duration::from_secs(5);
        job
    }];
    let ids = jobs.each_ref().map(|job| job.id);
    kit.commit(Transition::enqueue(jobs.into()), HELD);
    assert_eq!((kit.state(ids[0]), kit.state(ids[1])), (JobState::Queued, JobState::Scheduled), "held, but there");
    kit.advance(5);
    for _ in 0..5 {
        assert!(kit.claim(9).is_empty());
    }
    // A storage that others share may have nothing to release, but then it must not have held either.
    for id in ids {
        kit.storage.release(&[id]);
        assert_eq!(claim_in_the_end(&kit).lease.id, id);
    }
    kit.storage.release(&ids);
    assert!(kit.claim(9).is_empty(), "releasing twice gives nothing twice");
}

fn hold_end(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let settle = |id: JobId, verdict| {
        let claimed = claim_in_the_end(&kit);
        assert_eq!(claimed.lease.id, id);
        kit.commit(Transition::Settle(vec![Settlement { lease: claimed.lease, verdict }]), HELD);
    };
    for (verdict, state) in [
        (complete(b"x"), JobState::Complete),
        (crate::store::Verdict::Dead { error: crate::testing::task_error("x"), next: None }, JobState::Dead),
        (crate::store::Verdict::Parked { cause: "x".into() }, JobState::Parked),
    ] {
        let id = kit.add(|_| ());
        settle(id, verdict);
        assert_eq!(kit.state(id), state, "whoever hears of an end can read it");
        kit.storage.release(&[id]);
    }
    let id = kit.add(|_| ());
    settle(id, retry(0));
    for _ in 0..5 {
        assert!(kit.claim(9).is_empty(), "its retry is not announced yet");
    }
    kit.storage.release(&[id]);
    assert_eq!(claim_in_the_end(&kit).lease.id, id);
}

fn submit(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let answered = Arc::new([const { AtomicUsize::new(0) }; 24]);
    let stored = Arc::new(AtomicUsize::new(0));
    let jobs: Vec<_> = (0..answered.len()).map(|_| kit.job()).collect();
    for (at, job) in jobs.iter().cloned().enumerate() {
        let (answered, stored) = (Arc::clone(&answered), Arc::clone(&stored));
        let transition = Transition::enqueue(vec![job]);
        kit.storage.submit(
            transition,
            if at % 2 == 0 { SYNCED } else { RELAXED },
            Box::new(move |outcome| {
                match outcome {
                    Ok(Outcome::Enqueued(_)) => drop(stored.fetch_add(1, Ordering::SeqCst)),
                    Err(StorageError::Unknown(_)) => {}
                    other => panic!("a submitted enqueue gave {other:?}"),
                }
                answered[at].fetch_add(1, Ordering::SeqCst);
            }),
        );
    }
    while answered.iter().any(|times| times.load(Ordering::SeqCst) == 0) {
        kit.counts();
        std::thread::yield_now();
    }
    let there = jobs.iter().filter(|job| kit.state(job.id) == JobState::Queued).count();
    assert!(there >= stored.load(Ordering::SeqCst), "what was answered is there");
    kit.storage.close().expect("it closes");
    assert!(answered.iter().all(|times| times.load(Ordering::SeqCst) == 1));
}

fn offers(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    assert!(!kit.storage.offers().is_empty());
    for durability in kit.storage.offers() {
        let how = Commit { durability: *durability, hold: false };
        let job = kit.job();
        let id = job.id;
        kit.commit(Transition::enqueue(vec![job]), how);
        assert_eq!(claim_in_the_end(&kit).lease.id, id);
    }
    assert!(!kit.storage.name().is_empty());
}

fn closed(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    kit.storage.close().expect("it closes");
    kit.storage.close().expect("closing twice is the same");
    let answer = kit.commit_at(&*kit.storage, Transition::Reserve { count: 1 }, SYNCED);
    assert!(matches!(answer, Err(StorageError::Closed)), "{answer:?}");
    let (tell, told) = std::sync::mpsc::channel();
    let done = move |outcome| drop(tell.send(outcome));
    kit.storage.submit(Transition::Reserve { count: 1 }, SYNCED, Box::new(done));
    kit.storage.wait(Version::default(), Timestamp::MAX);
    let outcome: Result<_, StorageError> = told.recv().expect("it is answered");
    assert!(matches!(outcome, Err(StorageError::Closed | StorageError::Unknown(_))), "{outcome:?}");
}
