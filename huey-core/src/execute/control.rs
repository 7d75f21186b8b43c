//! What is done to a job by hand, and who is told of it.

use std::sync::Arc;

use super::executor::Executor;
use crate::enqueue::{emit_discarded, tell_discarded, tell_waiters};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Head, KEEP, Origin};
use crate::signal::{Signal, SignalKind};
use crate::state::JobState;
use crate::store::{
    Answer, Canceled, Commit, Discarded, Missing, Outcome, Query, Rescheduled, Row, Settled, Transition,
};
use crate::task::Durability;
use crate::time::Timestamp;

impl Executor {
    /// Announced before anybody can act on it, where somebody listens.
    fn announced(&self, kind: SignalKind) -> Commit {
        Commit { durability: Durability::Synced, hold: self.signals.hears(kind) }
    }

    /// Cancels a job, and says what state it is in now.
    pub(crate) fn cancel(&self, id: JobId) -> Result<JobState> {
        let keep = self.defaults.retention.unwrap_or(KEEP);
        let how = self.announced(SignalKind::Canceled);
        match self.storage.commit(Transition::Cancel { id, keep }, how)? {
            Outcome::Canceled(Canceled::Over(state)) => Ok(state),
            Outcome::Canceled(Canceled::Missing) => self.missing(id),
            Outcome::Canceled(canceled) => {
                let stops = matches!(canceled, Canceled::Stopping(_));
                self.tell_canceled(vec![canceled], how);
                Ok(if stops { JobState::Running } else { JobState::Canceled })
            }
            other => Err(misanswered("cancel", &other)),
        }
    }

    /// Cancels jobs in one commit, and says how many there were to be.
    pub(crate) fn cancel_all(&self, ids: &[JobId]) -> (u64, Result<()>) {
        let keep = self.defaults.retention.unwrap_or(KEEP);
        let how = self.announced(SignalKind::Canceled);
        match self.storage.commit(Transition::CancelAll { ids: ids.to_vec(), keep }, how) {
            Ok(Outcome::AllCanceled(all)) => (self.tell_canceled(all, how), Ok(())),
            Ok(other) => (0, Err(misanswered("cancel", &other))),
            Err(error) => (0, Err(error.into())),
        }
    }

    /// Tells of jobs that were canceled together, and stops those that run. How many did either.
    fn tell_canceled(&self, all: Vec<Canceled>, how: Commit) -> u64 {
        let (mut ends, mut leases, mut done) = (Vec::new(), Vec::new(), 0);
        for canceled in all {
            match canceled {
                Canceled::Ended(ended) => ends.extend(ended),
                Canceled::Stopping(lease) => leases.push(lease),
                Canceled::Over(_) | Canceled::Missing => continue,
            }
            done += 1;
        }
        let now = self.storage.clock().now();
        for end in &ends {
            emit_discarded(&self.signals, end, now);
        }
        if how.hold {
            let ids: Vec<JobId> = ends.iter().map(|end| end.id).collect();
            self.storage.release(&ids);
        }
        for end in ends {
            self.tell_waiters(end);
        }
        for lease in leases {
            self.stop(lease);
        }
        done
    }

    /// Moves a waiting job to another time, and says what state it is in now.
    pub(crate) fn reschedule(&self, id: JobId, at: Timestamp) -> Result<JobState> {
        let how = self.announced(SignalKind::Scheduled);
        match self.storage.commit(Transition::Reschedule { id, at }, how)? {
            Outcome::Rescheduled(Rescheduled::Moved(Settled { state, due, .. })) => {
                if how.hold {
                    if state == JobState::Scheduled
                        && let Answer::Job(Ok(row)) = self.storage.read(Query::Job(id))?
                    {
                        self.tell_moved(*row, due);
                    }
                    self.storage.release(&[id]);
                }
                Ok(state)
            }
            Outcome::Rescheduled(Rescheduled::Not(state)) => Err(Error::new(
                ErrorKind::BadInput,
                format!("the job {id} is {state}, and only one that waits can be given another time"),
            )),
            Outcome::Rescheduled(Rescheduled::Missing) => self.missing(id),
            other => Err(misanswered("reschedule", &other)),
        }
    }

    /// Tells those who wait for it that a job ended.
    pub(super) fn tell_waiters(&self, end: Discarded) {
        tell_waiters(&self.waiters, end);
    }

    fn tell_moved(&self, row: Row, due: Option<Timestamp>) {
        let head = Head::decode(&row.head);
        self.signals.emit(Signal {
            kind: SignalKind::Scheduled,
            sequence: 0,
            id: row.id,
            task: row.task,
            queue: row.queue,
            at: self.storage.clock().now(),
            origin: head.as_ref().map_or(Origin::Call { parent: None }, |head| head.origin),
            headers: head.map(|head| head.headers).unwrap_or_default().into(),
            run_at: due,
            attempt: 0,
            error: None,
            skipped: None,
            progress: None,
            cause: Some(Arc::from("rescheduled")),
        });
    }

    /// Drops a job that was given up or is parked.
    pub(crate) fn purge(&self, id: JobId) -> Result<bool> {
        match self.storage.commit(Transition::Purge { id }, Commit::default())? {
            Outcome::Purged(purged) => {
                let was = purged.is_some();
                let now = self.storage.clock().now();
                for step in purged.into_iter().flatten() {
                    tell_discarded(&self.signals, &self.waiters, step, now);
                }
                Ok(was)
            }
            other => Err(misanswered("purge", &other)),
        }
    }

    /// Drops jobs that were given up or are parked in one commit, and says how many.
    pub(crate) fn purge_all(&self, ids: &[JobId]) -> (u64, Result<()>) {
        match self.storage.commit(Transition::PurgeAll { ids: ids.to_vec() }, Commit::default()) {
            Ok(Outcome::AllPurged(all)) => {
                let now = self.storage.clock().now();
                let mut done = 0;
                for steps in all.into_iter().flatten() {
                    done += 1;
                    for step in steps {
                        tell_discarded(&self.signals, &self.waiters, step, now);
                    }
                }
                (done, Ok(()))
            }
            Ok(other) => (0, Err(misanswered("purge", &other))),
            Err(error) => (0, Err(error.into())),
        }
    }

    /// Why there is no such job: gone is a state, never having been is a mistake.
    pub(crate) fn missing<T>(&self, id: JobId) -> Result<T> {
        let text = match self.storage.read(Query::Job(id))? {
            Answer::Job(Err(Missing::NeverExisted)) => format!("no job of this queue ever had the id {id}"),
            _ => format!("the job {id} is gone: it ended, and its retention is over"),
        };
        Err(Error::new(ErrorKind::NoSuchJob, text))
    }
}

pub(crate) fn misanswered(what: &str, outcome: &Outcome) -> Error {
    Error::damaged(format!("the storage answered a {what} with {outcome:?}"))
}

pub(super) fn misanswered_query(answer: &Answer) -> Error {
    Error::damaged(format!("the storage answered another question: {answer:?}"))
}
