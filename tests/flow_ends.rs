//! Steps and callbacks that are not stored: a hook answered with a job that is there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/steps.rs"]
mod steps;
mod support;

use std::sync::{Arc, OnceLock};

use huey::{Decision, EnqueueOutcome, Huey, JobId, JobState, group, task};
use steps::{add, times};
use support::{Heard, lock, queue_with, run};

#[task]
fn sum(all: Vec<i64>) -> i64 {
    all.iter().sum()
}

#[task]
fn show(value: i64) -> String {
    value.to_string()
}

type Outcomes = Arc<std::sync::Mutex<Vec<EnqueueOutcome>>>;

/// A queue whose hook answers for `times` and `sum` with jobs of theirs that are there, and what the hook heard of that.
fn answering() -> (Huey, Heard, [JobId; 2], Outcomes) {
    let (there, outcomes): (Arc<OnceLock<[JobId; 2]>>, Outcomes) = Default::default();
    let (answers, heard_of) = (Arc::clone(&there), Arc::clone(&outcomes));
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(move |request| {
            let Some([of_times, of_sum]) = answers.get() else { return Ok(Decision::Go) };
            let answer = match request.task() {
                times::NAME => *of_times,
                sum::NAME => *of_sum,
                _ => return Ok(Decision::Go),
            };
            let outcomes = Arc::clone(&heard_of);
            request.after_commit(move |outcome| lock(&outcomes).push(outcome.clone()));
            Ok(Decision::Existing(answer))
        })
    });
    let ids = [times::enqueue(&huey, 1, 1).unwrap().id(), sum::enqueue(&huey, vec![1]).unwrap().id()];
    run(&huey);
    there.set(ids).unwrap();
    (huey, heard, ids, outcomes)
}

#[test]
fn a_step_that_a_hook_answers_with_another_job_ends_the_chain() {
    let (huey, heard, [of_times, _], outcomes) = answering();
    let chain = add::job(1, 2).then(times::with(10)).then(show::with()).enqueue(&huey).unwrap();
    run(&huey);
    let lists: Vec<_> = chain.ids().iter().map(|id| heard.of(*id)).collect();
    assert_eq!(lists, ["enqueued executing complete", "canceled", "canceled"]);
    let end = chain.get().unwrap_err();
    assert_eq!(end.ending(), Some(JobState::Canceled));
    assert!(end.to_string().contains(&format!("duplicate of {of_times}")), "{end}");
    assert_eq!(*lock(&outcomes), [EnqueueOutcome::Existing(of_times)]);
}

#[test]
fn a_callback_that_a_hook_answers_with_another_job_ends_the_flow() {
    let (huey, heard, [_, of_sum], outcomes) = answering();
    let chord = group([add::job(1, 2), add::job(3, 4)]).then(sum::with()).then(show::with()).enqueue(&huey).unwrap();
    run(&huey);
    let lists: Vec<_> = chord.ids().iter().skip(2).map(|id| heard.of(*id)).collect();
    assert_eq!(lists, ["canceled", "canceled"]);
    let end = chord.get().unwrap_err();
    assert!(end.to_string().contains(&format!("duplicate of {of_sum}")), "{end}");
    assert_eq!(*lock(&outcomes), [EnqueueOutcome::Existing(of_sum)]);
}

#[test]
fn a_flow_whose_first_job_a_hook_answers_with_another_is_not_stored() {
    let (huey, _, [of_times, _], _) = answering();
    let before = huey.counts().unwrap();
    let chain = times::job(2, 2).then(show::with()).enqueue(&huey).unwrap_err();
    let chord = group([times::job(2, 2)]).then(sum::with()).enqueue(&huey).unwrap_err();
    for error in [chain, chord] {
        assert!(error.is_conflict() && error.to_string().contains(&of_times.to_string()), "{error}");
    }
    assert_eq!(huey.counts().unwrap(), before);
}
