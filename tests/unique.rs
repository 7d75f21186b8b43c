//! Unique keys: at most one job of a key, at every level where one can be said.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::unnecessary_wraps, reason = "a hook may refuse, these do not")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use huey::{
    Context, Decision, Decorator, Durability, EnqueueOutcome, EnqueueRequest, HookResult, Huey, JobState, Memory,
    OnConflict, Scope, SignalKind, Unique, task,
};
use support::{LONG, Stage, queue, queue_with, run};

#[task(unique)]
fn alone() -> u8 {
    1
}

#[task(unique(by(user, kind)))]
fn by_two(user: u64, kind: String, note: f64) -> f64 {
    let _ = (user, kind);
    note
}

fn first_letter(args: &by_letter) -> Option<char> {
    args.name.chars().next()
}

#[task(unique(key = first_letter, scope = pending, on_conflict = reject))]
fn by_letter(name: String) -> usize {
    name.len()
}

#[task(unique(scope = window("1h")))]
fn hourly() {}

#[task(unique(by(user), on_conflict = replace))]
fn newest(user: u64, version: u32) -> u32 {
    let _ = user;
    version
}

static ONE_AT_A_TIME: Decorator = Decorator::new().unique(Scope::Active, OnConflict::Reject);

#[task(ONE_AT_A_TIME)]
fn decorated(number: u32) -> u32 {
    number
}

#[task(ONE_AT_A_TIME, unique(by(number)))]
fn nearer(number: u32) -> u32 {
    number
}

fn by_header(request: &mut EnqueueRequest<'_>) -> HookResult {
    let customer = request.headers().iter().find(|(name, _)| name == "customer").map(|(_, value)| value.clone());
    assert_eq!(request.unique(), Some(Unique::by_task()), "what the task says can be seen");
    request.set_unique(customer.map(|customer| Unique::by(&customer)));
    Ok(Decision::Go)
}

#[task(unique, hooks(by_header))]
fn by_hook(number: u32) -> u32 {
    number
}

fn open() -> Huey {
    Huey::builder().open(Memory::new()).unwrap()
}

#[test]
fn a_second_enqueue_of_a_unique_task_gets_the_first_job() {
    let (huey, heard, _) = queue();
    let first = alone::enqueue(&huey).unwrap();
    let second = alone::enqueue(&huey).unwrap();
    assert_eq!((first.id(), first.is_new(), second.is_new()), (second.id(), true, false));
    assert_eq!(heard.list(), "enqueued deduplicated");
    assert_eq!(heard.find(SignalKind::Deduplicated).unwrap().id, first.id(), "the id that stands");
    run(&huey);
    assert_eq!(second.wait(LONG).unwrap(), 1);
    assert_eq!(heard.list(), "enqueued deduplicated executing complete");
    assert!(alone::enqueue(&huey).unwrap().is_new(), "its end frees the key");
}

#[test]
fn a_key_of_arguments_tells_jobs_apart_by_these_alone() {
    let huey = open();
    let first = by_two::enqueue(&huey, 7, "invoice".into(), 1.0).unwrap();
    assert!(!by_two::enqueue(&huey, 7, "invoice".into(), 2.0).unwrap().is_new());
    assert!(by_two::enqueue(&huey, 7, "letter".into(), 1.0).unwrap().is_new());
    assert!(by_two::enqueue(&huey, 8, "invoice".into(), 1.0).unwrap().is_new());
    assert_eq!(huey.counts().unwrap().queued, 3);
    run(&huey);
    assert!((first.wait(LONG).unwrap() - 1.0).abs() < f64::EPSILON, "the first one's arguments stand");
}

#[test]
fn a_rejected_enqueue_names_the_job_that_holds_the_key() {
    let (huey, heard, _) = queue();
    let first = by_letter::enqueue(&huey, "Ada".into()).unwrap();
    let error = by_letter::enqueue(&huey, "Alan".into()).unwrap_err();
    assert!(error.is_conflict() && !error.is_refused(), "{error:?}");
    assert!(error.to_string().contains(&first.id().to_string()), "{error}");
    assert!(by_letter::enqueue(&huey, "Grace".into()).unwrap().is_new());
    assert_eq!(heard.list(), "enqueued rejected enqueued");
    let cause = heard.find(SignalKind::Rejected).unwrap().cause.unwrap();
    assert_eq!(&*cause, format!("rejected by unique: its unique key is held by the job {}", first.id()));
}

#[test]
fn a_key_held_for_a_time_outlives_its_job() {
    let clock = huey::VirtualClock::starting_at(huey::Timestamp::from_micros(1_800_000_000_000_000));
    let huey = Huey::builder().clock(clock.clock()).open(Memory::new()).unwrap();
    let first = hourly::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(first.status().unwrap(), JobState::Complete);
    clock.advance(Duration::from_mins(59));
    assert_eq!(hourly::enqueue(&huey).unwrap().id(), first.id());
    clock.advance(Duration::from_mins(2));
    assert!(hourly::enqueue(&huey).unwrap().is_new());
}

#[test]
fn a_replaced_job_is_canceled_and_its_waiters_are_told() {
    let (huey, heard, _) = queue();
    let first = newest::enqueue(&huey, 7, 1).unwrap();
    let second = newest::enqueue(&huey, 7, 2).unwrap();
    assert!(second.is_new());
    let error = first.wait(LONG).unwrap_err();
    assert_eq!(error.ending(), Some(JobState::Canceled));
    assert_eq!(heard.of(first.id()), "enqueued canceled");
    let cause = heard.find(SignalKind::Canceled).unwrap().cause.unwrap();
    assert_eq!(&*cause, format!("replaced by {}", second.id()));
    run(&huey);
    assert_eq!(second.wait(LONG).unwrap(), 2);
}

#[task(queue = "gated", unique(scope = pending), retries = 1, retry_delay = "1h")]
fn comes_back(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<u32, String> {
    stage.note("runs");
    stage.pass();
    if ctx.attempt() == 1 { Err("once more".into()) } else { Ok(ctx.attempt()) }
}

#[test]
fn a_key_that_is_held_while_a_job_waits_is_held_while_it_waits_for_its_retry() {
    let (huey, _, stage) = queue();
    stage.open();
    let first = comes_back::enqueue(&huey).unwrap();
    assert_eq!(comes_back::enqueue(&huey).unwrap().id(), first.id(), "while it waits");
    huey.consumer().workers(1).queues(["gated"]).run_until_idle().unwrap();
    assert_eq!(first.status().unwrap(), JobState::Scheduled);
    assert_eq!(comes_back::enqueue(&huey).unwrap().id(), first.id(), "while it waits for its retry");
}

#[test]
fn a_job_that_comes_back_is_not_refused_though_another_holds_its_key() {
    let (huey, heard, stage) = queue();
    let first = comes_back::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).queues(["gated"]).start().unwrap();
    stage.wait_notes(1);
    let second = comes_back::job().delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    assert!(second.is_new(), "a running job does not hold it");
    stage.open();
    heard.wait(SignalKind::Retrying, 1);
    consumer.shutdown().wait().unwrap();
    assert_eq!([&first, &second].map(|job| job.status().unwrap()), [JobState::Scheduled; 2]);
    assert!(!comes_back::enqueue(&huey).unwrap().is_new());
}

#[test]
fn the_nearest_choice_of_a_key_wins() {
    let huey = open();
    let _ = decorated::enqueue(&huey, 1).unwrap();
    assert!(decorated::enqueue(&huey, 2).unwrap_err().is_conflict(), "the decorator's");
    assert!(decorated::job(3).unique(Unique::by(&3)).enqueue(&huey).unwrap().is_new(), "the call's");
    assert!(nearer::enqueue(&huey, 1).unwrap().is_new());
    assert!(nearer::enqueue(&huey, 2).unwrap().is_new(), "the task's");
    assert!(!nearer::enqueue(&huey, 2).unwrap().is_new());
}

#[test]
fn a_hook_sees_and_changes_the_unique_key() {
    let huey = open();
    assert!(by_hook::job(1).header("customer", "a").enqueue(&huey).unwrap().is_new());
    assert!(!by_hook::job(2).header("customer", "a").enqueue(&huey).unwrap().is_new());
    assert!(by_hook::job(3).header("customer", "b").enqueue(&huey).unwrap().is_new());
    assert!(by_hook::enqueue(&huey, 4).unwrap().is_new(), "without a key");
    assert!(by_hook::enqueue(&huey, 5).unwrap().is_new(), "without a key");
}

#[test]
fn what_a_hook_left_learns_of_a_duplicate_and_its_values_are_not_written() {
    let outcomes = Arc::new(std::sync::Mutex::new(Vec::new()));
    let told = Arc::clone(&outcomes);
    let (huey, ..) = queue_with(|builder| {
        builder.hook(move |request| {
            request.put(&format!("made/{}", request.id()), &true)?;
            let told = Arc::clone(&told);
            request.after_commit(move |outcome| told.lock().unwrap().push(outcome.clone()));
            Ok(Decision::Go)
        })
    });
    let first = alone::enqueue(&huey).unwrap();
    let _ = alone::enqueue(&huey).unwrap();
    assert_eq!(*outcomes.lock().unwrap(), [EnqueueOutcome::Stored(first.id()), EnqueueOutcome::Existing(first.id())]);
    assert_eq!(huey.keys("made/").unwrap(), [format!("made/{}", first.id())]);
}

#[test]
fn a_duplicate_waits_until_the_job_it_gets_is_durable() {
    let huey = open();
    let first = alone::job().durability(Durability::Relaxed).enqueue(&huey).unwrap();
    let second = alone::job().durability(Durability::Synced).enqueue(&huey).unwrap();
    assert_eq!(first.id(), second.id());
}

#[test]
fn a_thousand_threads_that_enqueue_one_key_store_one_job() {
    let (huey, heard, _) = queue();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..1_000).map(|_| scope.spawn(|| alone::enqueue(&huey).unwrap())).collect();
        let handles: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
        assert_eq!(handles.iter().filter(|handle| handle.is_new()).count(), 1);
        assert!(handles.iter().all(|handle| handle.id() == handles.first().unwrap().id()));
    });
    assert_eq!(huey.counts().unwrap().queued, 1);
    assert_eq!(heard.all().iter().filter(|signal| signal.kind == SignalKind::Deduplicated).count(), 999);
}
