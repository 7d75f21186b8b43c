//! The ticks of schedules on their way in.

use std::time::Duration;

use super::flight::{Enqueued, Flight, only};
use super::immediate::run_now;
use super::pipeline::Pipeline;
use super::registration::Registration;
use super::request::EnqueueOutcome;
use super::tail::Part;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::{Choices, Origin};
use crate::signal::{Signal, SignalKind, Skipped};
use crate::store::{Commit, NewJob, Outcome, StorageError, Tick, Ticked, Transition};
use crate::task::Durability;
use crate::time::Timestamp;

/// A storage that does not answer is asked so often again, with a growing pause in between, of so long at most.
const TRIES: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Takes a job made from stored arguments all the way.
    pub(crate) fn enqueue_stored(
        &self,
        registration: &'static Registration,
        args: &[u8],
        choices: Choices,
        origin: Origin,
    ) -> Result<Enqueued> {
        let outermost = self.outermost();
        let flight = (registration.stage)(self, args, choices, origin, Part::default()).map(Flight::of_one)?;
        let landed = self.fly(flight)?;
        run_now(outermost.as_ref(), &landed);
        only(landed)
    }

    /// Takes the jobs of ticks through their hooks, and stores those that passed together with the decision. A refused
    /// one leaves its tick decided.
    pub(crate) fn tick(
        &self,
        registration: &'static Registration,
        stored: (&[u8], &Choices),
        mut tick: Tick,
        ticks: &[Timestamp],
        go_on: &dyn Fn() -> bool,
    ) -> Result<Ticked> {
        let (args, choices) = stored;
        let mut flight = Flight::default();
        for instant in ticks {
            match (registration.stage)(
                self,
                args,
                choices.clone(),
                Origin::Periodic { tick: *instant },
                Part::default(),
            ) {
                Ok(passed) => flight.add(passed),
                // It was told of by `rejected`.
                Err(error) if error.is_refused() => {}
                Err(error) => {
                    flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                    return Err(error);
                }
            }
        }
        let how = Commit { durability: Durability::Synced, ..flight.how(&self.signals) };
        tick.jobs = flight.take_jobs();
        loop {
            let decided = match self.commit_tick(&tick, how, go_on) {
                Ok(decided) => decided,
                Err(StorageError::Conflict { index, holder }) => {
                    let index = index as usize;
                    let conflict = self.reject_one(&mut flight, index, holder);
                    if index >= tick.jobs.len() {
                        flight.fail(&EnqueueOutcome::Failed(conflict.to_string()));
                        return Err(conflict);
                    }
                    tick.jobs.remove(index);
                    continue;
                }
                Err(error) => {
                    let error = Error::from(error);
                    flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                    return Err(error);
                }
            };
            let reason = match &decided {
                Ticked::Decided(placed) => {
                    self.land(flight, Ok(Outcome::Enqueued(placed.clone())), how)?;
                    return Ok(decided);
                }
                Ticked::Overlapped => "a job of the task is active",
                Ticked::Overtaken => "another consumer decided this tick",
            };
            flight.fail(&EnqueueOutcome::Refused { hook: "schedule".into(), reason: reason.into() });
            return Ok(decided);
        }
    }

    /// Commits until the outcome is known, or nobody wants to know it any more.
    fn commit_tick(&self, tick: &Tick, how: Commit, go_on: &dyn Fn() -> bool) -> Result<Ticked, StorageError> {
        let mut pause = Duration::ZERO;
        let mut tries = 1;
        loop {
            match self.storage.commit(Transition::Tick(tick.clone()), how) {
                Ok(Outcome::Ticked(ticked)) => return Ok(ticked),
                Ok(other) => return Err(StorageError::Damaged(format!("the storage answered a tick with {other:?}"))),
                Err(error @ (StorageError::Unknown(_) | StorageError::Unavailable(_))) if tries < TRIES && go_on() => {
                    tracing::warn!(schedule = tick.schedule, %error, "a tick is not decided yet; trying again");
                    crate::sync::thread::sleep(pause);
                    pause = (pause * 2).clamp(Duration::from_millis(1), LONGEST_PAUSE);
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells that ticks made no job.
    pub(crate) fn tell_skipped(&self, registration: &Registration, id: JobId, skipped: Skipped) {
        if !self.signals.hears(SignalKind::Skipped) {
            return;
        }
        let queue = registration.options().or(self.defaults).queue.unwrap_or(crate::job::DEFAULT_QUEUE);
        self.signals.emit(Signal {
            kind: SignalKind::Skipped,
            sequence: 0,
            id,
            task: registration.task.name.into(),
            queue: queue.into(),
            at: self.storage.clock().now(),
            origin: Origin::Periodic { tick: skipped.last },
            headers: Vec::new().into(),
            run_at: None,
            attempt: 0,
            error: None,
            cause: Some(skipped.reason.name().into()),
            skipped: Some(skipped.into()),
            progress: None,
        });
    }
}

impl Flight {
    fn take_jobs(&mut self) -> Vec<NewJob> {
        match self.transition() {
            Some(Transition::Enqueue { jobs, .. }) => jobs,
            _ => Vec::new(),
        }
    }
}
