//! Queues as a whole.

use super::kit::{KEEP, Kit, RELAXED, SYNCED, complete, ids};
use super::{Check, Subject};
use crate::state::JobState;
use crate::store::{Answer, Canceled, Outcome, Query, Reason, Revocation, Tasks, Transition, Verdict};
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "no job of a paused queue is given out, and what runs runs on", run: pause },
    Check { name: "a pause survives a restart", run: survive },
    Check { name: "jobs are canceled and purged together as each alone would be", run: together },
    Check { name: "a job that waits tells what keeps it from being given out", run: reasons },
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

fn together(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let running = kit.add(|_| {});
    let lease = kit.claim_one().lease;
    let dead = kit.add(|_| {});
    let given_up = kit.claim_one().lease;
    kit.settle(given_up, Verdict::Dead { error: task_error("no route"), next: None });
    let later = kit.now() + std::time::Duration::from_mins(1);
    let (queued, scheduled) = (kit.add(|_| {}), kit.add(|job| job.run_at = later));
    let left = kit.add(|_| {});
    let ids_of = vec![running, dead, queued, scheduled, queued];
    let cancel = Transition::CancelAll { ids: ids_of.clone(), keep: KEEP };
    let Outcome::AllCanceled(all) = kit.commit(cancel, SYNCED) else { panic!("jobs were to be canceled") };
    assert_eq!((&all[0], &all[1]), (&Canceled::Stopping(lease), &Canceled::Over(JobState::Dead)));
    let ended = |one: &Canceled| matches!(one, Canceled::Ended(ends) if ends.len() == 1);
    assert!((ended(&all[2]) && ended(&all[3])) || !kit.is_sure());
    assert_eq!(all[4], Canceled::Over(JobState::Canceled), "named twice");
    assert_eq!((kit.state(queued), kit.state(scheduled)), (JobState::Canceled, JobState::Canceled));
    let Outcome::AllPurged(all) = kit.commit(Transition::PurgeAll { ids: ids_of }, SYNCED) else {
        panic!("jobs were to be purged")
    };
    let dropped: Vec<bool> = all.iter().map(Option::is_some).collect();
    assert!(dropped == [false, true, false, false, false] || !kit.is_sure());
    assert!(kit.find(dead).is_err());
    assert_eq!(ids(&kit.claim(9)), [left]);
}

fn reasons(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let of = |id| match kit.read(Query::Reasons { id, beside: Vec::new() }) {
        Answer::Reasons(reasons) => reasons,
        other => panic!("a question about a job gave {other:?}"),
    };
    let running = kit.add(|_| {});
    kit.claim_one();
    let waits = kit.add(|_| {});
    assert_eq!((of(running), of(waits)), (Vec::new(), vec![Reason::InLine { queued: 1, running: 1 }]));
    set(&kit, "default", true);
    let mark = Some(Revocation::Always);
    kit.commit(Transition::Revoke { task: "send".into(), mark }, SYNCED);
    assert_eq!(of(waits), [Reason::Paused, Reason::Revoked]);
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
    kit.commit(Transition::Cancel { id: job, keep: KEEP }, RELAXED);
    set(&kit, "empty", false);
    assert_eq!(queues(), [("mail".to_owned(), false, 1)]);
}
