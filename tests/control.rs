//! What is done to jobs and tasks by hand: cancel, reschedule, revoke, replay, purge; and what a body reports.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use huey::{
    BoxError, Context, Decision, Durability, Huey, JobState, Memory, Origin, Progress, Revocation, SignalKind,
    Timestamp, VirtualClock, task,
};
use support::{Heard, LONG, Stage, block_on, queue, queue_with, run};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task(durability = relaxed)]
fn note(#[data] stage: &Stage, text: String) {
    stage.note(text);
}

#[task(retries = 5)]
fn looks(#[data] stage: &Stage, #[ctx] ctx: &Context) -> Result<(), BoxError> {
    stage.note("begun");
    loop {
        ctx.checkpoint()?;
        std::thread::yield_now();
    }
}

#[task(retries = 5)]
async fn awaits(#[data] stage: &Stage) {
    stage.note("begun");
    stage.pass_async().await;
}

#[task(retries = 5)]
fn ignores(#[data] stage: &Stage, fails: bool) -> Result<u8, &'static str> {
    stage.note("begun");
    stage.pass();
    if fails { Err("it fails") } else { Ok(7) }
}

#[task(unique)]
fn alone() {}

#[task]
fn fails(text: String) -> Result<(), String> {
    Err(text)
}

#[task]
fn reports(#[data] stage: &Stage, #[ctx] ctx: &Context) -> huey::Result<()> {
    ctx.progress(1, 3, "the first")?;
    ctx.progress(2, 3, "the second")?;
    stage.note("halfway");
    stage.pass();
    Ok(())
}

#[test]
fn a_waiting_job_that_is_canceled_ends_at_once_and_for_good() {
    let (huey, heard, _) = queue();
    let job = add::enqueue(&huey, 1, 2).unwrap();
    let waiter = std::thread::spawn({
        let job = job.clone();
        move || job.wait(LONG)
    });
    assert_eq!(job.cancel().unwrap(), JobState::Canceled);
    assert_eq!(waiter.join().unwrap().unwrap_err().ending(), Some(JobState::Canceled));
    run(&huey);
    assert_eq!(heard.of(job.id()), "enqueued canceled");
    let error = job.get().unwrap_err();
    assert!(error.to_string().contains("canceled by a caller"), "{error}");
    assert_eq!(huey.cancel(job.id()).unwrap(), JobState::Canceled, "a second time changes nothing");
    assert!(huey.reschedule(job.id(), Timestamp::MAX).unwrap_err().is_bad_input());
    let later = add::job(1, 2).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    later.cancel().unwrap();
    assert_eq!(heard.of(later.id()), "enqueued scheduled canceled");
    let counts = huey.counts().unwrap();
    assert_eq!((counts.queued, counts.scheduled), (0, 0));
}

#[test]
fn canceling_lets_go_of_what_the_job_held() {
    let (huey, ..) = queue();
    let first = alone::enqueue(&huey).unwrap();
    huey.cancel(first.id()).unwrap();
    assert!(alone::enqueue(&huey).unwrap().is_new());
}

#[test]
fn a_running_job_that_is_canceled_stops_and_is_not_attempted_again() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let plain = looks::enqueue(&huey).unwrap();
    stage.wait_notes(1);
    assert_eq!(plain.cancel().unwrap(), JobState::Running);
    assert!(plain.info().unwrap().is_none_or(|info| info.stopping || info.state == JobState::Canceled));
    assert_eq!(plain.wait(LONG).unwrap_err().ending(), Some(JobState::Canceled));
    let asynchronous = awaits::enqueue(&huey).unwrap();
    stage.wait_notes(2);
    assert_eq!(asynchronous.cancel().unwrap(), JobState::Running);
    assert_eq!(asynchronous.wait(LONG).unwrap_err().ending(), Some(JobState::Canceled));
    consumer.shutdown().wait().unwrap();
    for id in [plain.id(), asynchronous.id()] {
        assert_eq!(heard.of(id), "enqueued executing canceled");
    }
}

#[test]
fn a_body_that_does_not_look_is_not_attempted_again_either_and_its_value_stands() {
    for fails in [true, false] {
        let (huey, heard, stage) = queue();
        let consumer = huey.consumer().workers(1).start().unwrap();
        let job = ignores::enqueue(&huey, fails).unwrap();
        stage.wait_notes(1);
        huey.cancel(job.id()).unwrap();
        stage.open();
        let ended = job.wait(LONG);
        consumer.shutdown().wait().unwrap();
        if fails {
            assert_eq!(ended.unwrap_err().ending(), Some(JobState::Canceled));
            assert_eq!(heard.of(job.id()), "enqueued executing canceled");
        } else {
            assert_eq!(ended.unwrap(), 7);
            assert_eq!(heard.of(job.id()), "enqueued executing complete");
        }
    }
}

#[test]
fn an_id_that_is_of_no_job_cannot_be_canceled() {
    let (huey, ..) = queue();
    let other = add::enqueue(&queue().0, 1, 2).unwrap();
    assert!(huey.cancel(other.id()).unwrap_err().is_no_such_job());
    let gone = add::enqueue(&huey, 1, 2).unwrap();
    run(&huey);
    gone.take().unwrap();
    let error = huey.cancel(gone.id()).unwrap_err();
    assert!(error.is_no_such_job() && error.to_string().contains("is gone"), "{error}");
}

#[test]
fn a_rescheduled_job_waits_for_its_new_time_and_keeps_its_place() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let (huey, heard, stage) = queue_with(|builder| builder.clock(clock.clock()));
    let first = note::enqueue(&huey, "first".into()).unwrap();
    let second = note::enqueue(&huey, "second".into()).unwrap();
    let later = clock.clock().now() + Duration::from_mins(1);
    assert_eq!(first.reschedule(later).unwrap(), JobState::Scheduled);
    assert_eq!(heard.of(first.id()), "enqueued scheduled");
    assert_eq!(huey.info(first.id()).unwrap().unwrap().due, Some(later));
    assert_eq!(first.reschedule(Timestamp::from_micros(0)).unwrap(), JobState::Queued, "the past means now");
    run(&huey);
    assert_eq!(stage.notes(), ["first", "second"]);
    let error = second.reschedule(later).unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("complete"), "{error}");
}

#[test]
fn the_jobs_of_a_revoked_task_are_discarded_when_they_are_picked_up() {
    let (huey, heard, _) = queue();
    let before = add::enqueue(&huey, 1, 2).unwrap();
    huey.revoke::<add>(Revocation::Always).unwrap();
    let after = add::enqueue(&huey, 3, 4).unwrap();
    for _ in 0..2 {
        assert_eq!(huey.revocation::<add>().unwrap(), Some(Revocation::Always), "asking changes nothing");
    }
    assert_eq!(before.status().unwrap(), JobState::Queued);
    run(&huey);
    for job in [&before, &after] {
        assert_eq!(heard.of(job.id()), "enqueued revoked");
        assert_eq!(job.get().unwrap_err().ending(), Some(JobState::Revoked));
    }
    assert!(huey.restore::<add>().unwrap());
    assert!(!huey.restore::<add>().unwrap(), "restoring says whether anything was revoked");
    let restored = add::enqueue(&huey, 5, 6).unwrap();
    run(&huey);
    assert_eq!(restored.get().unwrap(), Some(11));
}

#[test]
fn a_revocation_may_be_for_one_job_or_until_an_instant() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()));
    huey.revoke::<note>(Revocation::Once).unwrap();
    for _ in 0..2 {
        assert_eq!(huey.revocation::<note>().unwrap(), Some(Revocation::Once), "asking does not use it up");
    }
    let jobs: Vec<_> = ["a", "b", "c"].map(|text| note::enqueue(&huey, text.into()).unwrap()).into();
    run(&huey);
    let states: Vec<JobState> = jobs.iter().map(|job| job.status().unwrap()).collect();
    assert_eq!(states, [JobState::Revoked, JobState::Complete, JobState::Complete]);
    let end = clock.clock().now() + Duration::from_mins(1);
    huey.revoke::<note>(Revocation::Until(end)).unwrap();
    let early = note::enqueue(&huey, "d".into()).unwrap();
    run(&huey);
    clock.advance(Duration::from_secs(61));
    assert_eq!(huey.revocation::<note>().unwrap(), None);
    let late = note::enqueue(&huey, "e".into()).unwrap();
    run(&huey);
    assert_eq!((early.status().unwrap(), late.status().unwrap()), (JobState::Revoked, JobState::Complete));
}

#[test]
fn the_jobs_of_a_revoked_task_can_be_restored_until_they_are_picked_up() {
    let (huey, heard, _) = queue();
    huey.revoke::<add>(Revocation::Always).unwrap();
    let job = add::enqueue(&huey, 1, 2).unwrap();
    assert!(huey.restore::<add>().unwrap());
    run(&huey);
    assert_eq!((job.get().unwrap(), heard.list().as_str()), (Some(3), "enqueued executing complete"));
}

#[test]
fn a_job_that_is_late_and_of_a_revoked_task_is_revoked() {
    let (huey, heard, _) = queue();
    huey.revoke::<add>(Revocation::Once).unwrap();
    let [first, second] = [1, 2].map(|a| add::job(a, 2).expires(Duration::ZERO).enqueue(&huey).unwrap());
    run(&huey);
    assert_eq!((heard.of(first.id()), heard.of(second.id())), ("enqueued revoked".into(), "enqueued expired".into()));
}

#[test]
fn a_dead_job_is_replayed_as_a_new_one_that_passes_the_hooks() {
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(|request| {
            if let Origin::Replay { of } = request.origin() {
                request.header("replay-of", of.to_string());
            }
            Ok(Decision::Go)
        })
    });
    let dead = fails::job("no route".into()).priority(9).header("from", "a test").enqueue(&huey).unwrap();
    run(&huey);
    let listed: Vec<_> = huey.jobs().state(JobState::Dead).collect::<huey::Result<_>>().unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [dead.id()]);
    let replayed = huey.replay(dead.id()).unwrap();
    let info = huey.info(replayed).unwrap().unwrap();
    assert_eq!(
        (info.origin, info.parent(), info.priority),
        (Some(Origin::Replay { of: dead.id() }), Some(dead.id()), 9)
    );
    assert_eq!((info.header("from"), info.header("replay-of")), (Some("a test"), Some(&*dead.id().to_string())));
    assert_eq!(dead.status().unwrap(), JobState::Gone, "the old one went with the same commit");
    run(&huey);
    assert_eq!(heard.of(replayed), "enqueued executing error dead");
    let error = huey.handle::<fails>(replayed).unwrap().get().unwrap_err();
    assert_eq!(error.task_error().map(|error| error.message.as_str()), Some("no route"), "with its arguments");
    let done = add::enqueue(&huey, 1, 2).unwrap();
    run(&huey);
    assert!(huey.replay(done.id()).unwrap_err().is_bad_input());
    assert!(huey.replay(dead.id()).unwrap_err().is_no_such_job());
}

#[test]
fn a_dead_job_stays_until_it_is_purged_or_too_many_are() {
    let (huey, ..) = queue_with(|builder| builder.max_given_up(3));
    let jobs: Vec<_> = (0..5).map(|number| fails::enqueue(&huey, number.to_string()).unwrap()).collect();
    run(&huey);
    // The bound is kept by the commits that follow.
    run(&huey);
    add::enqueue(&huey, 1, 2).unwrap();
    let states: Vec<JobState> = jobs.iter().map(|job| job.status().unwrap()).collect();
    assert_eq!(states, [JobState::Gone, JobState::Gone, JobState::Dead, JobState::Dead, JobState::Dead]);
    let last = jobs.last().unwrap().id();
    assert!(huey.purge(last).unwrap());
    assert!(!huey.purge(last).unwrap());
    assert_eq!(huey.status(last).unwrap(), JobState::Gone);
    assert_eq!(huey.counts().unwrap().given_up, 2);
}

#[test]
fn a_body_tells_how_far_it_is() {
    let (huey, heard, stage) = queue();
    let job = reports::enqueue(&huey).unwrap();
    let own = job.subscribe(100).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    assert_eq!(job.progress().unwrap(), Some(Progress::new(2, 3, "the second")));
    assert_eq!(huey.info(job.id()).unwrap().unwrap().progress, Some(Progress::new(2, 3, "the second")));
    stage.open();
    job.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(job.progress().unwrap(), None);
    assert!(heard.of(job.id()).ends_with("executing progress progress complete"));
    let told = heard.find(SignalKind::Progress).unwrap();
    assert_eq!(told.progress.as_deref(), Some(&Progress::new(1, 3, "the first")));
    add::enqueue(&huey, 1, 2).unwrap();
    huey.close().unwrap();
    let kinds: Vec<SignalKind> = std::iter::from_fn(|| own.recv()).map(|signal| signal.kind).collect();
    assert!(kinds.ends_with(&[
        SignalKind::Executing,
        SignalKind::Progress,
        SignalKind::Progress,
        SignalKind::Complete
    ]));
}

#[test]
fn marks_and_cancels_survive_a_restart() {
    // What comes last takes what was before it to the disk.
    for is_cancel_last in [false, true] {
        marks_and_cancels_survive(is_cancel_last);
    }
}

fn marks_and_cancels_survive(is_cancel_last: bool) {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let disk = huey::testing::SimDisk::new(5);
    let open = |heard: &Heard| {
        let mut options = huey::store::StorageOptions::default();
        options.clock = clock.clock();
        let (storage, _) = huey::testing::inspected(disk.medium(), options).unwrap();
        heard.listen(Huey::builder().data_arc(Stage::new()).clock(clock.clock())).open(Open(storage)).unwrap()
    };
    let (heard, again) = (Heard::default(), Heard::default());
    let huey = open(&heard);
    let canceled = add::enqueue(&huey, 1, 2).unwrap();
    let revoked = note::job("a".into()).durability(Durability::Synced).enqueue(&huey).unwrap();
    if !is_cancel_last {
        canceled.cancel().unwrap();
    }
    huey.revoke::<note>(Revocation::Always).unwrap();
    if is_cancel_last {
        canceled.cancel().unwrap();
    }
    disk.kill();
    drop(huey);
    let huey = open(&again);
    assert_eq!(huey.status(canceled.id()).unwrap(), JobState::Canceled);
    run(&huey);
    assert_eq!(huey.status(revoked.id()).unwrap(), JobState::Revoked);
}

struct Open(Arc<dyn huey::store::Storage>);

impl huey::store::OpenStorage for Open {
    fn open_storage(self, _: huey::store::StorageOptions) -> huey::Result<Arc<dyn huey::store::Storage>> {
        Ok(self.0)
    }
}

#[test]
fn a_handle_of_a_job_can_be_awaited_while_another_cancels_it() {
    let huey = Huey::builder().open(Memory::new()).unwrap();
    let job = add::enqueue(&huey, 1, 2).unwrap();
    job.cancel().unwrap();
    assert_eq!(block_on(&job).unwrap_err().ending(), Some(JobState::Canceled));
}
