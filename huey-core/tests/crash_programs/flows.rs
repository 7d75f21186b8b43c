//! Chains, as the model knows them.

use huey_core::store::{Flow, NewJob, Next};
use huey_core::testing::new_job;
use huey_core::{JobId, JobState, Timestamp};

use crate::model::{Expected, Job, Model};

/// The steps of a chain that are no jobs yet: the id of each, and how long its record is kept should it be canceled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Awaiting {
    pub(crate) id: JobId,
    /// The job whose turn it is.
    pub(crate) owner: u64,
    keep: std::time::Duration,
}

/// What a settle did to the rest of a chain.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Followed {
    /// What became of the next step.
    pub(crate) next: Option<Box<Expected>>,
    /// The counters of steps that were canceled.
    pub(crate) canceled: Vec<u64>,
}

impl Model {
    /// The steps that come after a new job.
    pub(crate) fn await_turns(&mut self, job: &NewJob, id_at: impl Fn(u64) -> JobId) {
        let owner = job.id.counter();
        self.awaiting.remove(&owner);
        let Some(Flow { tasks, keep, .. }) = &job.flow else { return };
        for counter in owner + 1..=owner + tasks.len() as u64 {
            self.awaiting.insert(counter, Awaiting { id: id_at(counter), owner, keep: *keep });
        }
    }

    /// A job ended otherwise than well.
    pub(crate) fn fail_chain(&mut self, owner: u64, now: Timestamp) -> Vec<u64> {
        let later: Vec<u64> = self.awaiting.iter().filter(|(_, one)| one.owner == owner).map(|(one, _)| *one).collect();
        for counter in &later {
            let one = self.awaiting.remove(counter).unwrap();
            let mut job = Job::waiting(&new_job(one.id));
            job.end(JobState::Canceled, Vec::new(), one.keep, now);
            self.jobs.insert(*counter, job);
        }
        later
    }

    /// A job is complete, and this follows.
    pub(crate) fn follow(&mut self, owner: u64, next: &Next, now: Timestamp) -> Followed {
        let Next::Job(job) = next else {
            return Followed { next: None, canceled: self.fail_chain(owner, now) };
        };
        let before = self.clone();
        match self.place(std::slice::from_ref(&**job), now) {
            Ok(Expected::Placed(placed)) if placed.iter().all(|(existing, _)| existing.is_none()) => {
                Followed { next: Some(Box::new(Expected::Placed(placed))), canceled: Vec::new() }
            }
            _ => {
                *self = before;
                Followed { next: None, canceled: self.fail_chain(owner, now) }
            }
        }
    }
}

impl Job {
    /// Whether it is a step whose turn never came: nobody has made a job of it.
    pub(crate) fn is_step_canceled(&self) -> bool {
        self.state == JobState::Canceled && self.claims == 0 && self.new.body == huey_core::store::Body::default()
    }
}
