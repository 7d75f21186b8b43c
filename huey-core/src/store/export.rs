//! A journal as text: all items that have their home in it, in its order.
//!
//! The items are found by their homes, whatever they are, so that a new kind is exported from its first day.

use std::collections::HashMap;
use std::io::Write;

use super::core::begun;
use super::findings::Findings;
use super::log::{Log, LogError, Medium};
use super::replay::{Reader, Replayed, Scan};
use super::storage::StorageError;
use super::text::Check;
use crate::error::{Error, Result};
use crate::machine::{Effect, Item, Phase, State};
use crate::time::Timestamp;

/// A journal that was read to its end or its first fault.
pub(crate) struct Survey {
    replayed: Replayed,
    /// Attempts that had begun when the process died.
    begun: HashMap<u64, u32>,
    now: Timestamp,
    pub(crate) findings: Findings,
}

impl Survey {
    /// Reads all entries. `known` is one that was written safely.
    pub(crate) fn new(scan: &mut Scan<'_>, begun: HashMap<u64, u32>, known: u64, now: Timestamp) -> Self {
        let mut findings = Findings::default();
        let mut replayed = Replayed::default();
        let read = replayed.read(&mut |each| {
            scan(&mut |sequence, entry| {
                findings.entries += 1;
                findings.bytes += entry.len() as u64;
                each(sequence, entry)
            })
        });
        findings.flaws.extend(read.err().map(|error| error.message));
        let last = replayed.last;
        if last < known {
            findings.flaws.push(format!("the journal ends at entry {last}, but entry {known} was written safely"));
        }
        findings.flaws.extend(replayed.missing());
        let state = &replayed.state;
        findings.items = state.homes.items();
        findings.jobs = state.all_work().filter(|work| !work.is_half()).count() as u64;
        findings.results = state.results.count();
        Self { replayed, begun, now, findings }
    }

    /// Writes everything that is whole.
    pub(crate) fn write(mut self, scan: &mut Scan<'_>, out: &mut dyn Write) -> Result<Findings, StorageError> {
        let mut check = Check::new();
        let mut put =
            |line: String| out.write_all(line.as_bytes()).map_err(|error| LogError::failed(unwritten(&error)));
        put(check.head()).map_err(given_up)?;
        let (mut reader, mut written) = (Reader::default(), 0);
        let last = self.replayed.last;
        let scanned = scan(&mut |sequence, entry| {
            if sequence > last {
                return Ok(());
            }
            let Some(batch) = reader.entry(sequence, entry)? else { return Ok(()) };
            batch.effects(&mut |effect, place| {
                if let Effect::Put(item) = effect
                    && self.replayed.state.is_home(&item, place)
                    && let Some(item) = self.exported(item)
                {
                    written += 1;
                    put(check.item(&item))?;
                }
                Ok(())
            })
        });
        match scanned {
            // The fault that ended the first reading as well.
            Err(error) if error.damaged && !self.findings.is_sound() => {}
            Err(error) => return Err(given_up(error)),
            Ok(()) => {}
        }
        put(check.tail()).map_err(given_up)?;
        out.flush().map_err(|error| StorageError::Unavailable(unwritten(&error)))?;
        self.findings.items = written;
        Ok(self.findings)
    }

    /// The item as it is told to others: no lease leaves its process.
    fn exported(&self, item: Item) -> Option<Item> {
        let state: &State = &self.replayed.state;
        match item {
            Item::Work(work) => {
                // Elsewhere nobody could know that it had begun.
                let begun = self
                    .begun
                    .get(&work.counter)
                    .copied()
                    .or_else(|| (work.phase == Phase::Running && work.flags.at_most_once()).then_some(work.claim));
                let half = state.work(work.counter).is_none_or(|work| work.is_half());
                (!half).then(|| {
                    Item::Work(work.taken_back(begun, state.lingering.claim(work.counter), self.now).unwrap_or(work))
                })
            }
            Item::Body(counter, _) | Item::Note(counter, _)
                if state.work(counter).is_none_or(|work| work.is_half()) =>
            {
                None
            }
            // No body runs on elsewhere.
            Item::Lingering { .. } => None,
            Item::Unique(item) if state.lingering.holds(item.holder) => {
                let open = state.work(item.holder).is_some_and(|work| work.item.phase.is_open());
                open.then_some(Item::Unique(item))
            }
            other => Some(other),
        }
    }
}

fn unwritten(error: &std::io::Error) -> String {
    format!("the export could not be written: {error}")
}

fn given_up(error: LogError) -> StorageError {
    if error.damaged { StorageError::Damaged(error.message) } else { StorageError::Unavailable(error.message) }
}

/// Reads a log from end to end, as opening it does but for changing anything, and says what is wrong with it.
///
/// # Errors
///
/// If the medium cannot be opened.
pub fn verify<M: Medium>(medium: &M) -> Result<Findings> {
    let log = medium.open()?;
    Ok(survey(medium, &log).findings)
}

/// Writes what is in a log as text, also if it is damaged: then all batches before the first fault, less jobs of which
/// only a part is there. What is wrong stands in the findings.
///
/// # Errors
///
/// If the medium cannot be opened, or `out` cannot be written.
pub fn export<M: Medium>(medium: &M, out: &mut dyn Write) -> Result<Findings> {
    let log = medium.open()?;
    survey(medium, &log).write(&mut |each| log.scan(each), out).map_err(Error::from)
}

fn survey<M: Medium>(medium: &M, log: &M::Log) -> Survey {
    let known = medium.marked().unwrap_or(0);
    let begun = begun(medium.running().left());
    Survey::new(&mut |each| log.scan(each), begun, known, crate::time::Clock::system().now())
}
