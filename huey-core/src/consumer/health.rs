//! How a consumer is.

use std::time::Duration;

use super::crew::Crew;
use crate::id::JobId;
use crate::store::{Answer, Backlog, Query};
use crate::time::Timestamp;

/// A storage error is held against a consumer for so long.
const RECENT: Duration = Duration::from_mins(1);

/// Whether a consumer does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HealthStatus {
    /// It does.
    Ok,
    /// It does, but not as it should: some body ignores its deadline, a suspect holds the queue, or the storage failed
    /// within the last minute.
    Degraded,
    /// It claims nothing: the storage fails, or too many bodies ignore their deadlines.
    Failing,
}

/// How a consumer is: see [`ConsumerHandle::health`](crate::ConsumerHandle::health).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// All in one word.
    pub status: HealthStatus,
    /// Why it is not [`Ok`](HealthStatus::Ok), in words.
    pub reasons: Vec<String>,
    /// The workers of plain tasks.
    pub workers: Vec<WorkerHealth>,
    /// The async attempts that run.
    pub running_async: Vec<RunningAttempt>,
    /// The bodies that run on though their attempts are settled: they ignored their deadlines.
    pub late: Vec<RunningAttempt>,
    /// The last error of the storage that a consumer of this queue met, and when.
    pub last_storage_error: Option<(Timestamp, String)>,
    /// How long the job has waited that waits longest, of those that may run now. Looked for among the first 64 of each priority of
    /// each task.
    pub oldest_waiting: Option<Duration>,
    /// Jobs one crash short of their limit that run now or are next: they run alone, and hold the others up.
    pub suspects: Vec<JobId>,
}

/// A worker of plain tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerHealth {
    /// The name, which is that of its thread.
    pub name: String,
    /// What it runs.
    pub runs: Option<RunningAttempt>,
}

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningAttempt {
    /// The job.
    pub id: JobId,
    /// The name of its task.
    pub task: String,
    /// When it was claimed, by the clock of the queue.
    pub since: Timestamp,
}

impl Crew {
    pub(super) fn health(&self) -> Health {
        let now = self.executor.storage.clock().now();
        let mut health = Health::new();
        health.workers.extend(self.desks.iter().map(|desk| WorkerHealth { name: desk.name.to_string(), runs: None }));
        self.look_at_attempts(&mut health);
        self.look_at_storage(&mut health, now);
        health
    }

    fn look_at_attempts(&self, health: &mut Health) {
        for running in self.lock().running.values().filter(|running| !running.returned) {
            let kit = &running.kit;
            let attempt = RunningAttempt { id: kit.id(), task: kit.task().to_owned(), since: kit.started() };
            if running.hold.is_some() {
                health.late.push(attempt);
            } else if let Some(worker) = health.workers.iter_mut().find(|worker| worker.name == kit.worker()) {
                worker.runs = Some(attempt);
            } else {
                health.running_async.push(attempt);
            }
        }
        let late: Vec<String> = health.late.iter().map(|late| format!("{} of `{}`", late.id, late.task)).collect();
        if self.is_stuck() {
            let text = "as many bodies ignore their deadlines as there are workers, so no plain job is claimed";
            health.is(HealthStatus::Failing, format!("{text}: {}", late.join(", ")));
        } else if !late.is_empty() {
            health.is(HealthStatus::Degraded, format!("bodies ignore their deadlines: {}", late.join(", ")));
        }
    }

    fn look_at_storage(&self, health: &mut Health, now: Timestamp) {
        match self.executor.storage.read(Query::Backlog { queues: self.queues.clone() }) {
            Ok(Answer::Backlog(Backlog { oldest, suspects })) => {
                health.oldest_waiting = oldest.map(|oldest| now.since(oldest));
                health.suspects = suspects;
            }
            Ok(other) => health.is(HealthStatus::Failing, format!("the storage answered a backlog with {other:?}")),
            Err(error) => health.is(HealthStatus::Failing, format!("the storage does not answer: {error}")),
        }
        if !health.suspects.is_empty() {
            let ids: Vec<String> = health.suspects.iter().map(ToString::to_string).collect();
            let text = "jobs one crash short of their limit run alone, and hold the others up";
            health.is(HealthStatus::Degraded, format!("{text}: {}", ids.join(", ")));
        }
        let (last, fails) = self.executor.trouble.last();
        if let Some((at, error)) = &last {
            if fails {
                health.is(HealthStatus::Failing, format!("the storage fails: {error}"));
            } else if now.since(*at) < RECENT {
                health.is(HealthStatus::Degraded, format!("the storage failed lately: {error}"));
            }
        }
        health.last_storage_error = last;
    }
}

impl Health {
    fn new() -> Self {
        Self {
            status: HealthStatus::Ok,
            reasons: Vec::new(),
            workers: Vec::new(),
            running_async: Vec::new(),
            late: Vec::new(),
            last_storage_error: None,
            oldest_waiting: None,
            suspects: Vec::new(),
        }
    }

    /// One of a consumer that is no more.
    pub(super) fn stopped() -> Self {
        let mut health = Self::new();
        health.is(HealthStatus::Failing, "the consumer was stopped".into());
        health
    }

    fn is(&mut self, status: HealthStatus, why: String) {
        self.status = self.status.max(status);
        self.reasons.push(why);
    }
}
