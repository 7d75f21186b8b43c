//! Jobs that were given up, made anew.

use super::discard::tell_discarded;
use super::flight::{Enqueued, Flight, only};
use super::immediate::run_now;
use super::pipeline::Pipeline;
use super::registry::{Registry, explain_missing};
use super::request::EnqueueOutcome;
use super::tail::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Choices, Head, Origin};
use crate::store::{Answer, Body, Missing, Outcome, Query, Replayed, Row, StorageError, Transition};
use crate::task::StoredArgs;

impl Pipeline {
    /// Takes a job that was given up through the hooks again, and stores it in the place of the old one.
    pub(crate) fn replay(&self, registry: &Registry, of: JobId) -> Result<Enqueued> {
        let (row, body) = self.given_up(of)?;
        let Some(registration) = registry.find(&row.task) else {
            return Err(Error::new(ErrorKind::Setup, explain_missing(&row.task)));
        };
        let head = Head::decode(&body.head)?;
        let stored = StoredArgs { task: &row.task, form: head.form, bytes: &body.args };
        let args = registration.accept(stored).map_err(|why| Error::new(ErrorKind::Codec, why))?;
        let choices = Choices {
            priority: Some(row.priority),
            retries: Some(head.retries),
            timeout: head.timeout,
            headers: head.headers,
            queue: Some(row.queue.to_string().into()),
            ..Choices::default()
        };
        let outermost = self.outermost();
        let passed = (registration.stage)(self, &args, choices, Origin::Replay { of }, Part::default())?;
        let mut flight = Flight::of_one(passed);
        let how = flight.how(&self.signals);
        let Some(Transition::Enqueue { mut jobs, .. }) = flight.transition() else { return only(flight.landed()) };
        let Some(job) = jobs.pop() else { return only(flight.landed()) };
        let mut canceled = Vec::new();
        let outcome = match self.storage.commit(Transition::Replay { of, job: Box::new(job) }, how) {
            Ok(Outcome::Replayed(Replayed::Placed { placed, canceled: steps })) => {
                canceled = steps;
                Ok(Outcome::Enqueued(vec![placed]))
            }
            Ok(Outcome::Replayed(Replayed::Not(state))) => {
                flight.fail(&EnqueueOutcome::Failed(format!("the job {of} is {state}")));
                return Err(not_given_up(of, &state));
            }
            Ok(Outcome::Replayed(Replayed::Missing)) => Err(StorageError::Refused(format!("the job {of} is gone"))),
            Ok(other) => Err(StorageError::Damaged(format!("the storage answered a replay with {other:?}"))),
            Err(error) => Err(error),
        };
        let landed = self.land(flight, outcome, how).and_then(only);
        let now = self.storage.clock().now();
        if how.hold {
            let ids: Vec<JobId> = canceled.iter().map(|step| step.id).collect();
            self.storage.release(&ids);
        }
        for step in canceled {
            tell_discarded(&self.signals, &self.waiters, step, now);
        }
        if let Ok(enqueued) = &landed {
            run_now(outermost.as_ref(), std::slice::from_ref(enqueued));
        }
        landed
    }

    /// What is stored of a job that was given up or is parked.
    fn given_up(&self, of: JobId) -> Result<(Row, Body)> {
        match self.storage.read(Query::Body(of))? {
            Answer::Body(Ok((row, Some(body)))) => Ok((*row, body)),
            Answer::Body(Ok((row, None))) => Err(not_given_up(of, &row.state)),
            Answer::Body(Err(Missing::NeverExisted)) => {
                Err(Error::new(ErrorKind::NoSuchJob, format!("no job of this queue ever had the id {of}")))
            }
            Answer::Body(Err(Missing::Gone)) => Err(Error::new(ErrorKind::NoSuchJob, format!("the job {of} is gone"))),
            other => Err(Error::damaged(format!("the storage answered another question: {other:?}"))),
        }
    }
}

fn not_given_up(of: JobId, state: &impl std::fmt::Display) -> Error {
    let text = format!("the job {of} is {state}, and only a dead, lost or parked one can be replayed");
    Error::new(ErrorKind::BadInput, text)
}
