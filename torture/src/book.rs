//! What a process said of its jobs, line by line: `EVENT ID TASK NUMBER`.
//!
//! | event | said when | number |
//! |---|---|---|
//! | `E` | an enqueue returned | the time |
//! | `X` | a body begins | the attempt |
//! | `R` | a retry is announced | the attempt that failed |
//! | `C` | the end is announced | |
//! | `L` | a relaxed job was found lost, and is not asked for again | |
//! | `K` | the process was killed (no id) | the time |

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use huey::JobId;

/// What is known of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) task: String,
    pub(crate) enqueued: Option<u64>,
    /// When the process was killed next after its enqueue had returned.
    pub(crate) killed: Option<u64>,
    /// How many ends had been announced when its body began last.
    pub(crate) ran: Option<usize>,
    retried: u64,
    pub(crate) complete: bool,
    pub(crate) written_off: bool,
    pub(crate) twice: bool,
}

impl Known {
    pub(crate) fn is_synced(&self) -> bool {
        self.task != "bulk"
    }

    /// Its result is kept until there are too many.
    pub(crate) fn is_kept(&self) -> bool {
        self.task != "fleeting"
    }
}

#[derive(Default)]
pub(crate) struct Book {
    pub(crate) jobs: BTreeMap<JobId, Known>,
    pub(crate) ends: usize,
    fresh: Vec<JobId>,
}

impl Book {
    /// Reads lines. One that was cut off by a kill says nothing.
    pub(crate) fn read(text: &str) -> Self {
        let mut book = Self::default();
        text.lines().for_each(|line| book.hear(line));
        book
    }

    fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(event), Some(id), Some(task), Some(number)) =
            (words.next(), words.next(), words.next(), words.next().and_then(|number| number.parse::<u64>().ok()))
        else {
            return;
        };
        if event == "K" {
            for id in self.fresh.drain(..) {
                if let Some(known) = self.jobs.get_mut(&id) {
                    known.killed = Some(number);
                }
            }
            return;
        }
        let Ok(id) = id.parse::<JobId>() else { return };
        let ends = self.ends;
        let known = self.jobs.entry(id).or_default();
        task.clone_into(&mut known.task);
        match event {
            "E" => {
                known.enqueued = Some(number);
                self.fresh.push(id);
            }
            "X" => {
                // A job may run again, but not once its end or a later attempt was announced as durable.
                known.twice |= known.is_synced() && (known.complete || number <= known.retried);
                known.ran = Some(ends);
            }
            "R" => known.retried = known.retried.max(number),
            "C" => {
                known.complete = true;
                self.ends += 1;
            }
            "L" => known.written_off = true,
            _ => {}
        }
    }

    /// How many enqueues and ends were acknowledged as synced.
    pub(crate) fn acknowledged(&self) -> u64 {
        let synced = self.jobs.values().filter(|known| known.is_synced());
        synced.map(|known| u64::from(known.enqueued.is_some()) + u64::from(known.complete)).sum()
    }

    /// How many jobs ran again after that was announced not to be.
    pub(crate) fn twice(&self) -> u64 {
        self.jobs.values().filter(|known| known.twice).count() as u64
    }
}

/// A line for the book.
pub(crate) fn line(event: char, id: impl std::fmt::Display, task: &str, number: u64) -> String {
    let mut line = String::with_capacity(64);
    // Writing to a string does not fail.
    let _ = writeln!(line, "{event} {id} {task} {number}");
    line
}

pub(crate) fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
