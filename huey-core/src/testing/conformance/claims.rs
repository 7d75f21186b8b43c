//! Claims: who is next, and for whom a lease holds.

use std::time::Duration;

use super::kit::{Kit, SYNCED, complete, ids, retry};
use super::{Check, Subject};
use crate::state::JobState;
use crate::store::{Lease, Outcome, Tasks, Transition, Verdict};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "higher priorities come first, and within one the order of enqueueing", run: order },
    Check { name: "a job that comes back keeps its place", run: place },
    Check { name: "queues are taken from in the order named, and only they", run: queues },
    Check { name: "a claim takes the tasks that it asks for", run: tasks },
    Check { name: "a claim takes several jobs only of tasks that allow it", run: many },
    Check { name: "a job is due once its instant has come, equality included", run: due },
    Check { name: "a clock that goes back neither loses nor repeats a job", run: backwards },
    Check { name: "a job past its deadline ends as expired when its turn comes", run: expiry },
    Check { name: "a lease settles once, and only the newest one", run: fences },
    Check { name: "a heartbeat tells which leases hold", run: heartbeat },
    Check { name: "two consumers never get the same job", run: two_consumers },
];

fn order(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let priorities = [0, 5, -5, 5, i16::MAX, i16::MIN, 0];
    let jobs = priorities.map(|priority| kit.add(|job| job.priority = priority));
    let expected = [4, 1, 3, 0, 6, 2, 5].map(|at| jobs[at]);
    let mut got = Vec::new();
    for _ in &jobs {
        let one = kit.claim(1).remove(0);
        got.push(one.lease.id);
        kit.settle(one.lease, complete(b""));
    }
    assert_eq!(got, expected);
}

fn place(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..3).map(|_| kit.add(|_| ())).collect();
    for verdict in [retry(0), Verdict::Returned { started: true }, Verdict::Returned { started: false }] {
        let first = kit.claim(1).remove(0);
        assert_eq!(first.lease.id, jobs[0]);
        assert_eq!(kit.settle(first.lease, verdict), JobState::Queued);
    }
    assert_eq!(ids(&kit.claim(3)), jobs);
}

fn queues(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let a = kit.add(|job| job.queue = "a".into());
    let b = kit.add(|job| (job.queue, job.priority) = ("b".into(), 9));
    let c = kit.add(|job| job.queue = "c".into());
    let (first, _) = kit.claim_from(&["c", "nobody's", "a"], Tasks::Except(Vec::new()), 9);
    assert_eq!(ids(&first), [c, a]);
    assert_eq!(kit.state(b), JobState::Queued);
    assert!(kit.claim_from(&["b"], Tasks::Except(Vec::new()), 0).0.is_empty());
    // None named is all of them.
    assert_eq!(ids(&kit.claim_from(&[], Tasks::Except(Vec::new()), 9).0), [b]);
}

fn tasks(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = ["x", "y", "z"].iter().map(|task| kit.add(|job| job.task = (*task).into())).collect();
    let one = |tasks| ids(&kit.claim_from(&["default"], tasks, 9).0);
    assert_eq!(one(Tasks::Only(vec!["y".into(), "unheard of".into()])), [jobs[1]]);
    assert!(one(Tasks::Only(Vec::new())).is_empty());
    assert_eq!(one(Tasks::Except(vec!["x".into(), "unheard of".into()])), [jobs[2]]);
    assert_eq!(one(Tasks::Except(Vec::new())), [jobs[0]]);
}

fn due(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let at = kit.now() + Duration::from_secs(10);
    let id = kit.add(|job| job.run_at = at);
    let past = kit.add(|job| job.run_at = crate::Timestamp::from_micros(5));
    assert_eq!((kit.state(id), kit.state(past)), (JobState::Scheduled, JobState::Queued));
    assert_eq!(kit.claim_one().lease.id, past);
    kit.clock.set(crate::Timestamp::from_micros(at.as_micros() - 1));
    assert!(kit.claim(9).is_empty(), "not a microsecond too early");
    kit.clock.set(at);
    assert_eq!(kit.state(id), JobState::Queued);
    assert_eq!(kit.claim_one().lease.id, id);
}

fn backwards(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let start = kit.now();
    let soon = kit.add(|job| job.run_at = start + Duration::from_secs(10));
    let late = kit.add(|job| job.run_at = start + Duration::from_secs(1_000));
    kit.advance(20);
    assert_eq!(kit.counts().queued, 1);
    kit.clock.set(start);
    let counts = kit.counts();
    assert_eq!((counts.queued + counts.scheduled, kit.state(late)), (2, JobState::Scheduled));
    kit.advance(15);
    let claimed = kit.claim_one();
    assert_eq!(claimed.lease.id, soon);
    kit.clock.set(start);
    assert_eq!(kit.settle(claimed.lease, retry(30)), JobState::Scheduled);
    kit.advance(29);
    assert!(kit.claim(9).is_empty());
    kit.advance(1);
    assert_eq!(kit.claim_one().lease.id, soon);
    kit.advance(2_000);
    assert_eq!(kit.claim_one().lease.id, late);
}

fn expiry(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let expires = kit.now() + Duration::from_secs(10);
    let on_time = kit.add(|job| job.expires = Some(expires));
    let late = kit.add(|job| job.expires = Some(expires));
    let never = kit.add(|_| ());
    kit.clock.set(expires);
    assert_eq!(kit.claim(1).remove(0).lease.id, on_time, "now is not past it yet");
    kit.clock.set(expires + Duration::from_micros(1));
    assert_eq!(kit.state(late), JobState::Queued, "its turn has not come");
    let mut ended = Vec::new();
    let mut claimed = Vec::new();
    for _ in 0..9 {
        let (some, over) = kit.claim_from(&["default"], Tasks::Except(Vec::new()), 1);
        claimed.extend(ids(&some));
        ended.extend(over);
    }
    assert_eq!(claimed, [never], "an expired job takes nobody's place");
    assert_eq!(kit.state(late), JobState::Expired);
    let row = kit.row(late);
    assert!(row.ended.cause.is_some() && *row.head == *b"head", "{row:?}");
    // The answer that told of it may have been lost.
    assert!(ended.iter().all(|one| one.id == late && one.state == JobState::Expired && !one.rescued));
    kit.advance(101);
    assert_eq!(kit.state(late), JobState::Gone, "its record is kept as long as the claim said");
}

fn fences(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    assert!(kit.is_stale(Lease { id, claim: 0 }) && kit.is_stale(Lease { id, claim: 1 }), "before any claim");
    let first = kit.claim_one().lease;
    assert!(kit.is_stale(Lease { id, claim: first.claim + 1 }));
    kit.settle(first, retry(0));
    assert!(kit.is_stale(first), "while the job waits");
    let second = kit.claim_one().lease;
    assert_ne!(first.claim, second.claim);
    assert!(kit.is_stale(first), "while another attempt runs");
    assert_eq!(kit.state(id), JobState::Running);
    kit.settle(second, complete(b"x"));
    assert!(kit.is_stale(second) && kit.is_stale(first));
    assert_eq!(kit.state(id), JobState::Complete);
}

fn heartbeat(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let ids: Vec<_> = (0..2).map(|_| kit.add(|_| ())).collect();
    let claimed = kit.claim(2);
    assert_eq!(super::kit::ids(&claimed), ids);
    kit.settle(claimed[0].lease, retry(0));
    let leases = claimed.iter().map(|one| one.lease).collect();
    assert_eq!(kit.commit(Transition::Heartbeat(leases), SYNCED), Outcome::Alive(vec![false, true]));
}

fn many(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let quick = || Tasks::Only(vec!["quick".into()]);
    for task in ["quick", "quick", "slow", "quick", "slow", "slow", "quick"] {
        kit.add(|job| job.task = task.into());
    }
    let queues = ["nobody's", "default"];
    let mut taken = Vec::new();
    for _ in 0..6 {
        let (claimed, _) = kit.claim_many(&queues, Tasks::ALL, 64, quick());
        taken.push(claimed.iter().map(|job| job.task.to_string()).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(taken, ["quick quick", "slow", "quick", "slow", "slow", "quick"], "in order, and a slow one by itself");
    for _ in 0..3 {
        kit.add(|job| job.task = "quick".into());
    }
    assert_eq!(kit.claim_many(&queues, Tasks::ALL, 2, quick()).0.len(), 2, "no more than asked for");
}

fn two_consumers(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let other = kit.subject.second(&kit.storage);
    let mut jobs: Vec<_> = (0..60).map(|_| kit.add(|_| ())).collect();
    let mut done = Vec::new();
    for turn in 0..1_000 {
        if done.len() == jobs.len() {
            break;
        }
        let storage = if turn % 2 == 0 { &kit.storage } else { &other };
        let claim = Transition::Claim {
            queues: vec!["default".into()],
            tasks: Tasks::Except(Vec::new()),
            most: 3,
            many: Tasks::ALL,
            keep: Duration::ZERO,
        };
        let Ok(Outcome::Claimed { claimed, .. }) = kit.commit_at(&**storage, claim, SYNCED) else { continue };
        for one in claimed {
            assert!(!done.contains(&one.lease.id), "it was given out twice");
            kit.settle(one.lease, complete(b""));
            done.push(one.lease.id);
        }
        // Whoever lost an answer has the leases in it taken back.
        for storage in [&kit.storage, &other] {
            kit.commit_at(&**storage, Transition::Reclaim, SYNCED).expect("leases are taken back");
        }
    }
    done.sort_unstable();
    jobs.sort_unstable();
    assert_eq!(done, jobs);
}
