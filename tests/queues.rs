//! Named queues: paused, resumed, listed, cleared; jobs canceled, purged and replayed together; and several stores in one
//! program.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use std::time::Duration;

use huey::{Decision, Huey, JobState, Memory, Origin, SignalKind, group, task};
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

#[task]
fn fails(text: String) -> Result<(), String> {
    Err(text)
}

#[task]
fn sum(parts: Vec<i64>) -> i64 {
    parts.iter().sum()
}

#[task(unique)]
fn alone() {}

#[test]
fn a_queue_is_cleared_of_what_waits_in_it() {
    let (huey, heard, _) = queue();
    let hour = Duration::from_hours(1);
    for number in 0..250 {
        add::job(number, 0).queue("mail").enqueue(&huey).unwrap();
    }
    let scheduled = add::job(1, 2).queue("mail").delay(hour).enqueue(&huey).unwrap();
    let chain = add::job(1, 2).queue("mail").then(add::with(3)).enqueue(&huey).unwrap();
    let chord = group([add::job(1, 2).queue("mail"), add::job(3, 4)]).then(sum::with()).enqueue(&huey).unwrap();
    let held = alone::job().queue("mail").enqueue(&huey).unwrap();
    let other = add::enqueue(&huey, 1, 2).unwrap();
    let waiter = std::thread::spawn({
        let chain = chain.clone();
        move || chain.wait(LONG)
    });
    assert_eq!(huey.queue("mail").clear().unwrap(), 250 + 4);
    assert_eq!(huey.queue("mail").counts().unwrap().queued, 0);
    let ended =
        [scheduled.status().unwrap(), held.status().unwrap(), waiter.join().unwrap().unwrap_err().ending().unwrap()];
    assert_eq!(ended, [JobState::Canceled; 3], "whoever waits hears of it");
    assert_ne!(alone::enqueue(&huey).unwrap().id(), held.id(), "its key is free");
    run(&huey);
    assert_eq!(chord.wait(LONG).unwrap_err().ending(), Some(JobState::Canceled));
    assert_eq!(other.get().unwrap(), Some(3));
    let canceled = heard.all().iter().filter(|signal| signal.kind == SignalKind::Canceled).count();
    assert_eq!(canceled, 250 + 4 + 2, "the second step and the callback among them");
    assert_eq!(huey.queue("mail").clear().unwrap(), 0);
}

#[test]
fn jobs_are_canceled_by_task_queue_state_and_header() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let running = waits::job().header("batch", "7").enqueue(&huey).unwrap();
    stage.wait_notes(1);
    let mine = add::job(1, 2).header("batch", "7").enqueue(&huey).unwrap();
    let others = add::job(1, 2).header("batch", "8").enqueue(&huey).unwrap();
    let later = add::job(1, 2).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    let of_another = note::job("late".into()).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    assert_eq!(huey.jobs().queue("elsewhere").cancel_all().unwrap(), 0);
    assert_eq!(huey.jobs().header("batch", "7").cancel_all().unwrap(), 2, "one that runs is told to stop");
    assert!(running.info().unwrap().unwrap().stopping);
    assert_eq!((mine.status().unwrap(), others.status().unwrap()), (JobState::Canceled, JobState::Queued));
    assert_eq!(huey.jobs().task::<add>().state(JobState::Scheduled).cancel_all().unwrap(), 1);
    assert_eq!((later.status().unwrap(), others.status().unwrap()), (JobState::Canceled, JobState::Queued));
    assert_eq!(of_another.status().unwrap(), JobState::Scheduled);
    let error = huey.jobs().state(JobState::Complete).cancel_all().unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("complete cannot be canceled"), "{error}");
    stage.open();
    others.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn dead_jobs_are_replayed_and_purged_together() {
    let (huey, ..) = queue_with_refusal();
    let dead: Vec<_> = (0..120).map(|number| fails::enqueue(&huey, number.to_string()).unwrap()).collect();
    run(&huey);
    assert_eq!(huey.counts().unwrap().given_up, 120);
    // The new ones die as well, and are not replayed again by the call that made them.
    let consumer = huey.consumer().workers(1).start().unwrap();
    let before = huey.jobs().state(JobState::Dead).task::<fails>();
    assert_eq!(before.replay_all().unwrap(), 120);
    consumer.wait_idle().unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(dead[0].status().unwrap(), JobState::Gone);
    assert_eq!(huey.counts().unwrap().given_up, 120);
    assert_eq!(huey.jobs().queue("elsewhere").purge_all().unwrap(), 0);
    assert_eq!(huey.jobs().purge_all().unwrap(), 120);
    assert_eq!(huey.counts().unwrap().given_up, 0);
}

#[test]
fn an_error_underway_says_how_far_it_came_and_where_to_go_on() {
    let (huey, ..) = queue_with_refusal();
    for text in ["a", "b", "refuse", "c"] {
        fails::job(text.into()).header("text", text).enqueue(&huey).unwrap();
    }
    run(&huey);
    let stuck = huey.jobs().header("text", "refuse").next().unwrap().unwrap().id;
    let error = huey.jobs().replay_all().unwrap_err();
    let text = error.to_string();
    assert!(error.is_refused() && text.contains("2 jobs were replayed before this: the job"), "{text}");
    assert!(text.contains(&stuck.to_string()) && text.contains("not again"), "{text}");
    assert_eq!(huey.jobs().after(stuck).state(JobState::Dead).replay_all().unwrap(), 1);
    assert_eq!(huey.status(stuck).unwrap(), JobState::Dead);
}

/// A queue whose hook refuses replays of jobs with the header `text: refuse`.
fn queue_with_refusal() -> (Huey, Heard, Arc<Stage>) {
    support::queue_with(|builder| {
        builder.hook(|request| {
            let refused = request.headers().iter().any(|(_, value)| value == "refuse");
            match request.origin() {
                Origin::Replay { .. } if refused => Err("not again".into()),
                _ => Ok(Decision::Go),
            }
        })
    })
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
