//! Locks, bounds and rates: what runs one at a time, what runs a few at a time, and what begins so often at most.
//!
//! `cargo run --example locks`

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use huey::{BoxError, Context, Huey, Memory, task};

static BALANCE: AtomicI64 = AtomicI64::new(0);
static RENDERING: AtomicU32 = AtomicU32::new(0);

/// Reads, thinks, and writes: two at once would lose one of them, so they hold a lock.
#[task(lock = "balance")]
fn deposit(cents: i64) {
    let balance = BALANCE.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(1));
    BALANCE.store(balance + cents, Ordering::SeqCst);
}

/// Takes the same lock, but only when there is something to do.
#[task]
fn withdraw(#[ctx] ctx: &Context, cents: i64) -> Result<(), BoxError> {
    if cents > 0 {
        let _balance = ctx.lock("balance")?; // while it is held the body ends here, and runs again when it is free
        let balance = BALANCE.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
        BALANCE.store(balance - cents, Ordering::SeqCst);
    }
    Ok(())
}

/// At most two at once, however many workers there are.
#[task(max_running = 2)]
fn render(page: u32) -> u32 {
    assert!(RENDERING.fetch_add(1, Ordering::SeqCst) < 2, "page {page} is one too many");
    std::thread::sleep(Duration::from_millis(5));
    RENDERING.fetch_sub(1, Ordering::SeqCst);
    page
}

/// At most ten begin in any 100 ms.
#[task(rate(10, "100ms"))]
fn call_the_api() {}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().open(Memory::new())?;
    deposit::map(&huey, (0..20).map(|_| 100))?;
    withdraw::map(&huey, (0..20).map(|number| number % 2 * 100))?;
    render::map(&huey, 0..8)?;
    let calls = call_the_api::map(&huey, (0..30).map(|_| ()))?;

    let begun = Instant::now();
    let consumer = huey.consumer().workers(8).start()?;
    for call in &calls {
        call.wait(Duration::from_secs(10))?;
    }
    consumer.wait_idle()?;
    consumer.shutdown().wait()?;

    let balance = BALANCE.load(Ordering::SeqCst);
    println!("{balance} cents are left, and 30 calls took {:?}", begun.elapsed());
    assert_eq!(balance, 1_000);
    Ok(())
}
