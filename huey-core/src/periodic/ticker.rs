//! Decides ticks as they come. One turn looks at every schedule once; the loop around it belongs to the consumer.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::chosen::{Chosen, Planned};
use super::skipping::Row;
use super::timer::IN_TIME;
use crate::codec::Bytes;
use crate::enqueue::{Pipeline, Registration, Registry};
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::signal::Skipped;
use crate::store::{Answer, Commit, Outcome, Plan, Query, ScheduleRow, StorageError, Tick, Ticked, Transition};
use crate::task::{Missed, Overlap, SkipReason};
use crate::time::Timestamp;

/// A schedule whose ticks are decided so far ahead of the clock was decided by a clock that was wrong.
const TOO_FAR: Duration = Duration::from_hours(24);
/// So many jobs of missed ticks are stored in one commit.
const TOGETHER: usize = 256;
/// When a schedule that this program does not understand is looked at again.
const AGAIN: Duration = Duration::from_mins(1);
/// When the schedules are looked at again after the storage failed.
const SOON: Duration = Duration::from_secs(1);
/// How often two consumers may overtake each other at one schedule within a turn.
const ROUNDS: u32 = 1_000;
/// The clock is looked at so often: a machine that slept does not tell, and the clock may be set.
const LOOK: Duration = Duration::from_secs(30);

/// Decides the ticks of all schedules of an open queue.
pub(crate) struct Ticker {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) registry: Registry,
    /// Tells the decisions made here from those of others.
    number: u64,
    /// Held for a turn, so that consumers of one queue do not run the hooks of one tick twice.
    turn: Mutex<()>,
    bell: Arc<Bell>,
    _on_move: Arc<dyn Fn() + Send + Sync>,
}

/// Tells the one who keeps time that he must look again.
#[derive(Default)]
struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    fn ring(&self) {
        *lock(&self.rings) += 1;
        self.rung.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ticker {
    pub(crate) fn new(pipeline: Arc<Pipeline>, registry: Registry) -> Self {
        let bell = Arc::new(Bell::default());
        let rung = Arc::clone(&bell);
        let on_move: Arc<dyn Fn() + Send + Sync> = Arc::new(move || rung.ring());
        pipeline.storage.clock().on_move(Arc::downgrade(&on_move));
        let number = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        Self { pipeline, registry, number, turn: Mutex::default(), bell, _on_move: on_move }
    }

    /// Makes whoever keeps time look again.
    pub(crate) fn wake(&self) {
        self.bell.ring();
    }

    /// Takes a turn whenever a tick has come, until `go_on` says no; [`wake`](Self::wake) makes it ask.
    pub(crate) fn keep_time(&self, go_on: &dyn Fn() -> bool) {
        loop {
            // In this order: who stops it says so first, and rings then.
            let heard = *lock(&self.bell.rings);
            if !go_on() {
                return;
            }
            let next = self.turn(go_on).unwrap_or_else(|error| {
                if !error.is_closed() {
                    tracing::error!(%error, "the schedules could not be looked at; trying again");
                }
                self.now() + SOON
            });
            let most = self.pipeline.storage.clock().sleep_until(next).map(|most| most.min(LOOK));
            let mut rings = lock(&self.bell.rings);
            while *rings == heard {
                rings = match most {
                    None => self.bell.rung.wait(rings).unwrap_or_else(PoisonError::into_inner),
                    Some(most) => {
                        let (rings, waited) =
                            self.bell.rung.wait_timeout(rings, most).unwrap_or_else(PoisonError::into_inner);
                        if waited.timed_out() {
                            break;
                        }
                        rings
                    }
                };
            }
        }
    }

    /// Decides every tick that has come, and says when the next one does. A storage that failed at one schedule is reported
    /// once all were looked at.
    pub(crate) fn turn(&self, go_on: &dyn Fn() -> bool) -> Result<Timestamp> {
        let _one = lock(&self.turn);
        let (mut next, mut failed) = (Timestamp::MAX, None);
        for row in self.rows()?.into_values() {
            let name = row.name.clone();
            match self.advance(row, go_on) {
                Ok(looked) => next = next.min(looked),
                // One that this program does not understand must not hold up the others.
                Err(error) if error.is_setup() || error.is_bad_input() || error.is_codec() => {
                    tracing::error!(schedule = name, %error, "a schedule makes no jobs here");
                    next = next.min(self.now() + AGAIN);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(next), Err)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.pipeline.storage.clock().now()
    }

    /// All stored schedules, those that the code declares among them, each as it was declared last.
    pub(super) fn rows(&self) -> Result<BTreeMap<String, ScheduleRow>> {
        let mut rows = self.stored()?;
        let mut is_old = false;
        for registration in self.registry.all() {
            let task = registration.task;
            if !rows.contains_key(task.name)
                && let Some(old) = task.aliases.iter().rev().find_map(|alias| rows.get(*alias))
            {
                is_old |= self.rename(task.name, old)?;
                continue;
            }
            is_old |= self.declare(registration, rows.get(task.name))?;
        }
        if is_old {
            rows = self.stored()?;
        }
        // What is left under a name that a task had before has moved to the new one.
        let moved = |name: &str| self.registry.find(name).is_some_and(|found| found.task.name != name);
        rows.retain(|name, row| !(moved(name) && Chosen::decode(row).is_ok_and(|chosen| chosen.job.is_none())));
        Ok(rows)
    }

    fn stored(&self) -> Result<BTreeMap<String, ScheduleRow>> {
        match self.pipeline.storage.read(Query::Schedules)? {
            Answer::Schedules(rows) => Ok(rows.into_iter().map(|row| (row.name.clone(), row)).collect()),
            other => Err(Error::damaged(format!("the storage answered another question: {other:?}"))),
        }
    }

    /// Moves a declared schedule to the new name of its task: which ticks are decided goes along. Whether it was one.
    fn rename(&self, name: &str, old: &ScheduleRow) -> Result<bool> {
        if Chosen::decode(old)?.declared.is_none() {
            return Ok(false);
        }
        if self.plan(name, 0, Some(old.choices.clone()), Some(old.upto))? {
            self.plan(&old.name, old.revision, None, None)?;
        }
        Ok(true)
    }

    /// Stores what the code declares, if that is new. Whether it was.
    fn declare(&self, registration: &'static Registration, row: Option<&ScheduleRow>) -> Result<bool> {
        let task = registration.task;
        let Some(declared) = &task.schedule else { return Ok(false) };
        let chosen = row.map(Chosen::decode).transpose()?;
        if chosen.as_ref().is_some_and(|chosen| chosen.declared.as_ref() == Some(declared)) {
            return Ok(false);
        }
        if let (Some(row), Some(old)) = (row, &chosen) {
            let was = old.declared.as_ref().map_or_else(|| "a run-time schedule".into(), ToString::to_string);
            let dropped = old.changed.is_some() || old.paused || old.removed;
            tracing::warn!(task = task.name, %was, now = %declared, dropped, "the code declares another schedule, which holds from now on");
            if let Ok(planned) = Planned::new(row.clone(), &self.registry) {
                self.pass_over(planned, SkipReason::Missed)?;
            }
        }
        let choices = Some(Chosen::declared(declared.clone()).encode()?);
        self.plan(task.name, row.map_or(0, |row| row.revision), choices, Some(self.now()))?;
        Ok(true)
    }

    /// Sets what is chosen for a schedule. False if somebody else did in between.
    pub(super) fn plan(&self, name: &str, seen: u64, choices: Option<Bytes>, from: Option<Timestamp>) -> Result<bool> {
        let plan = Plan { schedule: name.to_owned(), seen, choices, from };
        match self.pipeline.storage.commit(Transition::Plan(plan), Commit::default())? {
            Outcome::Planned(planned) => Ok(planned),
            other => Err(Error::damaged(format!("the storage answered a plan with {other:?}"))),
        }
    }

    /// The row of a schedule as it stands now.
    pub(super) fn row(&self, name: &str) -> Result<Option<ScheduleRow>> {
        Ok(self.stored()?.remove(name))
    }

    /// Decides the ticks of one schedule that have come. The instant of the next one.
    fn advance(&self, mut row: ScheduleRow, go_on: &dyn Fn() -> bool) -> Result<Timestamp> {
        let name = row.name.clone();
        for _ in 0..ROUNDS {
            let planned = Planned::new(row, &self.registry)?;
            if !planned.is_on() {
                return Ok(Timestamp::MAX);
            }
            if let Some(next) = (Turn { ticker: self, planned: &planned, go_on, now: self.now() }).take()? {
                return Ok(next);
            }
            match self.row(&name)? {
                Some(found) => row = found,
                None => return Ok(Timestamp::MAX),
            }
        }
        Ok(self.now() + AGAIN)
    }

    /// Decides all ticks up to now, none of which makes a job.
    pub(super) fn pass_over(&self, mut planned: Planned, reason: SkipReason) -> Result<()> {
        for _ in 0..ROUNDS {
            let now = self.now();
            let row = Row::of(planned.timer.between(planned.row.upto, now));
            let turn = Turn { ticker: self, planned: &planned, go_on: &|| true, now };
            let Some(last) = row.last() else { return Ok(()) };
            if turn.skip(planned.row.upto, last, row, reason)? {
                return Ok(());
            }
            match self.row(&planned.row.name)? {
                Some(found) => planned.row = found,
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// One look at one schedule.
struct Turn<'a> {
    ticker: &'a Ticker,
    planned: &'a Planned,
    go_on: &'a dyn Fn() -> bool,
    now: Timestamp,
}

impl Turn<'_> {
    /// The instant of the next tick. None if another consumer decided first, and one must look again.
    fn take(&self) -> Result<Option<Timestamp>> {
        let Planned { row, timer, .. } = self.planned;
        let mut upto = row.upto;
        if upto > self.now + TOO_FAR {
            tracing::warn!(schedule = row.name, decided = %upto, now = %self.now, "ticks were decided by a clock that was wrong; they count from now on");
            let Ticked::Decided(_) = self.decide(self.id()?, upto, self.now, None, Overlap::Allow, &[])? else {
                return Ok(None);
            };
            upto = self.now;
        }
        if !self.catch_up(&mut upto)? {
            return Ok(None);
        }
        let mut waiting = Row::default();
        let mut at = upto;
        while let Some(tick) = timer.after(at).filter(|tick| *tick <= self.now) {
            at = tick;
            // Asked before the hooks run, and decided again with the commit.
            if self.is_active()? {
                waiting.add(tick);
                continue;
            }
            if !self.skip_waiting(&mut upto, &mut waiting)? {
                return Ok(None);
            }
            let id = self.id()?;
            match self.decide(id, upto, tick, Some(tick), self.planned.schedule.overlap, &[tick])? {
                Ticked::Overtaken => return Ok(None),
                Ticked::Decided(_) => {}
                Ticked::Overlapped => self.tell(id, Row::of([tick]), SkipReason::Overlap),
            }
            upto = tick;
        }
        if !self.skip_waiting(&mut upto, &mut waiting)? {
            return Ok(None);
        }
        Ok(Some(timer.after(upto).unwrap_or(Timestamp::MAX)))
    }

    fn skip_waiting(&self, upto: &mut Timestamp, waiting: &mut Row) -> Result<bool> {
        let Some(last) = waiting.last() else { return Ok(true) };
        let decided = self.skip(*upto, last, std::mem::take(waiting), SkipReason::Overlap)?;
        *upto = last;
        Ok(decided)
    }

    /// Decides the ticks that are seen too late. False if another consumer decided first.
    fn catch_up(&self, upto: &mut Timestamp) -> Result<bool> {
        let schedule = &self.planned.schedule;
        let keep = match schedule.missed {
            Missed::Skip => 0,
            Missed::Once => 1,
            Missed::All(most) => most as usize,
        };
        let (mut old, mut kept) = (Row::default(), VecDeque::new());
        for tick in self.planned.timer.between(*upto, self.now).take_while(|tick| *tick + IN_TIME < self.now) {
            kept.push_back(tick);
            if kept.len() > keep
                && let Some(tick) = kept.pop_front()
            {
                old.add(tick);
            }
        }
        if let Some(last) = old.last() {
            if !self.skip(*upto, last, old, SkipReason::Missed)? {
                return Ok(false);
            }
            *upto = last;
        }
        // Others may stand in the way of all of them, but not one in the way of the next.
        let mut overlap = schedule.overlap;
        while !kept.is_empty() {
            if !(self.go_on)() {
                return Err(StorageError::Closed.into());
            }
            let together: Vec<Timestamp> = kept.drain(..kept.len().min(TOGETHER)).collect();
            let Some(last) = together.last().copied() else { break };
            let id = self.id()?;
            match self.decide(id, *upto, last, Some(last), overlap, &together)? {
                Ticked::Overtaken => return Ok(false),
                Ticked::Decided(_) => overlap = Overlap::Allow,
                Ticked::Overlapped => {
                    *upto = last;
                    self.tell(id, Row::of(together), SkipReason::Overlap);
                    let rest = Row::of(kept);
                    let Some(end) = rest.last() else { return Ok(true) };
                    let decided = self.skip(last, end, rest, SkipReason::Overlap)?;
                    *upto = end;
                    return Ok(decided);
                }
            }
            *upto = last;
        }
        Ok(true)
    }

    /// Whether active jobs of the task stand in the way of another.
    fn is_active(&self) -> Result<bool> {
        let overlap = self.planned.schedule.overlap;
        if overlap == Overlap::Allow {
            return Ok(false);
        }
        let tasks = self.planned.registration.task.all_names();
        match self.ticker.pipeline.storage.read(Query::Counts { queues: Vec::new(), tasks })? {
            Answer::Counts(counts) => {
                let waiting = counts.queued + counts.retrying;
                Ok(waiting > 0 || (overlap == Overlap::Skip && counts.running > 0))
            }
            other => Err(Error::damaged(format!("the storage answered another question: {other:?}"))),
        }
    }

    /// Decides ticks that make no job, and tells of them. False if another consumer decided first.
    fn skip(&self, seen: Timestamp, upto: Timestamp, row: Row, reason: SkipReason) -> Result<bool> {
        let id = self.id()?;
        let decided = matches!(self.decide(id, seen, upto, Some(upto), Overlap::Allow, &[])?, Ticked::Decided(_));
        if decided {
            self.tell(id, row, reason);
        }
        Ok(decided)
    }

    /// Names a decision.
    fn id(&self) -> Result<JobId> {
        self.ticker.pipeline.next_id(self.now)
    }

    fn tell(&self, id: JobId, row: Row, reason: SkipReason) {
        if let Some(skipped) = row.told(&self.planned.row.name, reason) {
            let Skipped { first, last, count, .. } = &skipped;
            tracing::info!(
                schedule = self.planned.row.name,
                %first,
                %last,
                count,
                reason = reason.name(),
                "ticks skipped"
            );
            self.ticker.pipeline.tell_skipped(self.planned.registration, id, skipped);
        }
    }

    fn decide(
        &self,
        id: JobId,
        seen: Timestamp,
        upto: Timestamp,
        newest: Option<Timestamp>,
        overlap: Overlap,
        ticks: &[Timestamp],
    ) -> Result<Ticked> {
        let Planned { row, registration, args, choices, .. } = self.planned;
        let tick = Tick {
            schedule: row.name.clone(),
            by: self.ticker.number,
            id,
            seen,
            upto,
            newest,
            tasks: registration.task.all_names(),
            overlap,
            jobs: Vec::new(),
        };
        self.ticker.pipeline.tick(registration, (args, choices), tick, ticks, self.go_on)
    }
}
