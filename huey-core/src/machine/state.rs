//! The state, and how an effect changes it.

#[cfg(feature = "testing")]
mod check;

use std::collections::{BTreeMap, HashSet};

use super::homes::Homes;
use super::index::{Index, Target};
use super::item::{Effect, Item, Key, ResultItem};
use super::names::Names;
use super::past::Past;
use super::place::Place;
use super::ready::Ready;
use super::results::Results;
use super::unique::Uniques;
use super::work::{Listed, Phase, Work, WorkItem};
use crate::id::JobId;
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
    pub(crate) running: u64,
    pub(crate) parked: u64,
    /// Dead and lost.
    pub(crate) given_up: u64,
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
    slab: Vec<Option<Work>>,
    free: Vec<u32>,
    pub(crate) ready: Ready,
    pub(crate) results: Results,
    pub(crate) values: BTreeMap<String, Place>,
    pub(crate) uniques: Uniques,
    /// By queue and task.
    pub(crate) tallies: BTreeMap<(u32, u32), Tally>,
    pub(crate) homes: Homes,
    /// The last instant that waiting jobs were held against. Jobs due by then stand in the lanes.
    horizon: Timestamp,
    /// Jobs whose last transition is not announced yet: they may not be claimed, and an end is not shown. Known to
    /// memory only, so that a crash forgets it.
    held: HashSet<u64>,
    /// Jobs that left no trace.
    past: Past,
    /// The highest number that any claim carries or carried.
    highest_claim: u32,
    /// Claims carry at least this number, so that none repeats a lease that a failure of the log took back.
    pub(crate) least_claim: u32,
    /// Suspects among the jobs that can still run.
    pub(crate) suspects: HashSet<u64>,
    pub(crate) running: u64,
    /// Set by every change that a waiting consumer or caller may care for.
    pub(crate) stirred: bool,
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
    // --- looking ---

    pub(crate) fn work(&self, counter: u64) -> Option<&Work> {
        match self.index.get(counter)? {
            Target::Live(number) => self.slab.get(number as usize)?.as_ref(),
            Target::Result(_) => None,
        }
    }

    fn work_mut(&mut self, counter: u64) -> Option<&mut Work> {
        match self.index.get(counter)? {
            Target::Live(number) => self.slab.get_mut(number as usize)?.as_mut(),
            Target::Result(_) => None,
        }
    }

    /// The work of that very job: an id of another store may carry the same counter.
    pub(crate) fn work_of(&self, id: JobId) -> Option<&Work> {
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

    /// All work, in no order that matters to anyone.
    pub(crate) fn all_work(&self) -> impl Iterator<Item = &Work> {
        self.slab.iter().flatten()
    }

    /// Whether a job of this counter is or was there, as far back as memory reaches.
    pub(crate) fn is_known(&self, counter: u64) -> bool {
        self.index.get(counter).is_some() || self.past.contains(counter)
    }

    // --- memory's own affairs: nothing of this is journaled ---

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
            self.stirred = true;
        }
    }

    pub(crate) fn hold(&mut self, counter: u64) {
        self.unlist(counter);
        self.held.insert(counter);
        self.list(counter);
    }

    pub(crate) fn release(&mut self, counter: u64) {
        if self.held.remove(&counter) {
            self.list(counter);
            self.stirred = true;
        }
    }

    /// Puts a complete waiting job where it is to be found.
    fn list(&mut self, counter: u64) {
        let held = self.is_held(counter);
        let horizon = self.horizon;
        let Some(work) = self.work_mut(counter) else { return };
        let complete = !work.home.is_none() && !work.body.is_none();
        if work.listed != Listed::Nowhere || work.item.phase != Phase::Waiting || !complete {
            return;
        }
        let due = work.item.at > horizon;
        if held && !due {
            return;
        }
        work.listed = if due { Listed::Due } else { Listed::Ready };
        let item = work.item;
        if due {
            self.ready.add_due(&item);
            let tally = self.tallies.entry((item.queue, item.task)).or_default();
            tally.scheduled += 1;
            tally.retrying += u64::from(item.attempts > 0);
        } else {
            self.ready.add_ready(&item);
        }
        self.stirred = true;
    }

    fn unlist(&mut self, counter: u64) {
        let Some(work) = self.work_mut(counter) else { return };
        let (listed, item) = (std::mem::take(&mut work.listed), work.item);
        match listed {
            Listed::Nowhere => {}
            Listed::Ready => self.ready.remove_ready(&item),
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
            Phase::Dead | Phase::Lost => step(&mut tally.given_up),
            Phase::Complete | Phase::Canceled | Phase::Expired | Phase::Revoked => {}
        }
        let runnable = matches!(item.phase, Phase::Waiting | Phase::Running);
        if up && runnable && item.is_suspect() {
            self.suspects.insert(item.counter);
        } else {
            self.suspects.remove(&item.counter);
        }
    }

    /// The instant that waiting jobs were held against last.
    #[cfg(feature = "testing")]
    pub(crate) fn horizon(&self) -> Timestamp {
        self.horizon
    }

    // --- effects ---

    /// Makes `effect`, which stands at `place`, true. Total: every effect is defined in every state.
    pub(crate) fn apply(&mut self, effect: &Effect, place: Place) {
        match effect {
            Effect::Put(item) => self.put(item, place),
            Effect::Drop(Key::Job(counter)) => {
                self.drop_work(*counter);
                self.past.add(*counter);
            }
            Effect::Drop(Key::Result(counter)) => {
                self.drop_result(*counter);
                self.past.add(*counter);
            }
            Effect::Drop(Key::Value(key)) => {
                if let Some(old) = self.values.remove(key) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Unique(key)) => {
                if let Some(old) = self.uniques.remove(key) {
                    self.homes.lose(old);
                }
            }
        }
    }

    fn put(&mut self, item: &Item, place: Place) {
        self.homes.gain(place);
        let old = match item {
            Item::Meta { salt, reserved } => {
                self.salt = *salt;
                self.reserved = *reserved;
                std::mem::replace(&mut self.meta, place)
            }
            Item::Name { number, text } => self.names.put(*number, text, place).unwrap_or_default(),
            Item::Work(item) => self.put_work(*item, place),
            Item::Body(counter, _) => self.put_part(*counter, place, |work| &mut work.body),
            Item::Note(counter, _) => self.put_part(*counter, place, |work| &mut work.note),
            Item::Result(result) => self.put_result(result, place),
            Item::Value { key, .. } => self.values.insert(key.clone(), place).unwrap_or_default(),
            Item::Unique(item) => self.uniques.put(item, place),
        };
        self.homes.lose(old);
    }

    fn put_work(&mut self, item: WorkItem, place: Place) -> Place {
        self.unlist(item.counter);
        self.highest_claim = self.highest_claim.max(item.claim);
        let work = self.slot(item.counter);
        let counted = (!work.home.is_none()).then_some(work.item);
        work.item = item;
        let old = std::mem::replace(&mut work.home, place);
        if let Some(before) = counted {
            self.count(&before, false);
        }
        self.count(&item, true);
        if matches!(item.phase, Phase::Dead | Phase::Lost) {
            self.free_unique(item.counter);
        }
        self.list(item.counter);
        self.stirred = true;
        old
    }

    /// A job ended, and with it what it held.
    fn free_unique(&mut self, counter: u64) {
        if let Some(old) = self.uniques.end(counter) {
            self.homes.lose(old);
        }
    }

    fn put_part(&mut self, counter: u64, place: Place, part: fn(&mut Work) -> &mut Place) -> Place {
        let old = std::mem::replace(part(self.slot(counter)), place);
        self.list(counter);
        old
    }

    fn put_result(&mut self, result: &ResultItem, place: Place) -> Place {
        let counter = result.work.counter;
        self.drop_work(counter);
        let old = if let Some(Target::Result(old)) = self.index.get(counter) {
            // A copy made by compaction, whose bucket is known already.
            old
        } else {
            self.results.add(result.keep_until, counter);
            Place::NONE
        };
        self.index.set(counter, Target::Result(place));
        self.stirred = true;
        old
    }

    /// The work of a counter, made empty if none is there: after compaction a body may be read back before its work.
    fn slot(&mut self, counter: u64) -> &mut Work {
        let number = match self.index.get(counter) {
            Some(Target::Live(number)) => number,
            other => {
                if other.is_some() {
                    self.drop_result(counter);
                }
                let number = self.free.pop().unwrap_or_else(|| {
                    self.slab.push(None);
                    u32::try_from(self.slab.len() - 1).unwrap_or(u32::MAX)
                });
                self.index.set(counter, Target::Live(number));
                number
            }
        };
        let at = number as usize;
        if self.slab.len() <= at {
            self.slab.resize(at + 1, None);
        }
        #[expect(clippy::indexing_slicing, reason = "the slab was made long enough above")]
        self.slab[at].get_or_insert_with(|| Work {
            item: WorkItem::unknown(counter),
            home: Place::NONE,
            body: Place::NONE,
            note: Place::NONE,
            listed: Listed::Nowhere,
        })
    }

    fn drop_work(&mut self, counter: u64) {
        let Some(Target::Live(number)) = self.index.get(counter) else { return };
        self.unlist(counter);
        self.index.remove(counter);
        let Some(work) = self.slab.get_mut(number as usize).and_then(Option::take) else { return };
        self.free.push(number);
        for place in [work.home, work.body, work.note] {
            self.homes.lose(place);
        }
        if !work.home.is_none() {
            self.count(&work.item, false);
        }
        self.free_unique(counter);
        self.stirred = true;
    }

    fn drop_result(&mut self, counter: u64) {
        if let Some(Target::Result(place)) = self.index.get(counter) {
            self.index.remove(counter);
            self.homes.lose(place);
            let index = &self.index;
            self.results.forget(|counter| matches!(index.get(counter), Some(Target::Result(_))));
        }
    }

    /// Takes up to `most` results whose time has come or that stand above the bound; see [`Results::take_late`].
    pub(crate) fn take_late(&mut self, now: u64, keep: u64, most: usize) -> Vec<u64> {
        let mut late = self.results.take_late(now, keep, most);
        late.retain(|counter| matches!(self.index.get(*counter), Some(Target::Result(_))));
        late
    }

    /// Whether the item that `effect` put at `place` still has its home there.
    pub(crate) fn is_home(&self, item: &Item, place: Place) -> bool {
        let part = |counter: u64, part: fn(&Work) -> Place| self.work(counter).map(part);
        let home = match item {
            Item::Meta { .. } => Some(self.meta),
            Item::Name { number, .. } => self.names.place(*number),
            Item::Work(item) => part(item.counter, |work| work.home),
            Item::Body(counter, _) => part(*counter, |work| work.body),
            Item::Note(counter, _) => part(*counter, |work| work.note),
            Item::Result(result) => match self.index.get(result.work.counter) {
                Some(Target::Result(home)) => Some(home),
                _ => None,
            },
            Item::Value { key, .. } => self.values.get(key).copied(),
            Item::Unique(item) => self.uniques.get(&item.key).map(|held| held.home),
        };
        home == Some(place)
    }

    /// A job that no crash can have left behind: one without work, or without a body.
    pub(crate) fn half_a_job(&self) -> Option<u64> {
        self.all_work().find(|work| work.home.is_none() || work.body.is_none()).map(|work| work.item.counter)
    }
}

impl WorkItem {
    fn unknown(counter: u64) -> Self {
        Self {
            counter,
            made: 0,
            task: 0,
            queue: 0,
            priority: 0,
            phase: Phase::Waiting,
            at: Timestamp::default(),
            expires: Timestamp::MAX,
            claim: 0,
            attempts: 0,
            retried: 0,
            crashes: 0,
            crash_limit: 0,
            refunds: 0,
            flags: super::work::Flags::default(),
        }
    }
}
