//! Whether a job is where it may be after a crash.

use huey::JobState;

use crate::book::{Book, Known};

/// How many results the queues under attack keep, so that some are dropped all the time.
pub(crate) const RESULTS: u64 = 4_000;
/// A result cannot have been dropped for being too many before so many others came.
const CROWD: usize = 1_000;
/// How much later than its interval a relaxed write may become durable: a sync takes its time.
const SLACK: u64 = 400_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// Gone, and it cannot be told whether it ended before: its body had begun.
    Uncertain,
    /// Lost, though it was acknowledged as durable.
    Lost,
    /// A relaxed job, lost within its interval.
    Forgotten,
    /// A relaxed job, lost after its interval.
    ForgottenLate,
    /// Its end was announced as durable, and it will run again.
    Undone,
    /// In a state that nothing in the traffic leads to.
    Odd,
}

/// What to think of a job that is in `state` after a crash and before anything runs.
pub(crate) fn judge(book: &Book, known: &Known, state: JobState, interval: u64) -> Fate {
    use JobState::{Awaiting, Complete, Gone, NeverExisted, Queued, Running, Scheduled};
    match state {
        Complete if known.ran.is_some() => Fate::Fine,
        Queued | Scheduled | Awaiting | Running if known.is_synced() && known.complete => Fate::Undone,
        Queued | Scheduled | Awaiting | Running => Fate::Fine,
        Gone if known.complete => Fate::Fine,
        Gone | NeverExisted => missing(book, known, state, interval),
        _ => Fate::Odd,
    }
}

fn missing(book: &Book, known: &Known, state: JobState, interval: u64) -> Fate {
    // At `Synced` no body runs that could still be taken back, so a begun one is an acknowledgement as well.
    let acknowledged = known.enqueued.is_some() || (known.is_synced() && known.ran.is_some());
    if !acknowledged || known.written_off {
        return Fate::Fine;
    }
    let ended = state == JobState::Gone
        && known.ran.is_some_and(|ends| !known.is_kept() || book.ends.saturating_sub(ends) > CROWD);
    match (known.is_synced(), known.enqueued.zip(known.killed)) {
        (_, _) if ended => Fate::Uncertain,
        (true, _) => Fate::Lost,
        (false, Some((enqueued, killed))) if killed.saturating_sub(enqueued) > interval + SLACK => Fate::ForgottenLate,
        (false, _) => Fate::Forgotten,
    }
}

#[cfg(test)]
mod tests {
    use huey::JobState::{self, Complete, Dead, Gone, NeverExisted, Queued};

    use super::*;
    use crate::book::line;

    const ID: &str = "01a20834-21b0-7000-8000-000003e313f2";

    fn fate(said: &[(char, u64)], task: &str, killed: u64, state: JobState) -> Fate {
        let lines: String = said.iter().map(|(event, number)| line(*event, ID, task, *number)).collect();
        let book = Book::read(&format!("{lines}K - - {killed}\n"));
        judge(&book, book.jobs.values().next().expect("a job"), state, 50_000)
    }

    #[test]
    fn what_was_acknowledged_as_synced_must_be_there() {
        assert_eq!(fate(&[('E', 0)], "steady", 0, Queued), Fate::Fine);
        assert_eq!(fate(&[('E', 0)], "steady", 0, NeverExisted), Fate::Lost);
        assert_eq!(fate(&[('E', 0)], "steady", 0, Gone), Fate::Lost, "it never ran");
        assert_eq!(fate(&[('X', 1)], "steady", 0, NeverExisted), Fate::Lost, "what may be lost does not run");
        assert_eq!(fate(&[('E', 0), ('X', 1)], "steady", 0, Gone), Fate::Lost, "its result would be kept");
        assert_eq!(fate(&[('E', 0), ('X', 1)], "fleeting", 0, Gone), Fate::Uncertain);
        assert_eq!(fate(&[('E', 0)], "steady", 0, Dead), Fate::Odd);
    }

    #[test]
    fn an_end_that_was_announced_as_durable_stands() {
        let ended = [('E', 0), ('X', 1), ('C', 1)];
        assert_eq!(fate(&ended, "steady", 0, Complete), Fate::Fine);
        assert_eq!(fate(&ended, "steady", 0, Gone), Fate::Fine);
        assert_eq!(fate(&ended, "steady", 0, Queued), Fate::Undone);
        assert_eq!(fate(&ended, "steady", 0, NeverExisted), Fate::Lost);
        assert_eq!(fate(&ended, "bulk", 0, Queued), Fate::Fine);
    }

    #[test]
    fn a_relaxed_job_may_be_lost_within_its_interval_only() {
        assert_eq!(fate(&[('E', 0)], "bulk", 40_000, NeverExisted), Fate::Forgotten);
        assert_eq!(fate(&[('E', 0)], "bulk", 900_000, NeverExisted), Fate::ForgottenLate);
    }
}
