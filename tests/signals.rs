//! Which signals each way through life makes, in which order, and what holds around them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use huey::__private::serde::{Deserialize, Serialize};
use huey::__private::{Body, Definition, Options, Registration};
use huey::{
    BoxError, Cancel, Context, Decision, Durability, Fatal, Huey, Job, JobHandle, JobState, Origin, Registered, Retry,
    Signal, SignalKind, Task, Timestamp, VirtualClock, task,
};
use support::{LONG, Stage, block_on, lock, queue, queue_with, run};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
async fn add_async(a: i64, b: i64) -> i64 {
    std::future::ready(a + b).await
}

/// Fails so many attempts, then succeeds.
#[task]
fn flaky(#[ctx] ctx: &Context, failures: u32) -> Result<u32, String> {
    if ctx.attempt() <= failures { Err(format!("failure {}", ctx.attempt())) } else { Ok(ctx.attempt()) }
}

#[task]
fn ends(#[ctx] ctx: &Context, how: String) -> Result<(), BoxError> {
    match how.as_str() {
        _ if ctx.attempt() > 1 => Ok(()),
        "retry" => Err(Retry::now().into()),
        "retry later" => Err(Retry::after(Duration::from_secs(5)).into()),
        "cancel" => Err(Cancel::because("not wanted").into()),
        "fatal" => Err(Fatal::new("broken for good").into()),
        _ => panic!("{how}"),
    }
}

#[task(timeout = "1ms")]
async fn sleeps() {
    std::future::pending::<()>().await;
}

#[task(timeout = "1ms")]
fn spins(#[ctx] ctx: &Context) -> Result<(), BoxError> {
    loop {
        ctx.checkpoint()?;
        std::thread::yield_now();
    }
}

#[task]
fn waits(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<(), BoxError> {
    stage.note("waits");
    loop {
        ctx.checkpoint()?;
        std::thread::yield_now();
    }
}

#[task]
async fn waits_async(#[data] stage: &Stage) {
    stage.note("waits");
    std::future::pending::<()>().await;
}

#[task(delivery = at_most_once)]
async fn waits_once(#[data] stage: &Stage) {
    stage.note("waits");
    std::future::pending::<()>().await;
}

struct Unshared;

#[task(queue = "unserved")]
fn needs(#[data] unshared: &Unshared) {
    let _ = unshared;
}

/// A task as another program knew it, which this one does not: it is not in the registry.
macro_rules! foreign {
    ($ty:ident, $name:literal, $signature:expr) => {
        #[derive(Serialize, Deserialize)]
        #[serde(crate = "huey::__private::serde")]
        struct $ty;
        impl Task for $ty {
            type Output = ();
            const DEFINITION: &'static Definition = &Definition {
                name: $name,
                aliases: &[],
                file: file!(),
                line: line!(),
                signature: $signature,
                version: 0,
                upgrade: None,
                output: 0,
                options: Options::NONE,
                needs: &[],
                schedule: None,
                body: Body::Plain(|_| Ok(Vec::new())),
                shown: |_| String::new(),
            };
        }
        impl Registered for $ty {
            const REGISTRATION: &'static Registration = {
                static OWN: Registration = Registration::new::<$ty>(<$ty as Task>::DEFINITION, None, &[]);
                &OWN
            };
        }
    };
}
foreign!(Moved, "signals::moved_away", 1);
foreign!(OldAdd, "signals::add", 1);
foreign!(Garbled, "signals::add", <add as Task>::DEFINITION.signature);

/// Runs a job on one worker, with no care for the level, and gives its signals.
fn signals_of<T: Registered>(job: impl Fn() -> Job<T>) -> String {
    let [relaxed, synced] = [Durability::Relaxed, Durability::Synced].map(|durability| {
        let (huey, heard, _) = queue();
        let handle = job().durability(durability).enqueue(&huey).unwrap();
        run(&huey);
        assert!(heard.all().iter().all(|signal| signal.id == handle.id()));
        heard.list()
    });
    assert_eq!(relaxed, synced);
    synced
}

#[test]
fn a_normal_job() {
    assert_eq!(signals_of(|| add::job(1, 2)), "enqueued executing complete");
    assert_eq!(signals_of(|| add_async::job(1, 2)), "enqueued executing complete");
}

#[test]
fn a_delayed_job() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(0));
    let (huey, heard, _) = queue_with(|builder| builder.clock(clock.clock()));
    let _ = add::job(1, 2).delay(Duration::from_mins(1)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(heard.list(), "enqueued scheduled");
    let due = Timestamp::from_micros(60_000_000);
    assert!(heard.all().iter().all(|signal| signal.run_at == Some(due)));
    clock.advance(Duration::from_mins(1));
    run(&huey);
    assert_eq!(heard.list(), "enqueued scheduled executing complete");
}

#[test]
fn a_run_time_in_the_past_means_now_and_is_not_scheduled() {
    let long_ago = || add::job(1, 2).run_at(Timestamp::from_micros(5));
    assert_eq!(signals_of(long_ago), "enqueued executing complete");
}

#[test]
fn a_job_that_fails() {
    assert_eq!(signals_of(|| flaky::job(9)), "enqueued executing error dead");
    assert_eq!(signals_of(|| flaky::job(9).retries(1)), "enqueued executing error retrying executing error dead");
    assert_eq!(signals_of(|| flaky::job(1).retries(3)), "enqueued executing error retrying executing complete");
    assert_eq!(signals_of(|| ends::job("panics".into())), "enqueued executing error dead");
}

#[test]
fn a_job_that_fails_and_waits_for_its_retry() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(0));
    let (huey, heard, _) = queue_with(|builder| builder.clock(clock.clock()).retry_delay(Duration::from_secs(5)));
    let _ = flaky::job(1).retries(1).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing error retrying scheduled");
    assert_eq!(heard.find(SignalKind::Scheduled).unwrap().run_at, Some(Timestamp::from_micros(5_000_000)));
    clock.advance(Duration::from_secs(5));
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing error retrying scheduled executing complete");
    let attempts: Vec<u32> = heard.all().iter().map(|signal| signal.attempt).collect();
    assert_eq!(attempts, [0, 1, 1, 1, 1, 2, 2]);
    let error = heard.find(SignalKind::Error).unwrap().error.unwrap();
    assert_eq!((error.message.as_str(), error.attempt), ("failure 1", 1));
}

#[test]
fn an_expired_job() {
    assert_eq!(signals_of(|| add::job(1, 2).expires(Duration::ZERO)), "enqueued expired");
    let clock = VirtualClock::starting_at(Timestamp::from_micros(0));
    let (huey, heard, _) = queue_with(|builder| builder.clock(clock.clock()));
    let seconds = Duration::from_secs;
    let _ = add::job(1, 2).delay(seconds(9)).expires(seconds(5)).enqueue(&huey).unwrap();
    clock.advance(seconds(9));
    run(&huey);
    assert_eq!(heard.list(), "enqueued scheduled expired");
}

#[test]
fn a_body_that_chooses_its_ending() {
    let ends = |how: &str| {
        let how = how.to_owned();
        signals_of(move || ends::job(how.clone()).retries(3))
    };
    assert_eq!(ends("retry"), "enqueued executing retrying executing complete");
    assert_eq!(ends("retry later"), "enqueued executing retrying scheduled");
    assert_eq!(ends("cancel"), "enqueued executing canceled");
    assert_eq!(ends("fatal"), "enqueued executing error dead");
}

#[test]
fn a_cancel_tells_its_cause() {
    let (huey, heard, _) = queue();
    let handle = ends::enqueue(&huey, "cancel".into()).unwrap();
    run(&huey);
    assert_eq!(heard.find(SignalKind::Canceled).unwrap().cause.as_deref(), Some("not wanted"));
    let error = handle.get().unwrap_err();
    assert_eq!(error.ending(), Some(JobState::Canceled));
    assert!(error.to_string().contains("not wanted"), "{error}");
}

#[test]
fn a_job_that_passes_its_deadline() {
    assert_eq!(signals_of(sleeps::job), "enqueued executing timeout dead");
    assert_eq!(signals_of(spins::job), "enqueued executing timeout dead");
    let twice = "enqueued executing timeout retrying executing timeout dead";
    assert_eq!(signals_of(|| sleeps::job().retries(1)), twice);
    assert_eq!(signals_of(|| spins::job().retries(1)), twice);
}

#[test]
fn a_refused_enqueue_and_one_answered_with_an_existing_job() {
    let first = Arc::new(OnceLock::new());
    let (huey, heard, _) = queue_with(|builder| {
        let first = Arc::clone(&first);
        builder.hook(move |request| match first.get() {
            _ if request.headers().iter().any(|(name, _)| name == "bad") => Err("bad".into()),
            Some(id) => Ok(Decision::Existing(*id)),
            None => Ok(Decision::Go),
        })
    });
    let _ = add::job(1, 2).header("bad", "").enqueue(&huey).unwrap_err();
    assert_eq!(heard.list(), "rejected");
    let handle = add::enqueue(&huey, 1, 2).unwrap();
    first.set(handle.id()).unwrap();
    let _ = add::enqueue(&huey, 3, 4).unwrap();
    assert_eq!(heard.list(), "rejected enqueued deduplicated");
    assert_eq!(heard.find(SignalKind::Deduplicated).unwrap().id, handle.id());
}

#[test]
fn a_job_that_fits_no_task_of_this_program_is_parked() {
    assert_eq!(signals_of(|| Job::new(Moved)), "enqueued parked");
    assert_eq!(signals_of(|| Job::new(OldAdd)), "enqueued parked");
    assert_eq!(signals_of(|| needs::job().queue("default")), "enqueued parked");

    let (huey, heard, _) = queue();
    let moved = Job::new(Moved).enqueue(&huey).unwrap();
    let old = Job::new(OldAdd).enqueue(&huey).unwrap();
    let missing = needs::job().queue("default").enqueue(&huey).unwrap();
    run(&huey);
    for id in [moved.id(), old.id(), missing.id()] {
        assert_eq!(huey.status(id).unwrap(), JobState::Parked);
    }
    assert_eq!(moved.get().unwrap(), None);
    assert_eq!(huey.counts().unwrap().parked, 3);
    let cause = |id| {
        let of = |signal: &Signal| signal.id == id && signal.kind == SignalKind::Parked;
        heard.all().into_iter().find(of).unwrap().cause.unwrap()
    };
    assert!(cause(moved.id()).contains("no task named `signals::moved_away`"), "{}", cause(moved.id()));
    assert!(cause(old.id()).contains("signals::add"), "{}", cause(old.id()));
    assert!(cause(missing.id()).contains("Unshared"), "{}", cause(missing.id()));
}

#[test]
fn a_job_whose_arguments_do_not_decode_is_parked_and_spoils_no_listing_and_no_count() {
    let (huey, heard, _) = queue();
    let good = add::enqueue(&huey, 1, 2).unwrap().id();
    let garbled = Job::new(Garbled).retries(3).enqueue(&huey).unwrap().id();
    let states = || huey.jobs().task::<add>().map(|job| job.unwrap().state).collect::<Vec<_>>();
    assert_eq!((states(), huey.counts_of::<add>().unwrap().queued), (vec![JobState::Queued; 2], 2));
    run(&huey);
    assert_eq!(states(), [JobState::Complete, JobState::Parked]);
    assert_eq!((huey.counts().unwrap().parked, huey.is_active::<add>().unwrap()), (1, false));
    assert_eq!(huey.handle::<add>(good).unwrap().get().unwrap(), Some(3));
    let info = huey.info(garbled).unwrap().unwrap();
    assert_eq!((info.state, info.attempts), (JobState::Parked, 0), "no attempt counts");
    // Only the attempt itself reads them.
    assert_eq!(heard.of(garbled), "enqueued executing parked");
    let cause = heard.find(SignalKind::Parked).unwrap().cause.unwrap();
    assert!(cause.contains("arguments"), "{cause}");
}

#[test]
fn a_job_that_is_running_when_the_grace_ends() {
    fn interrupted<T: Registered>(job: fn() -> Job<T>) -> (String, JobState) {
        let (huey, heard, stage) = queue();
        let handle = job().enqueue(&huey).unwrap();
        let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
        stage.wait_notes(1);
        consumer.shutdown().wait().unwrap();
        (heard.list(), handle.status().unwrap())
    }
    let list = "enqueued executing interrupted".to_owned();
    assert_eq!(interrupted(waits_async::job), (list.clone(), JobState::Queued));
    assert_eq!(interrupted(waits::job), (list.clone(), JobState::Queued));
    assert_eq!(interrupted(waits_once::job), (list, JobState::Lost));
}

#[test]
fn signals_carry_the_job_and_rising_numbers() {
    let (huey, heard, _) = queue();
    let one = add::job(1, 2).header("a", "b").queue("mail").enqueue(&huey).unwrap();
    let two = flaky::enqueue(&huey, 1).unwrap();
    huey.consumer().workers(1).queues(["mail", "default"]).run_until_idle().unwrap();
    let all = heard.all();
    let numbers: Vec<u64> = all.iter().map(|signal| signal.sequence).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    for signal in all.iter().filter(|signal| signal.id == one.id()) {
        assert_eq!((&*signal.task, &*signal.queue), ("signals::add", "mail"));
        assert_eq!(signal.headers.to_vec(), [("a".to_owned(), "b".to_owned())]);
        assert_eq!(signal.origin, Origin::Call { parent: None });
    }
    assert_eq!(heard.of(two.id()), "enqueued executing error dead");
}

#[test]
fn a_job_cannot_be_claimed_before_the_receivers_of_its_enqueue_returned() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        let (entered, has_entered) = channel();
        let (leave, may_leave) = channel::<()>();
        let (done, may_leave) = (Arc::new(AtomicBool::new(false)), Mutex::new(may_leave));
        let too_early = Arc::new(AtomicBool::new(false));
        let (huey, ..) = queue_with(|builder| {
            let (left, done, too_early) = (Arc::clone(&done), done, Arc::clone(&too_early));
            builder
                .on(SignalKind::Enqueued, move |signal: &Signal| {
                    if &*signal.task == "signals::add" {
                        entered.send(()).unwrap();
                        lock(&may_leave).recv().unwrap();
                        left.store(true, Ordering::SeqCst);
                    }
                })
                .on(SignalKind::Executing, move |signal: &Signal| {
                    let early = &*signal.task == "signals::add" && !done.load(Ordering::SeqCst);
                    too_early.fetch_or(early, Ordering::SeqCst);
                })
        });
        let consumer = huey.consumer().workers(2).start().unwrap();
        std::thread::scope(|scope| {
            let enqueued = scope.spawn(|| add::job(1, 2).durability(durability).enqueue(&huey).unwrap());
            has_entered.recv_timeout(LONG).unwrap();
            // Both workers have looked past the held job by the time these are done.
            for _ in 0..20 {
                let _ = flaky::job(0).durability(durability).enqueue(&huey).unwrap().wait(LONG).unwrap();
            }
            leave.send(()).unwrap();
            assert_eq!(enqueued.join().unwrap().wait(LONG).unwrap(), 3);
        });
        assert!(!too_early.load(Ordering::SeqCst));
        drop(consumer);
    }
}

#[test]
fn a_retry_cannot_be_claimed_before_the_receivers_of_its_failure_returned() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        let busy = Arc::new(AtomicBool::new(false));
        let overlapped = Arc::new(AtomicBool::new(false));
        let (huey, ..) = queue_with(|builder| {
            let (hears, busy) = (Arc::clone(&busy), busy);
            let overlapped = Arc::clone(&overlapped);
            builder
                .on(SignalKind::Retrying, move |_: &Signal| {
                    hears.store(true, Ordering::SeqCst);
                    for _ in 0..1_000 {
                        std::thread::yield_now();
                    }
                    hears.store(false, Ordering::SeqCst);
                })
                .on(SignalKind::Executing, move |_: &Signal| {
                    overlapped.fetch_or(busy.load(Ordering::SeqCst), Ordering::SeqCst);
                })
        });
        let consumer = huey.consumer().workers(4).start().unwrap();
        let handle = flaky::job(20).retries(20).durability(durability).enqueue(&huey).unwrap();
        assert_eq!(handle.wait(LONG).unwrap(), 21);
        assert!(!overlapped.load(Ordering::SeqCst));
        drop(consumer);
    }
}

#[test]
fn a_receiver_that_panics_or_fails_stops_nobody() {
    let (huey, heard, _) = queue_with(|builder| {
        builder
            .on(SignalKind::Enqueued, |_: &Signal| -> () { panic!("a receiver") })
            .on(SignalKind::Executing, |_: &Signal| Err::<(), _>("a receiver fails"))
            .on_any(|_: &Signal| -> () { panic!("a receiver of all") })
    });
    let plain = add::enqueue(&huey, 1, 2).unwrap();
    let later = add_async::job(3, 4).durability(Durability::Relaxed).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((plain.get().unwrap(), later.get().unwrap()), (Some(3), Some(7)));
    assert_eq!(heard.of(plain.id()), "enqueued executing complete");
}

#[test]
fn the_outcome_can_be_read_when_its_signal_is_heard() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        let this: Arc<OnceLock<Huey>> = Arc::default();
        let read = Arc::new(Mutex::new(Vec::new()));
        let (huey, ..) = queue_with(|builder| {
            let (this, read) = (Arc::clone(&this), Arc::clone(&read));
            builder.on_any(move |signal: &Signal| {
                use SignalKind::{Complete, Dead, Error, Expired};
                if matches!(signal.kind, Complete | Error | Dead | Expired)
                    && let Some(huey) = this.get()
                {
                    let handle: JobHandle<u32> = huey.handle::<flaky>(signal.id).unwrap();
                    let got = handle.get().map_err(|error| error.ending());
                    lock(&read).push((handle.status().unwrap(), got));
                }
            })
        });
        this.set(huey.clone()).unwrap();
        let _ = flaky::job(0).durability(durability).enqueue(&huey).unwrap();
        let _ = flaky::job(9).durability(durability).enqueue(&huey).unwrap();
        let _ = flaky::job(9).expires(Duration::ZERO).durability(durability).enqueue(&huey).unwrap();
        run(&huey);
        let expected = [
            (JobState::Complete, Ok(Some(1))),
            (JobState::Dead, Err(Some(JobState::Dead))), // when `error` is heard, and
            (JobState::Dead, Err(Some(JobState::Dead))), // when `dead` is
            (JobState::Expired, Err(Some(JobState::Expired))),
        ];
        let mut read = std::mem::take(&mut *lock(&read));
        read.sort_by_key(|(state, _)| expected.iter().position(|(known, _)| known == state));
        assert_eq!(read, expected);
    }
}

#[test]
fn a_result_that_is_not_kept_reaches_those_who_wait_already() {
    #[task(retention = "0s")]
    fn fleeting(#[data] stage: &Stage) -> u8 {
        stage.note("runs");
        stage.pass();
        7
    }
    let (huey, _, stage) = queue();
    let handle = fleeting::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    let mut wait = Box::pin(handle.clone().into_future());
    let waker = std::task::Waker::noop();
    assert!(wait.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    stage.open();
    assert_eq!(block_on(wait).unwrap(), 7);
    drop(consumer);
    assert_eq!(handle.status().unwrap(), JobState::Gone);
    assert!(handle.wait(LONG).unwrap_err().is_no_such_job());
}

#[test]
fn no_signal_tells_of_a_write_that_failed() {
    let (huey, heard, _) = queue();
    let _ = add::enqueue(&huey, 1, 2).unwrap();
    huey.close().unwrap();
    add::enqueue(&huey, 1, 2).unwrap_err();
    assert_eq!(heard.list(), "enqueued");
}

#[test]
fn a_dropped_async_enqueue_stores_its_job_and_tells_of_it() {
    let (huey, heard, _) = queue();
    drop(add::enqueue_async(&huey, 1, 2));
    heard.wait(SignalKind::Enqueued, 1);
    run(&huey);
    assert_eq!(heard.list(), "enqueued executing complete");
    let handle = huey.handle::<add>(heard.all()[0].id).unwrap();
    assert_eq!(handle.get().unwrap(), Some(3));
}
