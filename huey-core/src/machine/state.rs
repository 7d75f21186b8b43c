//! The state, and how an effect changes it.

mod apply;
#[cfg(feature = "testing")]
mod check;
mod limits;

use std::collections::{BTreeMap, BTreeSet};

use super::chord::Chords;
use super::flow::Flows;
use super::homes::Homes;
use super::index::{Index, Target};
use super::item::ScheduleItem;
use super::limit::Limits;
use super::linger::Lingering;
use super::names::Names;
use super::past::Past;
use super::place::Place;
use super::ready::Ready;
use super::results::Results;
use super::unique::Uniques;
use super::values::Values;
use super::work::{Listed, Phase, Work, WorkItem};
use super::works::Works;
use crate::id::JobId;
use crate::store::{Counts, Revocation};
use crate::time::Timestamp;

/// How many jobs of a task in a queue do what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Waiting, scheduled ones among them.
    pub(crate) waiting: u64,
    /// Waiting for an instant to come.
    pub(crate) scheduled: u64,
    /// Those of them that have been attempted.
    pub(crate) retrying: u64,
    /// Waiting for a rate, scheduled ones not among them.
    pub(crate) limited: u64,
    pub(crate) running: u64,
    pub(crate) parked: u64,
    /// Dead and lost.
    pub(crate) given_up: u64,
}

impl Tally {
    pub(crate) fn add_to(&self, counts: &mut Counts) {
        counts.queued += self.waiting.saturating_sub(self.scheduled + self.limited);
        counts.scheduled += self.scheduled + self.limited;
        counts.retrying += self.retrying;
        counts.running += self.running;
        counts.parked += self.parked;
        counts.given_up += self.given_up;
    }
}

/// Everything that is true of a store, but for the bytes of bodies and results.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) salt: u32,
    /// The counter below which all may have been given out.
    pub(crate) reserved: u64,
    meta: Place,
    pub(crate) names: Names,
    pub(crate) index: Index,
    works: Works,
    pub(crate) ready: Ready,
    pub(crate) results: Results,
    pub(crate) values: Values,
    pub(crate) uniques: Uniques,
    pub(crate) limits: Limits,
    pub(crate) schedules: BTreeMap<String, (ScheduleItem, Place)>,
    pub(crate) flows: Flows,
    pub(crate) chords: Chords,
    pub(crate) lingering: Lingering,
    /// Tasks whose jobs are discarded.
    pub(crate) revocations: BTreeMap<String, (Revocation, Place)>,
    /// Queues whose jobs are not given out.
    pub(crate) paused: BTreeMap<String, Place>,
    /// Dead and lost jobs, by when they ended.
    pub(crate) given_up: BTreeSet<(Timestamp, u64)>,
    /// By queue and task.
    pub(crate) tallies: BTreeMap<(u32, u32), Tally>,
    pub(crate) homes: Homes,
    /// The last instant that waiting jobs were held against. Jobs due by then stand in the lanes.
    horizon: Timestamp,
    /// Jobs whose last transition is not announced yet: they may not be claimed, and an end is not shown. Known to
    /// memory only, so that a crash forgets it.
    held: BTreeSet<u64>,
    /// Jobs that are held until another one is let go.
    behind: BTreeMap<u64, u64>,
    /// Jobs that left no trace.
    past: Past,
    /// The highest number that any claim carries or carried.
    highest_claim: u32,
    /// Claims carry at least this number, so that none repeats a lease that a failure of the log took back.
    pub(crate) least_claim: u32,
    /// Suspects among the jobs that can still run.
    pub(crate) suspects: BTreeSet<u64>,
    /// Suspects whose attempt was settled, which is not on the disk yet. Until then nothing else runs.
    pub(crate) parting: BTreeSet<u64>,
    pub(crate) running: u64,
    /// Set by every change that a waiting consumer or caller may care for.
    pub(crate) stirred: bool,
    /// Set by those of them that can let a job be claimed.
    pub(crate) roused: Option<Rouse>,
}

/// The jobs that may be claimed and could not be before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rouse {
    /// Of one queue and one task.
    Lane(u32, u32),
    All,
}

/// What a state that is read back after a failure takes over from the one that was lost: what the process has told
/// to others, and what must not be told again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inherited {
    pub(crate) reserved: u64,
    /// No claim was given out that is so high.
    pub(crate) least_claim: u32,
    past: Past,
    /// The attempts that run: counter and claim. Filled in when the log is opened again.
    pub(crate) live: Vec<(u64, u32)>,
}

impl Default for Place {
    fn default() -> Self {
        Self::NONE
    }
}

impl State {
    pub(crate) fn work(&self, counter: u64) -> Option<Work> {
        match self.index.get(counter)? {
            Target::Live(number) => self.works.get(number, counter),
            Target::Result(_) => None,
        }
    }

    /// The number of a job's work.
    fn number(&self, counter: u64) -> Option<u32> {
        match self.index.get(counter)? {
            Target::Live(number) => Some(number),
            Target::Result(_) => None,
        }
    }

    /// The work of that very job: an id of another store may carry the same counter.
    pub(crate) fn work_of(&self, id: JobId) -> Option<Work> {
        self.work(id.counter()).filter(|work| work.item.id(self.salt) == id)
    }

    pub(crate) fn result_of(&self, id: JobId) -> Option<Place> {
        match self.index.get(id.counter())? {
            Target::Result(place) if id.salt() == self.salt => Some(place),
            _ => None,
        }
    }

    pub(crate) fn is_held(&self, counter: u64) -> bool {
        self.held.contains(&counter)
    }

    /// All work, in the order of their counters.
    pub(crate) fn all_work(&self) -> impl Iterator<Item = Work> {
        self.index.from(0).filter_map(|(counter, target)| match target {
            Target::Live(number) => self.works.get(number, counter),
            Target::Result(_) => None,
        })
    }

    /// Whether a job of this counter is or was there, as far back as memory reaches.
    pub(crate) fn is_known(&self, counter: u64) -> bool {
        self.index.get(counter).is_some() || self.past.contains(counter)
    }

    /// What the state that replaces this one after a failure must know.
    pub(crate) fn bequeath(&mut self) -> Inherited {
        let least_claim = self.highest_claim.max(self.least_claim).saturating_add(1);
        Inherited { reserved: self.reserved, least_claim, past: std::mem::take(&mut self.past), live: Vec::new() }
    }

    pub(crate) fn inherit(&mut self, inherited: Inherited) {
        self.least_claim = inherited.least_claim;
        self.past = inherited.past;
    }

    /// Moves jobs that are due at `now` into the lanes.
    pub(crate) fn promote(&mut self, now: Timestamp) {
        self.horizon = now;
        while let Some(counter) = self.ready.first_due(now) {
            self.unlist(counter);
            self.list(counter);
        }
        self.limits.ring(now);
        self.wake();
    }

    pub(crate) fn hold(&mut self, counter: u64) {
        self.unlist(counter);
        self.held.insert(counter);
        self.list(counter);
        self.wake();
    }

    /// Holds a job until another, which is held, is let go.
    pub(crate) fn hold_behind(&mut self, first: u64, counter: u64) {
        if self.is_held(first) {
            self.hold(counter);
            self.behind.insert(first, counter);
        }
    }

    pub(crate) fn release(&mut self, counter: u64) {
        self.show(counter);
        if let Some(behind) = self.behind.remove(&counter) {
            self.release(behind);
        }
    }

    /// Lets go of a job and not of what is held behind it.
    pub(crate) fn show(&mut self, counter: u64) {
        if self.held.remove(&counter) {
            if self.parting.remove(&counter) {
                self.rouse();
            }
            self.list(counter);
            self.wake();
            self.stir();
        }
    }

    /// Puts a complete waiting job where it is to be found.
    fn list(&mut self, counter: u64) {
        if let Some(number) = self.number(counter) {
            self.list_at(number, counter);
        }
    }

    fn list_at(&mut self, number: u32, counter: u64) {
        let Some(work) = self.works.get(number, counter) else { return };
        if work.listed != Listed::Nowhere || work.item.phase != Phase::Waiting || work.is_half() {
            return;
        }
        let item = work.item;
        let due = item.at > self.horizon;
        if !due && (self.is_held(counter) || self.lingering.holds(counter)) {
            return;
        }
        let in_line = !due && self.limits.join(&item);
        let Some(listed) = self.works.listed(number) else { return };
        *listed = match (due, in_line) {
            (true, _) => Listed::Due,
            (false, true) => Listed::Limited,
            (false, false) => Listed::Ready,
        };
        self.stirred = true;
        if due {
            self.ready.add_due(&item);
            let tally = self.tallies.entry((item.queue, item.task)).or_default();
            tally.scheduled += 1;
            tally.retrying += u64::from(item.attempts > 0);
        } else if in_line {
            let limited = self.is_rate_limited(counter);
            self.tallies.entry((item.queue, item.task)).or_default().limited += u64::from(limited);
        } else {
            self.add_ready(&item);
        }
    }

    /// Puts a job in its lane.
    fn add_ready(&mut self, item: &WorkItem) {
        self.ready.add_ready(item);
        let lane = Rouse::Lane(item.queue, item.task);
        self.stirred = true;
        self.roused = match self.roused {
            Some(other) if other != lane => Some(Rouse::All),
            _ => Some(lane),
        };
    }

    /// Something changed by which a job of any kind may be claimed that could not be before.
    pub(crate) fn rouse(&mut self) {
        (self.stirred, self.roused) = (true, Some(Rouse::All));
    }

    /// A job was claimed or has ended. That lets no other be claimed, unless it is one beside which none may run.
    fn stir(&mut self) {
        self.stirred = true;
        if !self.suspects.is_empty() {
            self.rouse();
        }
    }

    fn unlist(&mut self, counter: u64) {
        if let Some(number) = self.number(counter) {
            self.unlist_at(number, counter);
        }
    }

    fn unlist_at(&mut self, number: u32, counter: u64) {
        let Some(listed) = self.works.listed(number).map(std::mem::take).filter(|listed| *listed != Listed::Nowhere)
        else {
            return;
        };
        let Some(Work { item, .. }) = self.works.get(number, counter) else { return };
        match listed {
            Listed::Nowhere => {}
            Listed::Ready => {
                self.ready.remove_ready(&item);
                self.limits.leave(&item);
            }
            Listed::Limited => {
                let limited = self.is_rate_limited(counter);
                self.limits.leave(&item);
                let tally = self.tallies.entry((item.queue, item.task)).or_default();
                tally.limited = tally.limited.saturating_sub(u64::from(limited));
            }
            Listed::Due => {
                self.ready.remove_due(&item);
                let tally = self.tallies.entry((item.queue, item.task)).or_default();
                tally.scheduled = tally.scheduled.saturating_sub(1);
                tally.retrying = tally.retrying.saturating_sub(u64::from(item.attempts > 0));
            }
        }
    }

    fn count(&mut self, item: &WorkItem, up: bool) {
        let step = |number: &mut u64| *number = if up { *number + 1 } else { number.saturating_sub(1) };
        let tally = self.tallies.entry((item.queue, item.task)).or_default();
        match item.phase {
            Phase::Waiting => step(&mut tally.waiting),
            Phase::Running => {
                step(&mut tally.running);
                step(&mut self.running);
            }
            Phase::Parked => step(&mut tally.parked),
            Phase::Dead | Phase::Lost => {
                step(&mut tally.given_up);
                let ended = (item.at, item.counter);
                if up {
                    self.given_up.insert(ended)
                } else {
                    self.given_up.remove(&ended)
                };
            }
            Phase::Complete | Phase::Canceled | Phase::Expired | Phase::Revoked | Phase::Awaiting => {}
        }
        if !up && item.phase == Phase::Running && item.is_suspect() && self.is_held(item.counter) {
            self.parting.insert(item.counter);
        }
        let runnable = matches!(item.phase, Phase::Waiting | Phase::Running);
        if up && runnable && item.is_suspect() {
            self.suspects.insert(item.counter);
        } else if self.suspects.remove(&item.counter) {
            // It ran alone.
            self.rouse();
        }
    }

    /// The instant that waiting jobs were held against last.
    #[cfg(feature = "testing")]
    pub(crate) fn horizon(&self) -> Timestamp {
        self.horizon
    }
}
