//! Queues with workers of their own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/gates.rs"]
mod gates;
mod support;

use gates::{deaf, gated, gated_async};
use huey::{JobState, task};
use support::{LONG, queue};

#[task]
fn quick() -> String {
    std::thread::current().name().unwrap_or_default().to_owned()
}

#[test]
fn a_flooded_queue_does_not_hold_up_one_that_has_a_worker_of_its_own() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(2).queue("mail", 1).start().unwrap();
    let flood: Vec<_> = (0..20).map(|_| gated::enqueue(&huey).unwrap()).collect();
    stage.wait_notes(2);
    for _ in 0..5 {
        let mail = quick::job().queue("mail").enqueue(&huey).unwrap();
        assert_eq!(mail.wait(LONG).unwrap(), "huey-worker-mail-1");
    }
    // The other way round as well: its worker takes nothing else.
    let stuck = gated::job().queue("mail").enqueue(&huey).unwrap();
    stage.wait_notes(3);
    assert_eq!(flood.iter().filter(|one| one.status().unwrap() == JobState::Running).count(), 2);
    stage.open();
    for one in flood.iter().chain([&stuck]) {
        one.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_late_body_is_replaced_in_the_queue_that_it_belongs_to() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(2).queue("mail", 1).start().unwrap();
    let late = deaf::job().queue("mail").enqueue(&huey).unwrap();
    assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
    let mail = quick::job().queue("mail").enqueue(&huey).unwrap();
    assert_eq!(mail.wait(LONG).unwrap(), "huey-worker-mail-1");
    let here = quick::enqueue(&huey).unwrap();
    assert!(["huey-worker-1", "huey-worker-2"].contains(&here.wait(LONG).unwrap().as_str()));
    stage.open();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn queues_with_workers_of_their_own_are_all_that_is_served_without_others() {
    let (huey, ..) = queue();
    let [mail, bulk] = ["mail", "bulk"].map(|name| quick::job().queue(name).enqueue(&huey).unwrap());
    let other = quick::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).queues([""; 0]).queue("mail", 1).queue("bulk", 2);
    consumer.run_until_idle().unwrap();
    assert_eq!(mail.get().unwrap().unwrap(), "huey-worker-mail-1");
    assert!(bulk.get().unwrap().unwrap().starts_with("huey-worker-bulk-"));
    assert_eq!(other.status().unwrap(), JobState::Queued);
}

#[test]
fn queues_take_turns_at_the_places_of_async_tasks() {
    let (huey, _, stage) = queue();
    let flood: Vec<_> = (0..300).map(|_| gated_async::enqueue(&huey).unwrap()).collect();
    let mail = gated_async::job().queue("mail").enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).queue("mail", 1).async_limit(100).start().unwrap();
    // 64 are claimed together at most: the second claim begins with the other queue.
    stage.wait_notes(100);
    assert_eq!(mail.status().unwrap(), JobState::Running);
    stage.open();
    for one in flood {
        one.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}
