//! How an effect changes the state, and the homes of its items.

use super::{Listed, Phase, State, Target, Work, WorkItem};
use crate::machine::item::{Effect, Item, Key, ResultItem, ScheduleItem};
use crate::machine::place::Place;
use crate::machine::work::Flags;
use crate::time::Timestamp;

impl State {
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
            Effect::Drop(Key::Pause(queue)) => {
                if let Some(old) = self.paused.remove(queue) {
                    self.homes.lose(old);
                    self.rouse();
                }
            }
            Effect::Drop(Key::Schedule(name)) => {
                if let Some((_, old)) = self.schedules.remove(name) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Revocation(task)) => {
                if let Some((_, old)) = self.revocations.remove(task) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Flow(last)) => {
                if let Some(old) = self.flows.remove(*last) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Chord(counter)) => {
                for old in self.chords.remove(*counter) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Lingering(counter)) => {
                if let Some(old) = self.lingering.remove(*counter) {
                    self.homes.lose(old);
                    self.free_limits(*counter);
                    self.list(*counter);
                    self.rouse();
                }
            }
            Effect::Drop(Key::Unique(key)) => {
                if let Some(old) = self.uniques.remove(key) {
                    self.homes.lose(old);
                }
            }
            Effect::Drop(Key::Lock(key)) => {
                let old = self.limits.free(key);
                self.homes.lose(old);
            }
            Effect::Drop(Key::Rate(key)) => {
                for old in self.limits.unmark(key) {
                    self.homes.lose(old);
                }
            }
        }
        self.wake();
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
            Item::Value { key, until, .. } => self.values.put(key, *until, place),
            Item::Unique(item) => self.uniques.put(item, place),
            Item::Limits(item) => {
                let runs = self.work(item.counter).is_some_and(|work| holds_limits(&work.item));
                let runs = runs || self.lingering.holds(item.counter);
                self.limits.put(item, place, runs)
            }
            Item::Lock { key, holder } => self.limits.take(key, *holder, place),
            Item::Mark { key, slot, mark } => self.limits.mark(key, *slot, *mark, place),
            Item::Flow(item) => self.flows.put(item, place),
            Item::Chord { counter, settled, members } => self.chords.put(*counter, *settled, members, place),
            Item::Arrival { chord, place: member, .. } => self.chords.arrive(*chord, *member, place),
            Item::Lingering { counter, claim } => {
                self.unlist(*counter);
                let old = self.lingering.put(*counter, *claim, place);
                self.list(*counter);
                old
            }
            Item::Revocation { task, mark } => {
                let old = self.revocations.insert(task.clone(), (*mark, place));
                old.map(|(_, place)| place).unwrap_or_default()
            }
            Item::Pause { queue } => self.paused.insert(queue.clone(), place).unwrap_or_default(),
            Item::Schedule(item) => {
                let old = self.schedules.insert(item.name.clone(), (ScheduleItem::clone(item), place));
                old.map(|(_, place)| place).unwrap_or_default()
            }
        };
        self.homes.lose(old);
    }

    fn put_work(&mut self, item: WorkItem, place: Place) -> Place {
        self.highest_claim = self.highest_claim.max(item.claim);
        let number = self.find(item.counter);
        if let Some(number) = number {
            self.unlist_at(number, item.counter);
        }
        let (number, (counted, old)) = self.edit(number, item.counter, |work| {
            let counted = (!work.home.is_none()).then_some(work.item);
            work.item = item;
            (counted, std::mem::replace(&mut work.home, place))
        });
        if let Some(before) = counted {
            self.count(&before, false);
        }
        self.count(&item, true);
        if matches!(item.phase, Phase::Dead | Phase::Lost) {
            self.free_unique(item.counter);
        }
        if counted != Some(item) {
            // A copy made by compaction changes nothing.
            self.limits.end_wait(item.counter);
        }
        if holds_limits(&item) {
            self.limits.hold(item.counter, true);
        } else {
            self.free_limits(item.counter);
        }
        self.list_at(number, item.counter);
        // One that waits again and was listed has roused those who claim.
        self.stir();
        old
    }

    /// A job ended, and with it what it held, unless its body runs on.
    fn free_unique(&mut self, counter: u64) {
        if self.lingering.holds(counter) {
            return;
        }
        if let Some(old) = self.uniques.end(counter) {
            self.homes.lose(old);
        }
    }

    /// The lease of a job is over, and with it what its attempt held, unless its body runs on.
    fn free_limits(&mut self, counter: u64) {
        if self.lingering.holds(counter) {
            return;
        }
        for old in self.limits.release(counter) {
            self.homes.lose(old);
        }
    }

    fn put_part(&mut self, counter: u64, place: Place, part: fn(&mut Work) -> &mut Place) -> Place {
        let number = self.find(counter);
        let (number, old) = self.edit(number, counter, |work| std::mem::replace(part(work), place));
        self.list_at(number, counter);
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
        self.stir();
        old
    }

    /// The number of a counter's work, if it has one, and no result in its place.
    fn find(&mut self, counter: u64) -> Option<u32> {
        match self.index.get(counter)? {
            Target::Live(number) => return Some(number),
            Target::Result(_) => self.drop_result(counter),
        }
        None
    }

    /// Changes the work of that number, or an empty one if there is none: after compaction a body may be read back before
    /// its work. Returns the number that it has from now on, too.
    fn edit<T>(&mut self, number: Option<u32>, counter: u64, change: impl FnOnce(&mut Work) -> T) -> (u32, T) {
        let mut work = number.and_then(|number| self.works.get(number, counter)).unwrap_or_else(|| Work {
            item: WorkItem::unknown(counter),
            home: Place::NONE,
            body: Place::NONE,
            note: Place::NONE,
            listed: Listed::Nowhere,
        });
        let changed = change(&mut work);
        let moved = match number {
            Some(number) => self.works.set(number, work),
            None => self.works.add(work),
        };
        if number != Some(moved) {
            self.index.set(counter, Target::Live(moved));
        }
        (moved, changed)
    }

    fn drop_work(&mut self, counter: u64) {
        // Also if the work is not there: compaction may have moved the key past the work, which ended before it was moved
        // itself and stands in no entry any more.
        self.free_unique(counter);
        self.free_limits(counter);
        self.unlist(counter);
        let limits = self.limits.forget(counter);
        self.homes.lose(limits);
        let Some(Target::Live(number)) = self.index.get(counter) else { return };
        let Some(work) = self.works.get(number, counter) else { return };
        self.index.remove(counter);
        self.works.remove(number);
        for place in [work.home, work.body, work.note] {
            self.homes.lose(place);
        }
        if !work.home.is_none() {
            self.count(&work.item, false);
        }
        self.stir();
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
        let part = |counter: u64, part: fn(Work) -> Place| self.work(counter).map(part);
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
            Item::Value { key, .. } => self.values.home(key),
            Item::Unique(item) => self.uniques.get(&item.key).map(|held| held.home),
            Item::Limits(item) => self.limits.home(item.counter),
            Item::Lock { key, .. } => self.limits.lock_home(key),
            Item::Mark { key, slot, .. } => self.limits.mark_home(key, *slot),
            Item::Flow(item) => self.flows.home(item.last),
            Item::Chord { counter, .. } => self.chords.home(*counter),
            Item::Arrival { chord, place, .. } => self.chords.arrival(*chord, *place),
            Item::Lingering { counter, .. } => self.lingering.home(*counter),
            Item::Revocation { task, .. } => self.revocations.get(task).map(|(_, home)| *home),
            Item::Pause { queue } => self.paused.get(queue).copied(),
            Item::Schedule(item) => self.schedules.get(&item.name).map(|(_, home)| *home),
        };
        home == Some(place)
    }

    /// A job of which only a part is there.
    pub(crate) fn half_a_job(&self) -> Option<u64> {
        self.all_work().find(super::super::work::Work::is_half).map(|work| work.item.counter)
    }
}

/// Whether a job holds its limits: one that was given out to be settled does not run.
fn holds_limits(item: &WorkItem) -> bool {
    item.phase == Phase::Running && !item.is_condemned()
}

impl WorkItem {
    pub(crate) fn unknown(counter: u64) -> Self {
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
            flags: Flags::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::item::{Hold, UniqueItem};

    fn key(holder: u64) -> Effect {
        let hold = Hold::Active;
        Effect::Put(Item::Unique(UniqueItem { key: b"key".to_vec().into(), holder, made: 0, hold }))
    }

    #[test]
    fn a_key_that_outlived_its_job_in_the_journal_is_freed_by_the_end_of_it() {
        let ended = ResultItem {
            work: WorkItem { phase: Phase::Complete, ..WorkItem::unknown(7) },
            keep_until: 9,
            ended: crate::store::Ended::default(),
            head: Vec::new().into(),
        };
        // Compaction had moved the key, and had not come to the work before that ended: it stands in no entry.
        for end in [Effect::Put(Item::Result(ended.into())), Effect::Drop(Key::Job(7))] {
            let mut state = State::default();
            state.homes.open(1);
            state.apply(&key(7), Place::new(1, 0, 20));
            assert!(state.uniques.get(b"key").is_some());
            state.apply(&end, Place::new(1, 20, 20));
            assert!(state.uniques.get(b"key").is_none(), "{end:?}");
        }
    }

    #[test]
    fn the_end_of_a_job_rouses_those_who_claim_only_if_none_could_run_beside_it() {
        for (crashes, roused) in [(0, false), (2, true)] {
            let mut state = State::default();
            state.homes.open(1);
            let work = WorkItem { phase: Phase::Running, crashes, crash_limit: 3, ..WorkItem::unknown(7) };
            state.apply(&Effect::Put(Item::Work(work)), Place::new(1, 0, 20));
            state.roused = None;
            state.apply(&Effect::Drop(Key::Job(7)), Place::new(1, 20, 20));
            assert_eq!(state.roused.is_some(), roused, "after {crashes} crashes");
        }
    }
}
