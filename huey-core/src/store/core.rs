//! The writer: state and journal under one lock, changed together.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::batch::{Batch, encode_frame};
use super::journal::Journal;
use super::log::{Log, LogError, Medium};
use super::replay::{Replayed, replay};
use super::storage::{Answer, Commit, Query, StorageError, StorageOptions};
use super::transition::{Outcome, Transition};
use crate::error::Error;
use crate::machine::{self, Effect, Item, Key, Phase, State};
use crate::task::Durability;
use crate::time::{Timestamp, monotonic};

/// A journal smaller than this is never compacted.
const COMPACT_FROM: u64 = 64 * 1024;
/// Entries removed per batch, so that nobody waits long for a clean-up.
const REMOVALS: usize = 128;
/// Results dropped per batch.
const LATE_RESULTS: usize = 256;
/// A batch is closed once it is so large.
const BATCH: usize = 64 * 1024;
/// How long a measurement of the free space is believed.
const SPACE_CHECK: Duration = Duration::from_millis(100);

/// What one transition came to, once its batch was inserted.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) outcome: Outcome,
    /// The entry that must be durable before this may be called so.
    pub(crate) sequence: u64,
    /// Whether that must be awaited, whatever was asked for.
    pub(crate) sync: bool,
    /// The jobs that were held for the announcement.
    pub(crate) held: Vec<u64>,
}

pub(crate) type Answered = Result<Served, StorageError>;

pub(crate) struct Core<L> {
    journal: Journal<L>,
    state: State,
    options: StorageOptions,
    /// The next entry that compaction looks at.
    cursor: u64,
    /// Bytes that compaction may move, earned by bytes appended.
    credit: u64,
    space: Option<(Instant, u64)>,
}

impl<L: Log> Core<L> {
    /// Reads a log back. `fresh` is a new life of the process, in which no lease of the last one holds; otherwise the
    /// log is read again after a failure.
    pub(crate) fn open<M: Medium<Log = L>>(
        medium: &M,
        options: &StorageOptions,
        durable: &Arc<AtomicU64>,
        fresh: bool,
    ) -> Result<Self, Error> {
        let log = medium.open()?;
        let name = medium.name();
        let fault = |error: LogError| open_fault(&name, &error);
        let Replayed { state, last, unfinished } = replay(&log).map_err(fault)?;
        if let Some(mark) = medium.marked()
            && last < mark
        {
            return Err(open_fault(
                &name,
                &LogError::damaged(format!("the journal ends at entry {last}, but entry {mark} was written safely")),
            ));
        }
        let mut journal = Journal::new(log, last + unfinished, Arc::clone(durable));
        for _ in 0..unfinished {
            journal.remove_newest().map_err(fault)?;
        }
        let cursor = state.homes.first();
        let mut core = Self { journal, state, options: options.clone(), cursor, credit: 0, space: None };
        if fresh {
            core.begin_life(medium).map_err(fault)?;
        } else {
            core.write_anew(durable.load(std::sync::atomic::Ordering::SeqCst)).map_err(fault)?;
        }
        Ok(core)
    }

    /// Takes back what the last life of the process had claimed, and counts a crash for what it had begun.
    fn begin_life<M: Medium<Log = L>>(&mut self, medium: &M) -> Result<(), LogError> {
        let running = medium.running();
        let begun: HashSet<(u64, u32)> = running.left().into_iter().collect();
        let mut effects = Vec::new();
        if self.journal.last() == 0 {
            effects.push(Effect::Put(Item::Meta { salt: salt(), reserved: 0 }));
        }
        for work in self.state.all_work().filter(|work| work.item.phase == Phase::Running) {
            let mut item = work.item;
            item.phase = Phase::Waiting;
            if begun.contains(&(item.counter, item.claim)) {
                item.crashes = item.crashes.saturating_add(1);
                item.flags = item.flags.with_rescued(true);
            } else {
                item.attempts = item.attempts.saturating_sub(1);
            }
            effects.push(Effect::Put(Item::Work(item)));
        }
        let mut batch = self.journal.batch();
        for effect in &effects {
            self.change(&mut batch, effect).map_err(|error| LogError::failed(error.to_string()))?;
        }
        self.insert(batch)?;
        self.journal.sync()?;
        running.forget_left()
    }

    /// Writes entries above the watermark anew: after a failed sync the system may hold them for written.
    fn write_anew(&mut self, durable: u64) -> Result<(), LogError> {
        let mut entries = Vec::new();
        while self.journal.last() > durable && self.journal.last() > 0 {
            let sequence = self.journal.last();
            entries.push(self.journal.raw(sequence)?);
            self.journal.remove_newest()?;
        }
        for entry in entries.iter().rev() {
            self.journal.append_entry(entry)?;
        }
        self.journal.sync()
    }

    pub(crate) fn journal(&mut self) -> &mut Journal<L> {
        &mut self.journal
    }

    pub(crate) fn last(&self) -> u64 {
        self.journal.last()
    }

    /// Whether something changed since the last call that a waiter may care for.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.state.stirred)
    }

    pub(crate) fn next_due(&self) -> Timestamp {
        self.state.ready.next_due().unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn promote(&mut self, now: Timestamp) {
        self.state.promote(now);
    }

    pub(crate) fn release(&mut self, counters: &[u64]) {
        for counter in counters {
            self.state.release(*counter);
        }
    }

    pub(crate) fn read(&mut self, query: Query, now: Timestamp) -> Result<Answer, StorageError> {
        self.state.promote(now);
        machine::answer(&self.state, &self.journal, query, now)
    }

    /// Does transitions in order and inserts their effects. An error of the log stands for all whose outcome it left
    /// unknown; those have no answer in the list, which is then shorter.
    pub(crate) fn serve(
        &mut self,
        transitions: impl Iterator<Item = (Transition, Commit)>,
        now: Timestamp,
        answers: &mut Vec<Answered>,
    ) -> Result<(), LogError> {
        self.state.promote(now);
        let mut transitions = transitions.peekable();
        while transitions.peek().is_some() {
            let mut batch = self.journal.batch();
            let mut open = Vec::new();
            while batch.bytes() < BATCH {
                let Some((transition, how)) = transitions.next() else { break };
                open.push(self.decide(&mut batch, transition, how, now));
            }
            self.drop_late_results(&mut batch, now);
            self.compact(&mut batch);
            self.insert(batch)?;
            let sequence = self.journal.last();
            answers.extend(open.into_iter().map(|answer| answer.map(|served| Served { sequence, ..served })));
            self.remove_dead()?;
        }
        Ok(())
    }

    fn decide(&mut self, batch: &mut Batch, transition: Transition, how: Commit, now: Timestamp) -> Answered {
        if matches!(transition, Transition::Enqueue { .. }) {
            self.check_space()?;
        }
        let decided = machine::decide(&self.state, &self.journal, transition, now)?;
        // Whatever cannot be stored is found before anything changes.
        let frames = decided.effects.iter().map(encode_frame).collect::<Result<Vec<_>, _>>()?;
        let outcome = decided.outcome.ok_or_else(|| StorageError::Refused("nothing was decided".into()))?;
        let hold = how.hold || how.durability == Durability::Synced;
        let held = if hold { decided.touched } else { Vec::new() };
        for counter in &held {
            self.state.hold(*counter);
        }
        for (effect, frame) in decided.effects.iter().zip(&frames) {
            self.change_framed(batch, effect, frame);
        }
        Ok(Served { outcome, sequence: 0, sync: decided.sync, held })
    }

    /// Puts an effect into the batch and makes it true in memory.
    fn change(&mut self, batch: &mut Batch, effect: &Effect) -> Result<(), StorageError> {
        let frame = encode_frame(effect)?;
        self.change_framed(batch, effect, &frame);
        Ok(())
    }

    fn change_framed(&mut self, batch: &mut Batch, effect: &Effect, frame: &[u8]) {
        let before = batch.next();
        let place = batch.push(frame);
        for sequence in before..batch.next() {
            self.state.homes.open(sequence);
        }
        self.state.apply(effect, place);
    }

    fn insert(&mut self, batch: Batch) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        let first = batch.first();
        let entries = batch.finish();
        for (sequence, entry) in (first..).zip(&entries) {
            self.state.homes.fill(sequence, entry.len());
        }
        for entry in &entries {
            self.journal.append_entry(entry)?;
        }
        Ok(())
    }

    fn drop_late_results(&mut self, batch: &mut Batch, now: Timestamp) {
        let seconds = u64::try_from(now.as_micros().div_euclid(1_000_000)).unwrap_or(0);
        for counter in self.state.results.take_late(seconds, self.options.max_results, LATE_RESULTS) {
            let effect = Effect::Drop(Key::Result(counter));
            if self.change(batch, &effect).is_err() {
                break;
            }
        }
    }

    /// Moves what still lives in the oldest entries to the newest, at most two bytes for each one appended, once most
    /// of the journal is dead.
    fn compact(&mut self, batch: &mut Batch) {
        let (total, live) = (self.state.homes.total(), self.state.homes.live());
        if total < COMPACT_FROM || total < live.saturating_mul(2) {
            self.credit = 0;
            return;
        }
        self.credit += 2 * batch.bytes() as u64;
        self.cursor = self.cursor.max(self.state.homes.first());
        // Entries of this batch are not written yet, and the newest one stays.
        while self.cursor < batch.first().saturating_sub(1) {
            let Some((bytes, dead)) = self.state.homes.life(self.cursor) else { break };
            if !dead {
                if self.credit < bytes as u64 {
                    break;
                }
                self.credit -= bytes as u64;
                if let Err(error) = self.move_entry(batch, self.cursor) {
                    // What cannot be read cannot be moved. It stays where it is, and whoever needs it hears of it.
                    tracing::error!(%error, entry = self.cursor, "compaction skipped an entry of the journal");
                }
            }
            self.cursor += 1;
        }
    }

    fn move_entry(&mut self, batch: &mut Batch, sequence: u64) -> Result<(), StorageError> {
        for (effect, place) in self.journal.effects_in(sequence)? {
            if let Effect::Put(item) = &effect
                && self.state.is_home(item, place)
            {
                self.change(batch, &effect)?;
            }
        }
        Ok(())
    }

    fn remove_dead(&mut self) -> Result<(), LogError> {
        for _ in 0..REMOVALS {
            let Some(sequence) = self.state.homes.removable() else { break };
            self.journal.remove_oldest(sequence)?;
            self.state.homes.close_oldest();
        }
        Ok(())
    }

    /// New jobs are refused while there is still space for settles and moves.
    fn check_space(&mut self) -> Result<(), StorageError> {
        let min_free = self.options.min_free;
        if min_free == 0 {
            return Ok(());
        }
        let now = monotonic();
        let free = match self.space {
            Some((measured, free)) if now.duration_since(measured) < SPACE_CHECK => free,
            _ => {
                let free = self.journal.free_space().unwrap_or(u64::MAX);
                self.space = Some((now, free));
                free
            }
        };
        if free < min_free {
            return Err(StorageError::Full(format!(
                "only {free} bytes are free where the queue is kept, and {min_free} must stay for the jobs that it \
                 holds: free some space, or set `min_free` on the builder"
            )));
        }
        Ok(())
    }
}

fn open_fault(name: &str, error: &LogError) -> Error {
    if error.damaged {
        Error::damaged(format!(
            "the queue in {name} is damaged: {error}; nothing was deleted: restore the folder from a copy, or move it \
             away to start an empty queue"
        ))
    } else {
        Error::unavailable(format!("the queue in {name} cannot be opened: {error}"))
    }
}

/// A number that tells this store's ids from another's.
fn salt() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    u32::try_from(RandomState::new().hash_one(0) >> 38).unwrap_or(0)
}
