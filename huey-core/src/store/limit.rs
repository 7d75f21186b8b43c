//! Locks, bounds and rates: what may keep a job from being claimed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::codec::Bytes;
use crate::id::JobId;
use crate::task::LimitKind;
use crate::time::Timestamp;

/// What a job needs before it is claimed. Two limits are about the same thing if their keys are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The key. Those of locks, bounds and rates never collide.
    pub key: Bytes,
    /// What it is.
    pub kind: LimitKind,
}

/// A job that was to be claimed and waits instead. Told once for each wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limited {
    /// The job.
    pub id: JobId,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// What it waits for.
    pub by: LimitedBy,
    /// The envelope.
    pub head: Bytes,
}

/// What a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LimitedBy {
    /// A lock, which this job holds.
    Lock(JobId),
    /// A rate. Its turn comes at this instant, if nobody cuts in and nobody in front of it leaves.
    Rate(Timestamp),
}

/// What became of an attempt to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Locking {
    /// The lease holds it now, or did before, until it is unlocked or the lease ends.
    Taken,
    /// The lease holds it until it ends: the job declares it.
    Declared,
    /// This job holds it.
    Held(JobId),
    /// The lease itself does not hold.
    Stale,
}
