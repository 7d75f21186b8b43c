//! Asking what there is: rows, listings, counts.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::HashSet;
use std::time::Duration;

use huey::{Context, Durability, Huey, JobId, JobInfo, JobState, Memory, Origin, Retry, Timestamp, VirtualClock, task};
use support::{LONG, queue_with, run};

const START: i64 = 1_800_000_000_000_000;

#[task(queue = "mail")]
fn send(user: u64) -> Result<u64, String> {
    if user == 13 { Err("no such user".into()) } else { Ok(user) }
}

#[task]
fn sweep() {}

#[task(queue = "mail")]
fn parent(#[ctx] ctx: &Context, user: u64) -> huey::Result<()> {
    send::enqueue(ctx.huey()?, user).map(drop)
}

#[task(queue = "mail")]
fn later(#[ctx] ctx: &Context) -> Result<(), Retry> {
    if ctx.attempt() == 1 { Err(Retry::after(Duration::from_mins(5))) } else { Ok(()) }
}

fn serve(huey: &Huey) {
    huey.consumer().queues(["mail", "default"]).workers(1).run_until_idle().unwrap();
}

fn ids(jobs: huey::Jobs) -> Vec<JobId> {
    jobs.map(|job| job.unwrap().id).collect()
}

#[test]
fn a_row_tells_everything_but_the_arguments() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(START));
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()));
    let job = send::job(13)
        .priority(5)
        .header("request", "r-1")
        .delay(Duration::from_mins(1))
        .expires(Duration::from_mins(10))
        .enqueue(&huey)
        .unwrap();
    let now = Timestamp::from_micros(START);
    let waiting = job.info().unwrap().unwrap();
    assert_eq!((&*waiting.task, &*waiting.queue, waiting.priority), ("listing::send", "mail", 5));
    assert_eq!((waiting.state, waiting.enqueued), (JobState::Scheduled, now));
    assert_eq!((waiting.due, waiting.started, waiting.ended), (Some(now + Duration::from_mins(1)), None, None));
    assert_eq!(waiting.expires, Some(now + Duration::from_mins(10)));
    assert_eq!((waiting.origin, waiting.parent()), (Some(Origin::Call { parent: None }), None));
    assert_eq!((waiting.header("request"), waiting.header("other")), (Some("r-1"), None));
    assert_eq!((waiting.attempts, waiting.crashes, waiting.error.is_none()), (0, 0, true));
    clock.advance(Duration::from_mins(2));
    serve(&huey);
    let dead = huey.info(job.id()).unwrap().unwrap();
    assert_eq!((dead.state, dead.attempts), (JobState::Dead, 1));
    assert_eq!((dead.started, dead.ended), (Some(now + Duration::from_mins(2)), Some(now + Duration::from_mins(2))));
    assert_eq!(dead.error.unwrap().message, "no such user");
    assert_eq!(huey.info(job.id()).unwrap().map(|info| info.headers.len()), Some(1));
}

#[test]
fn a_row_names_the_job_that_it_came_from() {
    let (huey, ..) = queue_with(|builder| builder);
    let first = parent::enqueue(&huey, 7).unwrap();
    serve(&huey);
    let made: Vec<JobInfo> = huey.jobs().task::<send>().map(Result::unwrap).collect();
    assert_eq!(made.iter().map(JobInfo::parent).collect::<Vec<_>>(), [Some(first.id())]);
    let complete = first.info().unwrap().unwrap();
    assert!(complete.started.is_some() && complete.started <= complete.ended);
}

#[test]
fn a_listing_is_narrowed_by_task_queue_state_and_header() {
    let (huey, ..) = queue_with(|builder| builder);
    let good = send::job(1).header("customer", "a").enqueue(&huey).unwrap().id();
    let bad = send::job(13).header("customer", "b").enqueue(&huey).unwrap().id();
    serve(&huey);
    let waiting = send::job(2).header("customer", "a").enqueue(&huey).unwrap().id();
    let swept = sweep::enqueue(&huey).unwrap().id();
    assert_eq!(ids(huey.jobs()), [good, bad, waiting, swept], "in the order of enqueueing");
    assert_eq!(ids(huey.jobs().after(bad)), [waiting, swept], "from where a page ended");
    assert_eq!(ids(huey.jobs().task::<send>()), [good, bad, waiting]);
    assert_eq!(ids(huey.jobs().task_named("listing::sweep")), [swept]);
    assert_eq!(ids(huey.jobs().queue("mail").state(JobState::Dead)), [bad]);
    assert_eq!(ids(huey.jobs().state(JobState::Complete).state(JobState::Queued)), [good, waiting, swept]);
    assert_eq!(ids(huey.jobs().header("customer", "a")), [good, waiting]);
    assert!(ids(huey.jobs().queue("nobody's")).is_empty() && ids(huey.jobs().task_named("no task")).is_empty());
}

#[test]
fn a_long_listing_comes_in_pages_while_jobs_move() {
    let (huey, ..) = queue_with(|builder| builder.durability(Durability::Relaxed));
    let all: Vec<JobId> = send::map(&huey, 1000..4000).unwrap().iter().map(huey::JobHandle::id).collect();
    let _ = sweep::enqueue(&huey).unwrap();
    let mut listing = huey.jobs().task::<send>();
    let mut seen: Vec<JobId> = listing.by_ref().take(50).map(|job| job.unwrap().id).collect();
    serve(&huey);
    let rest: Vec<JobInfo> = listing.map(Result::unwrap).collect();
    assert!(rest.iter().skip(100).all(|job| job.state == JobState::Complete), "told as they are when they are read");
    seen.extend(rest.iter().map(|job| job.id));
    assert_eq!(seen, all, "each once");
    assert_eq!(ids(huey.jobs().task::<sweep>()).len(), 1, "behind thousands of others");
}

#[test]
fn a_listing_leaves_out_what_is_past_its_retention() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(START));
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()).retention(Duration::from_mins(1)));
    let ended = sweep::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(ids(huey.jobs()), [ended.id()]);
    clock.advance(Duration::from_mins(2));
    assert!(ids(huey.jobs()).is_empty());
    assert!(huey.info(ended.id()).unwrap().is_none());
}

#[test]
fn a_task_is_active_while_a_job_of_it_is_queued_running_or_to_be_retried() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(START));
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()));
    assert!(!huey.is_active::<later>().unwrap());
    let job = later::job().delay(Duration::from_mins(1)).enqueue(&huey).unwrap();
    assert!(!huey.is_active::<later>().unwrap(), "it is scheduled for later");
    clock.advance(Duration::from_mins(1));
    assert!(huey.is_active::<later>().unwrap(), "it is due");
    serve(&huey);
    assert_eq!(job.status().unwrap(), JobState::Scheduled);
    let counts = huey.counts_of::<later>().unwrap();
    assert_eq!((counts.scheduled, counts.retrying), (1, 1));
    assert!(huey.is_active::<later>().unwrap(), "it waits for another attempt");
    assert!(!huey.is_active::<sweep>().unwrap(), "another task");
    clock.advance(Duration::from_mins(5));
    serve(&huey);
    job.wait(LONG).unwrap();
    assert!(!huey.is_active::<later>().unwrap());
}

#[test]
fn ids_are_told_apart_that_are_gone_and_that_never_were() {
    let (one, other) = (Huey::builder().open(Memory::new()).unwrap(), Huey::builder().open(Memory::new()).unwrap());
    let gone = sweep::job().enqueue(&one).unwrap();
    one.consumer().run_until_idle().unwrap();
    assert!(gone.take().unwrap().is_some());
    assert_eq!(one.status(gone.id()).unwrap(), JobState::Gone);
    assert_eq!(other.status(gone.id()).unwrap(), JobState::NeverExisted);
    let states: HashSet<JobState> = ids(one.jobs()).iter().map(|id| one.status(*id).unwrap()).collect();
    assert!(states.is_empty());
}
