//! Named queues: paused, resumed, listed; and several stores in one program.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use huey::{Huey, JobState, Memory, SignalKind, task};
use support::{Heard, LONG, Stage, queue, run};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn note(#[data] stage: &Stage, text: String) {
    stage.note(text);
}

#[task]
fn waits(#[data] stage: &Stage) {
    stage.note("begun");
    stage.pass();
}

#[test]
fn a_paused_queue_gives_out_no_job_and_goes_on_once_it_is_resumed() {
    let (huey, heard, _) = queue();
    let mail = huey.queue("mail");
    assert!(!mail.pause().unwrap(), "it needs to hold no job");
    assert!(mail.pause().unwrap() && mail.is_paused().unwrap());
    let held = add::job(1, 2).queue("mail").enqueue(&huey).unwrap();
    let other = add::enqueue(&huey, 3, 4).unwrap();
    let consumer = huey.consumer().workers(1).queues(["mail", "default"]).start().unwrap();
    assert_eq!(other.wait(LONG).unwrap(), 7);
    // What waits in a paused queue is nothing to wait for.
    consumer.wait_idle().unwrap();
    assert_eq!((held.status().unwrap(), mail.counts().unwrap().queued), (JobState::Queued, 1));
    assert!(mail.resume().unwrap());
    assert_eq!(held.wait(LONG).unwrap(), 3, "a sleeping worker is woken");
    assert!(!mail.resume().unwrap() && !mail.is_paused().unwrap());
    consumer.shutdown().wait().unwrap();
    assert_eq!(heard.of(held.id()), "enqueued executing complete");
}

#[test]
fn what_runs_in_a_queue_that_is_paused_runs_on() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let running = waits::enqueue(&huey).unwrap();
    stage.wait_notes(1);
    huey.queue("default").pause().unwrap();
    let next = add::enqueue(&huey, 1, 2).unwrap();
    stage.open();
    running.wait(LONG).unwrap();
    consumer.wait_idle().unwrap();
    assert_eq!(next.status().unwrap(), JobState::Queued);
    huey.queue("default").resume().unwrap();
    assert_eq!(next.wait(LONG).unwrap(), 3);
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_pause_survives_a_restart() {
    let disk = huey::testing::SimDisk::new(5);
    let open = || {
        let (storage, _) = huey::testing::inspected(disk.medium(), huey::store::StorageOptions::default()).unwrap();
        Huey::builder().data_arc(Stage::new()).open(Open(storage)).unwrap()
    };
    let huey = open();
    huey.queue("default").pause().unwrap();
    let job = add::enqueue(&huey, 1, 2).unwrap().id();
    disk.kill();
    drop(huey);
    let huey = open();
    assert!(huey.queue("default").is_paused().unwrap());
    run(&huey);
    assert_eq!(huey.status(job).unwrap(), JobState::Queued);
    huey.queue("default").resume().unwrap();
    run(&huey);
    assert_eq!(huey.status(job).unwrap(), JobState::Complete);
}

struct Open(Arc<dyn huey::store::Storage>);

impl huey::store::OpenStorage for Open {
    fn open_storage(self, _: huey::store::StorageOptions) -> huey::Result<Arc<dyn huey::store::Storage>> {
        Ok(self.0)
    }
}

#[test]
fn queues_are_listed_with_what_they_hold() {
    let (huey, ..) = queue();
    for queue in ["mail", "mail", "images"] {
        add::job(1, 2).queue(queue).enqueue(&huey).unwrap();
    }
    huey.queue("empty").pause().unwrap();
    huey.queue("mail").pause().unwrap();
    let queues = huey.queues().unwrap();
    let queues: Vec<_> = queues.iter().map(|queue| (&*queue.name, queue.paused, queue.counts.queued)).collect();
    assert_eq!(queues, [("empty", true, 0), ("images", false, 1), ("mail", true, 2)]);
}

#[test]
fn several_stores_in_one_program_stay_apart() {
    let open = || {
        let (heard, stage) = (Heard::default(), Stage::new());
        let builder = heard.listen(Huey::builder().data_arc(Arc::clone(&stage)));
        (builder.open(Memory::new()).unwrap(), heard, stage)
    };
    let (one, one_heard, one_stage) = open();
    let (two, two_heard, two_stage) = open();
    let consumer = one.consumer().workers(1).start().unwrap();
    let first = note::enqueue(&one, "of one".into()).unwrap();
    let second = note::enqueue(&two, "of two".into()).unwrap();
    first.wait(LONG).unwrap();
    consumer.wait_idle().unwrap();
    consumer.shutdown().wait().unwrap();
    // The consumer of one ran nothing of the other, whose job waits for its own.
    assert_eq!((second.status().unwrap(), one_stage.notes()), (JobState::Queued, vec!["of one".to_owned()]));
    assert_eq!(one_heard.list(), "enqueued executing complete");
    assert_eq!(two_heard.list(), "enqueued");
    assert!(two_heard.find(SignalKind::Executing).is_none() && two_stage.notes().is_empty());
    // The id of one is none of the other's.
    assert!(two.handle::<note>(first.id()).unwrap_err().is_no_such_job());
    assert_eq!(two.status(first.id()).unwrap(), JobState::NeverExisted);
    assert!(two.cancel(first.id()).unwrap_err().is_no_such_job());
    // Nor are its values, its pauses, and its end.
    one.put("key", &1).unwrap();
    one.queue("default").pause().unwrap();
    one.close().unwrap();
    assert_eq!(two.get::<u8>("key").unwrap(), None);
    run(&two);
    second.wait(LONG).unwrap();
    assert_eq!(two_stage.notes(), ["of two"]);
}
