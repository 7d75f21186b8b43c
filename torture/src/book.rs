//! What a process said of its jobs, line by line: `EVENT ID TASK NUMBER`.
//!
//! | event | said when | number |
//! |---|---|---|
//! | `E` | an enqueue returned | when the call began (`bulk`: when it returned) |
//! | `S` | a later step or a callback is announced | the time |
//! | `Q` | the job of a tick is announced | the tick |
//! | `B` | the job stands behind another, whose id is in place of the task | |
//! | `P` | an attempt is about to begin | the attempt |
//! | `X` | a body begins | the attempt |
//! | `Y` | a body is about to end well | the attempt |
//! | `H`, `U` | a body is where it must be alone, or leaves it | the key of its lock or bound |
//! | `G` | the callback of a chord begins | the chord |
//! | `O` | a body got something else than it must | |
//! | `R` | a retry is announced | the attempt that failed |
//! | `C`, `Z`, `V`, `D` | the end is announced: complete, canceled, revoked, dead | the time |
//! | `A` | it is about to be canceled | |
//! | `M` | its task is about to be revoked (1) or restored (0) | which |
//! | `N` | that is done | which |
//! | `L` | a relaxed job was found lost, and is not asked for again | |
//! | `K` | the process was killed (no id) | the time |

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use huey::{JobId, JobState};

/// What is known of a job.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that was said or not")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) task: String,
    pub(crate) enqueued: Option<u64>,
    /// When the process was killed next after its enqueue had returned.
    pub(crate) killed: Option<u64>,
    /// Something synced was asked for after it had been said, and acknowledged.
    pub(crate) covered: bool,
    /// How many ends had been announced when the second began in which its body began last.
    pub(crate) ran: Option<usize>,
    /// Its body was about to end well.
    pub(crate) yielded: bool,
    retried: u64,
    pub(crate) end: Option<JobState>,
    ended_at: u64,
    /// The end was said before something synced was asked for, and acknowledged.
    pub(crate) end_covered: bool,
    pub(crate) written_off: bool,
    pub(crate) twice: bool,
    /// At how many kills it ran.
    pub(crate) kills: u32,
    /// Somebody may have canceled it.
    pub(crate) canceled: bool,
    /// The jobs that must be complete before it runs.
    pub(crate) behind: Vec<JobId>,
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
    /// The second in which something was said last, and how many ends had been announced when it began.
    second: (u64, usize),
    /// What is wrong whatever the queue holds: finding and why.
    pub(crate) wrong: BTreeSet<String>,
    /// Whether the task `moody` is revoked, and whether that may have been changed since.
    pub(crate) revoked: (bool, bool),
    revocations: u64,
    /// Jobs acknowledged, and ends announced, since the last kill.
    fresh: BTreeSet<JobId>,
    fresh_ends: BTreeSet<JobId>,
    /// Attempts that may run.
    begun: BTreeSet<JobId>,
    /// When the last call for something synced began that was acknowledged.
    proven: u64,
    /// Who is where it must be alone, by key.
    held: BTreeMap<u64, JobId>,
    ticks: BTreeMap<u64, JobId>,
    chords: BTreeMap<u64, JobId>,
}

impl Book {
    /// Reads lines. One that was cut off by a kill says nothing.
    pub(crate) fn read(text: &str) -> Self {
        let mut book = Self::default();
        text.lines().for_each(|line| book.hear(line));
        book
    }

    pub(crate) fn hear(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (Some(event), Some(id), Some(task), Some(number)) =
            (words.next(), words.next(), words.next(), words.next().and_then(|number| number.parse::<u64>().ok()))
        else {
            return;
        };
        match event {
            "K" => return self.kill(number),
            "M" => return self.revoked.1 = true,
            "N" => {
                self.revocations += 1;
                return self.revoked = (number == 1, false);
            }
            _ => {}
        }
        let Ok(id) = id.parse::<JobId>() else { return };
        if event == "B" {
            if let Ok(before) = task.parse::<JobId>() {
                self.jobs.entry(id).or_default().behind.push(before);
            }
            return;
        }
        self.note(event, id, task, number);
        if event == "X" {
            self.check_order(id);
        }
    }

    fn note(&mut self, event: &str, id: JobId, task: &str, number: u64) {
        if matches!(event, "E" | "S" | "C" | "Z" | "V" | "D") && number / 1_000_000 > self.second.0 {
            self.second = (number / 1_000_000, self.ends);
        }
        let ends = self.second.1;
        let known = self.jobs.entry(id).or_default();
        task.clone_into(&mut known.task);
        match event {
            "E" | "S" | "Q" => {
                known.enqueued = Some(number);
                self.fresh.insert(id);
                if event == "E" && known.is_synced() {
                    self.proven = self.proven.max(number);
                }
                if event == "Q" && *self.ticks.entry(number).or_insert(id) != id {
                    self.wrong.insert(format!("torn {id} is a second job of the tick {number}"));
                }
            }
            "P" => drop(self.begun.insert(id)),
            "X" => {
                // A job may run again, but not once its end or a later attempt was announced as durable.
                known.twice |= known.is_synced() && (known.end.is_some() || number <= known.retried);
                known.ran = Some(ends);
                if known.twice {
                    self.wrong.insert(format!("lease_settled_twice {id} {task} ran again"));
                }
                if known.twice && task == "gather" {
                    self.wrong.insert(format!("chords_doubled {id} ran again"));
                }
            }
            "H" => {
                if let Some(other) = self.held.insert(number, id).filter(|other| *other != id) {
                    self.wrong.insert(format!("torn {id} runs beside {other}, and both hold {number}"));
                }
            }
            "U" => drop(self.held.remove(&number)),
            "Y" => known.yielded = true,
            "G" if *self.chords.entry(number).or_insert(id) != id => {
                self.wrong.insert(format!("chords_doubled {id} is a second callback of the chord {number}"));
            }
            "O" => drop(self.wrong.insert(format!("torn {id} {task} got {number}, which it must not"))),
            "R" => {
                known.retried = known.retried.max(number);
                self.begun.remove(&id);
            }
            "C" | "Z" | "V" | "D" => {
                known.end = Some(match event {
                    "C" => JobState::Complete,
                    "Z" => JobState::Canceled,
                    "V" => JobState::Revoked,
                    _ => JobState::Dead,
                });
                known.ended_at = number;
                self.fresh_ends.insert(id);
                self.begun.remove(&id);
                self.ends += 1;
            }
            "A" => known.canceled = true,
            "L" => known.written_off = true,
            _ => {}
        }
    }

    fn check_order(&mut self, id: JobId) {
        let behind = self.jobs.get(&id).map(|known| known.behind.as_slice()).unwrap_or_default();
        if let Some(before) = behind.iter().find(|before| self.jobs.get(before).is_none_or(|known| !known.yielded)) {
            self.wrong.insert(format!("torn {id} began before {before} had ended"));
        }
    }

    fn kill(&mut self, at: u64) {
        let proven = self.proven;
        self.held.clear();
        for id in std::mem::take(&mut self.fresh) {
            if let Some(known) = self.jobs.get_mut(&id) {
                known.killed = Some(at);
                known.covered = known.enqueued.is_some_and(|enqueued| enqueued < proven);
            }
        }
        for id in std::mem::take(&mut self.fresh_ends) {
            if let Some(known) = self.jobs.get_mut(&id) {
                known.end_covered = known.ended_at < proven;
            }
        }
        for id in std::mem::take(&mut self.begun) {
            if let Some(known) = self.jobs.get_mut(&id) {
                known.kills += 1;
            }
        }
    }

    /// How many enqueues, ends and revocations were acknowledged as synced.
    pub(crate) fn acknowledged(&self) -> u64 {
        let synced = self.jobs.values().filter(|known| known.is_synced());
        self.revocations
            + synced.map(|known| u64::from(known.enqueued.is_some()) + u64::from(known.end.is_some())).sum::<u64>()
    }

    /// Whether all jobs that must be complete before one runs were announced to be.
    pub(crate) fn is_next(&self, known: &Known) -> bool {
        let complete = |id| self.jobs.get(id).is_some_and(|known| known.end == Some(JobState::Complete));
        !known.behind.is_empty() && known.behind.iter().all(complete)
    }
}

/// A line for the book.
pub(crate) fn line(event: char, id: impl std::fmt::Display, task: impl std::fmt::Display, number: u64) -> String {
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
    const OTHER: &str = "01a20834-21b0-7000-8000-000003e313f3";

    fn wrong(lines: &[(char, &str, u64)]) -> usize {
        let lines: String = lines.iter().map(|(event, task, number)| line(*event, ID, *task, *number)).collect();
        Book::read(&lines).wrong.len()
    }

    #[test]
    fn a_job_that_runs_after_its_durable_end_ran_twice() {
        assert_eq!(wrong(&[('E', "steady", 5), ('X', "steady", 1), ('C', "steady", 1), ('X', "steady", 2)]), 1);
        assert_eq!(wrong(&[('X', "steady", 1), ('E', "steady", 5), ('X', "steady", 1), ('C', "steady", 1)]), 0);
        let relaxed = [('X', "bulk", 1), ('C', "bulk", 1), ('X', "bulk", 1)];
        assert_eq!(wrong(&relaxed), 0, "a relaxed end may be taken back");
        assert_eq!(wrong(&[('Z', "doomed", 1), ('X', "doomed", 1)]), 1, "it was canceled for good");
    }

    #[test]
    fn an_attempt_that_failed_durably_does_not_come_again() {
        assert_eq!(wrong(&[('X', "steady", 1), ('R', "steady", 1), ('X', "steady", 1)]), 1);
        assert_eq!(wrong(&[('X', "steady", 1), ('R', "steady", 1), ('X', "steady", 2)]), 0);
    }

    #[test]
    fn a_chord_has_one_callback_and_a_tick_one_job() {
        let two = |event, task| Book::read(&(line(event, ID, task, 7) + &line(event, OTHER, task, 7))).wrong;
        assert_eq!(two('G', "gather").len(), 1);
        assert_eq!(two('Q', "tick").len(), 1);
        assert_eq!(wrong(&[('G', "gather", 7), ('G', "gather", 7)]), 0, "it may be begun again");
        assert_eq!(wrong(&[('X', "gather", 1), ('C', "gather", 1), ('X', "gather", 1)]), 2);
    }

    #[test]
    fn what_must_be_alone_is_until_it_leaves_or_is_killed() {
        let said = |between: &str| {
            let (first, second) = (line('H', ID, "guarded", 3), line('H', OTHER, "taker", 3));
            Book::read(&(first + between + &second)).wrong.len()
        };
        assert_eq!(said(""), 1);
        assert_eq!(said(&line('U', ID, "guarded", 4)), 1, "another lock");
        assert_eq!((said(&line('U', ID, "guarded", 3)), said("K - - 9\n")), (0, 0));
    }

    #[test]
    fn a_job_behind_another_waits_for_its_end() {
        let behind = line('B', ID, OTHER, 0);
        let begins = line('X', ID, "next", 1);
        assert_eq!(Book::read(&format!("{behind}{begins}")).wrong.len(), 1);
        assert_eq!(Book::read(&(behind + &line('Y', OTHER, "step", 1) + &begins)).wrong.len(), 0);
    }

    #[test]
    fn a_job_ran_at_a_kill_if_it_had_begun_and_nothing_was_said_of_its_end() {
        let kills = |lines: &str| Book::read(lines).jobs.values().next().map(|known| known.kills);
        let (begins, ends, kill) = (line('P', ID, "slow", 1), line('C', ID, "slow", 1), "K - - 9\n");
        assert_eq!(kills(&format!("{begins}{kill}{kill}{begins}{kill}")), Some(2));
        assert_eq!(kills(&format!("{begins}{ends}{kill}")), Some(0));
    }

    #[test]
    fn a_line_that_was_cut_off_says_nothing() {
        assert!(Book::read(&format!("E {ID} stea")).jobs.is_empty());
    }
}
