//! A long job that tells how far it is, and is canceled; a task that is revoked and restored.
//!
//! Run it with `cargo run --example cancel`.

use std::time::Duration;

use huey::{BoxError, Context, Huey, JobState, Memory, Revocation, task};

/// Looks now and then whether it is still wanted.
#[task(retries = 5)]
fn count_to(#[ctx] ctx: &Context, total: u64) -> Result<u64, BoxError> {
    for done in 0..total {
        ctx.checkpoint()?;
        if done % 1_000 == 0 {
            ctx.progress(done, total, "counting")?;
        }
        std::thread::yield_now();
    }
    Ok(total)
}

#[task]
fn send_newsletter(to: String) -> String {
    to
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().open(Memory::new())?;
    let consumer = huey.consumer().workers(1).start()?;

    let counting = count_to::enqueue(&huey, u64::MAX)?;
    let own = counting.subscribe(1_000)?;
    while let Some(signal) = own.recv() {
        if let Some(progress) = signal.progress.filter(|progress| progress.done >= 3_000) {
            println!("it is at {} of very many", progress.done);
            break;
        }
    }
    println!("canceled while {}", counting.cancel()?);
    match counting.wait(Duration::from_secs(5)) {
        Err(error) if error.ending() == Some(JobState::Canceled) => println!("{error}"),
        other => println!("it ended otherwise: {other:?}"),
    }

    let scheduled = send_newsletter::job("ada@example.org".into()).delay(Duration::from_hours(1)).enqueue(&huey)?;
    println!("a waiting one is {} at once", scheduled.cancel()?);

    huey.revoke::<send_newsletter>(Revocation::Always)?;
    let revoked = send_newsletter::enqueue(&huey, "bob@example.org".into())?;
    let ended = revoked.wait(Duration::from_secs(5));
    println!("{}", ended.map_or_else(|error| error.to_string(), |to| format!("sent to {to}")));
    println!("it was revoked: {}", huey.restore::<send_newsletter>()?);
    println!("sent to {}", send_newsletter::enqueue(&huey, "eve@example.org".into())?.wait(Duration::from_secs(5))?);

    consumer.shutdown().wait()
}
