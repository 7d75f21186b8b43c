//! A worker's turn without its threads, for tests that go on job by job.

use std::sync::{Arc, Weak};

use super::config::Consumer;
use super::crew::Crew;
use super::desk::Pool;
use crate::error::Result;
use crate::execute::{Attempt, Stopper};
use crate::store::Tasks;

/// Picks up the next job, runs it on this thread, and returns once its end was told of. Whether there was one to run.
pub(crate) fn step(consumer: Consumer) -> Result<bool> {
    let Consumer { executor, owner, ticker, queues, .. } = consumer;
    let crew =
        Arc::new(Crew::new(executor, owner, ticker, vec![Pool { queues, workers: 0 }], Vec::new(), Vec::new(), true));
    let stopper: Weak<dyn Stopper> = Arc::downgrade(&crew) as Weak<dyn Stopper>;
    crew.executor.add_stopper(stopper);
    let Some(job) = crew.claim(&crew.queues, Tasks::Except(Vec::new()), 1, Tasks::Only(Vec::new()))?.0.pop() else {
        return Ok(false);
    };
    let (place, kit, attempt) = crew.begin(None, job, &"huey-step".into());
    let end = attempt.map_or_else(|end| end, Attempt::run);
    crew.settle(place, kit, end);
    crew.wait_settled();
    Ok(true)
}
