//! The tasks of the traffic, and a queue that knows them.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use huey::store::{Medium, OpenStorage, Storage, StorageOptions};
use huey::testing::{Inspector, inspected};
use huey::{BoxError, Context, Error, Huey, HueyBuilder, Origin, Result, Signal, SignalKind, task};

use crate::book::{line, micros};
use crate::judge::RESULTS;

/// The queues of all tasks here.
pub(crate) const QUEUES: [&str; 2] = ["default", "side"];

/// Where lines for the book go.
pub(crate) struct Voice(Box<dyn Fn(&str) + Send + Sync>);

impl Voice {
    pub(crate) fn new(say: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Box::new(say))
    }

    pub(crate) fn say(&self, line: &str) {
        (self.0)(line);
    }
}

/// A job whose enqueue and end are synced.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn steady(#[ctx] ctx: &Context, #[data] voice: &Voice, failures: u32, load: Vec<u8>) -> Result<u64, String> {
    work(ctx, voice, failures, || load.iter().map(|byte| u64::from(*byte)).sum())
}

/// As `steady`, and nothing is kept of it.
#[task(retries = 5, retry_delay = "1ms", retention = "0s")]
pub(crate) fn fleeting(
    #[ctx] ctx: &Context,
    #[data] voice: &Voice,
    failures: u32,
    load: Vec<u8>,
) -> Result<u64, String> {
    work(ctx, voice, failures, || load.iter().map(|byte| u64::from(*byte)).sum())
}

/// A relaxed job.
#[task(retries = 5, retry_delay = "1ms", durability = relaxed)]
pub(crate) fn bulk(#[ctx] ctx: &Context, #[data] voice: &Voice, failures: u32, load: Vec<u8>) -> Result<u64, String> {
    work(ctx, voice, failures, || load.iter().map(|byte| u64::from(*byte)).sum())
}

/// The first step of a chain, or a member of a chord: yields the number of its flow.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn step(#[ctx] ctx: &Context, #[data] voice: &Voice, failures: u32, number: u64) -> Result<u64, String> {
    work(ctx, voice, failures, || number)
}

/// A later step, which must get what the one before it yielded.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn next(
    #[ctx] ctx: &Context,
    #[data] voice: &Voice,
    before: u64,
    failures: u32,
    number: u64,
) -> Result<u64, String> {
    if before != number {
        voice.say(&line('O', ctx.id(), "next", before));
    }
    work(ctx, voice, failures, || number)
}

/// The callback of a chord, which must get what all members yielded.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn gather(
    #[ctx] ctx: &Context,
    #[data] voice: &Voice,
    members: Vec<u64>,
    failures: u32,
    number: u64,
    many: usize,
) -> Result<u64, String> {
    if members.len() != many || members.iter().any(|member| *member != number) {
        voice.say(&line('O', ctx.id(), "gather", number));
    }
    voice.say(&line('G', ctx.id(), "gather", number));
    work(ctx, voice, failures, || number)
}

/// One of its key at a time.
#[task(retries = 5, retry_delay = "1ms", unique(by(key)))]
pub(crate) fn single(#[ctx] ctx: &Context, #[data] voice: &Voice, key: u32, failures: u32) -> Result<u64, String> {
    work(ctx, voice, failures, || u64::from(key))
}

/// Waits to be canceled, and may be too early.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn doomed(#[ctx] ctx: &Context, #[data] voice: &Voice) -> Result<u64, String> {
    work(ctx, voice, 0, || 0)
}

/// Revoked now and then.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn moody(#[ctx] ctx: &Context, #[data] voice: &Voice) -> Result<u64, String> {
    work(ctx, voice, 0, || 0)
}

/// Holds the lock of its key, which it declares.
#[task(retries = 5, retry_delay = "1ms", lock("vault", by(key)))]
pub(crate) fn guarded(#[ctx] ctx: &Context, #[data] voice: &Voice, key: u32, failures: u32) -> Result<u64, String> {
    alone(ctx, voice, u64::from(key), failures)
}

/// Takes the same lock in its body, where it may find it held.
#[task(retries = 5, retry_delay = "1ms")]
pub(crate) fn taker(#[ctx] ctx: &Context, #[data] voice: &Voice, key: u32, failures: u32) -> Result<u64, BoxError> {
    let guard = ctx.lock(&("vault", key))?;
    let done = alone(ctx, voice, u64::from(key), failures)?;
    drop(guard);
    Ok(done)
}

/// One at a time by its bound, and not too many in a second, in a queue of its own.
#[task(retries = 5, retry_delay = "1ms", queue = "side", max_running = 1, rate(400, "1s"))]
pub(crate) fn lone(#[ctx] ctx: &Context, #[data] voice: &Voice, failures: u32) -> Result<u64, String> {
    alone(ctx, voice, LONE, failures)
}

/// What stands for the bound of `lone` among the keys of locks.
const LONE: u64 = 1_000;

/// Says from when to when nobody else may be in here under that key.
fn alone(ctx: &Context, voice: &Voice, key: u64, failures: u32) -> Result<u64, String> {
    voice.say(&line('H', ctx.id(), short(ctx.task()), key));
    let done = work(ctx, voice, failures, || key);
    voice.say(&line('U', ctx.id(), short(ctx.task()), key));
    done
}

/// Runs for a while, and says how far it is.
#[task]
pub(crate) fn slow(#[ctx] ctx: &Context, #[data] voice: &Voice, steps: u64) -> Result<u64, BoxError> {
    voice.say(&line('X', ctx.id(), "slow", u64::from(ctx.attempt())));
    for done in 0..steps {
        ctx.checkpoint()?;
        ctx.progress(done, steps, "")?;
        thread::sleep(Duration::from_millis(5));
    }
    voice.say(&line('Y', ctx.id(), "slow", u64::from(ctx.attempt())));
    Ok(steps)
}

/// Made by a schedule.
#[task(every = "1s", overlap = allow, retries = 5, retry_delay = "1ms")]
pub(crate) fn tick(#[ctx] ctx: &Context, #[data] voice: &Voice) -> Result<u64, String> {
    work(ctx, voice, 0, || 0)
}

fn work(ctx: &Context, voice: &Voice, failures: u32, yields: impl FnOnce() -> u64) -> Result<u64, String> {
    voice.say(&line('X', ctx.id(), short(ctx.task()), u64::from(ctx.attempt())));
    if ctx.attempt() <= failures {
        return Err("not yet".into());
    }
    let value = yields();
    voice.say(&line('Y', ctx.id(), short(ctx.task()), u64::from(ctx.attempt())));
    Ok(value)
}

/// How the queue under attack is set up.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// How long a relaxed write may stay off the disk.
    pub(crate) interval: Duration,
    /// 0 where being killed is the life of a job.
    pub(crate) crash_limit: u8,
}

/// Opens a queue in a medium, with a way to look at its state.
pub(crate) fn open<M: Medium>(medium: M, voice: &Arc<Voice>, setup: Setup) -> Result<(Huey, Inspector)> {
    let tell = |event| {
        let voice = Arc::clone(voice);
        move |signal: &Signal| {
            let number = if matches!(event, 'R' | 'P') { u64::from(signal.attempt) } else { micros() };
            voice.say(&line(event, signal.id, short(&signal.task), number));
        }
    };
    let builder = Huey::builder()
        .crash_limit(setup.crash_limit)
        .flush_interval(setup.interval)
        .max_results(RESULTS)
        .data_arc(Arc::clone(voice))
        .on(SignalKind::Enqueued, {
            let voice = Arc::clone(voice);
            // Jobs that a caller makes are acknowledged to the caller.
            move |signal: &Signal| match signal.origin {
                Origin::Periodic { tick } => {
                    let tick = u64::try_from(tick.as_micros()).unwrap_or_default();
                    voice.say(&line('Q', signal.id, short(&signal.task), tick));
                }
                Origin::Chain { .. } | Origin::ChordCallback => {
                    voice.say(&line('S', signal.id, short(&signal.task), micros()));
                }
                _ => {}
            }
        })
        .on(SignalKind::Executing, tell('P'))
        .on(SignalKind::Retrying, tell('R'))
        .on(SignalKind::Complete, tell('C'))
        .on(SignalKind::Canceled, tell('Z'))
        .on(SignalKind::Revoked, tell('V'))
        .on(SignalKind::Dead, tell('D'));
    open_inspected(builder, medium)
}

/// Opens a queue that is set up already.
pub(crate) fn open_inspected<M: Medium>(builder: HueyBuilder, medium: M) -> Result<(Huey, Inspector)> {
    let inspector = Arc::new(Mutex::new(None));
    let huey = builder.open(Inspected { medium, inspector: Arc::clone(&inspector) })?;
    let inspector = inspector.lock().unwrap_or_else(PoisonError::into_inner).take();
    let inspector = inspector.ok_or_else(|| Error::unavailable("the storage was not opened"))?;
    Ok((huey, inspector))
}

fn short(task: &str) -> &str {
    task.rsplit("::").next().unwrap_or(task)
}

struct Inspected<M> {
    medium: M,
    inspector: Arc<Mutex<Option<Inspector>>>,
}

impl<M: Medium> OpenStorage for Inspected<M> {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        let (storage, inspector) = inspected(self.medium, options)?;
        *self.inspector.lock().unwrap_or_else(PoisonError::into_inner) = Some(inspector);
        Ok(storage)
    }
}
