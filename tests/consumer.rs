//! The consumer: idle, its stop and its grace, what it serves, and how it shares a queue.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

#[cfg(unix)]
use std::io::{BufRead, BufReader, Lines};
#[cfg(unix)]
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use huey::{BoxError, Context, Durability, Huey, JobState, Memory, SignalKind, VirtualClock, task};
use support::{LONG, Stage, block_on, in_tokio, queue, queue_with, run};

#[task]
fn count(#[data] stage: &Stage) {
    stage.note("plain");
}

#[task]
async fn count_async(#[data] stage: &Stage) {
    tokio::task::yield_now().await;
    stage.note("async");
}

#[task]
fn gated(#[data] stage: &Stage) {
    stage.note("runs");
    stage.pass();
}

#[task]
async fn gated_async(#[data] stage: &Stage) {
    stage.note("runs");
    stage.pass_async().await;
}

/// Looks at its context until it is told to end.
#[task]
fn looks(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<u32, BoxError> {
    stage.note("runs");
    while stage.notes().len() < 2 {
        ctx.checkpoint()?;
        std::thread::yield_now();
    }
    Ok(ctx.attempt())
}

struct Dropped<'a>(&'a Stage);

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.0.note("dropped");
    }
}

#[task]
async fn hangs(#[data] stage: &Stage, #[ctx] ctx: &Context) -> u32 {
    if stage.notes().len() < 2 {
        stage.note("runs");
        let _dropped = Dropped(stage);
        std::future::pending::<()>().await;
    }
    ctx.attempt()
}

#[task(delivery = at_most_once)]
fn once(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<(), BoxError> {
    stage.note("runs");
    loop {
        ctx.checkpoint()?;
        std::thread::yield_now();
    }
}

#[task]
fn spawns(#[ctx] ctx: &Context, depth: u32) -> huey::Result<()> {
    if depth > 0 {
        let _ = spawns::job(depth - 1).durability(Durability::Relaxed).enqueue(ctx.huey()?)?;
        let _ = spawns_async::enqueue(ctx.huey()?, depth - 1)?;
    }
    Ok(())
}

#[task]
async fn spawns_async(#[ctx] ctx: &Context, depth: u32) -> huey::Result<()> {
    if depth > 0 {
        let _ = spawns::enqueue(ctx.huey()?, depth - 1)?;
        let _ = spawns_async::enqueue_async(ctx.huey()?, depth - 1).await?;
    }
    Ok(())
}

#[test]
fn an_empty_queue_is_idle() {
    let (huey, ..) = queue();
    run(&huey);
    huey.consumer().workers(0).run_until_idle().unwrap();
    huey.consumer().queues(["nobody uses this one"]).run_until_idle().unwrap();
}

#[test]
fn idle_means_that_all_plain_and_async_jobs_have_ended() {
    for workers in [1, 4] {
        let (huey, _, stage) = queue();
        for _ in 0..50 {
            let _ = count::enqueue(&huey).unwrap();
            let _ = count_async::enqueue(&huey).unwrap();
        }
        huey.consumer().workers(workers).run_until_idle().unwrap();
        assert_eq!(stage.notes().len(), 100);
        let counts = huey.counts().unwrap();
        assert_eq!((counts.queued, counts.running, counts.results), (0, 0, 100));
    }
}

#[test]
fn idle_waits_for_jobs_that_jobs_made() {
    for _ in 0..20 {
        let (huey, heard, _) = queue();
        let _ = spawns::enqueue(&huey, 4).unwrap();
        huey.consumer().workers(2).run_until_idle().unwrap();
        let complete = heard.all().iter().filter(|signal| signal.kind == SignalKind::Complete).count();
        assert_eq!(complete, 31);
        assert_eq!(huey.counts().unwrap().queued, 0);
    }
}

#[test]
fn idle_waits_for_jobs_that_receivers_made() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        let this: Arc<std::sync::OnceLock<Huey>> = Arc::default();
        let (huey, heard, _) = queue_with(|builder| {
            let this = Arc::clone(&this);
            builder.on(SignalKind::Complete, move |signal: &huey::Signal| {
                let huey = this.get().unwrap();
                if huey.counts().unwrap().results < 20 && signal.attempt == 1 {
                    let _ = count::job().durability(durability).enqueue(huey).unwrap();
                }
            })
        });
        this.set(huey.clone()).unwrap();
        let _ = count::job().durability(durability).enqueue(&huey).unwrap();
        run(&huey);
        assert!(heard.all().iter().filter(|signal| signal.kind == SignalKind::Complete).count() >= 20);
        assert_eq!(huey.counts().unwrap().queued, 0);
    }
}

#[test]
fn idle_leaves_what_is_scheduled_for_later_and_takes_what_is_due() {
    let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(0));
    let (huey, _, stage) = queue_with(|builder| builder.clock(clock.clock()));
    let soon = count::job().delay(Duration::from_secs(1)).enqueue(&huey).unwrap();
    let late = count::job().delay(Duration::from_secs(9)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(stage.notes().len(), 0);
    clock.advance(Duration::from_secs(1));
    run(&huey);
    assert_eq!((soon.status().unwrap(), late.status().unwrap()), (JobState::Complete, JobState::Scheduled));
}

#[test]
fn a_stop_lets_running_jobs_end_and_leaves_queued_ones() {
    let (huey, heard, stage) = queue();
    let plain = gated::enqueue(&huey).unwrap();
    let later = gated_async::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(LONG).start().unwrap();
    stage.wait_notes(2);
    let left = [count::enqueue(&huey).unwrap(), count::enqueue(&huey).unwrap()];
    let left_async = count_async::enqueue(&huey).unwrap();
    left_async.wait(LONG).unwrap();
    let stopping = consumer.shutdown();
    let unclaimed = count_async::enqueue(&huey).unwrap();
    stage.open();
    stopping.wait().unwrap();
    assert_eq!((plain.status().unwrap(), later.status().unwrap()), (JobState::Complete, JobState::Complete));
    for handle in left.iter().chain([&unclaimed]) {
        assert_eq!(handle.status().unwrap(), JobState::Queued);
        assert_eq!(heard.of(handle.id()), "enqueued");
    }
    run(&huey);
    assert_eq!(unclaimed.status().unwrap(), JobState::Complete);
}

#[test]
fn what_is_running_when_the_grace_ends_goes_back_and_its_attempt_does_not_count() {
    let (huey, heard, stage) = queue();
    let handle = hangs::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    consumer.shutdown().wait().unwrap();
    assert_eq!(stage.notes(), ["runs", "dropped"]);
    assert_eq!(handle.status().unwrap(), JobState::Queued);
    run(&huey);
    assert_eq!(handle.get().unwrap(), Some(1));
    assert_eq!(heard.list(), "enqueued executing interrupted executing complete");

    let (huey, heard, stage) = queue();
    let handle = looks::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    consumer.shutdown().wait().unwrap();
    assert_eq!(handle.status().unwrap(), JobState::Queued);
    run(&huey);
    assert_eq!(handle.get().unwrap(), Some(1));
    assert_eq!(heard.list(), "enqueued executing interrupted executing complete");
}

#[test]
fn an_at_most_once_job_that_is_cut_off_is_lost() {
    let (huey, _, stage) = queue();
    let handle = once::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    consumer.shutdown().wait().unwrap();
    assert_eq!(handle.status().unwrap(), JobState::Lost);
    assert_eq!(handle.get().unwrap_err().ending(), Some(JobState::Lost));
    run(&huey);
    assert_eq!(stage.notes().len(), 1);
}

#[test]
fn a_body_that_never_looks_is_named_and_its_late_end_is_refused() {
    let (huey, heard, stage) = queue();
    let handle = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    let error = consumer.shutdown().wait().unwrap_err();
    assert!(error.to_string().contains(&handle.id().to_string()), "{error}");
    assert!(error.to_string().contains("consumer::gated"), "{error}");
    assert_eq!(handle.status().unwrap(), JobState::Queued);
    assert_eq!(heard.list(), "enqueued executing interrupted");
    stage.open();
    run(&huey);
    assert_eq!(handle.get().unwrap(), Some(()));
    assert_eq!(stage.notes().len(), 2);
    let completes = heard.all().iter().filter(|signal| signal.kind == SignalKind::Complete).count();
    assert_eq!(completes, 1);
}

#[test]
fn dropping_the_handle_stops_gracefully_and_waits_for_it() {
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(LONG).start().unwrap();
    stage.wait_notes(1);
    std::thread::scope(|scope| {
        let dropping = scope.spawn(|| drop(consumer));
        stage.open();
        dropping.join().unwrap();
    });
    assert_eq!(handle.status().unwrap(), JobState::Complete);
    let left = count::enqueue(&huey).unwrap();
    assert_eq!(left.status().unwrap(), JobState::Queued);
}

#[test]
fn a_stop_can_be_awaited() {
    in_tokio(async {
        let (huey, _, stage) = queue();
        let handle = gated_async::enqueue_async(&huey).await.unwrap();
        let consumer = huey.consumer().workers(1).start().unwrap();
        stage.wait_notes(1);
        let stopping = consumer.shutdown();
        stage.open();
        stopping.await.unwrap();
        assert_eq!(handle.status().unwrap(), JobState::Complete);
    });
}

#[test]
fn a_stop_that_nobody_waits_for_goes_on() {
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    drop(consumer.shutdown());
    stage.open();
    handle.wait(LONG).unwrap();
}

#[test]
fn two_consumers_share_a_queue_and_run_each_job_once() {
    let (huey, heard, _) = queue();
    let one = huey.consumer().workers(2).start().unwrap();
    let two = huey.consumer().workers(2).start().unwrap();
    let handles: Vec<_> = (0..300)
        .map(|number| match number % 2 {
            0 => count::job().durability(Durability::Relaxed).enqueue(&huey).unwrap(),
            _ => count_async::enqueue(&huey).unwrap(),
        })
        .collect();
    for handle in &handles[..150] {
        handle.wait(LONG).unwrap();
    }
    one.shutdown().wait().unwrap();
    for handle in &handles {
        handle.wait(LONG).unwrap();
    }
    two.shutdown().wait().unwrap();
    assert_eq!(heard.all().iter().filter(|signal| signal.kind == SignalKind::Executing).count(), 300);
}

#[test]
fn the_consumer_keeps_the_store_open_when_the_last_huey_is_dropped() {
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    drop(huey);
    stage.open();
    handle.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(handle.status().unwrap(), JobState::Complete);
}

#[test]
fn a_closed_queue_takes_and_starts_nothing() {
    let (huey, ..) = queue();
    let handle = count::enqueue(&huey).unwrap();
    huey.close().unwrap();
    huey.close().unwrap();
    assert!(count::enqueue(&huey).unwrap_err().is_closed());
    assert!(handle.status().unwrap_err().is_closed());
    assert!(huey.status(handle.id()).unwrap_err().is_closed());
    assert!(huey.counts().unwrap_err().is_closed());
    assert!(huey.consumer().start().unwrap_err().is_closed());
    assert!(huey.consumer().run_until_idle().unwrap_err().is_closed());
}

#[test]
fn an_async_enqueue_on_a_closed_queue_is_an_error() {
    let (huey, ..) = queue();
    let _ = count::enqueue(&huey).unwrap();
    huey.close().unwrap();
    assert!(block_on(count::enqueue_async(&huey)).unwrap_err().is_closed());
}

#[test]
fn a_queue_that_closes_under_its_consumer_lets_it_stop() {
    let (huey, _, stage) = queue();
    let _ = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(LONG * 10).start().unwrap();
    stage.wait_notes(1);
    huey.close().unwrap();
    stage.open();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn jobs_of_a_queue_that_is_not_served_stay_queued() {
    let (huey, _, stage) = queue();
    let mail = count::job().queue("mail").enqueue(&huey).unwrap();
    let default = count::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((mail.status().unwrap(), default.status().unwrap()), (JobState::Queued, JobState::Complete));
    huey.consumer().workers(1).queues(["mail", "default"]).run_until_idle().unwrap();
    assert_eq!((mail.status().unwrap(), stage.notes().len()), (JobState::Complete, 2));
}

#[test]
fn a_consumer_serves_the_default_queue_of_its_builder() {
    let (huey, ..) = queue_with(|builder| builder.default_queue("work"));
    let here = count::enqueue(&huey).unwrap();
    let there = count::job().queue("default").enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((here.status().unwrap(), there.status().unwrap()), (JobState::Complete, JobState::Queued));
}

#[task(queue = "crowd")]
async fn crowded(#[data] stage: &Stage, #[data] crowd: &Crowd) {
    let now = crowd.now.fetch_add(1, Ordering::SeqCst) + 1;
    crowd.most.fetch_max(now, Ordering::SeqCst);
    stage.note("in");
    stage.pass_async().await;
    crowd.now.fetch_sub(1, Ordering::SeqCst);
}

#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[test]
fn the_async_limit_bounds_how_many_run_at_a_time() {
    let crowd = Arc::new(Crowd::default());
    let (huey, _, stage) = queue_with(|builder| builder.data_arc(Arc::clone(&crowd)));
    let handles: Vec<_> = (0..20).map(|_| crowded::enqueue(&huey).unwrap()).collect();
    let consumer = huey.consumer().workers(0).queues(["crowd"]).async_limit(3).start().unwrap();
    stage.wait_notes(3);
    assert_eq!(huey.counts().unwrap().running, 3);
    stage.open();
    for handle in handles {
        handle.wait(LONG).unwrap();
    }
    drop(consumer);
    assert_eq!(crowd.most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_consumer_without_workers_runs_async_jobs() {
    let (huey, ..) = queue();
    let handle = count_async::enqueue(&huey).unwrap();
    huey.consumer().workers(0).run_until_idle().unwrap();
    assert_eq!(handle.status().unwrap(), JobState::Complete);
}

#[test]
fn a_consumer_that_could_run_nothing_does_not_start() {
    let (huey, ..) = queue();
    assert!(huey.consumer().workers(0).async_limit(0).start().unwrap_err().is_setup());
    assert!(huey.consumer().queues([""; 0]).start().unwrap_err().is_setup());
}

#[test]
fn workers_run_side_by_side() {
    let (huey, _, stage) = queue();
    let handles: Vec<_> = (0..4).map(|_| gated::enqueue(&huey).unwrap()).collect();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(4);
    stage.open();
    for handle in handles {
        handle.wait(LONG).unwrap();
    }
    drop(consumer);
}

#[test]
fn a_sleeping_consumer_wakes_for_each_job() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let both = |round: u32| match round % 2 {
        0 => count::enqueue(&huey).unwrap(),
        _ => count_async::job().durability(Durability::Relaxed).enqueue(&huey).unwrap(),
    };
    for round in 0..400 {
        both(round).wait(LONG).unwrap();
    }
    drop(consumer);
}

#[test]
fn a_job_enqueued_while_the_consumer_stops_is_not_lost() {
    for _ in 0..50 {
        let (huey, _, stage) = queue();
        let consumer = huey.consumer().workers(2).start().unwrap();
        std::thread::scope(|scope| {
            let stopping = scope.spawn(|| consumer.shutdown().wait().unwrap());
            for _ in 0..5 {
                let _ = count::job().durability(Durability::Relaxed).enqueue(&huey).unwrap();
                let _ = count_async::enqueue(&huey).unwrap();
            }
            stopping.join().unwrap();
        });
        run(&huey);
        assert_eq!(stage.notes().len(), 10);
    }
}

#[task(queue = "child")]
fn child_job(#[data] stuck: &AtomicBool) {
    println!("running");
    while stuck.load(Ordering::SeqCst) {
        std::thread::park();
    }
    // Until the test lets it go.
    let _ = std::io::stdin().read_line(&mut String::new());
    println!("ended");
}

/// Not a test of its own: what `run` does in a process that is sent signals.
#[cfg(unix)]
#[test]
fn child_process() {
    let Ok(mode) = std::env::var("HUEY_TEST_CHILD") else { return };
    let stuck = AtomicBool::new(mode == "stuck");
    let huey = Huey::builder().data(stuck).open(Memory::new()).unwrap();
    let handle = child_job::enqueue(&huey).unwrap();
    let stopped = huey.consumer().workers(1).queues(["child"]).grace(LONG).run();
    println!("stopped {} {}", stopped.is_ok(), handle.status().unwrap());
}

#[cfg(unix)]
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

#[cfg(unix)]
impl Process {
    /// Starts this program once more, up to where its job runs.
    fn start(mode: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_process", "--exact", "--nocapture", "--test-threads=1"])
            .env("HUEY_TEST_CHILD", mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().ends_with("running")));
        Self { child, lines }
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }
}

#[cfg(unix)]
#[test]
fn sigterm_and_sigint_stop_a_running_consumer_gracefully() {
    for signal in ["-TERM", "-INT"] {
        let mut process = Process::start("quick");
        process.send(signal);
        drop(process.child.stdin.take());
        let rest: Vec<String> = process.lines.by_ref().map(Result::unwrap).collect();
        let at = |text: &str| rest.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text}: {rest:?}"));
        assert!(at("ended") < at("stopped true complete"));
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{signal}");
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_at_once() {
    let mut process = Process::start("stuck");
    // Two that come together may arrive as one.
    let status = loop {
        process.send("-TERM");
        if let Some(status) = process.child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(128 + 15));
    assert!(!process.lines.any(|line| line.unwrap().starts_with("stopped")));
}
