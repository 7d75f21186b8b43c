//! What is done to jobs and tasks by hand.

use std::time::Duration;

use super::kit::{Kit, SYNCED, complete, ids, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{
    Answer, Canceled, NewJob, Outcome, Placed, Progress, Query, Replayed, Rescheduled, Revocation, Transition,
    UniqueKey, Verdict,
};
use crate::task::{OnConflict, Scope};
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a waiting job that is canceled ends at once", run: cancel_waiting },
    Check { name: "a running job that is canceled is not given out again", run: cancel_running },
    Check { name: "a job that was moved is due at its new time, in its old place", run: reschedule },
    Check { name: "jobs of a revoked task are discarded when they are picked up", run: revoke },
    Check { name: "a job that was given up is replaced by its replay in one commit", run: replay },
    Check { name: "only what stands still can be purged", run: purge },
    Check { name: "a body reports under its lease alone", run: progress },
];

fn cancel(kit: &Kit<'_>, id: JobId, keep: u64) -> Canceled {
    match kit.commit(Transition::Cancel { id, keep: Duration::from_secs(keep) }, SYNCED) {
        Outcome::Canceled(canceled) => canceled,
        other => panic!("a cancel gave {other:?}"),
    }
}

fn dead(kit: &Kit<'_>) -> JobId {
    let lease = kit.claim_one().lease;
    kit.settle(lease, Verdict::Dead { error: task_error("no route"), next: None });
    lease.id
}

fn cancel_waiting(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (id, forgotten) = (kit.add(|_| {}), kit.add(|_| {}));
    let canceled = cancel(&kit, id, 60);
    // Over a network the answer of the first may be lost.
    assert!(matches!(&canceled, Canceled::Ended(ends) if ends.iter().any(|end| end.id == id)) || !kit.is_sure());
    assert_eq!(kit.state(id), JobState::Canceled);
    assert_eq!(cancel(&kit, id, 60), Canceled::Over(JobState::Canceled));
    cancel(&kit, forgotten, 0);
    assert_eq!(cancel(&kit, forgotten, 0), Canceled::Missing);
    assert_eq!(ids(&kit.claim(9)), []);
    let id = kit.add(|_| {});
    let id_of_dead = dead(&kit);
    assert_eq!((id, cancel(&kit, id, 60)), (id_of_dead, Canceled::Over(JobState::Dead)));
}

fn cancel_running(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| {});
    let lease = kit.claim_one().lease;
    assert_eq!(cancel(&kit, id, 60), Canceled::Stopping(lease));
    assert!(kit.row(id).stopping);
    kit.settle(lease, retry(3_600));
    let (claimed, ended) = kit.claim_from(&["default"], crate::store::Tasks::ALL, 9);
    assert_eq!(ids(&claimed), []);
    assert!(ended.iter().any(|end| end.id == id && end.state == JobState::Canceled) || !kit.is_sure());
    assert_eq!(kit.state(id), JobState::Canceled);
    let id = kit.add(|_| {});
    let lease = kit.claim_one().lease;
    cancel(&kit, id, 60);
    assert_eq!(kit.settle(lease, complete(b"7")), JobState::Complete, "a value stands");
}

fn reschedule(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, second) = (kit.add(|_| {}), kit.add(|_| {}));
    let to = |at| match kit.commit(Transition::Reschedule { id: first, at }, SYNCED) {
        Outcome::Rescheduled(moved) => moved,
        other => panic!("a move gave {other:?}"),
    };
    let later = kit.now() + Duration::from_mins(1);
    assert!(matches!(to(later), Rescheduled::Moved(settled) if settled.due == Some(later)));
    assert_eq!((kit.state(first), kit.row(first).at), (JobState::Scheduled, later));
    kit.advance(60);
    assert_eq!(ids(&kit.claim(9)), [first, second]);
    assert_eq!(to(later), Rescheduled::Not(JobState::Running));
}

fn revoke(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let mark = |mark| {
        let revoke = Transition::Revoke { task: "send".into(), mark };
        match kit.commit(revoke, SYNCED) {
            Outcome::Revoked(was) => was,
            other => panic!("a revocation gave {other:?}"),
        }
    };
    let marked = || match kit.read(Query::Revocation("send".into())) {
        Answer::Revocation(mark) => mark,
        other => panic!("a question about a revocation gave {other:?}"),
    };
    let jobs = [kit.add(|_| {}), kit.add(|_| {}), kit.add(|job| job.task = "other".into())];
    mark(Some(Revocation::Once));
    assert_eq!((marked(), kit.state(jobs[0])), (Some(Revocation::Once), JobState::Queued));
    assert_eq!(ids(&kit.claim(9)), jobs[1..], "one is discarded");
    assert_eq!((marked(), kit.state(jobs[0])), (None, JobState::Revoked));
    mark(Some(Revocation::Until(kit.now() + Duration::from_secs(5))));
    let early = kit.add(|_| {});
    assert_eq!(ids(&kit.claim(9)), []);
    assert_eq!(kit.state(early), JobState::Revoked);
    kit.advance(6);
    assert_eq!(marked(), None);
    let late = kit.add(|_| {});
    assert_eq!(ids(&kit.claim(9)), [late]);
    mark(Some(Revocation::Always));
    let restored = kit.add(|_| {});
    mark(None);
    assert!(!mark(None));
    assert_eq!(ids(&kit.claim(9)), [restored]);
}

fn replay(subject: &dyn Subject) {
    let stored = || Replayed::Placed { placed: Placed::New, canceled: Vec::new() };
    let kit = Kit::new(subject);
    let key = || UniqueKey {
        key: b"key".to_vec().into(),
        scope: Scope::Active,
        on_conflict: OnConflict::Existing,
        keep: Duration::ZERO,
    };
    let again = |of| {
        let job = NewJob { unique: Some(key()), ..kit.job() };
        let id = job.id;
        match kit.commit(Transition::Replay { of, job: Box::new(job) }, SYNCED) {
            Outcome::Replayed(replayed) => (id, replayed),
            other => panic!("a replay gave {other:?}"),
        }
    };
    let _ = kit.add(|_| {});
    let kept = dead(&kit);
    let _ = kit.add(|_| {});
    let old = dead(&kit);
    let (new, replayed) = again(old);
    assert_eq!(replayed, stored());
    assert!(kit.find(old).is_err() && kit.state(new) == JobState::Queued);
    assert_eq!(again(old).1, Replayed::Missing);
    assert_eq!(again(new).1, Replayed::Not(JobState::Queued));
    // A parked one holds its key, and its replay takes it over.
    kit.settle(kit.claim_one().lease, Verdict::Parked { cause: "unknown".into() });
    let (second, replayed) = again(new);
    assert_eq!(replayed, stored());
    assert!(kit.find(new).is_err());
    // One whose key another holds stays where it is.
    assert_eq!(again(kept).1, Replayed::Placed { placed: Placed::Existing(second), canceled: Vec::new() });
    assert_eq!(kit.state(kept), JobState::Dead);
}

fn purge(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let purge = |id| match kit.commit(Transition::Purge { id }, SYNCED) {
        Outcome::Purged(purged) => purged.is_some(),
        other => panic!("a purge gave {other:?}"),
    };
    let id = kit.add(|_| {});
    assert!(!purge(id), "it waits");
    let old = dead(&kit);
    purge(old);
    assert!(!purge(old) && kit.find(old).is_err());
    assert_eq!(kit.counts().given_up, 0);
}

fn progress(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| {});
    let lease = kit.claim_one().lease;
    let say = |lease, done| {
        let transition = Transition::Progress { lease, progress: Progress::new(done, 9, "words") };
        kit.commit(transition, SYNCED) == Outcome::Noted(true)
    };
    assert!(say(lease, 1) && say(lease, 2));
    assert_eq!(kit.row(id).progress, Some(Progress::new(2, 9, "words")));
    kit.settle(lease, retry(0));
    assert!(!say(lease, 3));
    let lease = kit.claim_one().lease;
    kit.settle(lease, complete(b""));
    assert!(!say(lease, 4));
}
