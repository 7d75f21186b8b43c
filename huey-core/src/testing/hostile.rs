//! Bytes and texts that nobody sane wrote, given to each place that reads some. What fuzzers call.
//!
//! Each function may refuse what it gets, and must not panic, nor take much more memory than its input.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::enqueue::Tail;
use crate::error::{Error, Result};
use crate::job::Head;
use crate::periodic::Timer;
use crate::store::{
    Answer, Barrier, Commit, Core, Entry, Lease, List, Log, LogError, Medium, Outcome, Query, Ram, ReplayedLog,
    Running, Settlement, StorageOptions, Tasks, Transition, Verdict, import,
};
use crate::task::Schedule;
use crate::time::{Timestamp, VirtualClock};

/// When everything here happens, in microseconds: later than all that a journal holds of its own time.
const NOW: i64 = 2_000_000_000_000_000;

/// Reads bytes as what is stored in front of a job's arguments, and as the steps behind it. One of them is enough.
///
/// ```
/// assert!(huey_core::testing::hostile::envelope(b"no envelope").is_err());
/// ```
///
/// # Errors
///
/// What is wrong with them.
pub fn envelope(bytes: &[u8]) -> Result<()> {
    let (head, tail) = (Head::decode(bytes), Tail::decode(bytes));
    head.map(drop).or(tail.map(drop))
}

/// Reads a text as a cron expression, and finds its ticks.
///
/// ```
/// assert!(huey_core::testing::hostile::cron("*/5 * * * *").is_ok());
/// assert!(huey_core::testing::hostile::cron("whenever").is_err());
/// ```
///
/// # Errors
///
/// What is wrong with it.
pub fn cron(text: &str) -> Result<()> {
    let timer = Timer::new(&Schedule::cron(text)?)?;
    for instant in [i64::MIN, 0, 1_700_000_000_000_000, i64::MAX].map(Timestamp::from_micros) {
        let mut at = instant;
        for _ in 0..3 {
            let Some(next) = timer.after(at) else { break };
            if next <= at {
                return Err(Error::damaged(format!("`{text}` comes back to {next:?} after {at:?}")));
            }
            at = next;
        }
    }
    Ok(())
}

/// Opens a journal that holds these entries, each behind its length as two bytes, looks at all of it, and runs what is in
/// it. The number of items that its last entry names is put right first, as an attacker would.
///
/// ```
/// assert!(huey_core::testing::hostile::journal(&[]).is_ok());
/// assert!(huey_core::testing::hostile::journal(&[1, 0, 255]).is_err());
/// ```
///
/// # Errors
///
/// What is wrong with them.
pub fn journal(bytes: &[u8]) -> Result<()> {
    let paper = Paper::holding(bytes);
    paper.count_anew();
    used(&paper)
}

/// Imports a text, then opens what came of it, looks at all of it, and runs what is in it.
///
/// ```
/// assert!(huey_core::testing::hostile::imported(b"no export").is_err());
/// ```
///
/// # Errors
///
/// What is wrong with it.
pub fn imported(mut text: &[u8]) -> Result<()> {
    let paper = Paper::default();
    import(&paper, &mut text)?;
    used(&paper)
}

/// Opens what a medium holds and does all that a queue may do with it.
fn used(paper: &Paper) -> Result<()> {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(NOW)).clock();
    let options = StorageOptions { clock, min_free: 0, ..StorageOptions::default() };
    let mut core = Core::open(paper, &options, &Arc::default(), None)?;
    look(&mut core)?;
    for _ in 0..4 {
        let claim = Transition::Claim {
            queues: Vec::new(),
            tasks: Tasks::ALL,
            most: 64,
            many: Tasks::ALL,
            keep: Duration::ZERO,
        };
        let Some(Outcome::Claimed { claimed, .. }) = done(&mut core, vec![claim])?.pop() else { break };
        let ends = claimed.iter().enumerate().map(|(at, one)| Transition::Settle(vec![end(at, one.lease)]));
        done(&mut core, ends.collect())?;
    }
    look(&mut core)?;
    core.sync().map_err(|error| Error::unavailable(error.message))?;
    // Entries that were read may still contradict each other.
    core.check().map_err(Error::damaged)
}

fn end(at: usize, lease: Lease) -> Settlement {
    let keep = Duration::from_mins(1);
    let verdict = match at % 4 {
        0 => Verdict::Complete { output: Vec::new().into(), signature: 0, keep, next: None },
        1 => Verdict::Retry { delay: Duration::ZERO, error: None, spend: true },
        2 => Verdict::Canceled { cause: "hostile".into(), keep },
        _ => Verdict::Returned { started: true },
    };
    Settlement { lease, verdict }
}

/// What transitions came to, less those that were refused.
fn done(core: &mut Core<Paper>, transitions: Vec<Transition>) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for transition in transitions {
        let mut answer = None;
        let served = core.serve(transition, Commit::RELAXED, Timestamp::from_micros(NOW), &mut answer, &|_, _| None);
        served.map_err(|error| Error::damaged(error.message))?;
        outcomes.extend(answer.into_iter().flatten().map(|served| served.outcome));
    }
    Ok(outcomes)
}

/// Asks for everything that can be asked for without a name.
fn look(core: &mut Core<Paper>) -> Result<()> {
    let now = Timestamp::from_micros(NOW);
    for query in [
        Query::all_counts(),
        Query::Queues,
        Query::Schedules,
        Query::Keys { prefix: String::new(), after: None, most: 100 },
        Query::Backlog { queues: Vec::new() },
    ] {
        core.read(query, now)?;
    }
    let list = core.read(Query::List(List { most: 50, ..List::default() }), now)?;
    let Answer::List(rows) = list else { return Ok(()) };
    for id in rows.rows.iter().map(|row| row.id) {
        // What is there of one job may be read, or be found to be damaged.
        for query in
            [Query::Body(id), Query::Arrivals { chord: id, from: 0 }, Query::Reasons { id, beside: Vec::new() }]
        {
            let _ = core.read(query, now);
        }
    }
    Ok(())
}

/// A medium in memory whose entries can be given and taken.
#[derive(Clone, Debug, Default)]
pub struct Paper(Arc<Mutex<Sheets>>);

#[derive(Debug, Default)]
struct Sheets {
    first: u64,
    entries: VecDeque<Arc<[u8]>>,
}

impl Paper {
    /// Holds entries, each behind its length as two bytes; the last may be cut off.
    #[must_use]
    pub fn holding(mut bytes: &[u8]) -> Self {
        let mut entries = VecDeque::new();
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let (entry, rest) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
            entries.push_back(entry.into());
            bytes = rest;
        }
        Self(Arc::new(Mutex::new(Sheets { first: 1, entries })))
    }

    /// What it holds, in the form that [`holding`](Self::holding) reads.
    #[must_use]
    pub fn held(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in &self.sheets().entries {
            bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend_from_slice(entry);
        }
        bytes
    }

    /// Lets the last entry name as many items as there are.
    fn count_anew(&self) {
        let mut replayed = ReplayedLog::default();
        // What is wrong with the entries is found when they are opened.
        let _ = replayed.read(&mut |each| self.scan(each));
        let items = replayed.items_found().to_le_bytes();
        let last = usize::try_from(replayed.last.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(entry) = self.sheets().entries.get_mut(last) {
            let mut bytes = entry.to_vec();
            if let Some(count) = bytes.get_mut(3..7) {
                count.copy_from_slice(&items);
            }
            *entry = bytes.into();
        }
    }

    fn sheets(&self) -> std::sync::MutexGuard<'_, Sheets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Medium for Paper {
    type Log = Self;

    fn open(&self) -> Result<Self> {
        Ok(self.clone())
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::new(Ram)
    }

    fn name(&self) -> String {
        "paper".into()
    }
}

impl Log for Paper {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        let mut sheets = self.sheets();
        if sheets.entries.is_empty() {
            sheets.first = sequence;
        }
        sheets.entries.push_back(entry.into());
        Ok(())
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let sheets = self.sheets();
        let at = sequence.checked_sub(sheets.first).and_then(|at| usize::try_from(at).ok());
        Ok(at.and_then(|at| sheets.entries.get(at)).map(|entry| Entry::new(Arc::clone(entry))))
    }

    fn remove_oldest(&mut self, _: u64) -> Result<(), LogError> {
        let mut sheets = self.sheets();
        sheets.entries.pop_front();
        sheets.first += 1;
        Ok(())
    }

    fn remove_newest(&mut self, _: u64) -> Result<(), LogError> {
        self.sheets().entries.pop_back();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::new(Ram)
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        let (first, entries) = {
            let sheets = self.sheets();
            (sheets.first, sheets.entries.clone())
        };
        (first..).zip(&entries).try_for_each(|(sequence, entry)| each(sequence, entry))
    }
}
