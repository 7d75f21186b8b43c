//! Chains: one step a job at a time, and what becomes of the others.

use std::time::Duration;

use super::kit::{Kit, SYNCED, ids};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Flow, NewJob, Next, Outcome, Placed, Settled, Settlement, Transition, UniqueKey, Verdict};
use crate::task::{OnConflict, Scope};
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "later steps of a chain await their turn", run: awaiting },
    Check { name: "the next step is stored with the end of the one before", run: next },
    Check { name: "every ending but complete cancels the later steps", run: fails },
    Check { name: "a refused step ends its chain, and so does a held key", run: refused },
    Check { name: "a step takes over the key of the one before", run: same_key },
    Check { name: "a chain survives its storage being opened again", run: again },
];

/// Stores a chain of three; the ids of its steps.
fn chain(kit: &Kit<'_>) -> [JobId; 3] {
    let steps = [kit.id(), kit.id(), kit.id()];
    let flow = Flow { tasks: vec!["send".into(), "count".into()], keep: Duration::from_mins(1), follow_up: false };
    let job = NewJob { id: steps[0], flow: Some(flow), ..kit.job() };
    kit.commit(Transition::enqueue(vec![job]), SYNCED);
    steps
}

/// The step of that id, as the last but so many.
fn step(kit: &Kit<'_>, id: JobId, left: &[&str]) -> NewJob {
    let tasks = left.iter().map(ToString::to_string).collect();
    let flow = Flow { tasks, keep: Duration::from_mins(1), follow_up: false };
    NewJob { id, flow: Some(flow), ..kit.job() }
}

/// Settles the running step as complete, with what follows it. None if the answer was lost on the way.
fn complete(kit: &Kit<'_>, next: Option<Next>) -> Option<Settled> {
    let lease = kit.claim_one().lease;
    let verdict = Verdict::Complete { output: vec![7].into(), signature: 1, keep: Duration::from_mins(1), next };
    match kit.commit(Transition::Settle(vec![Settlement { lease, verdict }]), SYNCED) {
        Outcome::Settled(mut all) => all.remove(0),
        other => panic!("a settle gave {other:?}"),
    }
}

fn states(kit: &Kit<'_>, steps: [JobId; 3]) -> [JobState; 3] {
    steps.map(|id| kit.state(id))
}

fn awaiting(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let steps = chain(&kit);
    assert_eq!(states(&kit, steps), [JobState::Queued, JobState::Awaiting, JobState::Awaiting]);
    assert_eq!((&*kit.row(steps[1]).task, &*kit.row(steps[2]).task), ("send", "count"));
    assert_eq!((kit.counts().queued, ids(&kit.claim(9))), (1, vec![steps[0]]));
}

fn next(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let steps = chain(&kit);
    let settled = complete(&kit, Some(Next::Job(Box::new(step(&kit, steps[1], &["count"])))));
    assert!(settled.is_some_and(|settled| settled.next == Some(Placed::New)) || !kit.is_sure());
    assert_eq!(states(&kit, steps), [JobState::Complete, JobState::Queued, JobState::Awaiting]);
    complete(&kit, Some(Next::Job(Box::new(step(&kit, steps[2], &[])))));
    assert_eq!(states(&kit, steps), [JobState::Complete, JobState::Complete, JobState::Queued]);
    complete(&kit, None);
    assert_eq!(states(&kit, steps), [JobState::Complete; 3]);
}

fn fails(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let steps = chain(&kit);
    let lease = kit.claim_one().lease;
    kit.settle(lease, Verdict::Dead { error: task_error("no route"), next: None });
    assert_eq!(states(&kit, steps), [JobState::Dead, JobState::Canceled, JobState::Canceled]);
    assert!(kit.row(steps[2]).ended.cause.is_some_and(|cause| cause.contains(&steps[0].to_string())));
    let steps = chain(&kit);
    kit.commit(Transition::Cancel { id: steps[0], keep: Duration::from_mins(1) }, SYNCED);
    assert_eq!(states(&kit, steps), [JobState::Canceled; 3]);
    let steps = chain(&kit);
    kit.settle(kit.claim_one().lease, Verdict::Parked { cause: "unknown".into() });
    assert_eq!(states(&kit, steps), [JobState::Parked, JobState::Awaiting, JobState::Awaiting], "that is no ending");
    kit.commit(Transition::Purge { id: steps[0] }, SYNCED);
    assert_eq!((kit.state(steps[1]), kit.state(steps[2])), (JobState::Canceled, JobState::Canceled));
}

fn key(on_conflict: OnConflict) -> UniqueKey {
    let (scope, keep) = (Scope::Active, Duration::ZERO);
    UniqueKey { key: b"key".to_vec().into(), scope, on_conflict, keep }
}

fn refused(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let steps = chain(&kit);
    complete(&kit, Some(Next::Refused { cause: "rejected by a hook".into() }));
    assert_eq!(states(&kit, steps), [JobState::Complete, JobState::Canceled, JobState::Canceled]);
    assert_eq!(kit.row(steps[1]).ended.cause.as_deref(), Some("rejected by a hook"));
    let holder = kit.add(|job| {
        job.unique = Some(key(OnConflict::Existing));
        job.run_at = kit.now() + Duration::from_mins(1);
    });
    for on_conflict in [OnConflict::Existing, OnConflict::Reject] {
        let steps = chain(&kit);
        let job = NewJob { unique: Some(key(on_conflict)), ..step(&kit, steps[1], &["count"]) };
        complete(&kit, Some(Next::Job(Box::new(job))));
        assert_eq!(states(&kit, steps), [JobState::Complete, JobState::Canceled, JobState::Canceled]);
        assert_eq!(kit.row(steps[2]).ended.cause, Some(format!("duplicate of {holder}")));
    }
}

fn same_key(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let steps = [kit.id(), kit.id()];
    let first = NewJob { unique: Some(key(OnConflict::Reject)), ..step(&kit, steps[0], &["send"]) };
    kit.commit(Transition::enqueue(vec![first]), SYNCED);
    let second = NewJob { unique: Some(key(OnConflict::Reject)), ..step(&kit, steps[1], &[]) };
    complete(&kit, Some(Next::Job(Box::new(second))));
    assert_eq!(steps.map(|id| kit.state(id)), [JobState::Complete, JobState::Queued]);
}

fn again(subject: &dyn Subject) {
    for kill in [false, true] {
        let kit = Kit::new(subject);
        let steps = chain(&kit);
        complete(&kit, Some(Next::Job(Box::new(step(&kit, steps[1], &["count"])))));
        let Some(kit) = kit.again(kill) else { return };
        assert_eq!(states(&kit, steps), [JobState::Complete, JobState::Queued, JobState::Awaiting]);
        complete(&kit, Some(Next::Job(Box::new(step(&kit, steps[2], &[])))));
        assert_eq!(kit.state(steps[2]), JobState::Queued);
    }
}
