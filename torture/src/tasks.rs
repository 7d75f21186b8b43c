//! The tasks of the traffic, and a queue that knows them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use huey::store::{Medium, OpenStorage, Storage, StorageOptions};
use huey::testing::{Inspector, inspected};
use huey::{Context, Error, Huey, HueyBuilder, Result, Signal, SignalKind, task};

use crate::book::line;
use crate::judge::RESULTS;

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
    work(ctx, voice, "steady", failures, &load)
}

/// As `steady`, and nothing is kept of it.
#[task(retries = 5, retry_delay = "1ms", retention = "0s")]
pub(crate) fn fleeting(
    #[ctx] ctx: &Context,
    #[data] voice: &Voice,
    failures: u32,
    load: Vec<u8>,
) -> Result<u64, String> {
    work(ctx, voice, "fleeting", failures, &load)
}

/// A relaxed job.
#[task(retries = 5, retry_delay = "1ms", durability = relaxed)]
pub(crate) fn bulk(#[ctx] ctx: &Context, #[data] voice: &Voice, failures: u32, load: Vec<u8>) -> Result<u64, String> {
    work(ctx, voice, "bulk", failures, &load)
}

fn work(ctx: &Context, voice: &Voice, task: &str, failures: u32, load: &[u8]) -> Result<u64, String> {
    voice.say(&line('X', ctx.id(), task, u64::from(ctx.attempt())));
    if ctx.attempt() <= failures {
        return Err("not yet".into());
    }
    Ok(load.iter().map(|byte| u64::from(*byte)).sum())
}

/// Opens a queue in a medium, with a way to look at its state.
pub(crate) fn open<M: Medium>(medium: M, voice: &Arc<Voice>, interval: Duration) -> Result<(Huey, Inspector)> {
    let tell = |event| {
        let voice = Arc::clone(voice);
        move |signal: &Signal| voice.say(&line(event, signal.id, short(&signal.task), u64::from(signal.attempt)))
    };
    let builder = Huey::builder()
        .crash_limit(0) // being killed is its life here
        .flush_interval(interval)
        .max_results(RESULTS)
        .data_arc(Arc::clone(voice))
        .on(SignalKind::Complete, tell('C'))
        .on(SignalKind::Retrying, tell('R'));
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
