//! Many threads, many jobs, and code of the user's that enqueues from everywhere.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use huey::{Context, Decision, Durability, EnqueueRequest, HookResult, Huey, JobState, Signal, SignalKind, task};
use support::{LONG, block_on, queue_with};

const THREADS: u64 = 8;
const JOBS: u64 = 2_000;

/// How often each job ran.
struct Runs(Vec<AtomicU64>);

impl Runs {
    fn new(jobs: u64) -> Arc<Self> {
        Arc::new(Self((0..jobs).map(|_| AtomicU64::new(0)).collect()))
    }

    fn run(&self, number: u64) -> u64 {
        self.0[usize::try_from(number).unwrap()].fetch_add(1, Ordering::SeqCst);
        number
    }

    fn each_ran_once(&self) -> bool {
        self.0.iter().all(|runs| runs.load(Ordering::SeqCst) == 1)
    }
}

#[task]
fn plain(#[data] runs: &Runs, number: u64) -> u64 {
    runs.run(number)
}

#[task]
async fn later(#[data] runs: &Runs, number: u64) -> u64 {
    tokio::task::yield_now().await;
    runs.run(number)
}

#[test]
fn each_of_many_jobs_runs_once_and_every_handle_resolves() {
    let runs = Runs::new(THREADS * JOBS);
    let signals = Arc::new(AtomicUsize::new(0));
    let (huey, ..) = queue_with(|builder| {
        let signals = Arc::clone(&signals);
        builder.data_arc(Arc::clone(&runs)).on(SignalKind::Complete, move |_: &Signal| {
            signals.fetch_add(1, Ordering::SeqCst);
        })
    });
    let consumer = huey.consumer().workers(4).start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let huey = &huey;
            scope.spawn(move || {
                let mut handles = Vec::new();
                for number in thread * JOBS..(thread + 1) * JOBS {
                    let level = if number % 3 == 0 { Durability::Synced } else { Durability::Relaxed };
                    handles.push(match number % 4 {
                        0 | 1 => plain::job(number).durability(level).enqueue(huey).unwrap(),
                        2 => later::job(number).durability(level).enqueue(huey).unwrap(),
                        _ => block_on(later::job(number).durability(level).enqueue_async(huey)).unwrap(),
                    });
                }
                for (number, handle) in (thread * JOBS..).zip(handles) {
                    let got = if number % 2 == 0 { handle.wait(LONG) } else { block_on(handle) };
                    assert_eq!(got.unwrap(), number);
                }
            });
        }
    });
    consumer.shutdown().wait().unwrap();
    assert!(runs.each_ran_once());
    assert_eq!(signals.load(Ordering::SeqCst), usize::try_from(THREADS * JOBS).unwrap());
    let counts = huey.counts().unwrap();
    assert_eq!((counts.queued, counts.running, counts.results), (0, 0, THREADS * JOBS));
}

/// Makes two more of its kind, one of them in the other kind, `left` generations deep.
#[task]
fn breeds(#[ctx] ctx: &Context, left: u32, synced: bool) -> huey::Result<()> {
    if left > 0 {
        let _ = breeds::job(left - 1, synced).durability(level(synced)).enqueue(ctx.huey()?)?;
        let _ = breeds_async::job(left - 1, synced).durability(level(synced)).enqueue(ctx.huey()?)?;
    }
    Ok(())
}

#[task]
async fn breeds_async(#[ctx] ctx: &Context, left: u32, synced: bool) -> huey::Result<()> {
    if left > 0 {
        let _ = breeds::job(left - 1, synced).durability(level(synced)).enqueue(ctx.huey()?)?;
        let _ = breeds_async::job(left - 1, synced).durability(level(synced)).enqueue_async(ctx.huey()?).await?;
    }
    Ok(())
}

#[task]
fn echo(#[ctx] ctx: &Context) -> Option<String> {
    ctx.header("from").map(str::to_owned)
}

fn level(synced: bool) -> Durability {
    if synced { Durability::Synced } else { Durability::Relaxed }
}

#[test]
fn bodies_hooks_callbacks_and_receivers_may_all_enqueue() {
    for synced in [false, true] {
        let this: Arc<OnceLock<Huey>> = Arc::default();
        let echoes = |from: &'static str| {
            let this = Arc::clone(&this);
            move || {
                let job = echo::job().header("from", from).durability(level(synced));
                let _ = job.enqueue(this.get().unwrap()).unwrap();
            }
        };
        let is_echo = |task: &str| task == "stress::echo";
        let (huey, heard, _) = queue_with(|builder| {
            let builder = builder.data_arc(Runs::new(0));
            let (hook, callback) = (echoes("hook"), Arc::new(echoes("callback")));
            let builder = builder.hook(move |request: &mut EnqueueRequest<'_>| -> HookResult {
                if !is_echo(request.task()) {
                    hook();
                    let callback = Arc::clone(&callback);
                    request.after_commit(move |_| callback());
                }
                Ok(Decision::Go)
            });
            [SignalKind::Enqueued, SignalKind::Executing, SignalKind::Complete].into_iter().fold(
                builder,
                |builder, kind| {
                    let echo = echoes("receiver");
                    builder.on(kind, move |signal: &Signal| {
                        if !is_echo(&signal.task) {
                            echo();
                        }
                    })
                },
            )
        });
        this.set(huey.clone()).unwrap();
        let _ = breeds::job(5, synced).durability(level(synced)).enqueue(&huey).unwrap();
        huey.consumer().workers(4).queues(["default"]).run_until_idle().unwrap();
        let complete: Vec<Signal> =
            heard.all().into_iter().filter(|signal| signal.kind == SignalKind::Complete).collect();
        let bred = complete.iter().filter(|signal| !is_echo(&signal.task)).count();
        assert_eq!((bred, complete.len()), (63, 63 + 5 * 63));
        assert!(complete.iter().all(|signal| huey.status(signal.id).unwrap() == JobState::Complete));
    }
}

#[task]
fn unreliable(#[data] runs: &Runs, #[ctx] ctx: &Context, number: u64) -> Result<u32, String> {
    if u64::from(ctx.attempt()) <= number % 4 {
        return Err(format!("failure {}", ctx.attempt()));
    }
    runs.run(number);
    Ok(ctx.attempt())
}

#[test]
fn retries_under_load_are_counted_per_job() {
    let runs = Runs::new(2_000);
    let (huey, ..) = queue_with(|builder| builder.data_arc(Arc::clone(&runs)));
    let handles: Vec<_> = (0..2_000)
        .map(|number| unreliable::job(number).retries(3).durability(level(number % 2 == 0)).enqueue(&huey).unwrap())
        .collect();
    huey.consumer().workers(4).run_until_idle().unwrap();
    for (number, handle) in handles.iter().enumerate() {
        assert_eq!(handle.get().unwrap(), Some(u32::try_from(number % 4 + 1).unwrap()));
    }
    assert!(runs.each_ran_once());
}

#[test]
fn consumers_that_come_and_go_lose_and_double_nothing() {
    let runs = Runs::new(2_000);
    let (huey, ..) = queue_with(|builder| builder.data_arc(Arc::clone(&runs)));
    std::thread::scope(|scope| {
        let enqueueing = scope.spawn(|| {
            for number in 0..2_000 {
                let _ = match number % 2 {
                    0 => plain::job(number).durability(Durability::Relaxed).enqueue(&huey).unwrap(),
                    _ => later::job(number).durability(Durability::Relaxed).enqueue(&huey).unwrap(),
                };
            }
        });
        while !enqueueing.is_finished() {
            huey.consumer().workers(2).start().unwrap().shutdown().wait().unwrap();
        }
    });
    huey.consumer().workers(2).run_until_idle().unwrap();
    assert!(runs.each_ran_once());
}
