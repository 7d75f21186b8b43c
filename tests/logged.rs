//! What no caller is told of is logged, and names what it is about.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use huey::store::{Answer, Commit, Memory as Store, OpenStorage, Plan, Query, Storage, StorageOptions, Transition};
use huey::testing::tick;
use huey::{Decision, Huey, JobState, Schedule, SignalKind, Timestamp, VirtualClock, task};
use support::{lock, queue_with, run};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// All that was logged in this process.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        use std::fmt::Write as _;
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = event.metadata().level().to_string();
        event.record(&mut Line(&mut line));
        lock(&LOG).push(line);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn listen() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| tracing::subscriber::set_global_default(Log).unwrap());
}

/// How many lines have all of these words.
fn lines(words: &[&str]) -> usize {
    lock(&LOG).iter().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

#[task]
fn fails() -> Result<(), &'static str> {
    Err("no")
}

#[task]
fn plain() {}

#[task(queue = "timed", cron = "*/5 * * * *")]
fn often() {}

#[task(queue = "timed", cron = "0 12 * * *")]
fn noon() {}

fn slow_receiver(_: &huey::Signal) {
    // Longer than the threshold of the test, which is nothing.
    std::thread::yield_now();
}

fn failing_receiver(_: &huey::Signal) -> Result<(), &'static str> {
    Err("the printer is on fire")
}

fn panicking_receiver(_: &huey::Signal) {
    panic!("a receiver");
}

#[test]
fn a_receiver_that_is_slow_or_fails_or_panics_is_logged_by_name() {
    listen();
    let (huey, ..) = queue_with(|builder| {
        let builder = builder.slow_receiver(Duration::ZERO).on(SignalKind::Enqueued, slow_receiver);
        builder.on(SignalKind::Enqueued, failing_receiver).on(SignalKind::Enqueued, panicking_receiver)
    });
    let id = plain::enqueue(&huey).unwrap().id().to_string();
    assert_eq!(lines(&["WARN", "a receiver is slow", "slow_receiver", &id]), 1);
    assert_eq!(lines(&["ERROR", "failing_receiver", "the printer is on fire", &id]), 1);
    assert_eq!(lines(&["ERROR", "a receiver panicked", "panicking_receiver", &id]), 1);
}

#[test]
fn a_receiver_within_the_threshold_is_not_logged() {
    listen();
    let (huey, ..) =
        queue_with(|builder| builder.slow_receiver(Duration::from_hours(1)).on(SignalKind::Enqueued, slow_receiver));
    let id = plain::enqueue(&huey).unwrap().id().to_string();
    assert_eq!(lines(&["a receiver is slow", &id]), 0);
}

#[test]
fn a_panic_in_a_callback_of_a_hook_is_logged_with_its_job() {
    listen();
    let (huey, ..) = queue_with(|builder| {
        builder.hook(|request| {
            request.after_commit(|_| panic!("a callback"));
            Ok(Decision::Go)
        })
    });
    let id = plain::enqueue(&huey).unwrap().id().to_string();
    assert_eq!(lines(&["ERROR", "callback panicked", "logged::plain", &id]), 1);
}

#[test]
fn the_oldest_dead_jobs_go_with_a_warning_once_there_are_too_many() {
    listen();
    let (huey, ..) = queue_with(|builder| builder.max_given_up(3));
    let jobs: Vec<_> = (0..5).map(|_| fails::enqueue(&huey).unwrap()).collect();
    run(&huey);
    let _ = plain::enqueue(&huey).unwrap();
    let states: Vec<_> = jobs.iter().map(|job| job.status().unwrap()).collect();
    assert_eq!(states, [JobState::Gone, JobState::Gone, JobState::Dead, JobState::Dead, JobState::Dead]);
    let warned = lines(&["WARN", "given up"]);
    assert!(warned > 0, "{:?}", lock(&LOG));
}

#[test]
fn a_last_tick_of_a_clock_that_was_a_day_ahead_is_reset_with_a_warning() {
    listen();
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_767_225_600_000_000));
    let (huey, ..) = queue_with(|builder| builder.clock(clock.clock()));
    huey.schedules().add("ahead", Schedule::every(Duration::from_mins(1)).unwrap(), plain::job()).unwrap();
    let now = clock.clock().now();
    clock.set(now + Duration::from_hours(48));
    tick(&huey).unwrap();
    clock.set(now + Duration::from_secs(30));
    assert_eq!(lines(&["WARN", "ahead", "clock that was wrong"]), 0);
    tick(&huey).unwrap();
    assert_eq!(lines(&["WARN", "ahead", "clock that was wrong"]), 1);
}

#[test]
fn a_declaration_that_is_another_than_the_last_programs_is_logged() {
    struct Open(Arc<dyn Storage>);
    impl OpenStorage for Open {
        fn open_storage(self, _: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
            Ok(self.0)
        }
    }
    listen();
    let store = Store::new().open_storage(StorageOptions::default()).unwrap();
    tick(&Huey::builder().open(Open(Arc::clone(&store))).unwrap()).unwrap();
    // As if the program before had declared for the one what this one declares for the other.
    let Answer::Schedules(rows) = store.read(Query::Schedules).unwrap() else { panic!("no schedules") };
    let of = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    let choices = Some(of(noon::NAME).choices.clone());
    let plan = Plan { schedule: often::NAME.into(), seen: of(often::NAME).revision, choices, from: None };
    store.commit(Transition::Plan(plan), Commit::default()).unwrap();
    let words = ["WARN", "declares another schedule", "logged::often", "cron 0 12 * * *", "cron */5 * * * *"];
    assert_eq!(lines(&words), 0);
    tick(&Huey::builder().open(Open(store)).unwrap()).unwrap();
    assert_eq!(lines(&words), 1);
}
