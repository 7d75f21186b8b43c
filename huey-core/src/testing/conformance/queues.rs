//! Queues as a whole.

use super::kit::{Kit, RELAXED, SYNCED, complete, ids};
use super::{Check, Subject};
use crate::state::JobState;
use crate::store::{Answer, Outcome, Query, Tasks, Transition};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "no job of a paused queue is given out, and what runs runs on", run: pause },
    Check { name: "a pause survives a restart", run: survive },
    Check { name: "queues are listed with what they hold", run: list },
];

fn set(kit: &Kit<'_>, queue: &str, paused: bool) -> bool {
    match kit.commit(Transition::Pause { queue: queue.into(), paused }, SYNCED) {
        Outcome::Paused(was) => was,
        other => panic!("a pause gave {other:?}"),
    }
}

fn pause(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let first = kit.add(|_| {});
    let lease = kit.claim_one().lease;
    let was = set(&kit, "default", true);
    assert!(!was || !kit.is_sure());
    let second = kit.add(|_| {});
    let other = kit.add(|job| job.queue = "other".into());
    assert_eq!(kit.settle(lease, complete(b"1")), JobState::Complete);
    let (claimed, _) = kit.claim_from(&["default", "other"], Tasks::ALL, 9);
    assert_eq!((lease.id, ids(&claimed)), (first, vec![other]));
    assert!(set(&kit, "default", true));
    assert_eq!(kit.state(second), JobState::Queued);
    let since = kit.storage.wait(crate::store::Version::default(), kit.now());
    set(&kit, "default", false);
    // Whoever waits for jobs hears of it.
    assert!(kit.storage.wait(since, crate::time::Timestamp::MAX) > since);
    assert_eq!(ids(&kit.claim(9)), [second]);
    assert!(!set(&kit, "default", false));
}

fn survive(subject: &dyn Subject) {
    for kill in [false, true] {
        let kit = Kit::new(subject);
        set(&kit, "default", true);
        set(&kit, "unknown", true);
        set(&kit, "resumed", true);
        set(&kit, "resumed", false);
        let id = kit.add(|_| {});
        let Some(kit) = kit.again(kill) else { continue };
        assert_eq!(ids(&kit.claim(9)), []);
        assert!(set(&kit, "unknown", false) || !kit.is_sure());
        set(&kit, "default", false);
        assert_eq!(ids(&kit.claim(9)), [id]);
    }
}

fn list(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let queues = || match kit.read(Query::Queues) {
        Answer::Queues(queues) => {
            queues.iter().map(|queue| (queue.name.to_string(), queue.paused, queue.counts.queued)).collect::<Vec<_>>()
        }
        other => panic!("a question about queues gave {other:?}"),
    };
    assert_eq!(queues(), []);
    let job = kit.add(|job| job.queue = "mail".into());
    kit.add(|job| (job.queue, job.task) = ("mail".into(), "other".into()));
    set(&kit, "empty", true);
    assert_eq!(queues(), [("empty".to_owned(), true, 0), ("mail".to_owned(), false, 2)]);
    kit.commit(Transition::Cancel { id: job, keep: super::kit::KEEP }, RELAXED);
    set(&kit, "empty", false);
    assert_eq!(queues(), [("mail".to_owned(), false, 1)]);
}
