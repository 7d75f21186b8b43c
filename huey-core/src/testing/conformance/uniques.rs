//! Unique keys: one job of a key at a time, whoever asks.

use std::time::Duration;

use super::kit::{Kit, SYNCED, complete, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{NewJob, Outcome, Placed, StorageError, Transition, UniqueKey, Verdict};
use crate::task::{OnConflict, Scope};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a held unique key is answered with its holder until that ends", run: active },
    Check { name: "a key held while pending is free while its holder runs", run: pending },
    Check { name: "a key held for a time is free after it and not before", run: window },
    Check { name: "a rejected key stores nothing and names the holder", run: reject },
    Check { name: "a replaced job is canceled, and one that runs is not replaced", run: replace },
    Check { name: "of two equal keys in one enqueue the first is stored", run: twice },
    Check { name: "a unique key survives its storage being opened again", run: again },
    Check { name: "every end frees a unique key, and no other change does", run: ends },
];

fn key(scope: Scope, on_conflict: OnConflict) -> UniqueKey {
    UniqueKey { key: b"key".to_vec().into(), scope, on_conflict, keep: Duration::from_secs(9) }
}

fn place(kit: &Kit<'_>, jobs: Vec<NewJob>) -> Vec<Placed> {
    match kit.commit(Transition::enqueue(jobs), SYNCED) {
        Outcome::Enqueued(placed) => placed,
        other => panic!("an enqueue gave {other:?}"),
    }
}

/// Enqueues a job with the key, and gives its id and what became of it.
fn add(kit: &Kit<'_>, scope: Scope, on_conflict: OnConflict) -> (JobId, Placed) {
    let job = NewJob { unique: Some(key(scope, on_conflict)), ..kit.job() };
    let id = job.id;
    (id, place(kit, vec![job]).remove(0))
}

fn active(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, placed) = add(&kit, Scope::Active, OnConflict::Existing);
    assert_eq!(placed, Placed::New);
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::Existing(first), "while it waits");
    let claimed = kit.claim_one();
    assert_eq!(add(&kit, Scope::Pending, OnConflict::Existing).1, Placed::Existing(first), "while it runs");
    kit.settle(claimed.lease, retry(60));
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::Existing(first), "while it waits for a retry");
    kit.advance(60);
    let claimed = kit.claim_one();
    kit.settle(claimed.lease, complete(b""));
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::New);
    let other = NewJob {
        unique: Some(UniqueKey { key: b"other".to_vec().into(), ..key(Scope::Active, OnConflict::Existing) }),
        ..kit.job()
    };
    assert_eq!(place(&kit, vec![other]), [Placed::New], "another key");
}

fn pending(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, _) = add(&kit, Scope::Pending, OnConflict::Existing);
    assert_eq!(add(&kit, Scope::Pending, OnConflict::Existing).1, Placed::Existing(first));
    let claimed = kit.claim_one();
    let (second, placed) = add(&kit, Scope::Pending, OnConflict::Existing);
    assert_eq!(placed, Placed::New, "the first runs");
    // It comes back and is not refused, and its end frees nothing that is another's.
    kit.settle(claimed.lease, retry(0));
    let claimed = kit.claim(2);
    assert_eq!(claimed.len(), 2);
    kit.settle(claimed[0].lease, complete(b""));
    kit.settle(claimed[1].lease, retry(0));
    assert_eq!(add(&kit, Scope::Pending, OnConflict::Existing).1, Placed::Existing(second));
}

fn window(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, _) = add(&kit, Scope::Window(Duration::from_mins(1)), OnConflict::Existing);
    let claimed = kit.claim_one();
    kit.settle(claimed.lease, complete(b""));
    kit.advance(59);
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::Existing(first), "though it has ended");
    kit.advance(2);
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::New);
}

fn reject(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, _) = add(&kit, Scope::Active, OnConflict::Reject);
    let writes = vec![("value".to_owned(), vec![1].into())];
    let jobs = vec![
        NewJob { writes, ..kit.job() },
        NewJob { unique: Some(key(Scope::Active, OnConflict::Reject)), ..kit.job() },
    ];
    let refused = kit.commit_at(&*kit.storage, Transition::enqueue(jobs), SYNCED);
    assert_eq!(refused, Err(StorageError::Conflict { index: 1, holder: first }));
    assert_eq!((kit.counts().queued, kit.value("value")), (1, None), "all or nothing");
}

fn replace(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, _) = add(&kit, Scope::Active, OnConflict::Existing);
    let (second, placed) = add(&kit, Scope::Active, OnConflict::Replace);
    // A storage that gave no answer the first time finds the job there the second time.
    if kit.is_sure() {
        let Placed::Replaced(old) = placed else { panic!("the first was not replaced: {placed:?}") };
        assert_eq!((old.id, old.state), (first, JobState::Canceled));
    }
    assert_eq!((kit.state(first), kit.state(second)), (JobState::Canceled, JobState::Queued));
    let claimed = kit.claim_one();
    assert_eq!(claimed.lease.id, second);
    let (_, placed) = add(&kit, Scope::Active, OnConflict::Replace);
    assert_eq!(placed, Placed::Existing(second), "it runs");
    kit.settle(claimed.lease, complete(b""));
    assert_eq!(kit.state(second), JobState::Complete);
}

fn twice(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let job = |on_conflict| NewJob { unique: Some(key(Scope::Active, on_conflict)), ..kit.job() };
    let jobs = vec![job(OnConflict::Existing), job(OnConflict::Existing), job(OnConflict::Replace), kit.job()];
    let first = jobs[0].id;
    let placed = place(&kit, jobs);
    assert_eq!(placed, [Placed::New, Placed::Existing(first), Placed::Existing(first), Placed::New]);
    assert_eq!(kit.counts().queued, 2);
}

fn again(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, _) = add(&kit, Scope::Active, OnConflict::Existing);
    let Some(kit) = kit.again(true) else { return };
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::Existing(first));
    let claimed = kit.claim_one();
    kit.settle(claimed.lease, complete(b""));
    let Some(kit) = kit.again(false) else { return };
    assert_eq!(add(&kit, Scope::Active, OnConflict::Existing).1, Placed::New);
}

fn ends(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let error = || crate::testing::task_error("no");
    let verdicts: [(Verdict, bool); 6] = [
        (Verdict::Dead { error: error(), next: None }, true),
        (Verdict::Lost { cause: "no".into() }, true),
        (Verdict::Canceled { cause: "no".into(), keep: Duration::ZERO }, true),
        (complete(b""), true),
        (Verdict::Returned { started: true }, false),
        (Verdict::Parked { cause: "no".into() }, false),
    ];
    for (verdict, frees) in verdicts {
        let (id, _) = add(&kit, Scope::Active, OnConflict::Replace);
        let claimed = kit.claim(64);
        let of_it = claimed.iter().find(|one| one.lease.id == id).expect("it is claimed");
        kit.settle(of_it.lease, verdict.clone());
        let placed = add(&kit, Scope::Active, OnConflict::Existing).1;
        let free = placed == Placed::New;
        assert_eq!(free, frees, "{verdict:?}");
        if free {
            let claimed = kit.claim_one();
            kit.settle(claimed.lease, complete(b""));
        }
    }
}
