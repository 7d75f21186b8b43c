//! The life of a job: its turn, its attempts, its endings and what is kept of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_async, reason = "an async task need not await")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use huey::{
    BoxError, Cancel, Context, Durability, Fatal, Huey, Job, JobState, Origin, Registered, Retry, SignalKind,
    Timestamp, VirtualClock, task,
};
use support::{LONG, Stage, queue, queue_with, run};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn queue_at(clock: &Arc<VirtualClock>) -> (Huey, support::Heard, Arc<Stage>) {
    queue_with(|builder| builder.clock(clock.clock()))
}

#[task]
fn say(#[data] stage: &Stage, text: String) {
    stage.note(text);
}

#[task]
async fn say_async(#[data] stage: &Stage, text: String) {
    stage.note(text);
}

#[task]
fn fails(#[data] stage: &Stage, #[ctx] ctx: &Context, name: String, failures: u32) -> Result<u32, String> {
    stage.note(format!("{name}{}", ctx.attempt()));
    if ctx.attempt() <= failures { Err("not yet".into()) } else { Ok(ctx.attempt()) }
}

#[test]
fn higher_priority_runs_first_and_first_in_runs_first_within_one() {
    let (huey, _, stage) = queue();
    for (text, priority) in [("c", 0), ("a", 9), ("d", 0), ("e", -9), ("b", 9), ("f", i16::MIN), ("0", i16::MAX)] {
        let _ = say::job(text.into()).priority(priority).enqueue(&huey).unwrap();
    }
    run(&huey);
    assert_eq!(stage.notes(), ["0", "a", "b", "c", "d", "e", "f"]);
}

#[test]
fn jobs_of_several_tasks_share_one_line() {
    let (huey, _, stage) = queue();
    for number in 0..6 {
        let _ = match number % 2 {
            0 => say::enqueue(&huey, format!("say{number}")).unwrap().id(),
            _ => fails::enqueue(&huey, format!("fail{number}-"), 0).unwrap().id(),
        };
    }
    run(&huey);
    assert_eq!(stage.notes(), ["say0", "fail1-1", "say2", "fail3-1", "say4", "fail5-1"]);
}

#[test]
fn a_retried_job_keeps_its_place_in_the_line() {
    let (huey, _, stage) = queue();
    // A worker does not wait for the disk, and would begin the next job before a synced settle is done.
    let job = fails::job("a".into(), 1).retries(1).durability(Durability::Relaxed);
    let _ = job.enqueue(&huey).unwrap();
    let _ = fails::enqueue(&huey, "b".into(), 0).unwrap();
    run(&huey);
    assert_eq!(stage.notes(), ["a1", "a2", "b1"]);
}

#[test]
fn a_delayed_job_keeps_its_place_in_the_line_once_it_is_due() {
    let clock = VirtualClock::starting_at(START);
    let (huey, _, stage) = queue_at(&clock);
    let _ = say::job("first".into()).delay(seconds(5)).enqueue(&huey).unwrap();
    let _ = say::job("second".into()).enqueue(&huey).unwrap();
    clock.advance(seconds(5));
    run(&huey);
    assert_eq!(stage.notes(), ["first", "second"]);
}

#[task(retries = 2, retry_delay = "3s", backoff = 3)]
fn backs_off(#[data] stage: &Stage) -> Result<(), &'static str> {
    stage.note("tried");
    Err("no")
}

#[test]
fn two_retries_of_three_seconds_and_factor_three_wait_three_and_nine_seconds() {
    let clock = VirtualClock::starting_at(START);
    let (huey, heard, stage) = queue_at(&clock);
    let handle = backs_off::enqueue(&huey).unwrap();
    let mut tries = Vec::new();
    for second in 0..30 {
        run(&huey);
        tries.resize(stage.notes().len(), second);
        clock.advance(seconds(1));
    }
    assert_eq!(tries, [0, 3, 12]);
    let due: Vec<_> =
        heard.all().iter().filter(|signal| signal.kind == SignalKind::Scheduled).map(|s| s.run_at).collect();
    assert_eq!(due, [Some(START + seconds(3)), Some(START + seconds(12))]);
    assert_eq!(handle.status().unwrap(), JobState::Dead);
}

#[task(retries = 4, retry_delay = "10s", backoff = 2, max_delay = "25s")]
fn bounded() -> Result<(), &'static str> {
    Err("no")
}

#[test]
fn a_wait_never_passes_max_delay() {
    let clock = VirtualClock::starting_at(START);
    let (huey, heard, _) = queue_at(&clock);
    let _ = bounded::enqueue(&huey).unwrap();
    for _ in 0..5 {
        run(&huey);
        clock.advance(seconds(25));
    }
    let waits: Vec<_> =
        heard.all().iter().filter(|s| s.kind == SignalKind::Scheduled).map(|s| s.run_at.unwrap().since(s.at)).collect();
    assert_eq!(waits, [seconds(10), seconds(20), seconds(25), seconds(25)]);
}

#[test]
fn a_job_runs_the_moment_it_is_due_while_the_consumer_sleeps() {
    let clock = VirtualClock::starting_at(START);
    let (huey, heard, stage) = queue_at(&clock);
    let consumer = huey.consumer().workers(1).start().unwrap();
    let plain = say::job("plain".into()).run_at(START + seconds(60)).enqueue(&huey).unwrap();
    let later = say_async::job("async".into()).delay(seconds(60)).enqueue(&huey).unwrap();
    clock.advance(seconds(59));
    let now = fails::enqueue(&huey, "now".into(), 0).unwrap();
    now.wait(LONG).unwrap();
    assert_eq!((plain.status().unwrap(), stage.notes().len()), (JobState::Scheduled, 1));
    // Equality counts as due.
    clock.advance(seconds(1));
    plain.wait(LONG).unwrap();
    later.wait(LONG).unwrap();
    assert_eq!(heard.of(plain.id()), "enqueued scheduled executing complete");
    drop(consumer);
}

#[test]
fn a_job_expires_only_once_now_is_past_its_deadline() {
    let clock = VirtualClock::starting_at(START);
    let (huey, ..) = queue_at(&clock);
    let on_time = say::job("on time".into()).expires(seconds(5)).enqueue(&huey).unwrap();
    clock.advance(seconds(5));
    run(&huey);
    assert_eq!(on_time.status().unwrap(), JobState::Complete);
    let late = say::job("late".into()).expires(seconds(5)).enqueue(&huey).unwrap();
    clock.advance(seconds(5) + Duration::from_micros(1));
    run(&huey);
    assert_eq!(late.status().unwrap(), JobState::Expired);
    let error = late.get().unwrap_err();
    assert_eq!(error.ending(), Some(JobState::Expired));
    assert!(error.to_string().contains(&late.id().to_string()), "{error}");
}

#[test]
fn an_expiry_of_zero_is_past_at_once() {
    let clock = VirtualClock::starting_at(START);
    let (huey, _, stage) = queue_at(&clock);
    let handle = say::job("never".into()).expires(Duration::ZERO).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((handle.status().unwrap(), stage.notes().len()), (JobState::Expired, 0));
}

#[test]
fn retries_do_not_extend_the_expiry() {
    let clock = VirtualClock::starting_at(START);
    let (huey, heard, _) = queue_with(|builder| builder.clock(clock.clock()).retry_delay(seconds(4)));
    let handle = fails::job("x".into(), 9).retries(9).expires(seconds(10)).enqueue(&huey).unwrap();
    for _ in 0..4 {
        run(&huey);
        clock.advance(seconds(4));
    }
    assert_eq!(handle.status().unwrap(), JobState::Expired);
    assert_eq!(heard.all().iter().filter(|signal| signal.kind == SignalKind::Executing).count(), 3);
}

struct Dropped<'a>(&'a Stage);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[task(timeout = "1ms")]
async fn never(#[data] stage: &Stage) {
    let _dropped = Dropped(stage);
    std::future::pending::<()>().await;
    stage.note("went on");
}

#[task(timeout = "1ms")]
fn slow(#[data] stage: &Stage, #[ctx] ctx: &Context, look: bool) -> Result<u8, BoxError> {
    while !ctx.time_left().unwrap().is_zero() {
        std::thread::yield_now();
    }
    if look {
        ctx.checkpoint()?;
        stage.note("went on");
    }
    Ok(1)
}

#[test]
fn an_async_task_is_dropped_at_its_await_when_its_time_is_over() {
    let (huey, _, stage) = queue();
    let handle = never::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(stage.notes(), ["dropped"]);
    let error = handle.get().unwrap_err();
    assert!(error.task_error().unwrap().message.contains("deadline"), "{error}");
}

#[test]
fn a_plain_task_hears_at_its_checkpoint_that_its_time_is_over() {
    let (huey, _, stage) = queue();
    let handle = slow::enqueue(&huey, true).unwrap();
    run(&huey);
    assert_eq!((handle.status().unwrap(), stage.notes().len()), (JobState::Dead, 0));
}

#[test]
fn a_result_that_comes_too_late_is_refused() {
    let (huey, heard, _) = queue();
    let handle = slow::enqueue(&huey, false).unwrap();
    run(&huey);
    assert_eq!(handle.status().unwrap(), JobState::Dead);
    assert_eq!(heard.list(), "enqueued executing timeout dead");
}

#[task]
fn panics(text: bool) {
    assert!(!text, "the body broke: {}", 42);
    std::panic::panic_any(7_u8);
}

#[task]
async fn panics_async(first: bool) {
    assert!(!first, "before any await");
    tokio::task::yield_now().await;
    panic!("after an await");
}

#[test]
fn a_panic_is_recorded_with_its_message_and_place_and_the_worker_lives() {
    let (huey, ..) = queue();
    let plain = panics::enqueue(&huey, true).unwrap();
    let strange = panics::enqueue(&huey, false).unwrap();
    let early = panics_async::enqueue(&huey, true).unwrap();
    let late = panics_async::enqueue(&huey, false).unwrap();
    let after = fails::enqueue(&huey, "x".into(), 0).unwrap();
    run(&huey);
    let record = |error: huey::Error| error.task_error().unwrap().clone();
    let error = record(plain.get().unwrap_err());
    assert_eq!(error.message, "the body broke: 42");
    assert!(error.panicked && error.attempt == 1);
    let place = error.place.unwrap();
    assert!(place.starts_with(file!()) && place.matches(':').count() == 2, "{place}");
    assert_eq!(error.worker, "huey-worker-1");
    assert!(record(strange.get().unwrap_err()).panicked);
    let early = record(early.get().unwrap_err());
    assert_eq!((early.message.as_str(), early.panicked), ("before any await", true));
    let late = record(late.get().unwrap_err());
    assert_eq!((late.message.as_str(), late.worker.as_str()), ("after an await", "huey-async"));
    assert_eq!(after.get().unwrap(), Some(1));
}

#[task]
fn chained() -> anyhow::Result<()> {
    use anyhow::Context as _;
    Err(std::io::Error::other("disk")).context("writing").context("saving")
}

#[test]
fn the_record_of_a_failure_holds_its_sources_its_attempt_its_worker_and_its_times() {
    let clock = VirtualClock::starting_at(START);
    let (huey, ..) = queue_at(&clock);
    let handle = chained::enqueue(&huey).unwrap();
    run(&huey);
    let error = handle.get().unwrap_err();
    assert!(error.to_string().contains("saving: writing: disk"), "{error}");
    let record = error.task_error().unwrap();
    assert_eq!((record.message.as_str(), record.attempt, record.panicked), ("saving", 1, false));
    assert_eq!(record.chain, ["writing", "disk"]);
    assert_eq!((record.started, record.ended), (START, START));
    assert_eq!((record.worker.as_str(), record.place.as_deref()), ("huey-worker-1", None));
}

#[task]
fn wrapped(#[ctx] ctx: &Context, how: String) -> anyhow::Result<u32> {
    let error = match how.as_str() {
        _ if ctx.attempt() > 2 => return Ok(ctx.attempt()),
        "retry" => anyhow::Error::new(Retry::after(seconds(30))),
        "cancel" => anyhow::Error::new(Cancel::because("not needed")),
        _ => anyhow::Error::new(Fatal::new("hopeless")),
    };
    Err(error.context("in a layer").context("and another"))
}

#[test]
fn chosen_endings_are_found_inside_anyhow() {
    let clock = VirtualClock::starting_at(START);
    let (huey, ..) = queue_at(&clock);
    let [retry, cancel, fatal] =
        ["retry", "cancel", "fatal"].map(|how| wrapped::job(how.into()).retries(5).enqueue(&huey).unwrap());
    run(&huey);
    assert_eq!(retry.status().unwrap(), JobState::Scheduled);
    assert_eq!(cancel.status().unwrap(), JobState::Canceled);
    assert_eq!(fatal.get().unwrap_err().task_error().unwrap().attempt, 1);
    for _ in 0..2 {
        clock.advance(seconds(30));
        run(&huey);
    }
    assert_eq!(retry.get().unwrap(), Some(3));
}

#[test]
fn a_retry_that_the_body_asks_for_spends_none() {
    let (huey, heard, _) = queue();
    let asks = Job::enqueue(asks_twice::job().retries(0), &huey).unwrap();
    run(&huey);
    assert_eq!(asks.get().unwrap(), Some(3));
    assert_eq!(heard.list(), "enqueued executing retrying executing retrying executing complete");

    let (huey, heard, _) = queue();
    let asks = Job::enqueue(asks_and_then_fails::job().retries(1), &huey).unwrap();
    run(&huey);
    assert_eq!(asks.get().unwrap(), Some(3), "the one retry was left for the attempt that failed");
    assert_eq!(heard.list(), "enqueued executing retrying executing error retrying executing complete");
}

#[task]
fn asks_and_then_fails(#[ctx] ctx: &Context) -> Result<u32, huey::BoxError> {
    match ctx.attempt() {
        1 => Err(Retry::now().into()),
        2 => Err("it fails".into()),
        attempt => Ok(attempt),
    }
}

#[task]
fn asks_twice(#[ctx] ctx: &Context) -> Result<u32, Retry> {
    if ctx.attempt() < 3 { Err(Retry::now()) } else { Ok(ctx.attempt()) }
}

#[test]
fn reading_a_result_leaves_it_and_taking_it_does_not() {
    let (huey, ..) = queue();
    let handle = fails::enqueue(&huey, "x".into(), 0).unwrap();
    assert_eq!(handle.get().unwrap(), None);
    assert_eq!(handle.take().unwrap(), None);
    run(&huey);
    assert_eq!(handle.get().unwrap(), Some(1));
    assert_eq!(handle.get().unwrap(), Some(1));
    assert_eq!(handle.take().unwrap(), Some(1));
    assert!(handle.take().unwrap_err().is_no_such_job());
    assert!(handle.get().unwrap_err().is_no_such_job());
    assert_eq!(handle.status().unwrap(), JobState::Gone);
}

#[test]
fn one_of_many_takers_gets_the_result() {
    let (huey, ..) = queue();
    let handle = fails::enqueue(&huey, "x".into(), 0).unwrap();
    run(&huey);
    let got = std::thread::scope(|scope| {
        let takers: Vec<_> = (0..8).map(|_| scope.spawn(|| handle.take())).collect();
        takers.into_iter().filter_map(|taker| taker.join().unwrap().ok()).count()
    });
    assert_eq!(got, 1);
}

#[task(retention = "10s")]
fn kept() -> u8 {
    1
}

#[task(retention = "0s")]
fn not_kept() -> u8 {
    1
}

#[test]
fn results_are_kept_for_their_retention_and_then_gone() {
    let clock = VirtualClock::starting_at(START);
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()).retention(seconds(100)));
    let [short, none, long] = [
        kept::enqueue(&huey).unwrap().id(),
        not_kept::enqueue(&huey).unwrap().id(),
        say::enqueue(&huey, String::new()).unwrap().id(),
    ];
    run(&huey);
    let states = || [short, none, long].map(|id| huey.status(id).unwrap());
    assert_eq!(states(), [JobState::Complete, JobState::Gone, JobState::Complete]);
    clock.advance(seconds(9));
    assert_eq!(states(), [JobState::Complete, JobState::Gone, JobState::Complete]);
    clock.advance(seconds(3));
    assert_eq!(states(), [JobState::Gone, JobState::Gone, JobState::Complete]);
    clock.advance(seconds(100));
    assert_eq!(states(), [JobState::Gone; 3]);
}

#[test]
fn a_dead_job_keeps_its_record_whatever_the_retention() {
    let clock = VirtualClock::starting_at(START);
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()).retention(Duration::ZERO));
    let handle = fails::enqueue(&huey, "x".into(), 9).unwrap();
    run(&huey);
    clock.advance(seconds(1_000_000));
    run(&huey);
    assert_eq!(handle.get().unwrap_err().task_error().unwrap().message, "not yet");
    assert_eq!(handle.take().unwrap_err().ending(), Some(JobState::Dead));
    assert_eq!(handle.status().unwrap(), JobState::Dead);
    assert_eq!(huey.counts().unwrap().given_up, 1);
}

#[test]
fn the_number_of_results_is_bounded() {
    let (huey, ..) = queue_with(|builder| builder.max_results(5));
    let handles: Vec<_> = (0..20).map(|_| kept::enqueue(&huey).unwrap()).collect();
    run(&huey);
    let _ = say::enqueue(&huey, String::new()).unwrap();
    run(&huey);
    let left = handles.iter().filter(|handle| handle.status().unwrap() == JobState::Complete).count();
    assert!((4..=5).contains(&left), "{left} of 20 results are left");
    assert!(huey.counts().unwrap().results <= 6);
}

trait Greeter: Send + Sync {
    fn greet(&self, name: &str) -> String;
}

struct English;

impl Greeter for English {
    fn greet(&self, name: &str) -> String {
        format!("Hello {name}")
    }
}

#[task(queue = "data")]
fn by_trait(#[data] greeter: &dyn Greeter, #[data] uses: &AtomicUsize, name: String) -> String {
    uses.fetch_add(1, Ordering::SeqCst);
    greeter.greet(&name)
}

#[task(queue = "data")]
async fn by_trait_async(#[data] greeter: &dyn Greeter, #[data] limit: &u16) -> String {
    std::future::ready(()).await;
    format!("{} {limit}", greeter.greet("all"))
}

#[test]
fn bodies_borrow_the_data_that_the_builder_was_given() {
    let uses = Arc::new(AtomicUsize::new(0));
    let (huey, ..) = queue_with(|builder| {
        builder.data_arc::<dyn Greeter>(Arc::new(English)).data_arc(Arc::clone(&uses)).data(9_u16)
    });
    let plain = by_trait::enqueue(&huey, "Ada".into()).unwrap();
    let later = by_trait_async::enqueue(&huey).unwrap();
    huey.consumer().workers(1).queues(["data"]).run_until_idle().unwrap();
    assert_eq!(plain.get().unwrap().unwrap(), "Hello Ada");
    assert_eq!(later.get().unwrap().unwrap(), "Hello all 9");
    assert_eq!(uses.load(Ordering::SeqCst), 1);
}

#[test]
fn a_consumer_does_not_start_while_data_is_missing_and_names_all_of_it() {
    let (huey, ..) = queue();
    let _ = by_trait::enqueue(&huey, "Ada".into()).unwrap();
    let error = huey.consumer().queues(["default", "data"]).start().unwrap_err();
    assert!(error.is_setup());
    let text = error.to_string();
    for part in [
        "Greeter",
        "AtomicUsize",
        "Atomic<usize>",
        "u16",
        "`life::by_trait`",
        "`life::by_trait_async`",
        file!(),
        ".data(",
    ] {
        let std_name = part.starts_with("Atomic");
        assert!(std_name || text.contains(part), "`{part}` is not in: {text}");
    }
    // One that does not serve their queue runs.
    let other = say::enqueue(&huey, "x".into()).unwrap();
    run(&huey);
    assert_eq!(other.status().unwrap(), JobState::Complete);
}

#[test]
fn data_is_only_asked_for_by_the_queues_served() {
    let (huey, ..) = queue_with(|builder| builder.default_queue("data"));
    assert!(huey.consumer().start().unwrap_err().is_setup());
    assert!(huey.consumer().queues(["default"]).start().is_ok());
}

#[task]
fn parent(#[ctx] ctx: &Context, #[data] stage: &Stage) -> huey::Result<huey::JobId> {
    stage.note(format!("{:?} {}", ctx.headers(), ctx.header("trace").unwrap_or("none")));
    Ok(origin_of::job().durability(Durability::Relaxed).enqueue(ctx.huey()?)?.id())
}

#[task]
async fn parent_async(#[ctx] ctx: &Context) -> Result<huey::JobId, BoxError> {
    let sync = origin_of::enqueue(ctx.huey()?)?;
    let child = origin_of::enqueue_async(ctx.huey()?).await?;
    assert_ne!(sync.id(), child.id());
    // An async body may wait for another job.
    assert_eq!(sync.await?, Some(ctx.id()));
    Ok(child.id())
}

#[task]
fn origin_of(#[ctx] ctx: &Context) -> Option<huey::JobId> {
    assert!(matches!(ctx.origin(), Origin::Call { .. }));
    ctx.origin().parent()
}

#[test]
fn what_a_body_enqueues_names_it_as_the_parent() {
    let (huey, heard, stage) = queue();
    let plain = parent::job().header("trace", "t1").enqueue(&huey).unwrap();
    let later = parent_async::enqueue(&huey).unwrap();
    run(&huey);
    for (parent, child) in [(plain.id(), plain.get().unwrap().unwrap()), (later.id(), later.get().unwrap().unwrap())] {
        assert_eq!(huey.handle::<origin_of>(child).unwrap().get().unwrap(), Some(Some(parent)));
        let of_child = |signal: &huey::Signal| signal.id == child;
        assert!(heard.all().into_iter().filter(of_child).all(|signal| signal.origin.parent() == Some(parent)));
    }
    assert_eq!(stage.notes(), [r#"[("trace", "t1")] t1"#]);
    assert!(Context::detached().huey().unwrap_err().is_setup());
}

#[task]
fn about(#[ctx] ctx: &Context) -> (huey::JobId, String, String, u32, bool) {
    (ctx.id(), ctx.task().to_owned(), ctx.queue().to_owned(), ctx.attempt(), ctx.time_left() <= Some(LONG))
}

#[test]
fn a_body_knows_its_job() {
    let (huey, ..) = queue();
    let handle = about::job().timeout(LONG).enqueue(&huey).unwrap();
    run(&huey);
    let (id, task, queue, attempt, timed) = handle.get().unwrap().unwrap();
    assert_eq!((id, task.as_str(), queue.as_str(), attempt, timed), (handle.id(), "life::about", "default", 1, true));
    assert_eq!(handle.task(), "life::about");
}

#[task]
fn large(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn a_result_that_is_too_large_ends_the_job_and_says_so() {
    const LIMIT: usize = 16 * 1024 * 1024;
    let (huey, ..) = queue();
    // Near the limit the result fits, but not together with what is stored around it.
    for bytes in [LIMIT + 1, LIMIT - 8, LIMIT - 40] {
        let handle = large::job(bytes).durability(Durability::Relaxed).enqueue(&huey).unwrap();
        let synced = large::job(bytes).enqueue(&huey).unwrap();
        run(&huey);
        for handle in [handle, synced] {
            let error = handle.get().unwrap_err();
            assert_eq!(error.ending(), Some(JobState::Dead), "{bytes}: {error}");
        }
    }
    let fits = large::enqueue(&huey, LIMIT / 2).unwrap();
    run(&huey);
    assert_eq!(fits.get().unwrap().unwrap().len(), LIMIT / 2);
}

#[test]
fn arguments_that_are_too_large_are_refused() {
    let (huey, heard, _) = queue();
    let error = say::enqueue(&huey, "x".repeat(16 * 1024 * 1024 + 1)).unwrap_err();
    assert!(error.is_codec(), "{error}");
    assert_eq!(heard.list(), "");
    assert!(say::enqueue(&huey, "x".into()).is_ok());
}

#[task(delivery = at_most_once, retries = 1)]
fn at_most_once(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<u32, &'static str> {
    stage.note("runs");
    if ctx.attempt() == 1 { Err("once") } else { Ok(ctx.attempt()) }
}

#[test]
fn an_at_most_once_job_is_retried_when_its_body_failed() {
    // It is the consumer's death that may not lead to a second start: an error is an answer.
    let (huey, _, stage) = queue();
    let handle = at_most_once::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((handle.get().unwrap(), stage.notes().len()), (Some(2), 2));
}

fn state_of<T: Registered>(huey: &Huey, job: Job<T>) -> JobState {
    job.enqueue(huey).unwrap().status().unwrap()
}

#[test]
fn enqueueing_runs_nothing() {
    let ran = Arc::new(AtomicBool::new(false));
    let (huey, heard, stage) = queue_with(|builder| {
        let ran = Arc::clone(&ran);
        builder.on(SignalKind::Executing, move |_: &huey::Signal| ran.store(true, Ordering::SeqCst))
    });
    assert_eq!(state_of(&huey, say::job("x".into())), JobState::Queued);
    assert_eq!(state_of(&huey, say_async::job("x".into())), JobState::Queued);
    assert_eq!((stage.notes().len(), ran.load(Ordering::SeqCst)), (0, false));
    assert_eq!(heard.list(), "enqueued enqueued");
    // And a call of the function is a call of the function.
    say(&stage, "here".into());
    assert_eq!(stage.notes(), ["here"]);
}
