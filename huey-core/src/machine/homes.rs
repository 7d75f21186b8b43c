//! How much of the journal lives: for each entry, how many items have their home there.

use std::collections::VecDeque;

use super::place::Place;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct EntryLife {
    live: u32,
    bytes: u32,
}

/// The life of the entries from the oldest to the newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Homes {
    first: u64,
    entries: VecDeque<EntryLife>,
    /// Bytes of all entries.
    total: u64,
    /// About how many of them belong to an item.
    live: u64,
    /// How many items there are.
    items: u64,
    /// How many of the oldest entries hold nothing that lives, the newest of all never among them, and their bytes.
    spent: (usize, u64),
}

impl Homes {
    /// An entry begins, whose size is told later.
    pub(crate) fn open(&mut self, sequence: u64) {
        if self.entries.is_empty() {
            self.first = sequence;
        }
        self.entries.push_back(EntryLife::default());
        self.spend();
    }

    /// The entry `sequence` has come to so many bytes.
    pub(crate) fn fill(&mut self, sequence: u64, bytes: usize) {
        if let Some((at, entry)) = self.entry(sequence) {
            entry.bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.total += bytes as u64;
            if at < self.spent.0 {
                self.spent.1 += bytes as u64;
            }
        }
    }

    fn entry(&mut self, sequence: u64) -> Option<(usize, &mut EntryLife)> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        Some((at, self.entries.get_mut(at)?))
    }

    pub(crate) fn gain(&mut self, place: Place) {
        if let Some((at, entry)) = self.entry(place.sequence()) {
            entry.live += 1;
            self.items += 1;
            self.live += place.weight();
            if at < self.spent.0 {
                // A large item begins in an entry behind which others were begun already.
                self.spent = (0, 0);
                self.spend();
            }
        }
    }

    pub(crate) fn lose(&mut self, place: Place) {
        if place.is_none() {
            return;
        }
        if let Some((at, entry)) = self.entry(place.sequence()) {
            entry.live = entry.live.saturating_sub(1);
            self.items = self.items.saturating_sub(1);
            self.live = self.live.saturating_sub(place.weight());
            if at == self.spent.0 {
                self.spend();
            }
        }
    }

    /// Counts the dead ones among the oldest entries on.
    fn spend(&mut self) {
        while self.spent.0 + 1 < self.entries.len()
            && let Some(entry) = self.entries.get(self.spent.0).filter(|entry| entry.live == 0)
        {
            self.spent = (self.spent.0 + 1, self.spent.1 + u64::from(entry.bytes));
        }
    }

    /// The number of the oldest entry.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The first entry in which something lives, or the newest one, which is never removed.
    pub(crate) fn first_live(&self) -> u64 {
        self.first + self.spent.0 as u64
    }

    /// Bytes of the entries below the first one in which something lives.
    pub(crate) fn spent(&self) -> u64 {
        self.spent.1
    }

    /// The size of the entry `sequence` and whether nothing lives in it.
    pub(crate) fn life(&self, sequence: u64) -> Option<(usize, bool)> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|entry| (entry.bytes as usize, entry.live == 0))
    }

    /// The oldest entry was removed.
    pub(crate) fn close_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.total = self.total.saturating_sub(u64::from(entry.bytes));
            let (count, bytes) = self.spent;
            self.spent = (count.saturating_sub(1), bytes.saturating_sub(u64::from(entry.bytes)));
        }
    }

    /// Each entry: its number, how many items live in it, and its size.
    #[cfg(feature = "testing")]
    pub(crate) fn lives(&self) -> impl Iterator<Item = (u64, u32, u32)> + '_ {
        (self.first..).zip(&self.entries).map(|(sequence, entry)| (sequence, entry.live, entry.bytes))
    }

    /// How many entries there are.
    pub(crate) fn entries(&self) -> u64 {
        self.entries.len() as u64
    }

    /// How many items have their home in some entry.
    pub(crate) fn items(&self) -> u64 {
        self.items
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn live(&self) -> u64 {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_dies_with_its_last_item_and_the_newest_never_goes() {
        let mut homes = Homes::default();
        homes.open(5);
        homes.fill(5, 100);
        assert_eq!(homes.first_live(), 5);
        homes.open(6);
        homes.fill(6, 50);
        let (first, second) = (Place::new(5, 0, 40), Place::new(5, 41, 30));
        homes.gain(first);
        homes.gain(second);
        assert_eq!((homes.first_live(), homes.life(5)), (5, Some((100, false))));
        homes.lose(first);
        homes.lose(second);
        homes.lose(Place::NONE);
        assert_eq!((homes.first_live(), homes.live(), homes.total(), homes.spent()), (6, 0, 150, 100));
        homes.close_oldest();
        assert_eq!((homes.first(), homes.first_live(), homes.total()), (6, 6, 50));
        assert_eq!(homes.spent(), 0);
    }

    #[test]
    fn an_entry_that_gains_its_only_item_after_the_next_one_began_is_not_dead() {
        let mut homes = Homes::default();
        for sequence in 1..=3 {
            homes.open(sequence);
            homes.fill(sequence, 10);
        }
        assert_eq!((homes.first_live(), homes.spent()), (3, 20));
        let large = Place::new(2, 0, 20);
        homes.gain(large);
        assert_eq!((homes.first_live(), homes.spent()), (2, 10));
        homes.lose(large);
        assert_eq!((homes.first_live(), homes.spent()), (3, 20));
    }
}
