//! Why a job has not run.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use huey::store::{OpenStorage, Storage, StorageOptions};
use huey::{
    Context, Huey, JobId, JobState, Memory, Reason, Revocation, SignalKind, Timestamp, VirtualClock, group, task,
};
use support::{LONG, Stage, queue, queue_with, run};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
async fn polls() {
    std::future::ready(()).await;
}

#[task(retries = 1, retry_delay = "60s")]
fn fails() -> Result<(), &'static str> {
    Err("no route")
}

#[task(queue = "stage")]
fn waits(#[data] stage: &Stage) {
    stage.note("begun");
    stage.pass();
}

#[task]
fn sum(parts: Vec<i64>) -> i64 {
    parts.iter().sum()
}

/// What the explanation says, behind the colon.
fn words(huey: &Huey, id: JobId) -> String {
    let text = huey.explain(id).unwrap().to_string();
    text.split_once(": ").unwrap().1.to_owned()
}

fn reasons(huey: &Huey, id: JobId) -> Vec<Reason> {
    huey.explain(id).unwrap().reasons
}

#[test]
fn a_job_without_a_consumer_says_so_and_one_in_line_as_well() {
    let (huey, ..) = queue();
    let job = add::enqueue(&huey, 1, 2).unwrap().id();
    assert_eq!(reasons(&huey, job), [Reason::NoConsumer]);
    let text = huey.explain(job).unwrap().to_string();
    assert_eq!(
        text,
        format!("the job {job} of `explain::add` in the queue `default` is queued: no consumer runs in this process")
    );
    let elsewhere = huey.consumer().workers(1).queues(["mail", "images"]).start().unwrap();
    let serve = vec!["images".to_owned(), "mail".to_owned()];
    assert_eq!(reasons(&huey, job), [Reason::NotServed { serve }]);
    elsewhere.shutdown().wait().unwrap();
    let plain = huey.consumer().workers(0).start().unwrap();
    assert_eq!(reasons(&huey, job), [Reason::NoWorker]);
    plain.shutdown().wait().unwrap();
    let polls = polls::enqueue(&huey).unwrap().id();
    huey.cancel(job).unwrap();
    let only_plain = huey.consumer().workers(1).async_limit(0).start().unwrap();
    assert_eq!(reasons(&huey, polls), [Reason::NoAsyncPlace]);
    only_plain.shutdown().wait().unwrap();
}

#[test]
fn a_job_behind_others_waits_for_its_turn_and_then_runs() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(1).queues(["default", "stage"]).start().unwrap();
    let first = waits::enqueue(&huey).unwrap();
    stage.wait_notes(1);
    let second = waits::enqueue(&huey).unwrap();
    assert_eq!(reasons(&huey, second.id()), [Reason::InLine { queued: 1, running: 1 }]);
    let running = reasons(&huey, first.id());
    assert!(matches!(running[..], [Reason::Running { attempt: 1, stopping: false, .. }]), "{running:?}");
    first.cancel().unwrap();
    assert!(words(&huey, first.id()).ends_with(", and was told to stop"));
    stage.open();
    second.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(reasons(&huey, second.id()), [Reason::Ended { state: JobState::Complete, cause: String::new() }]);
}

#[test]
fn time_pauses_revocations_and_expiry_are_told_all_at_once() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let huey = Huey::builder().clock(clock.clock()).data_arc(Stage::new()).open(Memory::new()).unwrap();
    let at = Timestamp::from_micros(1_060_000_000);
    let job = add::job(1, 2).run_at(at).expires(Duration::from_secs(90)).enqueue(&huey).unwrap().id();
    let consumer = huey.consumer().workers(1).start().unwrap();
    assert_eq!(reasons(&huey, job), [Reason::Due(at)]);
    huey.queue("default").pause().unwrap();
    huey.revoke::<add>(Revocation::Always).unwrap();
    assert_eq!(reasons(&huey, job), [Reason::Due(at), Reason::Paused, Reason::Revoked]);
    clock.advance(Duration::from_secs(91));
    let late = Reason::Late(Timestamp::from_micros(1_090_000_000));
    assert_eq!(reasons(&huey, job), [late, Reason::Paused, Reason::Revoked]);
    assert!(words(&huey, job).contains("its queue is paused: `resume` it; its task is revoked"));
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_retry_tells_its_last_error_and_an_ended_job_how_it_ended() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let huey = Huey::builder().clock(clock.clock()).data_arc(Stage::new()).open(Memory::new()).unwrap();
    let job = fails::enqueue(&huey).unwrap().id();
    run(&huey);
    let waits = reasons(&huey, job);
    assert!(
        matches!(&waits[..], [Reason::Retry { error: Some(error), .. }, Reason::NoConsumer] if error.message == "no route"),
        "{waits:?}"
    );
    assert!(words(&huey, job).starts_with("attempt 1 failed, and the next one is due at "));
    clock.advance(Duration::from_mins(1));
    run(&huey);
    assert_eq!(words(&huey, job), "it is dead: no route");
    let canceled = add::enqueue(&huey, 1, 2).unwrap();
    canceled.cancel().unwrap();
    assert_eq!(words(&huey, canceled.id()), "it is canceled: canceled by a caller");
}

#[test]
fn later_steps_and_callbacks_name_what_they_wait_for() {
    let (huey, ..) = queue();
    let chain = add::job(1, 2).then(add::with(3)).then(add::with(4)).enqueue(&huey).unwrap();
    let [first, second, third] = chain.ids() else { panic!("three steps") };
    assert_eq!(reasons(&huey, *second), [Reason::Step(*first)]);
    assert_eq!(reasons(&huey, *third), [Reason::Step(*first)]);
    let chord = group([add::job(1, 2), add::job(3, 4).queue("elsewhere")]).then(sum::with()).enqueue(&huey).unwrap();
    let callback = *chord.ids().last().unwrap();
    assert_eq!(reasons(&huey, callback), [Reason::Members { ended: 0, of: 2 }]);
    huey.consumer().workers(1).queues(["default"]).start().unwrap().wait_idle().unwrap_or(());
    assert_eq!(reasons(&huey, callback), [Reason::Members { ended: 1, of: 2 }]);
}

#[test]
fn what_this_program_lacks_is_told_before_a_job_is_parked_for_it() {
    let huey = Huey::builder().open(Memory::new()).unwrap();
    let job = waits::enqueue(&huey).unwrap().id();
    let told = reasons(&huey, job);
    assert!(matches!(&told[..], [Reason::MissingData(types), Reason::NoConsumer] if types[0].ends_with("Stage")));

    let storage = Memory::new().open_storage(StorageOptions::default()).unwrap();
    let (unknown, other) = (stored(&*storage, "nobody::knows"), stored(&*storage, "explain::add"));
    let (huey, ..) = queue_on(Arc::clone(&storage));
    assert_eq!(reasons(&huey, unknown), [Reason::UnknownTask, Reason::NoConsumer]);
    let consumer = huey.consumer().workers(1).start().unwrap();
    consumer.wait_idle().unwrap();
    consumer.shutdown().wait().unwrap();
    assert!(words(&huey, unknown).starts_with("this program has no task named `nobody::knows`"));
    assert_eq!(huey.status(other).unwrap(), JobState::Parked);
}

/// Stores a job of that task whose envelope nobody can read.
fn stored(storage: &dyn Storage, task: &str) -> JobId {
    use huey::store::{Commit, NewJob, Outcome, Transition};
    let Ok(Outcome::Reserved { first, salt }) = storage.commit(Transition::Reserve { count: 1 }, Commit::default())
    else {
        panic!("no id")
    };
    let id = huey::testing::job_id(Timestamp::from_micros(0), first, salt);
    let job = NewJob { task: task.to_owned().into(), ..huey::testing::new_job(id) };
    storage.commit(Transition::enqueue(vec![job]), Commit::default()).unwrap();
    id
}

struct Open(Arc<dyn Storage>);

impl OpenStorage for Open {
    fn open_storage(self, _: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
        Ok(self.0)
    }
}

fn queue_on(storage: Arc<dyn Storage>) -> (Huey, Arc<Stage>) {
    let stage = Stage::new();
    (Huey::builder().data_arc(Arc::clone(&stage)).open(Open(storage)).unwrap(), stage)
}

#[test]
fn a_job_that_is_not_there_cannot_be_explained() {
    let (huey, ..) = queue_with(|builder| builder.retention(Duration::ZERO));
    let job = add::enqueue(&huey, 1, 2).unwrap().id();
    run(&huey);
    let error = huey.explain(job).unwrap_err();
    assert!(error.is_no_such_job() && error.to_string().contains("is gone"), "{error}");
    let other = queue().0;
    assert!(other.explain(job).unwrap_err().to_string().contains("ever had the id"));
}

#[task(lock("ledger", by(account)))]
fn book(#[data] stage: &Stage, account: u64) {
    stage.note(format!("book {account}"));
    stage.pass();
}

#[task]
fn take(#[ctx] ctx: &Context, #[data] stage: &Stage, number: u64) -> huey::Result<()> {
    let _guard = ctx.lock(&number)?;
    stage.note("take");
    stage.pass();
    Ok(())
}

#[task(max_running = 1)]
fn alone(#[data] stage: &Stage) {
    stage.note("alone");
    stage.pass();
}

#[task(rate("mailgun", 2, "10s"))]
fn mail() {}

#[task(lock = "printer", max_running = 1, rate(1, "1h"))]
fn print(#[data] stage: &Stage) {
    stage.note("print");
    stage.pass();
}

#[task(timeout = "20ms", retries = 1)]
fn deaf(#[data] stage: &Stage) {
    stage.note("deaf");
    stage.pass();
}

/// The reasons, though a receiver may not have returned from the last signal.
fn told(huey: &Huey, id: JobId) -> Vec<Reason> {
    reasons(huey, id).into_iter().filter(|reason| *reason != Reason::Unannounced).collect()
}

#[test]
fn a_lock_is_told_with_its_name_and_its_holder_in_line_or_not() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let holder = book::enqueue(&huey, 7).unwrap().id();
    stage.wait_notes(1);
    let waits = book::enqueue(&huey, 7).unwrap().id();
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(told(&huey, waits), [Reason::Locked { lock: Some("ledger".into()), holder }]);
    let words = words(&huey, waits);
    assert!(words.ends_with(&format!("the job {holder} holds the lock `ledger` that it needs")), "{words}");
    let unseen = book::job(7).queue("unserved").enqueue(&huey).unwrap().id();
    let unserved = told(&huey, unseen);
    assert!(matches!(&unserved[..], [Reason::Locked { .. }, Reason::NotServed { .. }]), "{unserved:?}");
    let other = book::job(8).queue("unserved").enqueue(&huey).unwrap().id();
    assert!(matches!(&told(&huey, other)[..], [Reason::NotServed { .. }]), "another account's lock is free");
    stage.open();
    consumer.wait_idle().unwrap();
    assert_eq!(told(&huey, waits), [Reason::Ended { state: JobState::Complete, cause: String::new() }]);
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_lock_that_a_body_found_held_is_told_with_its_holder() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let holder = take::enqueue(&huey, 1).unwrap().id();
    stage.wait_notes(1);
    let waits = take::enqueue(&huey, 1).unwrap();
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(told(&huey, waits.id()), [Reason::Locked { lock: None, holder }]);
    stage.open();
    waits.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_bound_is_told_and_all_that_a_job_needs_is_told_together() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(3).start().unwrap();
    let _ = alone::enqueue(&huey).unwrap();
    let first = print::enqueue(&huey).unwrap().id();
    stage.wait_notes(2);
    let (waits, prints) = (alone::enqueue(&huey).unwrap(), print::enqueue(&huey).unwrap());
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(told(&huey, waits.id()), [Reason::Bound { most: 1 }]);
    let all = told(&huey, prints.id());
    let [Reason::Locked { holder, .. }, Reason::Bound { most: 1 }, Reason::Rate { rate, most: 1, .. }] = &all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!((*holder, rate.as_deref()), (first, Some("explain::print")), "what has no name is named by its task");
    stage.open();
    waits.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_rate_is_told_with_the_instant_at_which_it_lets_the_next_one_begin() {
    let start = Timestamp::from_micros(1_000_000_000);
    let clock = VirtualClock::starting_at(start);
    let huey = Huey::builder().clock(clock.clock()).data_arc(Stage::new()).open(Memory::new()).unwrap();
    let jobs = mail::map(&huey, (0..5).map(|_| ())).unwrap();
    assert_eq!(told(&huey, jobs[0].id()), [Reason::NoConsumer], "the rate has room");
    run(&huey);
    clock.advance(Duration::from_secs(4));
    let (per, rate) = (Duration::from_secs(10), Some("mailgun".to_owned()));
    let next = start + per;
    let used_up = Reason::Rate { rate, most: 2, per, next };
    assert_eq!(told(&huey, jobs[2].id()), [Reason::Due(next), used_up.clone(), Reason::NoConsumer]);
    assert_eq!(told(&huey, jobs[4].id()), [Reason::Due(next + per), used_up, Reason::NoConsumer], "its own turn");
    assert!(
        words(&huey, jobs[2].id())
            .contains("the rate `mailgun` of 2 in 10s is used up, and lets the next one begin at ")
    );
}

#[test]
fn a_body_that_outlives_its_deadline_is_why_its_job_is_not_run_again() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let late = deaf::enqueue(&huey).unwrap();
    heard.wait(SignalKind::Retrying, 1);
    assert_eq!(told(&huey, late.id()), [Reason::RunsOn]);
    stage.open();
    late.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}
