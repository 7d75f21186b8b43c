//! Settling, and what is kept of a job that ended.

use std::time::Duration;

use super::kit::{KEEP, Kit, SYNCED, complete, ids, retry};
use super::{Check, Subject};
use crate::state::JobState;
use crate::store::{Outcome, Row, Settlement, Transition, Verdict};
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a complete job keeps its output for its retention", run: output },
    Check { name: "a retry waits for its delay and counts what it should", run: retries },
    Check { name: "returned attempts are refunded, but not for ever", run: refunds },
    Check { name: "dead, lost and canceled jobs say why", run: reasons },
    Check { name: "a parked job waits until somebody knows its task", run: parking },
    Check { name: "many settlements in one commit each go by their lease", run: many },
    Check { name: "taking a result gives it out and drops it", run: take },
    Check { name: "results above the bound go, those that would go first leading", run: bound },
];

fn output(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    let started = kit.now();
    let claimed = kit.claim_one();
    kit.advance(3);
    assert_eq!(kit.settle(claimed.lease, complete(b"forty-two")), JobState::Complete);
    let row = kit.row(id);
    assert_eq!((row.state, row.at, row.attempts), (JobState::Complete, kit.now(), 1));
    assert_eq!((row.ended.output.as_deref(), row.ended.signature), (Some(b"forty-two".as_slice()), 1));
    assert_eq!((row.ended.started, &*row.head), (Some(started), b"head".as_slice()));
    kit.clock.advance(KEEP);
    assert_eq!(kit.state(id), JobState::Complete, "to its end");
    kit.advance(2);
    assert_eq!(kit.state(id), JobState::Gone, "and no longer");
    assert_eq!(kit.commit(Transition::Take { id }, SYNCED), Outcome::Taken(None));
    assert_eq!(kit.counts().results, 0);
}

fn retries(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    let claimed = kit.claim_one();
    assert_eq!(kit.settle(claimed.lease, retry(10)), JobState::Scheduled);
    let row = kit.row(id);
    assert_eq!((row.state, row.at), (JobState::Scheduled, kit.now() + Duration::from_secs(10)));
    assert_eq!(row.ended.error.map(|error| error.message), Some("no route".into()));
    kit.advance(9);
    assert!(kit.claim(9).is_empty());
    kit.advance(1);
    let claimed = kit.claim_one();
    assert_eq!(claimed.retried, 1);
    kit.settle(claimed.lease, Verdict::Retry { delay: Duration::ZERO, error: None, spend: false });
    let claimed = kit.claim_one();
    assert_eq!((claimed.retried, claimed.attempt), (1, 3), "what a body asks for spends nothing");
}

fn refunds(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    kit.add(|_| ());
    for _ in 0..20 {
        let claimed = kit.claim_one();
        assert_eq!(claimed.attempt, 1, "what never began costs nothing");
        kit.settle(claimed.lease, Verdict::Returned { started: false });
    }
    let mut attempts = Vec::new();
    for _ in 0..14 {
        let claimed = kit.claim_one();
        attempts.push(claimed.attempt);
        assert_eq!(kit.settle(claimed.lease, Verdict::Returned { started: true }), JobState::Queued);
    }
    assert_eq!((attempts[0], attempts[10]), (1, 1));
    assert!(attempts[13] > 1, "after ten refunds an attempt counts: {attempts:?}");
}

fn reasons(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let end = |verdict| -> Row {
        let id = kit.add(|_| ());
        let claimed = kit.claim_one();
        let state = kit.settle(claimed.lease, verdict);
        let row = kit.row(id);
        assert_eq!((row.state, row.at), (state, kit.now()));
        *row
    };
    let dead = end(Verdict::Dead { error: task_error("no route"), next: None });
    assert_eq!((dead.state, dead.ended.error.map(|error| error.message)), (JobState::Dead, Some("no route".into())));
    let lost = end(Verdict::Lost { cause: "grace".into() });
    assert_eq!((lost.state, lost.ended.cause), (JobState::Lost, Some("grace".into())));
    let canceled = end(Verdict::Canceled { cause: "unwanted".into(), keep: KEEP });
    assert_eq!((canceled.state, canceled.ended.cause), (JobState::Canceled, Some("unwanted".into())));
    let counts = kit.counts();
    assert_eq!((counts.given_up, counts.results, counts.running), (2, 1, 0));
    assert!(kit.claim(9).is_empty());
    kit.advance(1_000_000);
    assert_eq!((kit.state(dead.id), kit.state(lost.id)), (JobState::Dead, JobState::Lost), "given up, but kept");
}

fn parking(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let known = kit.add(|_| ());
    let unknown = kit.add(|job| job.task = "nobody's".into());
    for claimed in kit.claim(2) {
        assert_eq!(kit.settle(claimed.lease, Verdict::Parked { cause: "no such task".into() }), JobState::Parked);
    }
    assert_eq!((kit.counts().parked, kit.claim(9).len()), (2, 0));
    assert_eq!(kit.row(known).ended.cause, Some("no such task".into()));
    let unpark = |tasks: &[&str]| Transition::Unpark { tasks: tasks.iter().map(|task| (*task).into()).collect() };
    kit.commit(unpark(&["send", "other"]), SYNCED);
    assert_eq!((kit.state(known), kit.state(unknown)), (JobState::Queued, JobState::Parked));
    let claimed = kit.claim_one();
    assert_eq!((claimed.lease.id, claimed.attempt), (known, 1), "no attempt was made");
    assert_eq!(kit.commit(unpark(&["send"]), SYNCED), Outcome::Unparked(0));
}

fn many(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for _ in 0..50 {
        kit.add(|_| ());
    }
    let claimed = kit.claim(50);
    let mut leases: Vec<_> = claimed.iter().map(|one| one.lease).collect();
    leases[10].claim += 9;
    leases.push(leases[20]);
    let one = |lease: &_| Settlement { lease: *lease, verdict: complete(b"x") };
    let settlements: Vec<_> = leases.iter().map(one).collect();
    let outcome = kit.commit(Transition::Settle(settlements), SYNCED);
    let Outcome::Settled(all) = outcome else { panic!("a settle gave {outcome:?}") };
    assert_eq!((all.len(), &all[10], &all[50]), (51, &None, &None), "a stale lease, and one that came twice");
    for (at, id) in ids(&claimed).into_iter().enumerate() {
        assert_eq!(kit.state(id), if at == 10 { JobState::Running } else { JobState::Complete });
    }
}

fn take(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    let take = || match kit.commit(Transition::Take { id }, SYNCED) {
        Outcome::Taken(row) => row.map(|row| row.state),
        other => panic!("a take gave {other:?}"),
    };
    assert_eq!(take(), Some(JobState::Queued), "nothing to take, and nothing lost");
    let claimed = kit.claim_one();
    assert_eq!(take(), Some(JobState::Running));
    kit.settle(claimed.lease, complete(b"x"));
    // An answer that was lost took the result with it.
    assert!(matches!(take(), Some(JobState::Complete) | None));
    assert_eq!((take(), kit.state(id), kit.counts().results), (None, JobState::Gone, 0));
}

fn bound(subject: &dyn Subject) {
    let kit = Kit::with(subject, |options| options.max_results = 20);
    let end = |keep| {
        let id = kit.add(|_| ());
        let claimed = kit.claim_one();
        kit.settle(claimed.lease, Verdict::Complete { output: vec![1].into(), signature: 0, keep, next: None });
        id
    };
    let short: Vec<_> = (0..10).map(|_| end(Duration::from_secs(50))).collect();
    let long: Vec<_> = (0..15).map(|_| end(Duration::from_secs(500))).collect();
    kit.write("something", b"happens");
    assert!(kit.counts().results <= 20);
    let gone = |ids: &[_]| ids.iter().filter(|id| kit.state(**id) == JobState::Gone).count();
    assert_eq!((gone(&short), gone(&long)), (5, 0));
}
