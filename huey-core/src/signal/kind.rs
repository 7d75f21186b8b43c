//! What can be heard of a job.

use std::fmt;
use std::sync::Arc;

use crate::error::TaskError;
use crate::id::JobId;
use crate::job::Origin;
use crate::store::Progress;
use crate::task::SkipReason;
use crate::time::Timestamp;

/// The kinds of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignalKind {
    /// A job is stored, at the durability asked for.
    Enqueued,
    /// A job waits for an instant: it was enqueued with a delay, or is to be retried after one.
    Scheduled,
    /// An attempt begins.
    Executing,
    /// A job ended well.
    Complete,
    /// An attempt failed.
    Error,
    /// A job will be attempted again.
    Retrying,
    /// A job was discarded because its task is revoked.
    Revoked,
    /// A job was picked up too late.
    Expired,
    /// A job waits for a lock.
    Locked,
    /// A job was canceled.
    Canceled,
    /// An attempt passed its deadline.
    Timeout,
    /// A job waits for its task's rate.
    RateLimited,
    /// An attempt was cut off, and is not counted.
    Interrupted,
    /// A hook refused an enqueue.
    Rejected,
    /// An enqueue was answered with a job that was there.
    Deduplicated,
    /// A tick of a schedule made no job.
    Skipped,
    /// A job was taken over from a consumer that died.
    Rescued,
    /// A job fits no task of this program, and waits for one that it fits.
    Parked,
    /// A job was given up.
    Dead,
    /// A body told how far it is.
    Progress,
}

impl SignalKind {
    /// The name, as in a log: `rate-limited`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Scheduled => "scheduled",
            Self::Executing => "executing",
            Self::Complete => "complete",
            Self::Error => "error",
            Self::Retrying => "retrying",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Locked => "locked",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate-limited",
            Self::Interrupted => "interrupted",
            Self::Rejected => "rejected",
            Self::Deduplicated => "deduplicated",
            Self::Skipped => "skipped",
            Self::Rescued => "rescued",
            Self::Parked => "parked",
            Self::Dead => "dead",
            Self::Progress => "progress",
        }
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An event in the life of a job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Signal {
    /// What happened.
    pub kind: SignalKind,
    /// Counts the signals of this queue in this process.
    pub sequence: u64,
    /// The job. For [`SignalKind::Deduplicated`] it is the one that stands.
    pub id: JobId,
    /// The name of its task.
    pub task: Arc<str>,
    /// The name of its queue.
    pub queue: Arc<str>,
    /// When it happened, by the storage's clock.
    pub at: Timestamp,
    /// Why the job exists.
    pub origin: Origin,
    /// Its headers.
    pub headers: Arc<[(String, String)]>,
    /// When the job may run, where it waits.
    pub run_at: Option<Timestamp>,
    /// Which attempt this is about, counted from 1; 0 where none is.
    pub attempt: u32,
    /// The record of the attempt that failed.
    pub error: Option<Arc<TaskError>>,
    /// The ticks that made no job, for [`SignalKind::Skipped`]; `id` is of no job then.
    pub skipped: Option<Arc<Skipped>>,
    /// How far the body says it is, for [`SignalKind::Progress`].
    pub progress: Option<Arc<Progress>>,
    /// Why, in words: the reason of a refusal, the cause of a cancellation.
    pub cause: Option<Arc<str>>,
}

/// Ticks in a row of a schedule that made no job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The name of the schedule.
    pub schedule: Arc<str>,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many they are.
    pub count: u64,
    /// Why.
    pub reason: SkipReason,
}
