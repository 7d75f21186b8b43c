//! A chord's callback, which another worker may find than the one that ended the last member.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;

use attack::attack;
use huey_macros::task;
use huey_races::{Durability, Huey, Memory, Signal, SignalKind, group};
use shuttle::sync::Arc;
use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shuttle::thread;

/// Orders of each attack.
const ORDERS: usize = 100;

#[task(crate = "huey_races")]
fn member(number: u64) -> u64 {
    number
}

#[task(crate = "huey_races")]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.into_iter().sum()
}

fn the_callback_comes_after_the_receivers_of_the_last_end(durability: Durability) {
    let busy = Arc::new(AtomicUsize::new(0));
    let overlapped = Arc::new(AtomicBool::new(false));
    let (hears, looks, notes) = (Arc::clone(&busy), busy, Arc::clone(&overlapped));
    let builder = Huey::builder().durability(durability).on(SignalKind::Complete, move |signal: &Signal| {
        if &*signal.task == member::NAME {
            hears.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
            hears.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let builder = builder.on(SignalKind::Enqueued, move |signal: &Signal| {
        if &*signal.task == sum::NAME {
            notes.fetch_or(looks.load(Ordering::SeqCst) > 0, Ordering::SeqCst);
        }
    });
    let huey = builder.open(Memory::new()).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let chord = group([member::job(3)]).then(sum::with()).enqueue(&huey).unwrap();
    assert_eq!(chord.wait(std::time::Duration::from_hours(1)).unwrap(), 3);
    consumer.shutdown().wait().unwrap();
    huey.close().unwrap();
    assert!(!overlapped.load(Ordering::SeqCst), "the callback was told of while receivers of a member's end ran");
}

#[test]
fn no_order_of_steps_tells_of_a_callback_while_receivers_of_its_last_member_run() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        attack(ORDERS, move || the_callback_comes_after_the_receivers_of_the_last_end(durability));
    }
}
