//! What keeps the journal small: results that go, items that move to its end, entries that are removed from its beginning.

use std::sync::Arc;

use super::Core;
use crate::machine::{self, Effect, Key};
use crate::store::log::{Log, LogError};
use crate::store::storage::StorageError;
use crate::time::Timestamp;

/// A journal smaller than this is never compacted.
const COMPACT_FROM: u64 = 64 * 1024;
/// Entries removed per batch, so that nobody waits long for a clean-up.
const REMOVALS: usize = 128;
/// Results dropped per batch, beside two for each that the batch adds.
const LATE_RESULTS: usize = 256;
/// Unique keys whose time is over, dropped per batch.
const LATE_KEYS: usize = 16;
/// Values whose time is over, dropped per batch.
const LATE_VALUES: usize = 64;
/// Looking for what lives in an entry counts for one such part of moving it.
const LOOK: usize = 4;

impl<L: Log> Core<L> {
    pub(super) fn drop_late(&mut self, now: Timestamp, added: u64) {
        let seconds = u64::try_from(now.as_micros().div_euclid(1_000_000)).unwrap_or(0);
        let most = usize::try_from(added.saturating_mul(2)).unwrap_or(usize::MAX).saturating_add(LATE_RESULTS);
        let results = self.state.take_late(seconds, self.options.max_results, most);
        let keys = self.state.uniques.late(now, LATE_KEYS);
        let values = self.state.values.late(now, LATE_VALUES);
        let rates = self.state.limits.late(now, LATE_KEYS);
        let over =
            self.state.given_up.len().saturating_sub(usize::try_from(self.options.max_given_up).unwrap_or(usize::MAX));
        let given_up: Vec<u64> =
            self.state.given_up.iter().take(over.min(LATE_KEYS)).map(|(_, counter)| *counter).collect();
        for counter in &given_up {
            tracing::warn!(
                counter,
                max_given_up = self.options.max_given_up,
                "too many jobs were given up, so the oldest goes: replay or purge them"
            );
        }
        let given_up = given_up.into_iter().map(|counter| Effect::Drop(Key::Job(counter)));
        let late = results
            .into_iter()
            .map(|counter| Effect::Drop(Key::Result(counter)))
            .chain(machine::free_keys(keys))
            .chain(machine::drop_values(values))
            .chain(rates.into_iter().map(|key| Effect::Drop(Key::Rate(key))))
            .chain(given_up);
        for effect in late {
            if self.change(&effect).is_err() {
                break;
            }
        }
    }

    /// Moves what still lives in the oldest entries to the newest, at most two bytes for each one appended, once a third
    /// of the journal is dead: a log may take twice the bytes of what it holds, and the two multiply.
    pub(super) fn compact(&mut self) {
        let bytes = self.open.bytes();
        let added = bytes.saturating_sub(std::mem::replace(&mut self.earned, bytes));
        if !self.is_loose() {
            self.credit = 0;
            return;
        }
        self.credit = self.credit.saturating_add_unsigned(2 * added as u64);
        self.cursor = self.cursor.max(self.state.homes.first());
        // The newest entry stays, and what is not in the log yet is not moved.
        while self.cursor < self.open.first().saturating_sub(1) && self.is_loose() {
            let Some((bytes, dead)) = self.state.homes.life(self.cursor) else { break };
            if !dead {
                if self.credit <= 0 {
                    break;
                }
                let before = self.open.bytes();
                if let Err(error) = self.move_entry(self.cursor) {
                    // What cannot be read cannot be moved. It stays where it is, and whoever needs it hears of it.
                    tracing::error!(%error, entry = self.cursor, "compaction skipped an entry of the journal");
                }
                // Looking at an entry costs something too, and a body may begin in it and end many entries later.
                let spent = (bytes / LOOK).max(self.open.bytes() - before);
                self.credit = self.credit.saturating_sub_unsigned(spent as u64);
            }
            self.cursor += 1;
        }
        // What was moved earns nothing.
        self.earned = self.open.bytes();
    }

    /// Whether so much of the journal is dead that what lives is to move together. Entries that only wait to be removed
    /// do not count.
    fn is_loose(&self) -> bool {
        let homes = &self.state.homes;
        let (total, live) = (homes.total().saturating_sub(homes.spent()), homes.live());
        total >= COMPACT_FROM && total.saturating_mul(2) >= live.saturating_mul(3)
    }

    fn move_entry(&mut self, sequence: u64) -> Result<(), StorageError> {
        for (effect, place, bytes) in self.journal.effects_in(sequence)? {
            if let Effect::Put(item) = &effect
                && self.state.is_home(item, place)
            {
                self.frames.clear();
                self.frames.add_encoded(&bytes);
                self.make_true(&[effect]);
            }
        }
        Ok(())
    }

    /// Removes dead entries from the old end, once what was moved from them or ended there is durable: a failed sync
    /// may keep the removal and lose the move.
    pub(super) fn remove_dead(&mut self) -> Result<(), LogError> {
        if Arc::strong_count(&self.pin) > 1 {
            return Ok(());
        }
        for _ in 0..REMOVALS {
            let first = self.state.homes.first();
            if first >= self.doomed.0 {
                self.doomed = (self.state.homes.first_live(), self.last());
            }
            let (below, seen) = self.doomed;
            if first >= below || self.journal.durable() < seen {
                break;
            }
            self.journal.remove_oldest(first)?;
            self.state.homes.close_oldest();
        }
        Ok(())
    }
}
