//! The test kit: a queue for one test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use huey::store::StorageError;
use huey::testing::TestQueue;
use huey::{
    Context, Decision, EnqueueRequest, HookResult, JobState, Origin, SignalKind, assert_enqueued, group,
    refute_enqueued, task,
};
use support::block_on;
use tokio::sync::Semaphore;

mod support;

const MINUTE: Duration = Duration::from_mins(1);

#[expect(clippy::unnecessary_wraps, reason = "a hook may refuse")]
fn polite(args: &mut welcome, _: &mut EnqueueRequest<'_>) -> HookResult {
    args.name = format!("Dear {}", args.name);
    Ok(Decision::Go)
}

#[task(hooks(polite))]
fn welcome(user: u64, name: String) -> String {
    format!("{user}: {name}")
}

#[derive(huey::__private::serde::Serialize, huey::__private::serde::Deserialize)]
#[serde(crate = "huey::__private::serde")]
struct Bare(u8);

#[task(queue = "vault")]
fn keep(secret: Bare, level: u8) -> u8 {
    secret.0 + level
}

#[task(retries = 2, retry_delay = "1m", backoff = 2.0)]
fn never_works() -> Result<(), String> {
    Err("no route".into())
}

#[task]
fn number(of: u64) -> u64 {
    of
}

#[task]
fn sum(of: Vec<u64>) -> u64 {
    of.into_iter().sum()
}

#[task]
async fn number_later(of: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    of
}

#[task]
async fn asks_another(#[ctx] ctx: &Context) -> huey::Result<u64> {
    number::enqueue(ctx.huey()?, 5)?.await
}

#[task]
fn again_and_again(#[ctx] ctx: &Context) -> huey::Result<()> {
    again_and_again::enqueue(ctx.huey()?).map(drop)
}

struct Absent;

#[task]
fn needs_what_is_absent(#[data] _absent: &Absent) {}

#[task(every = "10m", overlap = allow)]
fn ticks() {}

#[task(every = "10m")]
fn ticks_alone() {}

/// The text of the panic that a failed assertion is.
fn failure(failing: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(failing)).expect_err("it should have failed");
    panic.downcast_ref::<String>().expect("a text").clone()
}

#[test]
fn a_drained_job_takes_the_same_way_as_one_of_a_consumer() {
    let queue = TestQueue::new();
    let handle = welcome::enqueue(&queue, 7, "Ada".into()).unwrap();
    assert_eq!((queue.heard().as_str(), handle.status().unwrap()), ("enqueued", JobState::Queued));
    assert_eq!(queue.drain(), 1);
    assert_eq!(queue.heard_of(handle.id()), "enqueued executing complete");
    assert_eq!(handle.get().unwrap().unwrap(), "7: Dear Ada");
}

#[test]
fn a_drain_runs_what_is_due_by_priority_and_age_over_all_queues() {
    let queue = TestQueue::new();
    let (low, high) = (number::job(1).priority(-1), number::job(2).queue("other").priority(5));
    let last = low.enqueue(&queue).unwrap().id();
    let second = keep::enqueue(&queue, Bare(1), 2).unwrap().id();
    let first = high.enqueue(&queue).unwrap().id();
    let later = number::job(3).delay(MINUTE).enqueue(&queue).unwrap();
    assert_eq!((queue.run_next(), queue.run_next()), (Some(first), Some(second)));
    assert_eq!(queue.drain(), 1);
    assert_eq!(queue.status(last).unwrap(), JobState::Complete);
    assert_eq!((queue.run_next(), later.status().unwrap()), (None, JobState::Scheduled));
}

#[test]
fn a_retry_waits_until_the_clock_is_moved() {
    let queue = TestQueue::new();
    let handle = never_works::enqueue(&queue).unwrap();
    assert_eq!((queue.drain(), queue.drain()), (1, 0));
    queue.advance(MINUTE);
    assert_eq!(queue.drain(), 1);
    queue.advance(MINUTE);
    assert_eq!(queue.drain(), 0, "the second wait is twice as long");
    queue.advance(MINUTE);
    assert_eq!((queue.drain(), handle.status().unwrap()), (1, JobState::Dead));
}

#[test]
fn time_that_passes_runs_each_job_at_its_own_instant() {
    let queue = TestQueue::new();
    let begun = queue.now();
    let handle = never_works::enqueue(&queue).unwrap();
    assert_eq!(queue.run_for(MINUTE * 10), 3);
    assert_eq!(handle.status().unwrap(), JobState::Dead);
    let at: Vec<u64> = queue
        .signals()
        .iter()
        .filter(|signal| signal.kind == SignalKind::Executing)
        .map(|signal| signal.at.since(begun).as_secs())
        .collect();
    assert_eq!((at, queue.now().since(begun)), (vec![0, 60, 180], MINUTE * 10));
}

#[test]
fn flows_and_async_bodies_are_drained_whole() {
    let queue = TestQueue::new();
    let chord = group((1..=3).map(number_later::job)).then(sum::with()).then(number::with()).enqueue(&queue).unwrap();
    let asks = asks_another::enqueue(&queue).unwrap();
    assert_eq!(queue.drain(), 7);
    assert_eq!((chord.get().unwrap(), asks.get().unwrap()), (Some(6), Some(5)));
    asks_another::enqueue(&queue).unwrap();
    let first = queue.run_next().unwrap();
    assert_eq!(queue.status(first).unwrap(), JobState::Complete, "what it waited for ran with it");
}

#[test]
fn a_drain_that_would_not_end_fails() {
    let queue = TestQueue::new();
    again_and_again::enqueue(&queue).unwrap();
    assert!(failure(|| assert_eq!(queue.drain(), 0)).contains("does a job enqueue itself?"));
}

#[test]
fn data_is_asked_for_job_by_job() {
    let queue = TestQueue::new();
    let parked = needs_what_is_absent::enqueue(&queue).unwrap();
    let runs = number::enqueue(&queue, 1).unwrap();
    queue.drain();
    assert_eq!((parked.status().unwrap(), runs.get().unwrap()), (JobState::Parked, Some(1)));
    assert!(queue.info(parked.id()).unwrap().unwrap().cause.unwrap().contains("Absent"));
}

#[test]
fn enqueued_jobs_are_asked_for_by_their_stored_arguments() {
    let queue = TestQueue::new();
    refute_enqueued!(queue, welcome);
    welcome::enqueue(&queue, 7, "Ada".into()).unwrap();
    block_on(number::enqueue_async(&queue, 4)).unwrap();
    number::job(1).then(welcome::with("Bob".into())).enqueue(&queue).unwrap();
    assert_enqueued!(queue, welcome, |args| args.user == 7 && args.name == "Dear Ada");
    assert_enqueued!(queue, number, |args| args.of == 4);
    refute_enqueued!(queue, welcome, |args| args.user == 1);
    queue.drain();
    assert_enqueued!(queue, welcome, |args| args.user == 1);
    queue.forget();
    refute_enqueued!(queue, welcome);
    assert_eq!(queue.heard(), "");
}

#[test]
fn a_failed_assertion_shows_what_was_enqueued_instead() {
    let queue = TestQueue::new();
    assert!(failure(|| assert_enqueued!(queue, number)).ends_with("was enqueued; nothing was enqueued"));
    welcome::job(7, "Ada".into()).delay(MINUTE).enqueue(&queue).unwrap();
    keep::enqueue(&queue, Bare(1), 2).unwrap();
    let shown = "what was enqueued:\
        \n    kit::welcome(user: 7, name: \"Dear Ada\") in `default`, due 60s later\
        \n    kit::keep(secret: _, level: 2) in `vault`";
    assert_eq!(
        failure(|| assert_enqueued!(queue, welcome, |args| args.name == "Bob")),
        format!("no job of `kit::welcome` was enqueued for which `|args| args.name == \"Bob\"`; {shown}")
    );
    let refuted = failure(|| refute_enqueued!(queue, keep));
    assert!(refuted.contains("of `kit::keep` was enqueued; ") && refuted.ends_with(shown), "{refuted}");
}

#[test]
fn a_job_that_was_not_stored_was_not_enqueued() {
    let queue = TestQueue::with(|huey| huey.hook(|_| Err("closed today".into())));
    assert!(number::enqueue(&queue, 1).unwrap_err().is_refused());
    refute_enqueued!(queue, number);
}

#[test]
fn calls_fail_as_they_are_told_to() {
    let queue = TestQueue::new();
    queue.fail_next(2, StorageError::Unavailable("the disk is gone".into()));
    assert!(number::enqueue(&queue, 1).unwrap_err().is_unavailable());
    assert!(block_on(number::enqueue_async(&queue, 2)).unwrap_err().is_unavailable());
    refute_enqueued!(queue, number);
    queue.fail_next(1, StorageError::Unknown("the answer was lost".into()));
    assert!(number::enqueue(&queue, 3).unwrap_err().is_unknown());
    assert_enqueued!(queue, number, |args| args.of == 3);
    number::enqueue(&queue, 4).unwrap();
    assert_eq!(queue.drain(), 2, "the third happened, and its caller does not know");
}

#[test]
fn schedules_tick_only_if_that_is_wanted_and_each_at_its_own_instant() {
    let queue = TestQueue::new();
    queue.advance(MINUTE * 60);
    assert_eq!(queue.drain(), 0);

    let queue = TestQueue::new().periodic(true);
    let begun = queue.now();
    queue.advance(MINUTE * 30);
    let ticks: Vec<u64> = queue
        .jobs()
        .task::<ticks>()
        .map(|job| match job.unwrap().origin {
            Some(Origin::Periodic { tick }) => tick.since(begun).as_secs() / 60,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ticks, [10, 20, 30]);
    assert_eq!(queue.jobs().task::<ticks_alone>().count(), 1, "the first stands in the way of the others");
    assert_eq!(queue.drain(), 4);
    assert_eq!(queue.run_for(MINUTE * 30), 6, "beside a consumer nothing stands in the way");
}

#[test]
fn queues_of_tests_do_not_disturb_each_other() {
    let (one, other) = (TestQueue::new(), TestQueue::new());
    number::enqueue(&one, 1).unwrap();
    one.advance(MINUTE);
    assert_eq!((other.drain(), other.heard().as_str(), one.now().since(other.now())), (0, "", MINUTE));
    refute_enqueued!(other, number);
}

#[task(rate(2, "10s"))]
fn limited() {}

#[task(rate(1, "10s"))]
fn rare() {}

/// Takes the lock in its body, and keeps it until another has found it held.
#[task]
async fn book(#[ctx] ctx: &Context, #[data] found: &Semaphore) -> Result<(), huey::BoxError> {
    let _guard = ctx.lock("ledger")?;
    found.acquire().await?.forget();
    Ok(())
}

#[task(lock = "ledger", max_running = 1)]
async fn audit() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// When attempts began, in seconds.
fn begun(queue: &TestQueue, since: huey::Timestamp) -> Vec<u64> {
    let signals = queue.signals();
    let executing = signals.iter().filter(|signal| signal.kind == SignalKind::Executing);
    executing.map(|signal| signal.at.since(since).as_secs()).collect()
}

#[test]
fn jobs_over_their_rate_wait_for_the_clock() {
    let queue = TestQueue::new();
    let start = queue.now();
    let jobs = limited::map(&queue, (0..5).map(|_| ())).unwrap();
    assert_eq!((queue.drain(), queue.drain()), (2, 0));
    assert_eq!(queue.heard_of(jobs[2].id()), "enqueued rate-limited scheduled");
    queue.advance(Duration::from_secs(10));
    assert_eq!(queue.drain(), 2);
    assert_eq!(queue.run_for(MINUTE), 1);
    assert_eq!((begun(&queue, start), queue.now().since(start).as_secs()), (vec![0, 0, 10, 10, 20], 70));
}

#[test]
fn time_that_passes_runs_each_job_of_a_rate_though_others_cut_in() {
    let queue = TestQueue::new();
    let start = queue.now();
    let _ = rare::map(&queue, (0..3).map(|_| ())).unwrap();
    queue.drain();
    let urgent = rare::job().priority(5).enqueue(&queue).unwrap();
    assert_eq!(queue.run_for(Duration::from_secs(10)), 1);
    assert_eq!(urgent.status().unwrap(), JobState::Complete);
    assert_eq!(queue.run_for(Duration::from_secs(20)), 2);
    assert_eq!(begun(&queue, start), [0, 10, 20, 30]);
}

#[test]
fn time_passes_beside_jobs_that_are_due_and_cannot_run() {
    let queue = TestQueue::new();
    let jobs = rare::map(&queue, (0..2).map(|_| ())).unwrap();
    queue.drain();
    queue.queue("default").pause().unwrap();
    assert_eq!(queue.run_for(MINUTE), 0);
    queue.queue("default").resume().unwrap();
    assert_eq!((queue.drain(), jobs[1].status().unwrap()), (1, JobState::Complete));
}

#[test]
fn a_body_that_finds_its_lock_held_is_run_again_by_the_same_drain() {
    let found = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&found);
    let queue =
        TestQueue::with(|builder| builder.data_arc(found).on(SignalKind::Locked, move |_| opened.add_permits(2)));
    let books = book::map(&queue, [(), ()]).unwrap();
    let audits = audit::map(&queue, [(), ()]).unwrap();
    assert_eq!(queue.drain(), 5, "one of the two bodies began twice");
    assert_eq!(queue.heard_of(books[1].id()), "enqueued executing locked executing complete");
    assert!(audits.iter().all(|audit| audit.status().unwrap() == JobState::Complete));
}
