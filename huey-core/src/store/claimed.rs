//! What a claim gives out, and what a store tells of a job.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::control::Progress;
use super::new_job::Body;
use super::settlement::Ended;
use crate::codec::Bytes;
use crate::id::JobId;
use crate::state::JobState;
use crate::task::Durability;
use crate::time::Timestamp;

/// Which tasks a claim takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tasks {
    /// These alone.
    Only(Vec<String>),
    /// All but these, those that nobody knows among them.
    Except(Vec<String>),
}

impl Tasks {
    /// All tasks.
    pub const ALL: Self = Self::Except(Vec::new());
}

/// The token that entitles one attempt to settle a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub id: JobId,
    /// The number of the claim; no two claims of a job have the same.
    pub claim: u32,
}

/// A job given out to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// What the attempt is settled with.
    pub lease: Lease,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// Its priority.
    pub priority: i16,
    /// Which attempt this is, counted from 1; refunded ones do not count.
    pub attempt: u32,
    /// How many retries it has spent.
    pub retried: u32,
    /// How often a consumer died while it ran.
    pub crashes: u8,
    /// Whether it was taken over from a consumer that died.
    pub rescued: bool,
    /// How often it was put back with its attempt refunded.
    pub refunds: u8,
    /// Whether it has reached its crash limit: it is not to be run, but to be settled as dead.
    pub condemned: bool,
    /// The level of its settle.
    pub durability: Durability,
    /// Whether a second start is forbidden.
    pub at_most_once: bool,
    /// When it was claimed, by the storage's clock.
    pub started: Timestamp,
    /// Its envelope and arguments.
    pub body: Body,
}

/// A job that ended without an attempt: it was picked up too late, or another took its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The job.
    pub id: JobId,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// How it ended.
    pub state: JobState,
    /// Whether it was taken over from a consumer that died.
    pub rescued: bool,
    /// Why.
    pub ended: Ended,
    /// The envelope.
    pub head: Bytes,
}

/// What a store knows of a job, without decoding anything of the user's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The job.
    pub id: JobId,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// Its priority.
    pub priority: i16,
    /// Its state.
    pub state: JobState,
    /// Due while it waits, claimed while it runs, ended after that.
    pub at: Timestamp,
    /// When it is too late to pick it up.
    pub expires: Option<Timestamp>,
    /// How many attempts began, refunded ones not counted.
    pub attempts: u32,
    /// How often a consumer died while it ran.
    pub crashes: u8,
    /// Its envelope.
    pub head: Bytes,
    /// How it ended, or why its last attempt failed.
    pub ended: Ended,
    /// Whether it was canceled while it ran, so that it will not be attempted again.
    pub stopping: bool,
    /// How far its body said it was.
    pub progress: Option<Progress>,
}
