//! Many jobs in one commit: all of them or none.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::{
    Decision, EnqueueOutcome, EnqueueRequest, HookResult, Huey, JobState, Memory, Origin, SignalKind, Unique, task,
};
use support::{LONG, block_on, queue, queue_with, run};

#[task]
fn double(number: u64) -> u64 {
    number * 2
}

#[task]
fn add(left: u64, right: u64) -> u64 {
    left + right
}

#[task]
fn nothing() {}

fn odd_ones_out(request: &mut EnqueueRequest<'_>) -> HookResult {
    match request.args::<checked>() {
        Some(args) if args.number % 2 == 1 => Err(format!("{} is odd", args.number).into()),
        _ => Ok(Decision::Go),
    }
}

#[task(hooks(odd_ones_out))]
fn checked(number: u64) -> u64 {
    number
}

#[task(unique(by(user), on_conflict = reject))]
fn one_each(user: u64) -> u64 {
    user
}

#[test]
fn map_enqueues_all_in_order_and_returns_their_handles() {
    let (huey, heard, _) = queue();
    let doubles = double::map(&huey, 0..100).unwrap();
    let sums = add::map(&huey, [(1, 2), (3, 4)]).unwrap();
    let empty = nothing::map(&huey, [(), ()]).unwrap();
    assert_eq!((doubles.len(), sums.len(), empty.len()), (100, 2, 2));
    assert!(doubles.iter().all(huey::JobHandle::is_new));
    assert!(heard.all().iter().all(|signal| signal.kind == SignalKind::Enqueued && signal.origin == Origin::Bulk));
    let announced: Vec<_> = heard.all().iter().map(|signal| signal.id).collect();
    let returned: Vec<_> =
        doubles.iter().chain(&sums).map(huey::JobHandle::id).chain(empty.iter().map(huey::JobHandle::id)).collect();
    assert_eq!(announced, returned, "in order");
    run(&huey);
    for (number, handle) in (0..).zip(doubles) {
        assert_eq!(handle.wait(LONG).unwrap(), number * 2);
    }
    assert_eq!(sums.into_iter().map(|handle| handle.wait(LONG).unwrap()).collect::<Vec<_>>(), [3, 7]);
}

#[test]
fn enqueue_many_takes_jobs_with_choices_of_their_own() {
    let huey = Huey::builder().open(Memory::new()).unwrap();
    let jobs = (0..3).map(|number| double::job(number).delay(Duration::from_secs(3600 * number)));
    let handles = huey.enqueue_many(jobs).unwrap();
    let states: Vec<_> = handles.iter().map(|handle| handle.status().unwrap()).collect();
    assert_eq!(states, [JobState::Queued, JobState::Scheduled, JobState::Scheduled]);
    assert!(huey.enqueue_many(Vec::<huey::Job<double>>::new()).unwrap().is_empty());
}

#[test]
fn a_bulk_can_be_awaited() {
    let (huey, ..) = queue();
    let handles = block_on(double::map_async(&huey, [4, 5])).unwrap();
    let more = block_on(huey.enqueue_many_async([double::job(6)])).unwrap();
    run(&huey);
    let got: Vec<_> = handles.into_iter().chain(more).map(|handle| handle.wait(LONG).unwrap()).collect();
    assert_eq!(got, [8, 10, 12]);
}

#[test]
fn one_refusal_refuses_all_and_names_the_index() {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&outcomes);
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(move |request| {
            request.put(&format!("seen/{}", request.id()), &true)?;
            let told = Arc::clone(&told);
            request.after_commit(move |outcome| told.lock().unwrap().push(outcome.clone()));
            Ok(Decision::Go)
        })
    });
    let error = checked::map(&huey, [2, 4, 5, 6]).unwrap_err();
    assert!(error.is_refused(), "{error:?}");
    assert!(error.to_string().starts_with("job 2 of the bulk, counted from 0: "), "{error}");
    assert!(error.to_string().contains("5 is odd"), "{error}");
    assert_eq!(huey.counts().unwrap().queued, 0);
    assert!(huey.keys("seen/").unwrap().is_empty());
    assert_eq!(heard.list(), "rejected", "once, for the one that was refused");
    let outcomes = outcomes.lock().unwrap();
    assert!(matches!(&outcomes[0], EnqueueOutcome::Refused { reason, .. } if reason == "5 is odd"), "{outcomes:?}");
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, EnqueueOutcome::Failed(_))), "{outcomes:?}");
    assert_eq!(outcomes.len(), 3, "the hooks of the fourth did not run");
}

#[test]
fn one_held_key_refuses_all_and_names_the_index() {
    let (huey, heard, _) = queue();
    let holder = one_each::enqueue(&huey, 3).unwrap();
    let error = one_each::map(&huey, [1, 2, 3]).unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    let text = error.to_string();
    assert!(text.starts_with("job 2 of the bulk") && text.contains(&holder.id().to_string()), "{text}");
    assert_eq!((huey.counts().unwrap().queued, heard.list()), (1, "enqueued rejected".into()));
}

#[test]
fn of_two_equal_keys_in_one_bulk_the_second_is_existing() {
    let (huey, heard, _) = queue();
    let jobs = [1, 2, 1].map(|user| double::job(user).unique(Unique::by(&user)));
    let handles = huey.enqueue_many(jobs).unwrap();
    assert_eq!(handles[0].id(), handles[2].id());
    assert_eq!(handles.iter().map(huey::JobHandle::is_new).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(heard.list(), "enqueued enqueued deduplicated");
}

#[test]
fn a_bulk_of_ten_thousand_is_stored_whole() {
    let (huey, ..) = queue_with(|builder| builder.durability(huey::Durability::Synced));
    let handles = double::map(&huey, 0..10_000).unwrap();
    assert_eq!(huey.counts().unwrap().queued, 10_000);
    run(&huey);
    assert_eq!(handles[9_999].wait(LONG).unwrap(), 19_998);
}
