//! Attempts that are settled while their bodies run on.

use std::time::Duration;

use super::kit::{KEEP, Kit, SYNCED, complete, ids, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Canceled, Lease, NewJob, Outcome, Placed, Replayed, Settlement, Transition, UniqueKey, Verdict};
use crate::task::{Durability, OnConflict, Scope};
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a job whose body runs on is settled, and not claimed again until it returns", run: retried },
    Check { name: "a unique key is held while its body runs on, however the attempt ended", run: keys },
    Check { name: "a job whose body runs on can be canceled, and keeps its key until it returns", run: canceled },
    Check { name: "letting go goes by lease, and may be repeated", run: leases },
    Check { name: "nothing runs on in another life of the process, which counts as a crash", run: lives },
];

fn overrun(kit: &Kit<'_>, lease: Lease, verdict: Verdict) -> JobState {
    match kit.commit(Transition::Overrun(Box::new(Settlement { lease, verdict })), SYNCED) {
        Outcome::Settled(all) => all[0].as_ref().map_or_else(|| kit.state(lease.id), |settled| settled.state),
        other => panic!("an overrun gave {other:?}"),
    }
}

/// Lets go, and says whether it was held. A repeated call finds its own work done.
fn let_go(kit: &Kit<'_>, lease: Lease) -> bool {
    match kit.commit(Transition::LetGo(vec![lease]), SYNCED) {
        Outcome::LetGo(held) => held[0],
        other => panic!("letting go gave {other:?}"),
    }
}

fn add_unique(kit: &Kit<'_>, on_conflict: OnConflict) -> (JobId, Placed) {
    let key = b"key".to_vec().into();
    let unique = Some(UniqueKey { key, scope: Scope::Active, on_conflict, keep: KEEP });
    let job = NewJob { unique, ..kit.job() };
    let id = job.id;
    match kit.commit(Transition::enqueue(vec![job]), SYNCED) {
        Outcome::Enqueued(mut placed) => (id, placed.remove(0)),
        other => panic!("an enqueue gave {other:?}"),
    }
}

fn dead() -> Verdict {
    Verdict::Dead { error: task_error("too late"), next: None }
}

fn retried(subject: &dyn Subject) {
    for delay in [0, 5] {
        let kit = Kit::new(subject);
        let id = kit.add(|_| ());
        let first = kit.claim_one();
        let waits = overrun(&kit, first.lease, retry(delay));
        assert_eq!(waits, if delay == 0 { JobState::Queued } else { JobState::Scheduled });
        kit.advance(5);
        let other = kit.add(|_| ());
        assert_eq!(ids(&kit.claim(9)), [other], "only the other one");
        assert!(kit.is_stale(first.lease), "what it comes to is refused");
        let_go(&kit, first.lease);
        let second = kit.claim_one();
        assert_eq!((second.lease.id, second.attempt, second.retried), (id, 2, 1));
        kit.settle(second.lease, complete(b""));
        assert_eq!(kit.state(id), JobState::Complete);
    }
}

fn keys(subject: &dyn Subject) {
    let cancel = |keep| Verdict::Canceled { cause: "no".into(), keep };
    for verdict in [dead(), cancel(KEEP), cancel(Duration::ZERO), Verdict::Lost { cause: "no".into() }] {
        let kit = Kit::new(subject);
        let (id, _) = add_unique(&kit, OnConflict::Existing);
        let lease = kit.claim_one().lease;
        overrun(&kit, lease, verdict.clone());
        for on_conflict in [OnConflict::Existing, OnConflict::Replace] {
            assert_eq!(add_unique(&kit, on_conflict).1, Placed::Existing(id), "after {verdict:?}");
        }
        if kit.state(id) == JobState::Dead {
            let job = Box::new(kit.job());
            let replayed = kit.commit(Transition::Replay { of: id, job }, SYNCED);
            assert_eq!(replayed, Outcome::Replayed(Replayed::Not(JobState::Running)));
        }
        let_go(&kit, lease);
        assert_eq!(add_unique(&kit, OnConflict::Existing).1, Placed::New, "after {verdict:?}");
    }
}

fn canceled(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (id, _) = add_unique(&kit, OnConflict::Existing);
    let lease = kit.claim_one().lease;
    overrun(&kit, lease, retry(0));
    assert_eq!(add_unique(&kit, OnConflict::Replace).1, Placed::Existing(id), "it runs");
    let canceled = kit.commit(Transition::Cancel { id, keep: KEEP }, SYNCED);
    assert!(matches!(canceled, Outcome::Canceled(Canceled::Ended(_) | Canceled::Over(_))), "{canceled:?}");
    assert_eq!(add_unique(&kit, OnConflict::Existing).1, Placed::Existing(id));
    let_go(&kit, lease);
    assert_eq!((add_unique(&kit, OnConflict::Existing).1, kit.state(id)), (Placed::New, JobState::Canceled));
}

fn leases(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    kit.add(|_| ());
    let lease = kit.claim_one().lease;
    assert!(!let_go(&kit, lease), "it runs, and was not overrun");
    overrun(&kit, lease, retry(0));
    assert!(!let_go(&kit, Lease { claim: lease.claim + 1, ..lease }), "another lease");
    assert!(kit.claim(9).is_empty());
    assert!(let_go(&kit, lease) || !kit.is_sure());
    assert!(!let_go(&kit, lease));
    kit.claim_one();
}

fn lives(subject: &dyn Subject) {
    for begun in [true, false] {
        let kit = Kit::new(subject);
        let id = kit.add(|_| ());
        let (key, _) = add_unique(&kit, OnConflict::Existing);
        let leases: Vec<Lease> = kit.claim(2).iter().map(|one| one.lease).collect();
        if begun {
            kit.storage.begin(0, leases[0], Durability::Relaxed).expect("it is noted");
        }
        assert_eq!(leases.iter().map(|lease| lease.id).collect::<Vec<_>>(), [id, key]);
        overrun(&kit, leases[0], retry(0));
        overrun(&kit, leases[1], dead());
        let Some(kit) = kit.again(true) else { return };
        assert_eq!(add_unique(&kit, OnConflict::Existing).1, Placed::New);
        let claimed = kit.claim(9);
        let again = claimed.iter().find(|one| one.lease.id == id).expect("it is claimed again");
        // Its attempt was settled, and is not taken over; but the process died with it.
        assert_eq!((again.attempt, again.rescued, again.crashes), (2, false, u8::from(begun)));
        assert!(!let_go(&kit, leases[0]));
    }
}
