//! Whether a job is where it may be after a crash.

use huey::JobState;

use crate::book::{Book, Known};

/// How many results the queues under attack keep, so that some are dropped all the time.
pub(crate) const RESULTS: u64 = 16_000;
/// A result cannot have been dropped for being too many before so many came since its second began: those of one second go in any
/// order. Some ends are not announced.
const CROWD: usize = 4_000;
/// How much later than its interval a relaxed write may become durable: a sync takes its time.
const SLACK: u64 = 400_000;

/// What the queue under attack was told.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// How long a relaxed write may stay off the disk, in microseconds.
    pub(crate) interval: u64,
    /// At how many kills a job must have run before it is given up; 0 if it never is.
    pub(crate) crash_limit: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Fine,
    /// Gone, and it cannot be told whether it ended before: its body had begun.
    Uncertain,
    /// Lost, though it was acknowledged as durable.
    Lost,
    /// A relaxed job, lost within its interval.
    Forgotten,
    /// A relaxed job, lost after its interval, or though something later was kept.
    ForgottenLate,
    /// Its end was announced as durable, and it will run again.
    Undone,
    /// Given up, though it had not run at as many kills as that takes.
    Condemned,
    /// In a state that nothing in the traffic leads to.
    Odd,
}

impl Fate {
    /// The name of the figure.
    pub(crate) fn finding(self) -> Option<&'static str> {
        Some(match self {
            Self::Fine => return None,
            Self::Uncertain => "uncertain",
            Self::Lost => "lost_synced",
            Self::Forgotten => "lost_relaxed",
            Self::ForgottenLate => "lost_relaxed_late",
            Self::Undone => "lease_settled_twice",
            Self::Condemned => "condemned",
            Self::Odd => "torn",
        })
    }
}

/// What to think of a job that is in `state` after a crash and before anything runs.
pub(crate) fn judge(book: &Book, known: &Known, state: JobState, rules: Rules) -> Fate {
    use JobState::{Awaiting, Canceled, Complete, Dead, Gone, NeverExisted, Queued, Revoked, Running, Scheduled};
    let durable_end = known.end.filter(|_| known.is_synced() || known.end_covered);
    match state {
        Gone if known.end.is_some() => Fate::Fine,
        Gone | NeverExisted => missing(book, known, state, rules),
        Queued | Scheduled | Awaiting | Running if durable_end.is_some() => Fate::Undone,
        // It is stored in the commit that ends the one before it; a callback in one of its own.
        Awaiting if known.task != "gather" && book.is_next(known) => Fate::Odd,
        Queued | Scheduled | Awaiting | Running => Fate::Fine,
        ended if durable_end.is_some_and(|end| end != ended) => Fate::Odd,
        Complete if known.ran.is_some() => Fate::Fine,
        Revoked if known.task == "moody" => Fate::Fine,
        Canceled if known.canceled => Fate::Fine,
        Dead if rules.crash_limit == 0 => Fate::Odd,
        Dead if known.kills < u32::from(rules.crash_limit) => Fate::Condemned,
        Dead => Fate::Fine,
        // With one that was given up, those behind it are canceled.
        Canceled if rules.crash_limit > 0 && !known.behind.is_empty() => Fate::Fine,
        _ => Fate::Odd,
    }
}

fn missing(book: &Book, known: &Known, state: JobState, rules: Rules) -> Fate {
    // At `Synced` no body runs that could still be taken back, so a begun one is an acknowledgement as well.
    let acknowledged = known.enqueued.is_some() || (known.is_synced() && known.ran.is_some());
    if !acknowledged || known.written_off {
        return Fate::Fine;
    }
    let ended = state == JobState::Gone
        && (known.ran.is_some_and(|ends| !known.is_kept() || book.ends.saturating_sub(ends) > CROWD)
            // It may have ended without having run.
            || (book.ends > CROWD && (known.canceled || known.task == "moody")));
    match (known.is_synced(), known.enqueued.zip(known.killed)) {
        (_, _) if ended => Fate::Uncertain,
        (true, _) => Fate::Lost,
        (false, _) if known.covered => Fate::ForgottenLate,
        (false, Some((enqueued, killed))) if killed.saturating_sub(enqueued) > rules.interval + SLACK => {
            Fate::ForgottenLate
        }
        (false, _) => Fate::Forgotten,
    }
}

#[cfg(test)]
mod tests {
    use huey::JobState::{self, Awaiting, Canceled, Complete, Dead, Gone, NeverExisted, Queued, Revoked};

    use super::*;
    use crate::book::line;

    const ID: &str = "01a20834-21b0-7000-8000-000003e313f2";
    const BEFORE: &str = "01a20834-21b0-7000-8000-000003e313f1";
    const RULES: Rules = Rules { interval: 50_000, crash_limit: 0 };

    fn fate_of(lines: &str, state: JobState, rules: Rules) -> Fate {
        let book = Book::read(lines);
        let id = ID.parse().expect("an id");
        judge(&book, book.jobs.get(&id).expect("a job"), state, rules)
    }

    fn fate(said: &[(char, u64)], task: &str, killed: u64, state: JobState) -> Fate {
        let lines: String = said.iter().map(|(event, number)| line(*event, ID, task, *number)).collect();
        fate_of(&format!("{lines}K - - {killed}\n"), state, RULES)
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
    fn a_result_may_have_been_dropped_for_those_of_its_second_and_later_ones_and_for_no_others() {
        let run = |before: u64, since: u64| {
            let others =
                |many: u64, at: u64| -> String { (0..many).map(|_| line('C', BEFORE, "steady", at)).collect() };
            let own = line('E', ID, "steady", 5_000_000) + &line('X', ID, "steady", 1);
            fate_of(
                &format!("{}{}{own}K - - 6000000\n", others(before, 4_999_999), others(since, 5_000_000)),
                Gone,
                RULES,
            )
        };
        let crowd = CROWD as u64;
        assert_eq!((run(0, crowd), run(0, crowd + 1)), (Fate::Lost, Fate::Uncertain));
        assert_eq!(run(2 * crowd, crowd), Fate::Lost);
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
    fn a_cancel_stands_and_nobody_else_cancels() {
        assert_eq!(fate(&[('E', 0), ('A', 0)], "doomed", 0, Canceled), Fate::Fine);
        assert_eq!(fate(&[('E', 0)], "doomed", 0, Canceled), Fate::Odd);
        assert_eq!(fate(&[('E', 0), ('A', 0), ('Z', 0)], "doomed", 0, Queued), Fate::Undone);
        assert_eq!(fate(&[('E', 0), ('A', 0), ('Z', 0)], "doomed", 0, Complete), Fate::Odd);
        assert_eq!(fate(&[('E', 0)], "moody", 0, Revoked), Fate::Fine);
        assert_eq!(fate(&[('E', 0)], "steady", 0, Revoked), Fate::Odd);
    }

    #[test]
    fn a_step_does_not_wait_for_what_is_complete() {
        let said = line('B', ID, BEFORE, 0) + &line('E', ID, "next", 0);
        assert_eq!(fate_of(&said, Awaiting, RULES), Fate::Fine);
        assert_eq!(fate_of(&(said + &line('C', BEFORE, "step", 1)), Awaiting, RULES), Fate::Odd);
    }

    #[test]
    fn a_relaxed_job_may_be_lost_within_its_interval_only() {
        assert_eq!(fate(&[('E', 0)], "bulk", 40_000, NeverExisted), Fate::Forgotten);
        assert_eq!(fate(&[('E', 0)], "bulk", 900_000, NeverExisted), Fate::ForgottenLate);
    }

    #[test]
    fn what_is_relaxed_may_not_be_lost_before_something_synced_that_came_later() {
        let relaxed = line('E', ID, "bulk", 5);
        let ended = relaxed.clone() + &line('X', ID, "bulk", 1) + &line('C', ID, "bulk", 6);
        for (begun, lost, undone) in [(4, Fate::Forgotten, Fate::Fine), (7, Fate::ForgottenLate, Fate::Undone)] {
            let synced = line('E', BEFORE, "steady", begun) + "K - - 10\n";
            assert_eq!(fate_of(&(relaxed.clone() + &synced), NeverExisted, RULES), lost);
            assert_eq!(fate_of(&(ended.clone() + &synced), Queued, RULES), undone);
        }
    }

    #[test]
    fn who_is_given_up_ran_at_three_kills() {
        let rules = Rules { crash_limit: 3, ..RULES };
        let life = line('P', ID, "slow", 1) + "K - - 9\n";
        let said = |lives| line('E', ID, "slow", 0) + &life.repeat(lives);
        assert_eq!(fate_of(&said(3), Dead, rules), Fate::Fine);
        assert_eq!(fate_of(&said(2), Dead, rules), Fate::Condemned);
        assert_eq!(fate_of(&said(3), Dead, RULES), Fate::Odd);
    }
}
