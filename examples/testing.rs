//! What the test kit is good for, in one look: `cargo run --features testing --example testing`. A program's own tests have the
//! same lines in their `#[test]`s, as `tests/users_own.rs` shows.

use std::time::Duration;

use huey::testing::TestQueue;
use huey::{Huey, assert_enqueued, refute_enqueued, store::StorageError, task};

#[task(retries = 2, retry_delay = "1m")]
fn invoice(customer: u64, cents: u64) -> Result<String, String> {
    if cents == 0 { Err("nothing to pay".into()) } else { Ok(format!("{customer} owes {cents}")) }
}

/// The code under test: it knows nothing of tests.
fn order(huey: &Huey, customer: u64, cents: u64) -> huey::Result<huey::JobHandle<String>> {
    invoice::job(customer, cents).delay(Duration::from_secs(30)).enqueue(huey)
}

fn main() -> huey::Result<()> {
    let queue = TestQueue::new();

    let handle = order(&queue, 7, 1_299)?;
    assert_enqueued!(queue, invoice, |args| args.customer == 7 && args.cents == 1_299);
    refute_enqueued!(queue, invoice, |args| args.cents == 0);
    assert_eq!(queue.drain(), 0, "it is not due yet");
    queue.advance(Duration::from_secs(30));
    assert_eq!(queue.drain(), 1);
    println!("{:?}, after {}", handle.get()?, queue.heard_of(handle.id()));

    let hopeless = order(&queue, 8, 0)?;
    queue.run_for(Duration::from_mins(10));
    println!("{}, after {}", hopeless.status()?, queue.heard_of(hopeless.id()));

    queue.fail_next(1, StorageError::Unavailable("the disk is gone".into()));
    println!("{}", order(&queue, 9, 5).expect_err("the storage fails"));
    Ok(())
}
