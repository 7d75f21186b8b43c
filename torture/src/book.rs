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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01a20834-21b0-7000-8000-000003e313f2";

    fn twice(lines: &[(char, &str, u64)]) -> u64 {
        Book::read(&lines.iter().map(|(event, task, number)| line(*event, ID, task, *number)).collect::<String>())
            .twice()
    }

    #[test]
    fn a_job_that_runs_after_its_durable_end_ran_twice() {
        assert_eq!(twice(&[('E', "steady", 5), ('X', "steady", 1), ('C', "steady", 1), ('X', "steady", 2)]), 1);
        assert_eq!(twice(&[('X', "steady", 1), ('E', "steady", 5), ('X', "steady", 1), ('C', "steady", 1)]), 0);
        assert_eq!(
            twice(&[('X', "bulk", 1), ('C', "bulk", 1), ('X', "bulk", 1)]),
            0,
            "a relaxed end may be taken back"
        );
    }

    #[test]
    fn an_attempt_that_failed_durably_does_not_come_again() {
        assert_eq!(twice(&[('X', "steady", 1), ('R', "steady", 1), ('X', "steady", 1)]), 1);
        assert_eq!(twice(&[('X', "steady", 1), ('R', "steady", 1), ('X', "steady", 2)]), 0);
    }

    #[test]
    fn a_line_that_was_cut_off_says_nothing() {
        assert!(Book::read(&format!("E {ID} stea")).jobs.is_empty());
    }
}
