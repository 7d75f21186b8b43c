//! Signals through a channel, for slow work that no job waits for.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use huey::{Huey, Memory, SignalKind, task};
use support::{LONG, block_on, run};

#[task]
fn double(number: u64) -> u64 {
    number * 2
}

fn open() -> Huey {
    Huey::builder().open(Memory::new()).unwrap()
}

#[test]
fn a_subscription_hears_every_signal_from_its_beginning_in_order() {
    let huey = open();
    let _ = double::enqueue(&huey, 1).unwrap();
    let signals = huey.subscribe(100).unwrap();
    let second = double::enqueue(&huey, 2).unwrap();
    run(&huey);
    huey.close().unwrap();
    let heard: Vec<_> = signals.collect();
    let kinds: Vec<_> = heard.iter().filter(|signal| signal.id == second.id()).map(|signal| signal.kind).collect();
    assert_eq!(kinds, [SignalKind::Enqueued, SignalKind::Executing, SignalKind::Complete]);
    assert_eq!(heard.len(), 5, "the first job's beginning and end among them: {heard:?}");
    assert!(heard.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
}

#[test]
fn a_full_subscription_drops_the_oldest_and_counts_them() {
    let huey = open();
    let signals = huey.subscribe(3).unwrap();
    let handles = double::map(&huey, 0..10).unwrap();
    assert_eq!(signals.dropped(), 7);
    assert_eq!(signals.dropped(), 0, "since the last call");
    let heard: Vec<_> = std::iter::from_fn(|| signals.try_recv()).map(|signal| signal.id).collect();
    let newest: Vec<_> = handles.iter().skip(7).map(huey::JobHandle::id).collect();
    assert_eq!(heard, newest);
}

#[test]
fn the_queue_never_waits_for_a_subscription() {
    let huey = open();
    let signals = huey.subscribe(0).unwrap();
    for number in 0..100 {
        let _ = double::enqueue(&huey, number).unwrap();
    }
    run(&huey);
    assert_eq!(signals.try_recv().unwrap().kind, SignalKind::Complete, "the newest is kept");
    drop(signals);
    let _ = double::enqueue(&huey, 1).unwrap();
}

#[test]
fn a_subscription_can_be_awaited() {
    let huey = open();
    let signals = huey.subscribe(10).unwrap();
    let told = std::thread::spawn(move || {
        let first = block_on(signals.recv_async()).unwrap().kind;
        (first, block_on(signals.recv_async()).map(|signal| signal.kind))
    });
    let _ = double::enqueue(&huey, 1).unwrap();
    huey.close().unwrap();
    assert_eq!(told.join().unwrap(), (SignalKind::Enqueued, None));
}

#[test]
fn a_subscription_blocks_until_something_comes_or_the_time_is_over() {
    let huey = open();
    let signals = huey.subscribe(10).unwrap();
    assert!(signals.recv_timeout(Duration::from_millis(1)).is_none());
    let (waiting, _) = (std::thread::spawn(move || signals.recv_timeout(LONG)), double::enqueue(&huey, 1).unwrap());
    assert_eq!(waiting.join().unwrap().unwrap().kind, SignalKind::Enqueued);
}

#[test]
fn two_subscriptions_hear_the_same() {
    let huey = open();
    let (one, other) = (huey.subscribe(10).unwrap(), huey.subscribe(10).unwrap());
    let _ = double::enqueue(&huey, 1).unwrap();
    run(&huey);
    let all = |signals: &huey::Subscription| std::iter::from_fn(|| signals.try_recv()).count();
    assert_eq!((all(&one), all(&other)), (3, 3));
}

#[test]
fn a_subscription_of_a_closed_queue_ends_at_once() {
    let huey = open();
    huey.close().unwrap();
    assert!(huey.subscribe(4).unwrap().recv().is_none());
}

#[test]
fn a_close_wakes_all_who_wait_for_one_subscription() {
    let huey = open();
    let signals = std::sync::Arc::new(huey.subscribe(4).unwrap());
    let (tell, told) = std::sync::mpsc::channel();
    for _ in 0..3 {
        let (signals, tell) = (std::sync::Arc::clone(&signals), tell.clone());
        std::thread::spawn(move || tell.send(signals.recv().is_none()).unwrap());
    }
    huey.close().unwrap();
    for _ in 0..3 {
        assert!(told.recv_timeout(LONG).unwrap());
    }
}
