//! Jobs of quick tasks are claimed together and settled together, and nobody waits longer for it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::{Durability, Huey, JobHandle, JobState, task};
use support::{LONG, queue_with};

/// Bodies of this number and above tell that they began, and wait for a word.
const BLOCKS: u32 = 1_000;

struct Gate {
    began: Sender<u32>,
    go_on: Mutex<Receiver<()>>,
    /// Where jobs of `endless` put the next one, while it is here.
    stream: Mutex<Option<Huey>>,
}

#[task(durability = relaxed)]
fn quick(#[data] gate: &Gate, number: u32) -> u32 {
    if number >= BLOCKS {
        gate.began.send(number).unwrap();
        gate.go_on.lock().unwrap().recv().unwrap();
    }
    number
}

/// A queue, and the gate of its bodies.
fn gated() -> (Huey, Arc<Gate>, Receiver<u32>, Sender<()>) {
    let (tell, begun) = channel();
    let (go, go_on) = channel();
    let gate = Arc::new(Gate { began: tell, go_on: Mutex::new(go_on), stream: Mutex::default() });
    let (huey, ..) = queue_with(|builder| builder.data_arc(Arc::clone(&gate)));
    (huey, gate, begun, go)
}

fn enqueue(huey: &Huey, numbers: impl Iterator<Item = u32>) -> Vec<JobHandle<u32>> {
    numbers.map(|number| quick::enqueue(huey, number).unwrap()).collect()
}

#[test]
fn an_end_is_told_while_the_next_body_of_its_batch_still_runs() {
    let (huey, _, begun, go) = gated();
    let before = enqueue(&huey, 0..200);
    let blocked = enqueue(&huey, [BLOCKS].into_iter());
    let after = enqueue(&huey, 200..210);
    let consumer = huey.consumer().workers(1).start().unwrap();
    assert_eq!(begun.recv_timeout(LONG).unwrap(), BLOCKS);
    for (number, handle) in (0..).zip(before) {
        assert_eq!(handle.wait(LONG).unwrap(), number, "its body has returned");
    }
    assert_eq!(huey.counts().unwrap().results, 200);
    go.send(()).unwrap();
    for handle in blocked.into_iter().chain(after) {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_second_worker_takes_what_the_first_claimed_and_did_not_begin() {
    let (huey, _, begun, go) = gated();
    let before = enqueue(&huey, 0..200);
    let blocked = enqueue(&huey, [BLOCKS].into_iter());
    let after = enqueue(&huey, 200..264);
    let consumer = huey.consumer().workers(2).start().unwrap();
    assert_eq!(begun.recv_timeout(LONG).unwrap(), BLOCKS);
    for handle in before.into_iter().chain(after) {
        handle.wait(LONG).unwrap();
    }
    go.send(()).unwrap();
    for handle in blocked {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[task(durability = relaxed)]
fn endless(#[data] gate: &Gate) {
    if let Some(huey) = &*gate.stream.lock().unwrap() {
        let _ = endless::enqueue(huey).unwrap();
    }
}

#[test]
fn a_third_worker_takes_what_two_leave_that_block() {
    let (huey, _, begun, go) = gated();
    let consumer = huey.consumer().workers(3).start().unwrap();
    // Until all of them know it to be quick, and sleep.
    huey.enqueue_many((0..3_000).map(|_| quick::job(0))).unwrap();
    consumer.wait_idle().unwrap();
    let numbers = [BLOCKS, BLOCKS + 1].into_iter().chain(0..60);
    let mut all = huey.enqueue_many(numbers.map(quick::job)).unwrap().into_iter();
    let blocked: Vec<_> = all.by_ref().take(2).collect();
    for _ in &blocked {
        begun.recv_timeout(LONG).unwrap();
    }
    for handle in all {
        handle.wait(LONG).unwrap();
    }
    // Either may be the first to hear it.
    for _ in &blocked {
        go.send(()).unwrap();
    }
    for handle in blocked {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[test]
fn what_a_worker_claimed_and_does_not_begin_is_taken_though_there_is_always_more_to_claim() {
    let (huey, gate, begun, go) = gated();
    *gate.stream.lock().unwrap() = Some(huey.clone());
    let before = enqueue(&huey, 0..200);
    let blocked = enqueue(&huey, [BLOCKS].into_iter());
    let after = enqueue(&huey, 200..264);
    let _streams = [endless::enqueue(&huey).unwrap(), endless::enqueue(&huey).unwrap()];
    let consumer = huey.consumer().workers(2).start().unwrap();
    assert_eq!(begun.recv_timeout(LONG).unwrap(), BLOCKS);
    for handle in before.into_iter().chain(after) {
        handle.wait(LONG).unwrap();
    }
    gate.stream.lock().unwrap().take();
    go.send(()).unwrap();
    for handle in blocked {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_stop_gives_back_what_was_claimed_with_others_and_not_begun() {
    let (huey, _, begun, go) = gated();
    enqueue(&huey, 0..200).clear();
    let blocked = enqueue(&huey, [BLOCKS].into_iter());
    let after = enqueue(&huey, 200..263);
    let consumer = huey.consumer().workers(1).grace(LONG).start().unwrap();
    assert_eq!(begun.recv_timeout(LONG).unwrap(), BLOCKS);
    let stopping = consumer.shutdown();
    // The stop gives them back at once, and does not wait for the body that runs.
    while huey.counts().unwrap().running > 1 {
        std::thread::yield_now();
    }
    go.send(()).unwrap();
    stopping.wait().unwrap();
    for handle in blocked {
        assert_eq!(handle.status().unwrap(), JobState::Complete);
    }
    for handle in &after {
        assert_eq!(handle.status().unwrap(), JobState::Queued);
    }
    huey.consumer().workers(1).run_until_idle().unwrap();
    for (number, handle) in (200..).zip(after) {
        assert_eq!(handle.wait(Duration::ZERO).unwrap(), number);
    }
}

#[task(durability = relaxed, queue = "large")]
fn large(bytes: usize) -> Vec<u8> {
    vec![0; bytes]
}

#[test]
fn an_end_that_cannot_be_stored_spoils_no_other_of_its_batch() {
    let (huey, ..) = queue_with(|builder| builder.durability(Durability::Relaxed));
    let all: Vec<_> =
        (0..200).map(|at| large::enqueue(&huey, if at == 150 { 100_000_000 } else { 1 }).unwrap()).collect();
    huey.consumer().queues(["large"]).workers(1).run_until_idle().unwrap();
    for (at, handle) in all.into_iter().enumerate() {
        let ended = handle.wait(LONG);
        assert_eq!(ended.is_ok(), at != 150, "{ended:?}");
    }
}
