//! A job to be stored, and what becomes of it.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claimed::Discarded;
use super::limit::Limit;
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::id::JobId;
use crate::task::{Durability, OnConflict, Scope};
use crate::time::Timestamp;

/// What became of a job to be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Placed {
    /// It is stored, now or by an earlier call of the same transition.
    New,
    /// It is not: this job holds its unique key, and stands for it.
    Existing(JobId),
    /// It is stored in the place of another, which was canceled.
    Replaced(Box<Discarded>),
}

/// The unique key of a job to be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UniqueKey {
    /// The key, the task's name included.
    pub key: Bytes,
    /// How long it is held.
    pub scope: Scope,
    /// What happens if it is held.
    pub on_conflict: OnConflict,
    /// How long the record of a job is kept that is replaced.
    pub keep: Duration,
}

/// A job to be stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewJob {
    /// Its id, made from a counter set aside.
    pub id: JobId,
    /// The name of its task.
    pub task: Cow<'static, str>,
    /// The name of its queue.
    pub queue: Cow<'static, str>,
    /// Higher runs first.
    pub priority: i16,
    /// When it may run.
    pub run_at: Timestamp,
    /// When it is too late to pick it up; it is late once now is past it.
    pub expires: Option<Timestamp>,
    /// The level of its settle.
    pub durability: Durability,
    /// Whether a second start is forbidden.
    pub at_most_once: bool,
    /// After how many crashes it is dead; 0 for never.
    pub crash_limit: u8,
    /// The key that it is to hold alone.
    pub unique: Option<UniqueKey>,
    /// What must be free before it is claimed.
    pub limits: Vec<Limit>,
    /// Values to store in the same commit, if the job is stored.
    pub writes: Vec<(String, Bytes)>,
    /// The chain it belongs to, if it does.
    pub flow: Option<Flow>,
    /// Its envelope and arguments.
    pub body: Body,
}

/// The steps of a chain that come after a job. They are no jobs yet, but have ids: their counters follow the job's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The names of their tasks, in order.
    pub tasks: Vec<String>,
    /// How long the records of those are kept that are canceled, in whole seconds.
    pub keep: Duration,
    /// Whether another job is to follow should one of them be dead: at its crash limit the job is given out once more then,
    /// as [`condemned`](super::Claimed::condemned), so that what follows is stored with its end.
    pub follow_up: bool,
}

/// What follows a step that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Next {
    /// The next step, which is stored in the same commit.
    Job(Box<NewJob>),
    /// It was refused, and the chain ends here.
    Refused {
        /// Why.
        cause: String,
    },
    /// A member of a group did not end well, and so its callback is not to be.
    Failed {
        /// Which one, and why.
        cause: String,
        /// The record of a dead one.
        error: Option<TaskError>,
        /// The job that follows a dead one, if one does.
        follow_up: Option<Box<NewJob>>,
    },
}

/// The name of the task of the jobs that stand for chords. No task of a user's has it.
pub const CHORD: &str = "<chord>";

/// A group with a callback, to be stored with the jobs of its members.
///
/// It is itself a job, which nobody sees: it waits until what its callback depends on has ended, is claimed like any other,
/// and settled as [`Verdict::Gathered`](super::Verdict::Gathered) with the callback, whose counter follows its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewChord {
    /// Its id, made from a counter set aside.
    pub id: JobId,
    /// For each member, in order, the counter of its last job.
    pub members: Vec<u64>,
    /// Whether the callback is to be whatever became of the members.
    pub settled: bool,
    /// The name of the queue whose workers make the callback.
    pub queue: String,
    /// The level of its settle.
    pub durability: Durability,
    /// After how many crashes it fails; 0 for never.
    pub crash_limit: u8,
    /// The callback and the steps behind it.
    pub flow: Flow,
    /// What the callback is made from.
    pub rest: Bytes,
}

/// How a member of a group ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Arrival {
    /// It is complete.
    Complete {
        /// The encoded output.
        output: Bytes,
    },
    /// It ended otherwise.
    Failed {
        /// How, in words.
        cause: String,
        /// The record of a dead one.
        error: Option<TaskError>,
    },
}

/// A page of how the members of a group ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Arrivals {
    /// Whether the callback is to be whatever became of the members.
    pub settled: bool,
    /// Those that have ended, each with its place among the members, in order.
    pub members: Vec<(u32, Arrival)>,
    /// Where the next page begins, if there is one.
    pub next: Option<u32>,
}

/// The envelope and the arguments of a job, and what is to follow it: byte strings that a storage never looks into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The envelope; it stays with the result.
    pub head: Bytes,
    /// The arguments.
    pub args: Bytes,
    /// What is to follow it; empty if nothing is.
    pub rest: Bytes,
}
