//! A hook on the queue sees every way by which a job is made.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::testing::tick;
use huey::{Context, Decision, Huey, JobId, Retry, Schedule, SignalKind, Timestamp, VirtualClock, group, task};
use support::{LONG, block_on, queue_with, run};

#[task]
fn leaf(number: u64) -> u64 {
    number
}

#[task]
fn parent(#[ctx] ctx: &Context) -> huey::Result<()> {
    leaf::enqueue(ctx.huey()?, 1).map(drop)
}

#[task]
fn twice(#[ctx] ctx: &Context) -> Result<(), Retry> {
    if ctx.attempt() == 1 { Err(Retry::after(Duration::ZERO)) } else { Ok(()) }
}

#[task]
fn reads_header(#[ctx] ctx: &Context) -> Option<String> {
    ctx.headers().iter().find(|(name, _)| name == "seen-by").map(|(_, value)| value.clone())
}

type Seen = Arc<Mutex<Vec<(String, &'static str, JobId)>>>;

/// At a minute's beginning, so that a tick comes when the clock moves on.
fn clock() -> Arc<VirtualClock> {
    VirtualClock::starting_at(Timestamp::from_micros(1_767_225_600_000_000))
}

fn watched(clock: &Arc<VirtualClock>) -> (Huey, Seen) {
    let seen: Seen = Arc::default();
    let noted = Arc::clone(&seen);
    let (huey, ..) = queue_with(|builder| {
        builder.clock(clock.clock()).hook(move |request| {
            let task = request.task().rsplit("::").next().unwrap_or_default().to_owned();
            noted.lock().unwrap().push((task, request.origin().kind(), request.id()));
            request.header("seen-by", "the queue");
            Ok(Decision::Go)
        })
    });
    (huey, seen)
}

#[test]
fn a_hook_on_the_queue_sees_every_origin_once_per_job() {
    let clock = clock();
    let (huey, seen) = watched(&clock);
    let first = leaf::enqueue(&huey, 1).unwrap();
    block_on(leaf::enqueue_async(&huey, 2)).unwrap().wait(Duration::ZERO).unwrap_err();
    let bulk = leaf::map(&huey, [3, 4]).unwrap();
    block_on(leaf::map_async(&huey, [5])).unwrap().clear();
    let _ = leaf::job(6).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    let by_body = parent::enqueue(&huey).unwrap();
    // Retries are the same job.
    let _ = twice::enqueue(&huey).unwrap();
    run(&huey);
    by_body.wait(LONG).unwrap();
    let often = Schedule::every(Duration::from_mins(1)).unwrap();
    huey.schedules().add("often", often, leaf::job(7)).unwrap();
    clock.advance(Duration::from_mins(1));
    tick(&huey).unwrap();
    let seen = seen.lock().unwrap();
    for (task, origin, id) in seen.iter() {
        println!("{origin}: {task} {id}");
    }
    let kinds: Vec<(&str, &str)> = seen.iter().map(|(task, origin, _)| (task.as_str(), *origin)).collect();
    let call = |task| (task, "call");
    let many = ("leaf", "bulk");
    assert_eq!(
        kinds,
        [
            call("leaf"),
            call("leaf"),
            many,
            many,
            many,
            call("leaf"),
            call("parent"),
            call("twice"),
            call("leaf"),
            ("leaf", "periodic"),
        ]
    );
    let ids: std::collections::HashSet<JobId> = seen.iter().map(|(_, _, id)| *id).collect();
    assert_eq!(ids.len(), seen.len(), "once per job");
    assert!(ids.contains(&first.id()) && ids.contains(&bulk.first().unwrap().id()));
}

#[task]
fn fails() -> Result<u64, String> {
    Err("no route".into())
}

#[task]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

/// All eight origins, each in a place of its own.
#[test]
fn every_origin_reaches_the_hooks() {
    let clock = clock();
    let (huey, seen) = watched(&clock);
    leaf::enqueue(&huey, 1).unwrap();
    leaf::map(&huey, [2]).unwrap();
    let _ = leaf::job(3).then(leaf::with()).enqueue(&huey).unwrap();
    group([leaf::job(4), leaf::job(5)]).then(sum::with()).enqueue(&huey).unwrap();
    let dead = fails::job().on_error(reads_header::job()).enqueue(&huey).unwrap();
    huey.schedules().add("often", Schedule::every(Duration::from_mins(1)).unwrap(), leaf::job(6)).unwrap();
    run(&huey);
    clock.advance(Duration::from_mins(1));
    tick(&huey).unwrap();
    huey.replay(dead.id()).unwrap();
    run(&huey);
    let seen = seen.lock().unwrap();
    let mut kinds: Vec<_> = seen.iter().map(|(task, origin, _)| format!("{origin}: {task}")).collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "bulk: leaf",
            "call: fails",
            "call: leaf",
            "call: leaf",
            "chain: leaf",
            "chord callback: sum",
            "error follow-up: reads_header",
            "group member: leaf",
            "group member: leaf",
            "periodic: leaf",
            "replay: fails",
        ]
    );
}

#[test]
fn a_refused_job_is_told_of_by_rejected_alone_on_every_path() {
    let all = ["call", "bulk", "group member", "periodic", "chain", "error follow-up", "chord callback", "replay"];
    for refused in all {
        let clock = clock();
        let (huey, heard, _) = queue_with(|builder| {
            builder.clock(clock.clock()).hook(move |request| match request.origin().kind() {
                kind if kind == refused && request.task() != fails::NAME => Err("not so".into()),
                "replay" if refused == "replay" => Err("not so".into()),
                _ => Ok(Decision::Go),
            })
        });
        let dead = fails::job().on_error(reads_header::job()).enqueue(&huey).unwrap();
        let outcomes = [
            leaf::enqueue(&huey, 1).is_err(),
            leaf::map(&huey, [2]).is_err(),
            group([leaf::job(4), leaf::job(5)]).then(sum::with()).enqueue(&huey).is_err(),
        ];
        assert_eq!(outcomes, [refused == "call", refused == "bulk", refused == "group member"]);
        let chain = leaf::job(3).then(leaf::with()).enqueue(&huey);
        assert_eq!(chain.is_err(), refused == "call");
        huey.schedules().add("often", Schedule::every(Duration::from_mins(1)).unwrap(), leaf::job(6)).unwrap();
        run(&huey);
        clock.advance(Duration::from_mins(1));
        tick(&huey).unwrap();
        assert_eq!(huey.replay(dead.id()).is_err(), refused == "replay");
        run(&huey);
        let of: Vec<_> = heard.all().into_iter().filter(|signal| signal.kind == SignalKind::Rejected).collect();
        assert!(!of.is_empty() && of.iter().all(|signal| signal.origin.kind() == refused), "{refused}: {of:?}");
        for signal in of {
            assert_eq!(heard.of(signal.id), "rejected", "{refused}");
            assert!(signal.cause.unwrap().ends_with(": not so"), "{refused}");
        }
    }
}

#[test]
fn a_header_of_a_hook_reaches_the_body() {
    let (huey, _) = watched(&clock());
    let job = reads_header::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(job.wait(LONG).unwrap().as_deref(), Some("the queue"));
}
