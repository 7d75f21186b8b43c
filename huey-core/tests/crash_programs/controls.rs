//! What is done by hand, as the model knows it.

use std::time::Duration;

use huey_core::store::{Canceled, NewJob, Outcome, Replayed, Rescheduled};
use huey_core::{JobId, JobState, Revocation, Timestamp};

use crate::model::{Expected, Model, placed};

/// What the model expects of something that is done by hand.
#[derive(Debug, PartialEq)]
pub(crate) enum Done {
    /// It is, and the job is in this state now.
    Now(JobState),
    /// It is not, since the job is in this state.
    Not(JobState),
    /// The job is gone or never was.
    Missing,
    Placed(Box<Expected>),
    /// Whether it was, or had been.
    Was(bool),
}

impl Model {
    fn shown(&self, id: JobId, now: Timestamp) -> Option<JobState> {
        if self.awaiting.get(&id.counter()).is_some_and(|one| one.id == id) {
            return Some(JobState::Awaiting);
        }
        let job = self.jobs.get(&id.counter()).filter(|job| job.new.id == id)?;
        Some(job.shown(now)).filter(|state| *state != JobState::Gone)
    }

    pub(crate) fn cancel(&mut self, id: JobId, keep: Duration, now: Timestamp) -> Done {
        match self.shown(id, now) {
            None => Done::Missing,
            Some(JobState::Awaiting) if self.awaiting.contains_key(&id.counter()) => {
                let owner = self.awaiting.get(&id.counter()).unwrap().owner;
                self.cut_chain(owner, id.counter(), now);
                Done::Now(JobState::Canceled)
            }
            Some(state) if self.chords.contains_key(&id.counter()) => Done::Not(state),
            Some(JobState::Queued | JobState::Scheduled | JobState::Parked) => {
                let job = self.jobs.get_mut(&id.counter()).unwrap();
                job.end(JobState::Canceled, Vec::new(), keep, now);
                self.fail_chain(id.counter(), now);
                Done::Now(JobState::Canceled)
            }
            Some(JobState::Running) => {
                self.jobs.get_mut(&id.counter()).unwrap().canceled = true;
                Done::Now(JobState::Running)
            }
            Some(state) => Done::Not(state),
        }
    }

    pub(crate) fn reschedule(&mut self, id: JobId, at: Timestamp, now: Timestamp) -> Done {
        match self.shown(id, now) {
            None => Done::Missing,
            Some(state) if self.chords.contains_key(&id.counter()) => Done::Not(state),
            Some(JobState::Queued | JobState::Scheduled) => {
                let job = self.jobs.get_mut(&id.counter()).unwrap();
                job.at = at.max(now);
                Done::Now(job.shown(now))
            }
            Some(state) => Done::Not(state),
        }
    }

    fn drop_still(&mut self, id: JobId, now: Timestamp) -> bool {
        let still = matches!(self.shown(id, now), Some(JobState::Dead | JobState::Lost | JobState::Parked));
        if still {
            self.jobs.get_mut(&id.counter()).unwrap().state = JobState::Gone;
        }
        still
    }

    pub(crate) fn purge(&mut self, id: JobId, now: Timestamp) -> Done {
        let was = self.drop_still(id, now);
        if was {
            self.fail_chain(id.counter(), now);
        }
        Done::Was(was)
    }

    pub(crate) fn replay(&mut self, of: JobId, job: &NewJob, now: Timestamp) -> Expected {
        let before = self.clone();
        if !self.drop_still(of, now) {
            return Expected::ByHand(match self.shown(of, now) {
                _ if self.jobs.contains_key(&job.id.counter()) => {
                    Done::Placed(Box::new(Expected::Placed(vec![(None, None)])))
                }
                Some(state) => Done::Not(state),
                None => Done::Missing,
            });
        }
        match self.place(std::slice::from_ref(job), now) {
            Ok(placed) => {
                if matches!(&placed, Expected::Placed(all) if all.iter().any(|(existing, _)| existing.is_some())) {
                    // The old one stays.
                    *self = before;
                } else {
                    self.fail_chain(of.counter(), now);
                }
                Expected::ByHand(Done::Placed(Box::new(placed)))
            }
            Err(holder) => {
                *self = before;
                Expected::Conflict(holder)
            }
        }
    }

    pub(crate) fn revoke(&mut self, task: &str, mark: Option<Revocation>, now: Timestamp) -> Done {
        let was = self.revocation(task, now).is_some();
        match mark {
            Some(mark) => drop(self.revoked.insert(task.to_owned(), mark)),
            None => drop(self.revoked.remove(task)),
        }
        Done::Was(was)
    }

    pub(crate) fn revocation(&self, task: &str, now: Timestamp) -> Option<Revocation> {
        let mark = self.revoked.get(task).copied();
        mark.filter(|mark| !matches!(mark, Revocation::Until(end) if now > *end))
    }
}

/// What a store said of what was done by hand.
pub(crate) fn said(outcome: &Outcome) -> Option<Done> {
    Some(match outcome {
        Outcome::Canceled(Canceled::Ended(ends)) => Done::Now(ends.first()?.state),
        Outcome::Canceled(Canceled::Stopping(_)) => Done::Now(JobState::Running),
        Outcome::Canceled(Canceled::Over(state))
        | Outcome::Rescheduled(Rescheduled::Not(state))
        | Outcome::Replayed(Replayed::Not(state)) => Done::Not(*state),
        Outcome::Canceled(Canceled::Missing)
        | Outcome::Rescheduled(Rescheduled::Missing)
        | Outcome::Replayed(Replayed::Missing) => Done::Missing,
        Outcome::Rescheduled(Rescheduled::Moved(settled)) => Done::Now(settled.state),
        Outcome::Replayed(Replayed::Placed { placed: one, .. }) => {
            Done::Placed(Box::new(placed(std::slice::from_ref(one))))
        }
        Outcome::Purged(purged) => Done::Was(purged.is_some()),
        Outcome::Revoked(was) | Outcome::Noted(was) => Done::Was(*was),
        _ => return None,
    })
}
