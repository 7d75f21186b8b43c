//! How a consumer says it is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/gates.rs"]
mod gates;
mod support;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gates::{deaf, gated, gated_async};
use huey::store::{OpenStorage, Storage, StorageOptions};
use huey::testing::{Fault, SimDisk, inspected};
use huey::{HealthStatus, Huey, JobState, Timestamp, VirtualClock, task};
use support::{LONG, Stage, lock, queue, queue_with};
use tracing_subscriber::fmt::MakeWriter;

#[task]
fn nothing() {}

#[test]
fn health_tells_what_each_worker_runs_and_how_long_jobs_wait() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let (huey, _, stage) = queue_with(|builder| builder.clock(clock.clock()));
    let consumer = huey.consumer().workers(1).start().unwrap();
    let idle = consumer.health();
    assert_eq!((idle.status, idle.reasons.len(), idle.oldest_waiting), (HealthStatus::Ok, 0, None));
    assert!(idle.workers.len() == 1 && idle.workers[0].runs.is_none());
    let plain = gated::enqueue(&huey).unwrap();
    let other = gated_async::enqueue(&huey).unwrap();
    stage.wait_notes(2);
    let _later = gated::job().delay(Duration::from_secs(90)).enqueue(&huey).unwrap();
    let _waits = gated::job().priority(3).enqueue(&huey).unwrap();
    clock.advance(Duration::from_mins(1));
    let health = consumer.health();
    let runs = health.workers[0].runs.clone().unwrap();
    assert_eq!(
        (runs.id, runs.since, runs.task.as_str()),
        (plain.id(), Timestamp::from_micros(1_000_000_000), gated::NAME)
    );
    assert_eq!(health.workers[0].name, "huey-worker-1");
    assert_eq!(health.running_async.iter().map(|one| one.id).collect::<Vec<_>>(), [other.id()]);
    assert_eq!((health.status, health.oldest_waiting), (HealthStatus::Ok, Some(Duration::from_mins(1))));
    stage.open();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn bodies_that_ignore_their_deadlines_are_seen_in_health() {
    let (huey, _, stage) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    for status in [HealthStatus::Degraded, HealthStatus::Failing] {
        let late = deaf::enqueue(&huey).unwrap();
        assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
        let health = consumer.health();
        assert_eq!(health.status, status);
        assert!(health.reasons[0].contains(&late.id().to_string()), "{:?}", health.reasons);
        assert!(health.late.iter().any(|one| one.id == late.id()));
    }
    stage.open();
    gated::enqueue(&huey).unwrap().wait(LONG).unwrap();
    consumer.wait_idle().unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_storage_that_is_closed_is_seen_in_health_and_ends_no_process() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(1).start().unwrap();
    huey.close().unwrap();
    let health = consumer.health();
    assert_eq!(health.status, HealthStatus::Failing);
    assert!(health.reasons.iter().any(|why| why.contains("closed")), "{:?}", health.reasons);
    consumer.shutdown().wait().unwrap();
}

struct Open(Arc<dyn Storage>);

impl OpenStorage for Open {
    fn open_storage(self, _: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
        Ok(self.0)
    }
}

/// What is logged.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Said {
    fn matches(&self, words: &str) -> usize {
        String::from_utf8_lossy(&lock(&self.0)).matches(words).count()
    }
}

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Said {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// What was claimed together goes back together, so that each is not tried alone.
#[test]
fn a_worker_that_cannot_note_an_attempt_keeps_nothing_that_it_has_claimed() {
    const JOBS: u64 = 50;
    let disk = SimDisk::new(7);
    let (storage, _inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    let huey = Huey::builder().data_arc(Stage::new()).open(Open(storage)).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    // From now on it is known to be quick, and claimed with others.
    nothing::map(&huey, (0..JOBS).map(|_| ())).unwrap();
    consumer.wait_idle().unwrap();
    disk.fail_begins(u32::MAX);
    nothing::map(&huey, (0..JOBS).map(|_| ())).unwrap();
    let until = Instant::now() + LONG;
    while consumer.health().status != HealthStatus::Failing || huey.counts().unwrap().queued < JOBS {
        assert!(Instant::now() < until, "{:?}", huey.counts());
        std::thread::yield_now();
    }
    disk.fail_begins(0);
    consumer.wait_idle().unwrap();
    consumer.shutdown().wait().unwrap();
}

/// Such a job goes back each time, and no attempt of it counts.
#[test]
fn a_worker_that_cannot_note_an_attempt_tries_again_later_and_is_seen_in_health() {
    let disk = SimDisk::new(7);
    let (storage, _inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    let stage = Stage::new();
    stage.open();
    let huey = Huey::builder().data_arc(stage).open(Open(storage)).unwrap();
    disk.fail_begins(u32::MAX);
    let consumer = huey.consumer().workers(1).start().unwrap();
    let job = gated::enqueue(&huey).unwrap();
    let until = Instant::now() + LONG;
    while consumer.health().status != HealthStatus::Failing {
        assert!(Instant::now() < until, "{:?}", consumer.health());
        std::thread::yield_now();
    }
    // Also while its job goes back and is claimed again.
    for _ in 0..1_000 {
        assert_eq!(consumer.health().status, HealthStatus::Failing);
    }
    let (_, error) = consumer.health().last_storage_error.unwrap();
    assert!(error.contains("the note is not written"), "{error}");
    disk.fail_begins(0);
    job.wait(LONG).unwrap();
    consumer.wait_idle().unwrap();
    assert_eq!(consumer.health().status, HealthStatus::Degraded, "it failed lately");
    assert_eq!(job.info().unwrap().unwrap().attempts, 1);
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_storage_error_ends_no_worker_and_is_seen_in_health() {
    let said = Said::default();
    tracing_subscriber::fmt().with_ansi(false).with_writer(said.clone()).init();
    let disk = SimDisk::new(7);
    let (storage, _inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    let stage = Stage::new();
    stage.open();
    let huey = Huey::builder().data_arc(stage).open(Open(storage)).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    gated::enqueue(&huey).unwrap().wait(LONG).unwrap();
    assert_eq!(consumer.health().status, HealthStatus::Ok);
    disk.fail_opens(1_000);
    disk.fault_at(0, Fault::Fail);
    while consumer.health().last_storage_error.is_none() {
        let _ = gated::enqueue(&huey);
    }
    assert_eq!(consumer.health().status, HealthStatus::Failing);
    // Nobody rings: a worker that cannot claim tries again by itself, and says so each time.
    let until = Instant::now() + LONG;
    while said.matches("nothing could be claimed; trying again") < 4 {
        assert!(Instant::now() < until, "{said:?}");
        std::thread::yield_now();
    }
    disk.fail_opens(0);
    disk.no_fault();
    let after = loop {
        if let Ok(after) = gated::enqueue(&huey) {
            break after;
        }
    };
    after.wait(LONG).unwrap();
    consumer.wait_idle().unwrap();
    let health = consumer.health();
    assert_eq!(health.status, HealthStatus::Degraded, "it failed lately: {:?}", health.reasons);
    consumer.shutdown().wait().unwrap();
}
