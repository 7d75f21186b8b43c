//! Schedules: what the code declares, what is chosen at run time, and what becomes of each tick.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use huey::store::{Memory as Store, OpenStorage, Plan, Query, Storage, StorageOptions, Transition};
use huey::testing::tick;
use huey::{
    Decision, EnqueueRequest, HookResult, Huey, HueyBuilder, Job, JobState, Missed, Origin, Overlap, Registered,
    Result, Schedule, SignalKind, SkipReason, Timestamp, VirtualClock, task,
};
use support::{Heard, run};

/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600;
const MINUTE: Duration = Duration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((START + seconds) * 1_000_000)
}

#[task(cron = "*/5 * * * *")]
fn five() -> u32 {
    5
}

#[task(every = "7m", overlap = allow)]
fn seven() {}

#[task(cron = "0 12 * * *", tz = "Europe/Berlin", overlap = queue_one, missed = all(3))]
fn noon() {}

#[task(cron = "@hourly", missed = once, retries = 1, retry_delay = "10m")]
fn failing() -> std::result::Result<(), &'static str> {
    Err("it fails")
}

#[task]
fn greet(name: String) -> String {
    name
}

#[task(unique, hooks(only_mornings))]
fn watched() {}

fn only_mornings(request: &mut EnqueueRequest<'_>) -> HookResult {
    let Origin::Periodic { tick } = request.origin() else { return Ok(Decision::Go) };
    request.header("tick", tick.as_micros().to_string());
    if tick >= at(12 * 3600) { Err("only in the morning".into()) } else { Ok(Decision::Go) }
}

/// A queue whose clock stands, and the store of it, which can be opened again.
struct Bench {
    clock: Arc<VirtualClock>,
    store: Arc<dyn Storage>,
    huey: Huey,
    heard: Heard,
}

/// A store that is open already.
struct Open(Arc<dyn Storage>);

impl OpenStorage for Open {
    fn open_storage(self, _: StorageOptions) -> Result<Arc<dyn Storage>> {
        Ok(self.0)
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(set_up: impl FnOnce(HueyBuilder) -> HueyBuilder) -> Self {
        let clock = VirtualClock::starting_at(at(0));
        let mut options = StorageOptions::default();
        options.clock = clock.clock();
        let store = Store::new().open_storage(options).unwrap();
        let heard = Heard::default();
        let huey = set_up(heard.listen(Huey::builder().clock(clock.clock()))).open(Open(Arc::clone(&store))).unwrap();
        // From the first look on, ticks count.
        tick(&huey).unwrap();
        Self { clock, store, huey, heard }
    }

    /// The same store, opened again, as after a restart.
    fn restart(&mut self) {
        self.heard = Heard::default();
        let builder = self.heard.listen(Huey::builder().clock(self.clock.clock()));
        self.huey = builder.open(Open(Arc::clone(&self.store))).unwrap();
    }

    /// Moves the clock to so many seconds past the start, and looks at the schedules.
    fn tick_at(&self, seconds: i64) -> Timestamp {
        self.clock.set(at(seconds));
        tick(&self.huey).unwrap()
    }

    /// The ticks of a task that made jobs, in seconds past the start.
    fn ticks(&self, task: &str) -> Vec<i64> {
        let made = self.heard.all().into_iter().filter(|signal| signal.kind == SignalKind::Enqueued);
        let made = made.filter(|signal| &*signal.task == task);
        made.filter_map(|signal| match signal.origin {
            Origin::Periodic { tick } => Some(tick.as_micros() / 1_000_000 - START),
            _ => None,
        })
        .collect()
    }

    /// The rows of skipped ticks of a schedule: first and last in seconds past the start, count, reason.
    fn skipped(&self, schedule: &str) -> Vec<(i64, i64, u64, SkipReason)> {
        let seconds = |tick: Timestamp| tick.as_micros() / 1_000_000 - START;
        let skipped = self.heard.all().into_iter().filter_map(|signal| signal.skipped);
        let skipped = skipped.filter(|skipped| &*skipped.schedule == schedule);
        skipped.map(|row| (seconds(row.first), seconds(row.last), row.count, row.reason)).collect()
    }

    fn add<T: Registered>(&self, name: &str, schedule: Schedule, job: Job<T>) {
        self.huey.schedules().add(name, schedule, job).unwrap();
    }
}

fn every(seconds: u64) -> Schedule {
    Schedule::every(Duration::from_secs(seconds)).unwrap()
}

#[test]
fn a_tick_makes_one_job_whose_origin_is_the_planned_instant() {
    let bench = Bench::new();
    assert_eq!(bench.ticks(five::NAME), [] as [i64; 0], "nothing before the first tick");
    let next = bench.tick_at(300);
    assert_eq!((bench.ticks(five::NAME), next), (vec![300], at(420)));
    tick(&bench.huey).unwrap();
    bench.tick_at(301);
    assert_eq!(bench.ticks(five::NAME), [300], "a tick is decided once");
    let handle =
        bench.heard.find(SignalKind::Enqueued).map(|signal| bench.huey.handle::<five>(signal.id)).unwrap().unwrap();
    run(&bench.huey);
    assert_eq!(handle.get().unwrap(), Some(5), "a periodic run keeps its result like any other");
}

#[test]
fn every_is_counted_from_the_unix_epoch() {
    let bench = Bench::new();
    for seconds in (0..3000).step_by(30) {
        bench.tick_at(seconds);
    }
    let expected: Vec<i64> = (1..3000).filter(|seconds| (START + seconds) % 420 == 0).collect();
    assert_eq!(bench.ticks(seven::NAME), expected);
}

#[test]
fn a_running_consumer_makes_the_jobs_of_ticks_as_the_clock_comes_to_them() {
    let bench = Bench::new();
    let consumer = bench.huey.consumer().workers(2).start().unwrap();
    let second = bench.huey.consumer().workers(1).start().unwrap();
    for tick in 1..=4 {
        bench.clock.set(at(300 * tick));
        bench.heard.wait_for(|heard| {
            let made = heard.iter().filter(|signal| signal.kind == SignalKind::Complete && &*signal.task == five::NAME);
            i64::try_from(made.count()).unwrap() == tick
        });
        consumer.wait_idle().unwrap();
    }
    assert_eq!(bench.ticks(five::NAME), [300, 600, 900, 1200], "one job for each, of two consumers");
    consumer.shutdown().wait().unwrap();
    second.shutdown().wait().unwrap();
}

#[test]
fn a_consumer_that_is_told_to_makes_no_jobs_of_schedules() {
    let bench = Bench::new();
    let consumer = bench.huey.consumer().workers(1).periodic(false).start().unwrap();
    bench.clock.set(at(300));
    let handle = greet::enqueue(&bench.huey, "Ada".into()).unwrap();
    handle.wait(support::LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(bench.ticks(five::NAME), [] as [i64; 0]);
    tick(&bench.huey).unwrap();
    assert_eq!(bench.ticks(five::NAME), [300]);
}

#[test]
fn a_restart_within_the_minute_repeats_no_tick() {
    let mut bench = Bench::new();
    bench.tick_at(300);
    assert_eq!(bench.ticks(five::NAME), [300]);
    bench.restart();
    bench.tick_at(301);
    assert_eq!(bench.ticks(five::NAME), [] as [i64; 0]);
    run(&bench.huey);
    bench.tick_at(601);
    assert_eq!(bench.ticks(five::NAME), [600]);
}

#[test]
fn a_clock_that_went_back_repeats_no_tick() {
    let bench = Bench::new();
    bench.tick_at(7200);
    run(&bench.huey);
    for seconds in (3600..7200).step_by(60) {
        bench.tick_at(seconds);
        run(&bench.huey);
    }
    assert_eq!(bench.ticks(five::NAME), [7200]);
    bench.tick_at(7500);
    assert_eq!(bench.ticks(five::NAME), [7200, 7500]);
}

#[test]
fn ticks_of_a_clock_that_was_a_day_ahead_count_again_from_now_on() {
    let bench = Bench::new();
    bench.tick_at(400 * 86_400);
    run(&bench.huey);
    bench.tick_at(600);
    assert_eq!(bench.ticks(five::NAME), [400 * 86_400]);
    bench.tick_at(900);
    assert_eq!(bench.ticks(five::NAME), [400 * 86_400, 900]);
}

#[test]
fn a_tick_is_skipped_while_a_job_of_its_task_is_active() {
    let bench = Bench::new();
    five::enqueue(&bench.huey).unwrap();
    bench.tick_at(300);
    assert_eq!(bench.ticks(five::NAME), [] as [i64; 0], "a manual call stands in the way");
    assert_eq!(bench.skipped(five::NAME), [(300, 300, 1, SkipReason::Overlap)]);
    let signal = bench.heard.find(SignalKind::Skipped).unwrap();
    assert_eq!((&*signal.task, signal.cause.as_deref()), (five::NAME, Some("overlap")));
    run(&bench.huey);
    five::job().delay(Duration::from_hours(1)).enqueue(&bench.huey).unwrap();
    bench.tick_at(600);
    assert_eq!(bench.ticks(five::NAME), [600], "one that is scheduled for later does not");
    run(&bench.huey);
    bench.tick_at(300 + 3600);
    bench.tick_at(600 + 3600);
    assert_eq!(bench.skipped(five::NAME).last(), Some(&(4200, 4200, 1, SkipReason::Overlap)), "until it is due");
}

#[test]
fn a_job_that_waits_for_its_retry_stands_in_the_way() {
    let bench = Bench::new();
    bench.tick_at(3600);
    run(&bench.huey);
    assert_eq!(bench.heard.list().matches("retrying").count(), 1);
    bench.add("often", every(1), failing::job());
    bench.tick_at(3601);
    assert_eq!(bench.skipped("often"), [(3601, 3601, 1, SkipReason::Overlap)]);
}

#[test]
fn queue_one_lets_one_wait_and_no_more() {
    let bench = Bench::new();
    bench.add("one", every(60).overlap(Overlap::QueueOne), five::job());
    bench.huey.schedules().remove(five::NAME).unwrap();
    bench.tick_at(60);
    bench.tick_at(120);
    assert_eq!(bench.ticks(five::NAME), [60]);
    assert_eq!(bench.skipped("one"), [(120, 120, 1, SkipReason::Overlap)]);
}

/// Looks at the schedules while it runs.
#[task]
fn looks(#[ctx] ctx: &huey::Context) -> Result<()> {
    tick(ctx.huey()?).map(drop)
}

#[test]
fn a_job_that_runs_stands_in_the_way_unless_one_may_wait_beside_it() {
    for (overlap, ticks, skipped) in
        [(Overlap::Skip, vec![60], 1), (Overlap::QueueOne, vec![60, 120], 0), (Overlap::Allow, vec![60, 120], 0)]
    {
        let bench = Bench::new();
        bench.add("looks", every(60).overlap(overlap), looks::job());
        bench.tick_at(60);
        bench.clock.set(at(120));
        bench.huey.consumer().workers(1).periodic(false).run_until_idle().unwrap();
        assert_eq!((bench.ticks(looks::NAME), bench.skipped("looks").len()), (ticks, skipped), "{overlap:?}");
    }
}

#[test]
fn ticks_in_a_row_that_are_skipped_fire_one_signal() {
    let bench = Bench::new();
    bench.add("often", every(10), greet::job("Ada".into()));
    greet::enqueue(&bench.huey, "Grace".into()).unwrap();
    bench.tick_at(45);
    assert_eq!(bench.skipped("often"), [(10, 40, 4, SkipReason::Overlap)]);
}

#[test]
fn missed_ticks_are_skipped_unless_said_otherwise() {
    let bench = Bench::new();
    bench.tick_at(3600);
    assert_eq!(bench.skipped(five::NAME), [(300, 3300, 11, SkipReason::Missed)]);
    assert_eq!(bench.ticks(five::NAME), [3600], "one that is seen within 60 s is not late");
}

#[test]
fn of_missed_ticks_the_newest_makes_a_job_if_that_was_asked_for() {
    let bench = Bench::new();
    bench.tick_at(4 * 3600 + 61);
    assert_eq!(bench.ticks(failing::NAME), [4 * 3600]);
    assert_eq!(bench.skipped(failing::NAME), [(3600, 3 * 3600, 3, SkipReason::Missed)]);
}

#[test]
fn missed_ticks_are_made_up_for_up_to_a_number_and_overlap_does_not_hold_among_them() {
    let bench = Bench::new();
    bench.tick_at(6 * 86_400);
    // Noon in Berlin is 11:00 UTC in winter.
    let noon_of = |day: i64| day * 86_400 + 11 * 3600;
    assert_eq!(bench.ticks(noon::NAME), [noon_of(3), noon_of(4), noon_of(5)]);
    assert_eq!(bench.skipped(noon::NAME), [(noon_of(0), noon_of(2), 3, SkipReason::Missed)]);
    bench.tick_at(8 * 86_400);
    assert_eq!(bench.skipped(noon::NAME).last(), Some(&(noon_of(6), noon_of(7), 2, SkipReason::Overlap)));
}

#[test]
fn a_schedule_of_a_job_with_arguments_is_added_and_survives_a_restart() {
    let mut bench = Bench::new();
    let job = greet::job("Ada".into()).priority(7).header("from", "a schedule");
    bench.add("hello", every(60), job);
    bench.restart();
    bench.tick_at(60);
    let signal = bench.heard.find(SignalKind::Enqueued).unwrap();
    let info = bench.huey.info(signal.id).unwrap().unwrap();
    assert_eq!((info.priority, info.headers.first().cloned()), (7, Some(("from".into(), "a schedule".into()))));
    run(&bench.huey);
    assert_eq!(bench.huey.handle::<greet>(signal.id).unwrap().get().unwrap().as_deref(), Some("Ada"));
    let again = bench.huey.schedules().add("hello", every(5), greet::job("Eve".into())).unwrap_err();
    assert!(again.is_bad_input() && again.to_string().contains("`hello`"), "{again}");
    let late = greet::job("Eve".into()).delay(MINUTE);
    let late = bench.huey.schedules().add("late", every(5), late).unwrap_err();
    assert!(late.is_bad_input() && late.to_string().contains("delay"), "{late}");
    let nowhere = Schedule::cron("@daily").unwrap().tz("Mars/Olympus");
    let nowhere = bench.huey.schedules().add("nowhere", nowhere, greet::job("Eve".into())).unwrap_err();
    assert!(nowhere.is_bad_input() && nowhere.to_string().contains("Mars/Olympus"), "{nowhere}");
}

#[test]
fn a_change_at_run_time_holds_through_restarts_until_it_is_reset() {
    let mut bench = Bench::new();
    bench.huey.schedules().change(five::NAME, &every(60)).unwrap();
    bench.restart();
    bench.tick_at(60);
    let info = bench.huey.schedules().get(five::NAME).unwrap();
    assert!(info.is_changed() && info.declared.is_some());
    assert_eq!((info.schedule, info.last, info.next), (every(60), Some(at(60)), Some(at(120))));
    assert_eq!(bench.ticks(five::NAME), [60]);
    run(&bench.huey);
    bench.huey.schedules().reset(five::NAME).unwrap();
    bench.restart();
    assert!(!bench.huey.schedules().get(five::NAME).unwrap().is_changed());
    bench.tick_at(120);
    bench.tick_at(300);
    assert_eq!(bench.ticks(five::NAME), [300]);
    assert!(bench.huey.schedules().reset("hello").unwrap_err().is_bad_input());
}

#[test]
fn a_paused_schedule_makes_no_jobs_and_tells_of_its_ticks_when_it_goes_on() {
    let mut bench = Bench::new();
    bench.huey.schedules().pause(five::NAME).unwrap();
    bench.restart();
    bench.tick_at(300);
    bench.tick_at(600);
    let info = bench.huey.schedules().get(five::NAME).unwrap();
    assert_eq!((info.paused, info.next), (true, None));
    assert_eq!((bench.ticks(five::NAME), bench.skipped(five::NAME)), (vec![], vec![]));
    bench.clock.set(at(901));
    bench.huey.schedules().resume(five::NAME).unwrap();
    assert_eq!(bench.skipped(five::NAME), [(300, 900, 3, SkipReason::Paused)]);
    bench.tick_at(902);
    bench.tick_at(1200);
    assert_eq!(bench.ticks(five::NAME), [1200]);
}

#[test]
fn a_removed_schedule_is_gone_or_listed_as_removed_if_the_code_declares_it() {
    let mut bench = Bench::new();
    bench.add("hello", every(60), greet::job("Ada".into()));
    bench.huey.schedules().remove("hello").unwrap();
    bench.huey.schedules().remove(five::NAME).unwrap();
    bench.restart();
    bench.tick_at(300);
    assert_eq!((bench.ticks(five::NAME), bench.ticks(greet::NAME)), (vec![], vec![]));
    assert!(bench.huey.schedules().get("hello").unwrap_err().is_bad_input());
    let info = bench.huey.schedules().get(five::NAME).unwrap();
    assert!(info.removed && info.to_string().ends_with("removed"), "{info}");
    bench.huey.schedules().reset(five::NAME).unwrap();
    bench.tick_at(600);
    assert_eq!(bench.ticks(five::NAME), [600], "and comes back, from now on");
}

#[test]
fn schedules_are_listed_with_their_ticks_and_their_source() {
    let bench = Bench::new();
    bench.add("hello", every(60), greet::job("Ada".into()));
    bench.tick_at(60);
    let all = bench.huey.schedules().list().unwrap();
    let names: Vec<&str> = all.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["hello", failing::NAME, five::NAME, noon::NAME, seven::NAME]);
    let hello = all.first().unwrap();
    assert_eq!((hello.task.as_str(), &hello.declared, hello.last), (greet::NAME, &None, Some(at(60))));
    assert_eq!(hello.to_string(), "hello: every 60s, runs schedules::greet, next at 2026-01-01T00:02:00Z");
    let noon = all.iter().find(|info| info.name == noon::NAME).unwrap();
    assert_eq!(noon.to_string(), "schedules::noon: cron 0 12 * * * in Europe/Berlin, next at 2026-01-01T11:00:00Z");
}

#[test]
fn a_schedule_can_be_triggered_by_hand() {
    let bench = Bench::new();
    bench.add("hello", every(60), greet::job("Ada".into()));
    let id = bench.huey.schedules().trigger("hello").unwrap();
    assert_eq!(bench.huey.info(id).unwrap().unwrap().origin, Some(Origin::Call { parent: None }));
    assert_eq!(bench.huey.schedules().get("hello").unwrap().last, None, "the schedule stays as it is");
    assert!(bench.huey.schedules().trigger("good bye").unwrap_err().is_bad_input());
}

#[test]
fn another_declaration_in_the_code_ends_what_was_chosen_at_run_time() {
    let mut bench = Bench::new();
    bench.huey.schedules().change(five::NAME, &every(60)).unwrap();
    // What an older program left that declared another schedule for the task.
    let rows = match bench.store.read(Query::Schedules).unwrap() {
        huey::store::Answer::Schedules(rows) => rows,
        other => panic!("{other:?}"),
    };
    let of = |name: &str| rows.iter().find(|row| row.name == name).unwrap().clone();
    let plan = Plan {
        schedule: five::NAME.into(),
        seen: of(five::NAME).revision,
        choices: Some(of(noon::NAME).choices),
        from: None,
    };
    bench.store.commit(Transition::Plan(plan), huey::store::Commit::default()).unwrap();
    bench.restart();
    bench.tick_at(30);
    let info = bench.huey.schedules().get(five::NAME).unwrap();
    assert_eq!((info.is_changed(), info.schedule.to_string().as_str()), (false, "cron */5 * * * *"));
}

#[test]
fn hooks_see_the_tick_and_a_refused_one_is_rejected_alone() {
    let bench = Bench::with(|builder| builder);
    bench.add("watched", Schedule::cron("0 */6 * * *").unwrap(), watched::job());
    for hours in [6, 12, 18] {
        bench.tick_at(hours * 3600);
        run(&bench.huey);
    }
    let of_watched = |signal: &huey::Signal| &*signal.task == watched::NAME;
    let heard: Vec<_> = bench.heard.all().into_iter().filter(of_watched).collect();
    let kinds: Vec<&str> = heard.iter().map(|signal| signal.kind.name()).collect();
    assert_eq!(kinds, ["enqueued", "executing", "complete", "rejected", "rejected"]);
    let tick = at(6 * 3600);
    assert_eq!(heard[0].origin, Origin::Periodic { tick });
    assert_eq!(heard[0].headers.first(), Some(&("tick".to_owned(), tick.as_micros().to_string())));
    assert_eq!(bench.huey.schedules().get("watched").unwrap().last, Some(at(18 * 3600)));
}

#[test]
fn a_unique_task_gets_the_job_that_is_there() {
    let bench = Bench::new();
    let first = watched::enqueue(&bench.huey).unwrap();
    bench.add("watched", every(60).overlap(Overlap::Allow), watched::job());
    bench.tick_at(60);
    let heard = bench.heard.find(SignalKind::Deduplicated).unwrap();
    assert_eq!((heard.id, heard.origin), (first.id(), Origin::Periodic { tick: at(60) }));
    assert_eq!(bench.huey.status(first.id()).unwrap(), JobState::Queued);
    assert_eq!(bench.ticks(watched::NAME), [] as [i64; 0]);
}

#[test]
fn schedules_are_checked_where_they_are_made() {
    assert!(Schedule::cron("61 * * * *").unwrap_err().is_bad_input());
    assert!(Schedule::every(Duration::from_millis(999)).unwrap_err().is_bad_input());
    assert_eq!(Schedule::cron("@daily").unwrap().missed(Missed::Once).to_string(), "cron @daily");
}
