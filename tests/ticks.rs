//! A year of ticks: daylight saving, clock steps, restarts, two consumers. The judge knows the calendar by counting every
//! minute of it, and holds every job and every skipped tick against that.
//!
//! `HUEY_TICKS=N` ticks more often and restarts about N times instead of some hundreds, and `HUEY_SEED` sets the seed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::store::{
    Commit, Memory, OpenStorage, Outcome, Settlement, Storage, StorageOptions, Tasks, Transition, Verdict,
};
use huey::testing::{Random, Remote, SimDisk, inspected, tick};
use huey::{Huey, Missed, Origin, Overlap, Result, Schedule, SignalKind, Timestamp, VirtualClock, task};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use support::lock;

#[task]
fn gap() {}

#[task]
fn fold() {}

#[task]
fn twenty() {}

#[task]
fn office() {}

#[task]
fn even() {}

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000_000;

/// Whether this is the long form.
fn is_long() -> bool {
    std::env::var_os("HUEY_TICKS").is_some()
}

/// How far apart the ticks of `even` are.
fn distance() -> i64 {
    if is_long() { 17 * MINUTE } else { 257 * MINUTE }
}

/// The schedules, each with the name of its task.
fn schedules() -> [(&'static str, Schedule); 5] {
    let cron = |text: &str, tz: &str| Schedule::cron(text).unwrap().tz(tz);
    [
        // In the hour that daylight saving removes there, and in the one it repeats.
        (gap::NAME, cron("30 2 * * *", "America/New_York")),
        (fold::NAME, cron("30 1 * * *", "America/New_York")),
        (twenty::NAME, cron(if is_long() { "7,27,47 * * * *" } else { "7,27,47 */4 * * *" }, "Europe/Berlin")),
        (office::NAME, cron("*/30 9-16 * * MON-FRI", "Australia/Lord_Howe")),
        (even::NAME, Schedule::every(Duration::from_micros(distance().unsigned_abs())).unwrap()),
    ]
}

/// Every tick of two years and some days, found by looking at each minute, which the implementation never does.
fn calendars() -> BTreeMap<&'static str, Vec<i64>> {
    let mut all = BTreeMap::new();
    let minutes = || (0..(2 * YEAR + 60 * DAY) / MINUTE).map(|minute| START + minute * MINUTE);
    let shown = |zone: &TimeZone, at: i64| zone.to_datetime(jiff::Timestamp::from_microsecond(at).unwrap());
    let (york, berlin) = (TimeZone::get("America/New_York").unwrap(), TimeZone::get("Europe/Berlin").unwrap());
    let howe = TimeZone::get("Australia/Lord_Howe").unwrap();
    for (task, hour) in [(gap::NAME, 2), (fold::NAME, 1)] {
        // Times of the day: each day's, by what becomes of it there.
        let mut day: DateTime = shown(&york, START).date().at(hour, 30, 0, 0);
        let mut ticks = Vec::new();
        while ticks.last().is_none_or(|last| *last < START + 2 * YEAR + 60 * DAY) {
            let offset = match york.to_ambiguous_timestamp(day).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset,
                AmbiguousOffset::Fold { before, .. } | AmbiguousOffset::Gap { before, .. } => before,
            };
            let mut tick = offset.to_timestamp(day).unwrap().as_microsecond();
            // Half past two is half past three then; back to the first minute that exists.
            while shown(&york, tick).hour() > hour {
                if shown(&york, tick - MINUTE).hour() < hour {
                    break;
                }
                tick -= MINUTE;
            }
            ticks.push(tick);
            day = day.tomorrow().unwrap();
        }
        all.insert(task, ticks);
    }
    let every_hours = if is_long() { 1 } else { 4 };
    let is_twenty = |at: &i64| {
        let civil = shown(&berlin, *at);
        [7, 27, 47].contains(&civil.minute()) && civil.hour() % every_hours == 0
    };
    all.insert(twenty::NAME, minutes().filter(is_twenty).collect());
    let in_office = |at: &i64| {
        let civil = shown(&howe, *at);
        let works = civil.weekday().to_monday_zero_offset() < 5 && (9..17).contains(&civil.hour());
        works && (civil.minute() == 0 || civil.minute() == 30)
    };
    all.insert(office::NAME, minutes().filter(in_office).collect());
    all.insert(even::NAME, minutes().filter(|at| at % distance() == 0).collect());
    all
}

/// What was told of one schedule since the judge looked last.
#[derive(Default)]
struct Told {
    made: Vec<i64>,
    skipped: Vec<(i64, i64, u64)>,
}

#[derive(Clone, Default)]
struct Book(Arc<Mutex<BTreeMap<String, Told>>>);

/// How consumers come to the store, and how it goes down.
enum Place {
    Disk(SimDisk),
    /// A server that stays, and clients of it over a bad network.
    Net(Arc<dyn Storage>),
}

struct Open(Arc<dyn Storage>);

impl OpenStorage for Open {
    fn open_storage(self, _: StorageOptions) -> Result<Arc<dyn Storage>> {
        Ok(self.0)
    }
}

struct World {
    random: Random,
    clock: Arc<VirtualClock>,
    place: Place,
    book: Book,
    /// Two consumers; on a disk they share one queue.
    hueys: Vec<Huey>,
    store: Arc<dyn Storage>,
    /// Up to where the ticks of each schedule are decided, as the judge sees it.
    upto: BTreeMap<&'static str, i64>,
    calendars: Arc<BTreeMap<&'static str, Vec<i64>>>,
    mode: Mode,
    ticks: u64,
    skipped: u64,
    restarts: u64,
}

#[derive(Clone, Copy, Debug)]
struct Mode {
    overlap: Overlap,
    missed: Missed,
}

impl World {
    fn new(
        place: Place,
        mode: Mode,
        clock: Arc<VirtualClock>,
        calendars: &Arc<BTreeMap<&'static str, Vec<i64>>>,
        seed: u64,
    ) -> Self {
        let (book, random) = (Book::default(), Random::new(seed));
        let store = Memory::new().open_storage(StorageOptions::default()).unwrap();
        let calendars = Arc::clone(calendars);
        let mut world = Self {
            random,
            clock,
            place,
            book,
            hueys: Vec::new(),
            store,
            upto: BTreeMap::new(),
            calendars,
            mode,
            ticks: 0,
            skipped: 0,
            restarts: 0,
        };
        world.open();
        for (task, schedule) in schedules() {
            let schedule = schedule.overlap(mode.overlap).missed(mode.missed);
            let huey = &world.hueys[0];
            // Over a bad network the answer may be lost, also that of the try that did it.
            while let Err(error) = match task {
                gap::NAME => huey.schedules().add(task, schedule.clone(), gap::job()),
                fold::NAME => huey.schedules().add(task, schedule.clone(), fold::job()),
                twenty::NAME => huey.schedules().add(task, schedule.clone(), twenty::job()),
                office::NAME => huey.schedules().add(task, schedule.clone(), office::job()),
                _ => huey.schedules().add(task, schedule.clone(), even::job()),
            } {
                if error.is_bad_input() {
                    break;
                }
            }
            world.upto.insert(task, START);
        }
        world
    }

    fn options(&self) -> StorageOptions {
        let mut options = StorageOptions::default();
        options.clock = self.clock.clock();
        options
    }

    fn open(&mut self) {
        let build = |store: &Arc<dyn Storage>, book: &Book| {
            let (made, skipped) = (book.clone(), book.clone());
            Huey::builder()
                .clock(store.clock())
                .on(SignalKind::Enqueued, move |signal| {
                    let Origin::Periodic { tick } = signal.origin else { panic!("nobody enqueues by hand") };
                    lock(&made.0).entry(signal.task.to_string()).or_default().made.push(tick.as_micros());
                })
                .on(SignalKind::Skipped, move |signal| {
                    let row = signal.skipped.as_deref().unwrap();
                    let row_of = (row.first.as_micros(), row.last.as_micros(), row.count);
                    lock(&skipped.0).entry(row.schedule.to_string()).or_default().skipped.push(row_of);
                })
                .open(Open(Arc::clone(store)))
                .unwrap()
        };
        match &self.place {
            Place::Disk(disk) => {
                self.store = inspected(disk.medium(), self.options()).unwrap().0;
                let huey = build(&self.store, &self.book);
                self.hueys = vec![huey.clone(), huey];
            }
            Place::Net(server) => {
                self.store = Arc::clone(server);
                let client = |seed| Arc::new(Remote::new(Arc::clone(server), seed)) as Arc<dyn Storage>;
                let seeds = [self.random.number(), self.random.number()];
                self.hueys = seeds.map(|seed| build(&client(seed), &self.book)).into();
            }
        }
    }

    /// The consumers go, in one way or another, and come back.
    fn restart(&mut self) {
        if let Place::Disk(disk) = &self.place {
            match self.random.below(3) {
                0 => disk.kill(),
                1 => disk.power_cut(),
                _ => self.store.close().unwrap(),
            }
        }
        self.hueys.clear();
        self.store = Memory::new().open_storage(StorageOptions::default()).unwrap();
        self.open();
        self.restarts += 1;
    }

    /// Both consumers look at the schedules at once. When the next tick comes.
    fn turn(&self) -> i64 {
        let look = |huey: &Huey| loop {
            match tick(huey) {
                Ok(next) => break next.as_micros(),
                Err(error) => assert!(error.is_unknown() || error.is_unavailable(), "{error}"),
            }
        };
        std::thread::scope(|scope| {
            let other = scope.spawn(|| look(&self.hueys[1]));
            look(&self.hueys[0]).min(other.join().unwrap())
        })
    }

    /// Ends some of the jobs that wait, so that overlap finds now this and now that.
    fn drain(&mut self) {
        if self.random.one_in(3) {
            return;
        }
        let claim = Transition::Claim {
            queues: vec!["default".into()],
            tasks: Tasks::ALL,
            most: 100_000,
            many: Tasks::ALL,
            keep: Duration::ZERO,
        };
        let Outcome::Claimed { claimed, .. } = self.store.commit(claim, Commit::RELAXED).unwrap() else {
            panic!("a claim claims")
        };
        let complete =
            || Verdict::Complete { output: Vec::new().into(), signature: 0, keep: Duration::ZERO, next: None };
        let settlements = claimed.iter().map(|job| Settlement { lease: job.lease, verdict: complete() }).collect();
        let done = self.store.commit(Transition::Settle(settlements), Commit::RELAXED);
        assert!(matches!(done.unwrap(), Outcome::Settled(_)));
    }

    /// Holds what was told since the last look against the calendar.
    fn judge(&mut self) {
        let now = self.clock.clock().now().as_micros();
        for (task, upto) in &mut self.upto {
            let Told { mut made, skipped } = lock(&self.book.0).remove(*task).unwrap_or_default();
            if *upto > now + DAY {
                *upto = now;
            }
            let calendar = &self.calendars[task];
            let from = calendar.partition_point(|tick| tick <= upto);
            let end = calendar.partition_point(|tick| *tick <= now).max(from);
            let expected = &calendar[from..end];
            made.sort_unstable();
            let mut covered = made.clone();
            for (first, last, count) in &skipped {
                let row: Vec<i64> = expected.iter().copied().filter(|tick| (first..=last).contains(&tick)).collect();
                assert_eq!((row.first(), row.last(), row.len() as u64), (Some(first), Some(last), *count), "{task}");
                covered.extend(row);
            }
            covered.sort_unstable();
            assert_eq!(covered, expected, "{task} at {now}: {made:?} made, {skipped:?} skipped");
            if matches!(self.mode, Mode { overlap: Overlap::Allow, missed: Missed::All(_) }) {
                assert_eq!(made, expected, "{task}: one job for each tick");
            }
            let late = |tick: &i64| tick + MINUTE < now;
            if matches!(self.mode.missed, Missed::Skip) {
                assert!(!made.iter().any(late), "{task}: a late tick made a job");
            }
            if let Some(last) = expected.last() {
                *upto = *last;
            }
            self.ticks += made.len() as u64;
            self.skipped += skipped.iter().map(|(.., count)| count).sum::<u64>();
        }
    }

    fn step(&mut self, next: i64) {
        let now = self.clock.clock().now().as_micros();
        let within =
            |random: &mut Random, most: i64| i64::try_from(random.below(usize::try_from(most).unwrap())).unwrap();
        let to = match self.random.below(20) {
            0 => now + within(&mut self.random, 5 * HOUR),
            1..=3 => now + within(&mut self.random, HOUR),
            // A little late, or just in time.
            4..=8 => next.min(now + DAY).max(now) + within(&mut self.random, MINUTE),
            _ => next.min(now + DAY).max(now),
        };
        self.clock.set(Timestamp::from_micros(to));
    }

    /// Half a year of steps, an hour back, a year ahead and back, and the other half.
    fn live(&mut self, restarts: u64) {
        let mut next = self.turn();
        self.judge();
        let mut detours = vec![(START + YEAR / 2, true), (START + YEAR / 5, false), (START + 299 * DAY, false)];
        while self.clock.clock().now().as_micros() < START + YEAR {
            let now = self.clock.clock().now().as_micros();
            if let Some(at) = detours.iter().position(|(at, _)| *at <= now) {
                let (_, is_long) = detours.remove(at);
                let away = if is_long { now + YEAR } else { now - HOUR };
                for instant in [away, now] {
                    self.clock.set(Timestamp::from_micros(instant));
                    self.turn();
                    self.judge();
                    self.drain();
                }
            }
            // As many restarts as were asked for, at any place between two looks.
            let passed = u64::try_from(now - START).unwrap();
            if self.restarts < restarts && self.restarts * u64::try_from(YEAR).unwrap() <= restarts * passed {
                self.restart();
            }
            self.step(next);
            next = self.turn();
            self.judge();
            self.drain();
        }
    }
}

fn restarts() -> u64 {
    std::env::var("HUEY_TICKS").ok().map_or(300, |text| text.parse().expect("HUEY_TICKS is a number"))
}

fn seed() -> u64 {
    std::env::var("HUEY_SEED").ok().map_or(20_260_101, |text| text.parse().expect("HUEY_SEED is a number"))
}

fn a_year(mode: Mode) {
    let calendars = Arc::new(calendars());
    for is_net in [false, true] {
        let clock = VirtualClock::starting_at(Timestamp::from_micros(START));
        let place = if is_net {
            let mut options = StorageOptions::default();
            options.clock = clock.clock();
            Place::Net(Memory::new().open_storage(options).unwrap())
        } else {
            Place::Disk(SimDisk::new(seed()))
        };
        let mut world = World::new(place, mode, clock, &calendars, seed());
        world.live(restarts());
        let World { ticks, skipped, restarts, .. } = world;
        println!(
            "{mode:?}, over a network: {is_net}: {ticks} jobs, {skipped} skipped, {restarts} restarts, seed {}",
            seed()
        );
    }
}

#[test]
fn a_year_of_ticks_that_are_all_made_up_for_makes_one_job_each() {
    a_year(Mode { overlap: Overlap::Allow, missed: Missed::All(1_000_000) });
}

#[test]
fn a_year_of_ticks_of_which_late_ones_are_skipped_makes_one_job_or_one_skip_each() {
    a_year(Mode { overlap: Overlap::Allow, missed: Missed::Skip });
}

#[test]
fn a_year_of_ticks_that_must_not_overlap_makes_one_job_or_one_skip_each() {
    a_year(Mode { overlap: Overlap::Skip, missed: Missed::Skip });
    a_year(Mode { overlap: Overlap::Skip, missed: Missed::All(1_000_000) });
}
