//! Immediate mode: jobs run where they are enqueued, without a consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use huey::{BoxError, Context, Huey, HueyBuilder, JobState, Retry, SignalKind, group, task};
use support::{Heard, LONG, Stage, block_on};

mod support;

fn immediate_with(set_up: impl FnOnce(HueyBuilder) -> HueyBuilder) -> (Huey, Heard, Arc<Stage>) {
    let (heard, stage) = (Heard::default(), Stage::new());
    let builder = set_up(heard.listen(Huey::builder().data_arc(Arc::clone(&stage))));
    (builder.open_immediate().expect("an immediate queue opens"), heard, stage)
}

fn immediate() -> (Huey, Heard, Arc<Stage>) {
    immediate_with(|builder| builder)
}

#[task]
fn double(number: u64) -> u64 {
    number * 2
}

#[task]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.into_iter().sum()
}

#[task]
async fn double_later(number: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(1)).await;
    number * 2
}

#[task(retries = 1)]
fn fails(text: String) -> Result<(), String> {
    Err(text)
}

#[task]
fn panics() {
    panic!("out of ink");
}

#[task(retries = 2, retry_delay = "1h")]
fn third_time(#[data] stage: &Stage) -> Result<usize, String> {
    stage.note("tried");
    let tried = stage.notes().len();
    if tried < 3 { Err("not yet".into()) } else { Ok(tried) }
}

#[task]
fn asks_for_ever(#[data] stage: &Stage) -> Result<(), BoxError> {
    stage.note("asked");
    Err(Retry::after(Duration::from_mins(1)).into())
}

#[task]
fn count_down(#[ctx] ctx: &Context, #[data] stage: &Stage, from: u32) -> huey::Result<()> {
    stage.note(format!("begins {from}"));
    if from > 0 {
        count_down::enqueue(ctx.huey()?, from - 1)?;
    }
    stage.note(format!("ends {from}"));
    Ok(())
}

#[task]
fn waits_for_another(#[ctx] ctx: &Context) -> Result<bool, huey::Error> {
    let handle = double::enqueue(ctx.huey()?, 1)?;
    Ok(handle.wait(LONG).is_err_and(|error| error.is_would_block()))
}

#[task]
async fn awaits_another(#[ctx] ctx: &Context) -> Result<u64, huey::Error> {
    let plain = double::enqueue(ctx.huey()?, 20)?.await?;
    let later = double_later::enqueue_async(ctx.huey()?, 1).await?.await?;
    Ok(plain + later)
}

#[task]
fn on_which_thread() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[task]
async fn awaits_tomorrow(#[ctx] ctx: &Context) -> Result<u64, huey::Error> {
    let plain = double::job(1).delay(Duration::from_hours(24)).enqueue(ctx.huey()?)?.await?;
    let later = double_later::job(20).delay(Duration::from_hours(24)).enqueue_async(ctx.huey()?).await?.await?;
    Ok(plain + later)
}

#[task]
async fn on_which_thread_async() -> String {
    tokio::task::yield_now().await;
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[task(unique)]
fn only_one() {}

#[task(queue = "elsewhere")]
fn of_another_queue() -> u8 {
    7
}

#[task(every = "1h")]
fn hourly(#[data] stage: &Stage) {
    stage.note("hourly");
}

struct Absent;

#[task]
fn needs_what_is_absent(#[data] _absent: &Absent) {}

#[test]
fn the_handle_of_an_immediate_job_is_ready_when_the_enqueue_returns() {
    let (huey, heard, _) = immediate();
    let handle = double::enqueue(&huey, 21).unwrap();
    assert_eq!(heard.list(), "enqueued executing complete");
    assert_eq!(handle.get().unwrap(), Some(42));
    assert_eq!(of_another_queue::enqueue(&huey).unwrap().get().unwrap(), Some(7));
}

#[test]
fn immediate_jobs_pass_the_hooks_and_may_be_refused() {
    let (huey, heard, _) = immediate_with(|builder| builder.hook(|_| Err("closed today".into())));
    let error = double::enqueue(&huey, 1).unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("closed today"), "{error}");
    assert_eq!(heard.list(), "rejected");
}

#[test]
fn a_body_that_fails_or_panics_is_no_error_of_the_immediate_enqueue() {
    let (huey, heard, _) = immediate();
    let failed = fails::enqueue(&huey, "no paper".into()).unwrap();
    assert_eq!(heard.of(failed.id()), "enqueued executing error retrying executing error dead");
    assert_eq!(failed.get().unwrap_err().task_error().unwrap().message, "no paper");
    let panicked = panics::enqueue(&huey).unwrap();
    assert_eq!(panicked.get().unwrap_err().task_error().unwrap().message, "out of ink");
}

#[test]
fn a_delayed_job_and_a_delayed_retry_run_at_once_in_immediate_mode() {
    let (huey, heard, stage) = immediate();
    let handle = double::job(1).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    assert_eq!(handle.get().unwrap(), Some(2));
    assert_eq!(heard.of(handle.id()), "enqueued scheduled executing complete");
    let retried = third_time::enqueue(&huey).unwrap();
    assert_eq!(retried.get().unwrap(), Some(3));
    assert_eq!(stage.notes().len(), 3);
}

#[test]
fn immediate_jobs_that_wait_run_in_the_order_of_their_times_behind_those_that_do_not() {
    let (huey, heard, _) = immediate();
    let jobs = [30, 10, 0, 20].map(|delay| double::job(delay).delay(Duration::from_secs(delay)));
    let handles = huey.enqueue_many(jobs).unwrap();
    let executed: Vec<_> =
        heard.all().into_iter().filter(|signal| signal.kind == SignalKind::Executing).map(|signal| signal.id).collect();
    assert_eq!(executed, [2, 1, 3, 0].map(|place: usize| handles[place].id()));
}

#[test]
fn a_job_that_waits_again_and_again_is_left_scheduled_in_immediate_mode() {
    let (huey, _, stage) = immediate();
    let handle = asks_for_ever::enqueue(&huey).unwrap();
    assert_eq!(handle.status().unwrap(), JobState::Scheduled);
    assert_eq!(stage.notes().len(), 1_002, "its own attempt, one wait of its own, and a thousand more");
}

#[test]
fn chains_groups_chords_and_bulks_are_whole_when_an_immediate_enqueue_returns() {
    let (huey, _, _) = immediate();
    let chain = double::job(1).then(double_later::with()).then(double::with()).enqueue(&huey).unwrap();
    assert_eq!(chain.get().unwrap(), Some(8));
    let members = group((1..=3).map(double::job)).enqueue(&huey).unwrap();
    assert!(members.iter().zip([2, 4, 6]).all(|(member, output)| member.get().unwrap() == Some(output)));
    let chord = group((1..=3).map(double_later::job)).then(sum::with()).enqueue(&huey).unwrap();
    assert_eq!(chord.get().unwrap(), Some(12));
    let bulk = double::map(&huey, [4, 5]).unwrap();
    assert_eq!(bulk.iter().map(|handle| handle.get().unwrap()).collect::<Vec<_>>(), [Some(8), Some(10)]);
}

#[test]
fn what_an_immediate_body_enqueues_runs_after_it_and_does_not_nest() {
    let (huey, _, stage) = immediate();
    count_down::enqueue(&huey, 5_000).unwrap();
    let notes = stage.notes();
    assert_eq!(notes.len(), 10_002);
    assert_eq!(notes[..4], ["begins 5000", "ends 5000", "begins 4999", "ends 4999"]);
    assert_eq!(waits_for_another::enqueue(&huey).unwrap().get().unwrap(), Some(true));
}

#[test]
fn what_hooks_and_receivers_enqueue_in_immediate_mode_runs_behind_the_job() {
    let (heard, queue) = (Heard::default(), Arc::new(std::sync::OnceLock::<Huey>::new()));
    let nested = Arc::clone(&queue);
    let builder = Huey::builder().data_arc(Stage::new()).on(SignalKind::Enqueued, move |signal| {
        if let Some(huey) = nested.get().filter(|_| signal.task.ends_with("double")) {
            of_another_queue::enqueue(huey).unwrap();
        }
    });
    let huey = heard.listen(builder).open_immediate().unwrap();
    queue.set(huey.clone()).unwrap();
    double::enqueue(&huey, 1).unwrap();
    assert_eq!(huey.counts().unwrap().queued, 0);
    let executed: Vec<_> = heard
        .all()
        .into_iter()
        .filter(|signal| signal.kind == SignalKind::Executing)
        .map(|signal| signal.task)
        .collect();
    assert!(executed[0].ends_with("double") && executed[1].ends_with("of_another_queue"), "{executed:?}");
}

#[test]
fn an_immediate_async_body_may_await_another_job_also_inside_a_runtime() {
    let (huey, _, _) = immediate();
    assert_eq!(awaits_another::enqueue(&huey).unwrap().get().unwrap(), Some(42));
    assert_eq!(awaits_tomorrow::enqueue(&huey).unwrap().get().unwrap(), Some(42), "delays are cut for it too");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (sync, awaited) = runtime.block_on(async {
        let sync = awaits_another::enqueue(&huey).unwrap().get().unwrap();
        (sync, awaits_another::enqueue_async(&huey).await.unwrap().get().unwrap())
    });
    assert_eq!((sync, awaited), (Some(42), Some(42)));
}

#[test]
fn immediate_jobs_run_on_the_thread_that_enqueues_and_others_on_helpers() {
    let (huey, _, _) = immediate();
    let here = std::thread::current().name().unwrap_or_default().to_owned();
    assert_eq!(on_which_thread::enqueue(&huey).unwrap().get().unwrap(), Some(here));
    assert_eq!(on_which_thread_async::enqueue(&huey).unwrap().get().unwrap().unwrap(), "huey-async");
    let awaited = block_on(on_which_thread::enqueue_async(&huey)).unwrap();
    assert_eq!(awaited.get().unwrap().unwrap(), "huey-immediate");
    let many = block_on(double::map_async(&huey, [1, 2])).unwrap();
    assert_eq!(many[1].get().unwrap(), Some(4));
}

#[test]
fn threads_that_enqueue_at_once_each_find_their_immediate_jobs_done() {
    let (huey, _, _) = immediate();
    let done = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (huey, done) = (&huey, &done);
            scope.spawn(move || {
                for number in 0..50 {
                    let chain = double::job(thread * 100 + number).then(double_later::with()).enqueue(huey).unwrap();
                    assert_eq!(chain.get().unwrap(), Some((thread * 100 + number) * 4));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 400);
}

#[test]
fn a_unique_key_is_free_again_once_its_immediate_job_has_run() {
    let (huey, _, _) = immediate();
    let first = only_one::enqueue(&huey).unwrap();
    let second = only_one::enqueue(&huey).unwrap();
    assert!(second.is_new() && second.id() != first.id());
}

#[test]
fn an_expired_or_revoked_job_does_not_run_in_immediate_mode() {
    let (huey, heard, _) = immediate();
    let late = double::job(1).expires(Duration::ZERO).enqueue(&huey).unwrap();
    assert_eq!(heard.of(late.id()), "enqueued expired");
    huey.revoke::<double>(huey::Revocation::Once).unwrap();
    let revoked = double::enqueue(&huey, 1).unwrap();
    assert_eq!(revoked.status().unwrap(), JobState::Revoked);
    assert_eq!(double::enqueue(&huey, 1).unwrap().status().unwrap(), JobState::Complete);
}

#[test]
fn data_that_is_missing_parks_the_immediate_job_that_needs_it() {
    let (huey, _, _) = immediate();
    let parked = needs_what_is_absent::enqueue(&huey).unwrap();
    assert_eq!(parked.status().unwrap(), JobState::Parked);
    let cause = huey.info(parked.id()).unwrap().unwrap().cause.unwrap();
    assert!(cause.contains("Absent"), "{cause}");
}

#[test]
fn a_schedule_makes_an_immediate_job_only_when_it_is_triggered() {
    let (huey, _, stage) = immediate();
    double::enqueue(&huey, 1).unwrap();
    assert!(stage.notes().is_empty());
    huey.schedules().trigger(hourly::NAME).unwrap();
    assert_eq!(stage.notes(), ["hourly"]);
}

#[test]
fn a_dead_immediate_job_is_replayed_at_once() {
    let (huey, heard, _) = immediate();
    let failed = fails::enqueue(&huey, "no paper".into()).unwrap();
    let again = huey.replay(failed.id()).unwrap();
    assert_eq!(heard.of(again), "enqueued executing error retrying executing error dead");
}

#[test]
fn a_consumer_of_an_immediate_queue_does_not_start() {
    let (huey, _, _) = immediate();
    let error = huey.consumer().start().unwrap_err();
    assert!(error.is_setup() && error.to_string().contains("needs no consumer"), "{error}");
}

#[task(rate(1, "1h"))]
fn rarely(number: u64) -> u64 {
    number
}

#[task(lock = "ledger")]
fn book(#[data] stage: &Stage, number: u64) {
    stage.note(format!("book {number}"));
    stage.pass();
}

#[task(max_running = 1)]
fn alone(#[data] stage: &Stage, number: u64) {
    stage.note(format!("alone {number}"));
    stage.pass();
}

/// Takes the lock in its body, and keeps it until the stage is open.
#[task]
async fn book_later(#[ctx] ctx: &Context, #[data] stage: &Stage, number: u64) -> Result<u64, BoxError> {
    let _guard = ctx.lock("ledger")?;
    stage.pass_async().await;
    Ok(number)
}

#[test]
fn a_rate_does_not_hold_in_immediate_mode() {
    let (huey, heard, _) = immediate();
    let handles = rarely::map(&huey, 0..50).unwrap();
    assert!((0..).zip(&handles).all(|(number, handle)| handle.get().unwrap() == Some(number)));
    assert!(heard.find(SignalKind::RateLimited).is_none());
}

#[test]
fn an_immediate_job_waits_until_another_thread_lets_go_of_its_lock_or_its_bound() {
    let (huey, heard, stage) = immediate();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| (book::enqueue(&huey, 1).unwrap(), alone::enqueue(&huey, 1).unwrap()));
        stage.wait_notes(1);
        let second = scope.spawn(|| book::enqueue(&huey, 2).unwrap().get().unwrap());
        heard.wait(SignalKind::Locked, 1);
        let bounded = scope.spawn(|| alone::enqueue(&huey, 2).unwrap());
        stage.wait_notes(2);
        let third = scope.spawn(|| alone::enqueue(&huey, 3).unwrap().get().unwrap());
        heard.wait(SignalKind::Enqueued, 4);
        assert_eq!(stage.notes(), ["book 1", "alone 2"]);
        stage.open();
        let (book, alone) = first.join().unwrap();
        assert_eq!((book.get().unwrap(), alone.get().unwrap()), (Some(()), Some(())));
        assert_eq!((second.join().unwrap(), bounded.join().unwrap().get().unwrap()), (Some(()), Some(())));
        assert_eq!(third.join().unwrap(), Some(()));
    });
}

#[test]
fn an_immediate_async_body_that_finds_a_lock_held_comes_again_once_it_is_free() {
    let stage = Stage::new();
    let opened = Arc::clone(&stage);
    let heard = Heard::default();
    let builder = heard.listen(Huey::builder().data_arc(stage)).on(SignalKind::Locked, move |_| opened.open());
    let huey = builder.open_immediate().unwrap();
    let handles = book_later::map(&huey, [1, 2]).unwrap();
    assert_eq!((handles[0].get().unwrap(), handles[1].get().unwrap()), (Some(1), Some(2)));
    assert_eq!(heard.of(handles[1].id()), "enqueued executing locked executing complete");
}

#[derive(huey::__private::serde::Serialize, huey::__private::serde::Deserialize)]
#[serde(crate = "huey::__private::serde")]
struct Parcel {
    kept: u8,
    #[serde(skip)]
    left: u8,
}

#[task]
fn open_parcel(parcel: Parcel) -> (u8, u8) {
    (parcel.kept, parcel.left)
}

#[test]
fn an_immediate_body_gets_what_was_stored_of_its_arguments() {
    let (huey, _, _) = immediate();
    let handle = open_parcel::enqueue(&huey, Parcel { kept: 1, left: 2 }).unwrap();
    assert_eq!(handle.get().unwrap(), Some((1, 0)), "they were encoded and decoded, as beside a consumer");
}
