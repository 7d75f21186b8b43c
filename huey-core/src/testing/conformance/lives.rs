//! What outlives the process.

use std::time::Duration;

use super::kit::{Kit, complete, ids, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Tasks, Verdict};
use crate::task::Durability;
use crate::testing::task_error;

const RELAXED: Durability = Durability::Relaxed;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "closing and opening again changes nothing", run: reopen },
    Check { name: "what was claimed and had not begun goes back uncounted", run: unbegun },
    Check { name: "what had begun when the process died is rescued with a crash", run: rescued },
    Check { name: "a job at its crash limit is dead", run: condemned },
    Check { name: "a job one crash short of its limit runs alone", run: alone },
    Check { name: "the end of a job that ran alone is on the disk before another runs", run: alone_to_its_end },
    Check { name: "an at-most-once job that had begun is lost, and runs if it had not", run: at_most_once },
];

fn reopen(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let states: Vec<(JobId, JobState)> = {
        let mut states = Vec::new();
        let mut end = |verdict, state| {
            let id = kit.add(|_| ());
            kit.settle(kit.claim_one().lease, verdict);
            states.push((id, state));
        };
        end(complete(b"kept"), JobState::Complete);
        end(Verdict::Dead { error: task_error("x"), next: None }, JobState::Dead);
        end(Verdict::Parked { cause: "x".into() }, JobState::Parked);
        end(retry(50), JobState::Scheduled);
        end(Verdict::Canceled { cause: "x".into(), keep: Duration::ZERO }, JobState::Gone);
        states.push((kit.add(|job| job.run_at = job.run_at + Duration::from_secs(9)), JobState::Scheduled));
        states.push((kit.add(|job| job.body.args = vec![7; 100_000].into()), JobState::Queued));
        states
    };
    kit.write("key", b"value");
    let (rows, counts) = (states.iter().map(|(id, _)| kit.find(*id)).collect::<Vec<_>>(), kit.counts());
    let Some(kit) = kit.again(false) else { return };
    for ((id, state), row) in states.iter().zip(rows) {
        assert_eq!((kit.state(*id), kit.find(*id)), (*state, row));
    }
    assert_eq!((kit.counts(), kit.value("key")), (counts, Some(b"value".to_vec())));
    assert!(*kit.claim_one().body.args == vec![7; 100_000]);
    let fresh = kit.add(|_| ());
    assert!(states.iter().all(|(id, _)| id.counter() != fresh.counter()), "counters are not given out again");
}

fn unbegun(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..3).map(|_| kit.add(|_| ())).collect();
    assert_eq!(ids(&kit.claim(3)), jobs);
    let Some(kit) = kit.again(true) else { return };
    let claimed = kit.claim(9);
    assert_eq!(ids(&claimed), jobs);
    assert!(claimed.iter().all(|one| (one.attempt, one.crashes, one.rescued) == (1, 0, false)));
}

/// Lets a job begin, and the process die.
fn crash(kit: Kit<'_>) -> Option<Kit<'_>> {
    let claimed = kit.claim_one();
    kit.storage.begin(0, claimed.lease, Durability::Relaxed).expect("it is noted");
    kit.again(true)
}

fn rescued(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let ended = kit.add(|_| ());
    let claimed = kit.claim_one();
    kit.storage.begin(1, claimed.lease, Durability::Relaxed).expect("it is noted");
    kit.settle(claimed.lease, retry(0));
    kit.storage.end(1);
    let first = kit.claim_one();
    kit.storage.begin(0, first.lease, Durability::Relaxed).expect("it is noted");
    let Some(kit) = kit.again(true) else { return };
    let row = kit.row(ended);
    assert_eq!((row.state, row.crashes), (JobState::Queued, 1));
    let second = kit.claim_one();
    assert_eq!((second.crashes, second.attempt), (1, 3));
    // It is told with the claim, and that answer may have been lost.
    assert!(second.rescued || !kit.is_sure());
    assert!(kit.is_stale(first.lease), "the lease of the dead holds no more");
    kit.settle(second.lease, retry(0));
    let third = kit.claim_one();
    assert_eq!((third.crashes, third.rescued), (1, false), "a crash is told of once");
}

fn condemned(subject: &dyn Subject) {
    for limit in [1, 3] {
        let mut kit = Kit::new(subject);
        let id = kit.add(|job| job.crash_limit = limit);
        for _ in 0..limit {
            let Some(again) = crash(kit) else { return };
            kit = again;
        }
        let (claimed, _) = kit.claim_from(&["default"], Tasks::Except(Vec::new()), 9);
        assert!(claimed.is_empty());
        let row = kit.row(id);
        assert_eq!((row.state, row.crashes), (JobState::Dead, limit));
        assert!(row.ended.error.is_some() && row.ended.cause.is_some());
    }
}

fn alone(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let suspect = kit.add(|job| (job.crash_limit, job.priority) = (2, -9));
    let Some(kit) = crash(kit) else { return };
    let good: Vec<_> = (0..3).map(|_| kit.add(|_| ())).collect();
    let first = kit.claim(9);
    assert_eq!(ids(&first), [suspect], "it goes first, and alone");
    assert!(kit.claim(9).is_empty(), "and nothing starts beside it");
    kit.settle(first[0].lease, complete(b"it was innocent"));
    assert_eq!(ids(&kit.claim(9)), good);
}

/// One that has ended may not be there as ended if the next one ends the process: it would be condemned for that one.
fn alone_to_its_end(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let suspects: Vec<_> = (0..2).map(|_| kit.add(|job| (job.crash_limit, job.durability) = (2, RELAXED))).collect();
    let claimed = kit.claim(2);
    assert_eq!(ids(&claimed), suspects);
    for (slot, one) in claimed.iter().enumerate() {
        kit.storage.begin(slot, one.lease, RELAXED).expect("it is noted");
    }
    let Some(kit) = kit.again(true) else { return };
    let first = kit.claim_one();
    assert_eq!(first.durability, Durability::Synced, "its end must not be lost with the next one's process");
    kit.settle(first.lease, complete(b"innocent"));
    assert_eq!(ids(&kit.claim(9)), suspects[1..]);
}

fn at_most_once(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let begun = kit.add(|job| job.at_most_once = true);
    let unbegun = kit.add(|job| job.at_most_once = true);
    let claimed = kit.claim(2);
    kit.storage.begin(0, claimed[0].lease, Durability::Relaxed).expect("it is noted");
    let Some(kit) = kit.again(true) else { return };
    let claimed = kit.claim_one();
    assert_eq!((claimed.lease.id, claimed.at_most_once), (unbegun, true));
    assert_eq!(kit.state(begun), JobState::Lost);
}
