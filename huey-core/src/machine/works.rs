//! The work of all jobs that have not ended, by number. Most of them wait for their first attempt, and take 40 bytes.

use std::collections::BTreeMap;

use super::place::Place;
use super::work::{Flags, Listed, Phase, Work, WorkItem};
use crate::time::Timestamp;

/// Numbers with this bit are those of works that are kept whole.
const WHOLE: u32 = 1 << 31;

#[derive(Debug, Default)]
pub(crate) struct Works {
    fresh: Slab<Fresh>,
    whole: Slab<Work>,
    kinds: Kinds,
}

/// The work of a job that was never claimed and has neither a note nor an expiry: all else that it says is nothing.
#[derive(Debug)]
struct Fresh {
    made: u64,
    at: Timestamp,
    home: Place,
    body: Place,
    kind: u32,
    listed: Listed,
}

const _: () = assert!(size_of::<Option<Fresh>>() == 40);

/// What many jobs have in common. Kinds are few, and stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    task: u32,
    queue: u32,
    priority: i16,
    crash_limit: u8,
    flags: Flags,
}

#[derive(Debug, Default)]
struct Kinds {
    all: Vec<Kind>,
    numbers: BTreeMap<Kind, u32>,
    /// The one asked for last.
    last: Option<(Kind, u32)>,
}

impl Kinds {
    fn number(&mut self, kind: Kind) -> Option<u32> {
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == kind) {
            return Some(number);
        }
        let known = self.numbers.get(&kind).copied();
        let number = known.map_or_else(|| u32::try_from(self.all.len()).ok(), Some)?;
        if known.is_none() {
            self.all.push(kind);
            self.numbers.insert(kind, number);
        }
        self.last = Some((kind, number));
        Some(number)
    }
}

impl Works {
    /// The work of that number, which is that of the job with this counter.
    pub(crate) fn get(&self, number: u32, counter: u64) -> Option<Work> {
        if number & WHOLE != 0 {
            return self.whole.get(number & !WHOLE).copied();
        }
        let Fresh { made, at, home, body, kind, listed } = *self.fresh.get(number)?;
        let Kind { task, queue, priority, crash_limit, flags } = *self.kinds.all.get(kind as usize)?;
        let item = WorkItem { made, task, queue, priority, at, crash_limit, flags, ..WorkItem::unknown(counter) };
        Some(Work { item, home, body, note: Place::NONE, listed })
    }

    /// In which index the work stands.
    pub(crate) fn listed(&mut self, number: u32) -> Option<&mut Listed> {
        if number & WHOLE != 0 {
            return self.whole.get_mut(number & !WHOLE).map(|work| &mut work.listed);
        }
        self.fresh.get_mut(number).map(|work| &mut work.listed)
    }

    /// Keeps a work under a new number.
    pub(crate) fn add(&mut self, work: Work) -> u32 {
        match self.fresh(&work) {
            Some(fresh) => self.fresh.add(fresh),
            None => WHOLE | self.whole.add(work),
        }
    }

    /// Replaces the work of that number, and gives it the number that is returned.
    pub(crate) fn set(&mut self, number: u32, work: Work) -> u32 {
        let fresh = self.fresh(&work);
        match (fresh, number & WHOLE != 0) {
            (Some(fresh), false) => self.fresh.set(number, fresh),
            (None, true) => self.whole.set(number & !WHOLE, work),
            (Some(fresh), true) => {
                self.whole.remove(number & !WHOLE);
                return self.fresh.add(fresh);
            }
            (None, false) => {
                self.fresh.remove(number);
                return WHOLE | self.whole.add(work);
            }
        }
        number
    }

    pub(crate) fn remove(&mut self, number: u32) {
        if number & WHOLE != 0 {
            self.whole.remove(number & !WHOLE);
        } else {
            self.fresh.remove(number);
        }
    }

    /// The work in few bytes, if it fits.
    fn fresh(&mut self, work: &Work) -> Option<Fresh> {
        let WorkItem { made, at, task, queue, priority, crash_limit, flags, .. } = work.item;
        let kept =
            WorkItem { made, task, queue, priority, at, crash_limit, flags, ..WorkItem::unknown(work.item.counter) };
        if work.item.phase != Phase::Waiting || work.item != kept || !work.note.is_none() {
            return None;
        }
        let kind = self.kinds.number(Kind { task, queue, priority, crash_limit, flags })?;
        Some(Fresh { made, at, home: work.home, body: work.body, kind, listed: work.listed })
    }

    /// How many works there are.
    #[cfg(feature = "testing")]
    pub(crate) fn used(&self) -> usize {
        self.fresh.used() + self.whole.used()
    }
}

/// Things by number; numbers are used again.
#[derive(Debug)]
struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    fn get(&self, number: u32) -> Option<&T> {
        self.slots.get(number as usize)?.as_ref()
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.as_mut()
    }

    fn add(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.set(number, thing);
            return number;
        }
        self.slots.push(Some(thing));
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    fn set(&mut self, number: u32, thing: T) {
        if let Some(slot) = self.slots.get_mut(number as usize) {
            *slot = Some(thing);
        }
    }

    fn remove(&mut self, number: u32) {
        if self.slots.get_mut(number as usize).and_then(Option::take).is_some() {
            self.free.push(number);
        }
    }

    #[cfg(feature = "testing")]
    fn used(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(counter: u64) -> Work {
        let flags = Flags::new(false, true, false);
        let item =
            WorkItem { made: 5, task: 2, queue: 3, priority: -1, crash_limit: 3, flags, ..WorkItem::unknown(counter) };
        let (home, body) = (Place::new(4, 8, 30), Place::new(4, 40, 90));
        Work { item, home, body, note: Place::NONE, listed: Listed::Ready }
    }

    /// One work for each field by which it differs from one that was just enqueued.
    fn touched() -> Vec<Work> {
        let of = |item: WorkItem| Work { item, ..work(7) };
        let item = work(7).item;
        vec![
            of(WorkItem { phase: Phase::Running, ..item }),
            of(WorkItem { expires: Timestamp::from_micros(9), ..item }),
            of(WorkItem { claim: 1, ..item }),
            of(WorkItem { attempts: 1, ..item }),
            of(WorkItem { retried: 1, ..item }),
            of(WorkItem { crashes: 1, ..item }),
            of(WorkItem { refunds: 1, ..item }),
            Work { note: Place::new(1, 0, 3), ..work(7) },
        ]
    }

    #[test]
    fn a_work_comes_back_as_it_was_whatever_has_happened_to_it() {
        for touched in touched() {
            let mut works = Works::default();
            let fresh = works.add(work(7));
            assert_eq!(works.get(fresh, 7), Some(work(7)));
            let moved = works.set(fresh, touched);
            assert_ne!(moved, fresh);
            assert_eq!((works.get(moved, 7), works.get(fresh, 7)), (Some(touched), None));
            assert_eq!(works.set(moved, touched), moved);
            *works.listed(moved).unwrap() = Listed::Nowhere;
            let again = works.set(moved, work(7));
            assert_eq!((works.get(again, 7), works.get(moved, 7)), (Some(work(7)), None));
            let other = Work { item: WorkItem { queue: 9, ..work(8).item }, ..work(8) };
            let second = works.add(other);
            *works.listed(second).unwrap() = Listed::Due;
            assert_eq!(works.get(second, 8), Some(Work { listed: Listed::Due, ..other }));
            assert_eq!(works.get(again, 7), Some(work(7)));
            works.remove(again);
            works.remove(again);
            works.remove(second);
            assert_eq!((works.get(again, 7), works.get(second, 8)), (None, None));
        }
    }

    #[test]
    fn a_number_that_is_free_is_given_out_again() {
        let mut works = Works::default();
        let numbers = [works.add(work(1)), works.add(work(2))];
        works.remove(numbers[0]);
        assert_eq!(works.add(work(3)), numbers[0]);
        assert_eq!(works.fresh.slots.len(), 2);
    }
}
