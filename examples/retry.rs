//! Retries: with a growing wait, as the body asks for them, and never.
//!
//! Run it with `cargo run --example retry`; it takes about half a second.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use huey::{BoxError, Context, Fatal, Huey, JobState, Memory, Retry, SignalKind, task};

static CALLS: AtomicU32 = AtomicU32::new(0);

/// Waits 50 ms, then 100 ms, then 200 ms.
#[task(retries = 3, retry_delay = "50ms", backoff = 2.0)]
fn flaky() -> Result<u32, String> {
    match CALLS.fetch_add(1, Ordering::SeqCst) {
        calls @ 0..2 => Err(format!("call {calls} failed")),
        calls => Ok(calls),
    }
}

/// Says itself when it wants to be called again, which spends no retry.
#[task]
fn asks(#[ctx] ctx: &Context) -> Result<u32, Retry> {
    if ctx.attempt() < 3 { Err(Retry::after(Duration::from_millis(20))) } else { Ok(ctx.attempt()) }
}

/// Knows that trying again is of no use.
#[task(retries = 100)]
fn hopeless(path: String) -> Result<String, BoxError> {
    std::fs::read_to_string(&path).map_err(|error| Fatal::new(format!("{path}: {error}")).into())
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder()
        .on(SignalKind::Retrying, |signal| println!("  attempt {} of {} is tried again", signal.attempt, signal.task))
        .open(Memory::new())?;
    let consumer = huey.consumer().workers(2).start()?;
    let wait = Duration::from_secs(10);
    println!("flaky came to {}", flaky::enqueue(&huey)?.wait(wait)?);
    println!("asks came to {}", asks::enqueue(&huey)?.wait(wait)?);
    let dead = hopeless::enqueue(&huey, "no such file".into())?;
    if let Err(error) = dead.wait(wait) {
        println!("{error}");
    }
    for job in huey.jobs().state(JobState::Dead) {
        let job = job?;
        println!("dead after {} attempt: {}", job.attempts, job.task);
        println!("purged: {}", huey.purge(job.id)?);
    }
    consumer.shutdown().wait()
}
