//! The writer: state and journal under one lock, changed together.

mod compaction;

use crate::sync::atomic::{AtomicU64, Ordering};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::{Batch, Frames};
use super::journal::{Flushed, Journal, Syncer, WithBatch, fault};
use super::log::{ENTRY_LIMIT, Entry, Log, LogError, Medium};
use super::new_job::Body;
use super::replay::{Replayed, replay};
use super::storage::{Answer, Commit, HandOver, Handed, Query, Roused, StorageError, StorageOptions};
use super::transition::{Outcome, Transition};
use super::watch::Stir;
use crate::error::Error;
use crate::machine::{self, Effect, Inherited, Item, Phase, Rouse, State};
use crate::task::Durability;
use crate::time::{Timestamp, monotonic};

/// The batch is appended once it is so large, so that entries are well filled: the log's cost is by the entry more than
/// by the byte.
const BATCH: usize = ENTRY_LIMIT / 8 * 7;
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
    /// A job that was claimed at once for who waits for it.
    pub(crate) handed: Option<Handed>,
}

/// Asks for the way to somebody who sleeps and takes a job of a task, the second, in a queue.
pub(crate) type Promise<'a> = &'a dyn Fn(&str, &str) -> Option<HandOver>;

pub(crate) type Answered = Result<Served, StorageError>;

pub(crate) struct Core<L> {
    journal: Journal<L>,
    state: State,
    /// What was done and is not in the log yet. It is appended when it is large enough, and before every flush: until
    /// then a kill loses it, as it would lose what the log has not flushed.
    open: Batch,
    /// The effects that are on their way into it.
    frames: Frames,
    /// How large `open` was when compaction last earned by it.
    earned: usize,
    options: StorageOptions,
    /// The next entry that compaction looks at.
    cursor: u64,
    /// Bytes that compaction may move, earned by bytes appended. A large body may put it into debt.
    credit: i64,
    /// Entries below the first number are dead, and were so when the journal ended at the second.
    doomed: (u64, u64),
    space: Option<(Instant, u64)>,
    /// Jobs that are held until an entry is durable, and for nothing else.
    put_off: VecDeque<(u64, Vec<u64>)>,
    /// Whoever holds it keeps the old entries.
    pin: Arc<()>,
}

impl<L: Log> Core<L> {
    /// Reads a log back: in a new life of the process, in which no lease of the last one holds, or after a failure,
    /// with what was `inherited` from the state before it.
    pub(crate) fn open<M: Medium<Log = L>>(
        medium: &M,
        options: &StorageOptions,
        durable: &Arc<AtomicU64>,
        inherited: Option<Inherited>,
    ) -> Result<Self, Error> {
        let log = medium.open()?;
        let name = medium.name();
        let damage = |error: LogError| open_fault(&name, &error);
        let Replayed { state, last, unfinished, .. } = replay(&log, options.clock.now()).map_err(damage)?;
        let known = durable.load(Ordering::SeqCst).max(medium.marked().unwrap_or(0));
        if last < known {
            return Err(open_fault(
                &name,
                &LogError::damaged(format!("the journal ends at entry {last}, but entry {known} was written safely")),
            ));
        }
        let trusted = if inherited.is_some() { durable.load(Ordering::SeqCst) } else { last };
        let mut journal = Journal::new(log, last + unfinished, trusted, Arc::clone(durable));
        // The last life may have written all that the barrier allows.
        journal.sync().map_err(damage)?;
        for _ in 0..unfinished {
            journal.remove_newest().map_err(damage)?;
        }
        let cursor = state.homes.first();
        let (frames, earned, credit, doomed, space, put_off) = Default::default();
        let open = journal.batch();
        let (options, pin) = (options.clone(), Arc::default());
        let mut core =
            Self { journal, state, open, frames, earned, options, cursor, credit, doomed, space, put_off, pin };
        match inherited {
            None => core.begin_life(medium),
            Some(inherited) => core.resume(inherited),
        }
        .map_err(damage)?;
        Ok(core)
    }

    /// Takes back what the last life of the process had claimed, and counts a crash for what it had begun.
    fn begin_life<M: Medium<Log = L>>(&mut self, medium: &M) -> Result<(), LogError> {
        let now = self.options.clock.now();
        let running = medium.running();
        let begun = begun(running.left());
        let mut effects = Vec::new();
        for counter in self.state.lingering.counters() {
            effects.extend(machine::let_go_of(&self.state, counter));
        }
        if self.journal.last() == 0 {
            effects.push(Effect::Put(Item::Meta { salt: salt(), reserved: 0 }));
        }
        for work in self.state.all_work() {
            let counter = work.item.counter;
            let ran_on = self.state.lingering.claim(counter);
            let back = work.item.taken_back(begun.get(&counter).copied(), ran_on, now);
            effects.extend(back.map(Item::Work).map(Effect::Put));
        }
        self.write(&effects)?;
        running.forget_left()
    }

    /// Goes on after a failure with what the disk has. Jobs that run for nobody go back, and no attempt is counted.
    fn resume(&mut self, inherited: Inherited) -> Result<(), LogError> {
        self.journal.write_anew(self.journal.durable())?;
        let now = self.options.clock.now();
        let live: HashSet<(u64, u32)> = inherited.live.iter().copied().collect();
        let mut effects = Vec::new();
        // Counters that were told to somebody are not told again, also if the note of it was lost.
        if inherited.reserved > self.state.reserved {
            effects.push(Effect::Put(Item::Meta { salt: self.state.salt, reserved: inherited.reserved }));
        }
        for work in self.state.all_work() {
            let mut item = work.item;
            if item.phase == Phase::Running && !live.contains(&(item.counter, item.claim)) {
                item.phase = Phase::Waiting;
                item.at = item.at.min(now);
                item.attempts = item.attempts_before();
                effects.push(Effect::Put(Item::Work(item)));
            }
        }
        if !effects.is_empty() {
            self.write(&effects)?;
        }
        self.state.inherit(inherited);
        Ok(())
    }

    /// Makes effects true, and durable.
    fn write(&mut self, effects: &[Effect]) -> Result<(), LogError> {
        for effect in effects {
            self.change(effect).map_err(|error| LogError::failed(error.to_string()))?;
        }
        self.sync()
    }

    /// What the core that replaces this one after a failure must know.
    pub(crate) fn bequeath(&mut self) -> Inherited {
        self.state.bequeath()
    }

    pub(crate) fn syncer(&self) -> Arc<Syncer> {
        self.journal.syncer()
    }

    /// The number of the newest entry, one that is still being filled among them.
    pub(crate) fn last(&self) -> u64 {
        self.open.next() - 1
    }

    /// The number of the oldest entry.
    pub(crate) fn first(&self) -> u64 {
        self.state.homes.first()
    }

    /// While this is held, no entry is removed.
    pub(crate) fn pin(&self) -> Arc<()> {
        Arc::clone(&self.pin)
    }

    /// The entries of these numbers.
    pub(crate) fn entries(&self, from: u64, upto: u64) -> Result<Vec<Entry>, LogError> {
        (from..=upto).map(|sequence| self.journal.read(sequence)).collect()
    }

    /// Appends what was done and is not in the log yet.
    pub(crate) fn seal(&mut self) -> Result<(), LogError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let first = self.open.first();
        let next = Batch::new(self.open.next());
        let entries = std::mem::replace(&mut self.open, next).finish(self.state.homes.items());
        self.earned = 0;
        for (sequence, entry) in (first..).zip(&entries) {
            self.state.homes.fill(sequence, entry.len());
        }
        self.journal.append(&entries)
    }

    /// Hands everything to the operating system, and says how far that is.
    pub(crate) fn flush(&mut self) -> Result<Flushed, LogError> {
        self.seal()?;
        self.journal.flush()
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        self.seal()?;
        self.journal.sync()
    }

    /// What changed since the last call that a waiter may care for.
    pub(crate) fn take_stir(&mut self) -> Stir {
        let names = &self.state.names;
        let work = self.state.roused.take().map(|rouse| match rouse {
            Rouse::Lane(queue, task) => Roused::Lane { queue: names.text(queue), task: names.text(task) },
            Rouse::All => Roused::All,
        });
        Stir { any: std::mem::take(&mut self.state.stirred), work, ..Stir::default() }
    }

    pub(crate) fn next_due(&self) -> Timestamp {
        self.state.next_due().unwrap_or(Timestamp::MAX)
    }

    /// Why a read of the log failed, if one did since the last call.
    pub(crate) fn failure(&self) -> Option<LogError> {
        self.journal.failure()
    }

    pub(crate) fn promote(&mut self, now: Timestamp) {
        self.state.promote(now);
    }

    pub(crate) fn release(&mut self, counters: &[u64]) {
        for counter in counters {
            self.state.release(*counter);
        }
    }

    /// Lets these jobs go, which are held, once the entry is durable.
    pub(crate) fn release_behind(&mut self, sequence: u64, counters: Vec<u64>) {
        if !counters.is_empty() {
            self.put_off.push_back((sequence, counters));
        }
    }

    /// Lets those go whose entry is durable by now.
    pub(crate) fn release_durable(&mut self) {
        let durable = self.journal.durable();
        while let Some((_, counters)) = self.put_off.pop_front_if(|(sequence, _)| *sequence <= durable) {
            self.release(&counters);
        }
    }

    /// Whether a sync should begin before the next entries must wait for one.
    pub(crate) fn is_barrier_near(&self) -> bool {
        self.journal.is_barrier_near()
    }

    /// What is held is as durable as it has to be. Ends are shown from now on, so that whoever hears of one can read
    /// it; what waits, and what is held behind an end, stays held until that has been announced.
    pub(crate) fn show(&mut self, counters: &[u64]) {
        for counter in counters {
            let waits = self.state.work(*counter).is_some_and(|work| work.item.phase == Phase::Waiting);
            if !waits {
                self.state.show(*counter);
            }
        }
    }

    pub(crate) fn read(&mut self, query: Query, now: Timestamp) -> Result<Answer, StorageError> {
        self.state.promote(now);
        let fetch = WithBatch { journal: &self.journal, batch: &self.open };
        machine::answer(&self.state, &fetch, query, now)
    }

    /// Does a transition, and puts its answer into `answer`. If the log fails before there is one, whether it happened is
    /// unknown.
    pub(crate) fn serve(
        &mut self,
        transition: Transition,
        how: Commit,
        now: Timestamp,
        answer: &mut Option<Answered>,
        promise: Promise<'_>,
    ) -> Result<(), LogError> {
        self.state.promote(now);
        let results = self.state.results.count();
        let mut served = self.decide(transition, how, now, promise);
        let added = self.state.results.count().saturating_sub(results);
        self.drop_late(now, added);
        self.compact();
        if let Ok(served) = &mut served {
            served.sequence = self.last();
        }
        if self.open.bytes() >= BATCH {
            self.seal()?;
        }
        *answer = Some(served);
        self.remove_dead()
    }

    fn decide(&mut self, transition: Transition, how: Commit, now: Timestamp, promise: Promise<'_>) -> Answered {
        if transition.adds() {
            self.check_space()?;
        }
        let is_enqueue = matches!(transition, Transition::Enqueue { .. });
        let fetch = WithBatch { journal: &self.journal, batch: &self.open };
        let machine::Decided { mut effects, outcome, touched, behind, waits, sync, .. } =
            machine::decide(&self.state, &fetch, transition, now)?;
        let must_wait = how.hold || sync || how.durability == Durability::Synced;
        let mut handed = if is_enqueue && !must_wait { self.hand_over(&mut effects, now, promise) } else { None };
        // Whatever cannot be stored is found before anything changes.
        self.frames.clear();
        effects.iter().try_for_each(|effect| self.frames.add(effect))?;
        let outcome = outcome.ok_or_else(|| StorageError::Refused("nothing was decided".into()))?;
        let held = if must_wait { touched } else { Vec::new() };
        for counter in &held {
            self.state.hold(*counter);
        }
        for (first, counter) in behind {
            self.state.hold_behind(first, counter);
        }
        self.make_true(&effects);
        for (counter, wait) in waits {
            self.state.wait_at(counter, wait);
        }
        if matches!(&outcome, Outcome::Claimed { claimed, ended, .. } if claimed.is_empty() && !ended.is_empty()) {
            // It may have stopped before it came to what can be claimed.
            self.state.rouse();
        }
        if how.durability == Durability::Relaxed && !sync {
            self.show(&held);
        }
        if let Some(handed) = &mut handed
            && let Some(body) = effects.into_iter().find_map(machine::body_in)
        {
            handed.job.body = body;
        }
        Ok(Served { outcome, sequence: 0, sync, held, handed })
    }

    /// Has the job that these effects put in claimed as it is put in, if somebody sleeps who takes it. Its body is still theirs.
    fn hand_over(&self, effects: &mut [Effect], now: Timestamp, promise: Promise<'_>) -> Option<Handed> {
        let work = machine::sole(&self.state, effects, now)?;
        let names = &self.state.names;
        let way = promise(&names.text(work.queue), &names.text(work.task))?;
        let (started, job) = machine::start(&self.state, *work, Body::default(), now);
        *work = started;
        Some(Handed { way, job })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Puts an item as it is.
    pub(crate) fn load(&mut self, item: Item) -> Result<(), StorageError> {
        self.change(&Effect::Put(item))?;
        if self.open.bytes() >= BATCH {
            self.seal().map_err(|error| fault(&error))?;
        }
        Ok(())
    }

    /// Puts an effect into the batch and makes it true in memory.
    fn change(&mut self, effect: &Effect) -> Result<(), StorageError> {
        self.frames.clear();
        self.frames.add(effect)?;
        self.make_true(std::slice::from_ref(effect));
        Ok(())
    }

    /// As [`change`](Self::change), of effects that have been framed.
    fn make_true(&mut self, effects: &[Effect]) {
        for (effect, frame) in effects.iter().zip(self.frames.iter()) {
            let before = self.open.next();
            let place = self.open.push(frame);
            for sequence in before..self.open.next() {
                self.state.homes.open(sequence);
            }
            self.state.apply(effect, place);
        }
    }

    /// Checks the state in itself and against one read back from the log.
    #[cfg(feature = "testing")]
    pub(crate) fn check(&self) -> Result<(), String> {
        self.state.check()?;
        let again = self.journal.replay(self.state.horizon()).map_err(|error| error.to_string())?;
        if (again.last, again.unfinished) != (self.journal.last(), 0) {
            return Err(format!("the log ends at {}, the journal at {}", again.last, self.journal.last()));
        }
        again.state.check().map_err(|error| format!("read back: {error}"))?;
        self.state.same_as(&again.state)
    }

    /// Bytes of the journal, and how many of them belong to an item.
    #[cfg(feature = "testing")]
    pub(crate) fn sizes(&self) -> (u64, u64) {
        (self.state.homes.total(), self.state.homes.live())
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
            "the queue in {name} is damaged: {error}; nothing was deleted: restore the folder from a copy, or export what \
             is left of it and import that into a new one"
        ))
    } else {
        Error::unavailable(format!("the queue in {name} cannot be opened: {error}"))
    }
}

/// The newest claim that had begun of each job, by its counter.
pub(crate) fn begun(left: Vec<(u64, u32)>) -> HashMap<u64, u32> {
    let mut begun = HashMap::new();
    for (counter, claim) in left {
        let last: &mut u32 = begun.entry(counter).or_default();
        *last = claim.max(*last);
    }
    begun
}

/// A number that tells this store's ids from another's.
fn salt() -> u32 {
    use std::hash::{BuildHasher, RandomState};
    u32::try_from(RandomState::new().hash_one(0) >> 38).unwrap_or(0)
}
