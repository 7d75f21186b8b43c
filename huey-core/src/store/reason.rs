//! Why a job has not run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::TaskError;
use crate::id::JobId;
use crate::state::JobState;
use crate::time::Timestamp;

/// One thing that keeps a job from running, or what became of it: see [`Huey::explain`](crate::Huey::explain).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Its time has not come.
    Due(Timestamp),
    /// Its last attempt failed or was put off, and the next one's time has not come.
    Retry {
        /// When that comes.
        at: Timestamp,
        /// The record of the last failure, if it was one.
        error: Option<TaskError>,
    },
    /// It ends as expired when it is picked up: its deadline is over.
    Late(Timestamp),
    /// Its queue is paused.
    Paused,
    /// Its task is revoked: it is discarded when it is picked up.
    Revoked,
    /// What was told of it has not been heard by all receivers yet, or is not on the disk yet.
    Unannounced,
    /// This job is one crash short of its limit, and runs with nothing beside it.
    Suspect(JobId),
    /// It is one crash short of its limit, and waits until nothing else runs.
    RunsAlone {
        /// So many jobs run.
        running: u64,
    },
    /// It is a later step of a chain, and it is this job's turn.
    Step(JobId),
    /// It follows a group, whose members have not all ended.
    Members {
        /// So many have.
        ended: u64,
        /// Of so many.
        of: u64,
    },
    /// This program has no task of that name.
    UnknownTask,
    /// Its task has other parameters in this program than those that it was enqueued with, and no `upgrade` of them.
    OtherParameters,
    /// Nobody provided data of these types, which its task needs.
    MissingData(Vec<String>),
    /// No consumer runs in this process.
    NoConsumer,
    /// The consumers of this process serve these other queues.
    NotServed {
        /// Their names.
        serve: Vec<String>,
    },
    /// Its queue is served, but by consumers without workers for plain tasks.
    NoWorker,
    /// Its queue is served, but by consumers without places for async tasks.
    NoAsyncPlace,
    /// It may run now, and waits for its turn.
    InLine {
        /// So many jobs of its queue may run now.
        queued: u64,
        /// So many run.
        running: u64,
    },
    /// It runs.
    Running {
        /// Since then.
        since: Timestamp,
        /// Which attempt it is.
        attempt: u32,
        /// Whether it was told to stop, and will not be attempted again.
        stopping: bool,
    },
    /// No consumer knew what to do with it. It is tried again when one starts that does.
    Parked {
        /// Why.
        cause: String,
    },
    /// It has ended.
    Ended {
        /// How.
        state: JobState,
        /// Why, in words; empty if it is complete.
        cause: String,
    },
    /// A lock that it needs is held.
    Locked {
        /// What the lock is named by, or its task; none if a body took it by something else than a text.
        lock: Option<String>,
        /// The job that holds it.
        holder: JobId,
    },
    /// As many jobs of its task, or of its key, run as may at once.
    Bound {
        /// That many.
        most: u32,
    },
    /// Its rate is used up.
    Rate {
        /// What the rate is named by, or its task.
        rate: Option<String>,
        /// So many jobs may begin.
        most: u32,
        /// In any span of this length.
        per: Duration,
        /// When the next one may begin: this one, if nobody stands in front of it.
        next: Timestamp,
    },
    /// The body of its last attempt ignored its deadline or a stop, and has not returned.
    RunsOn,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Due(at) => write!(f, "it is due at {at}"),
            Self::Retry { at, error: Some(error) } => {
                write!(f, "attempt {} failed, and the next one is due at {at}: {error}", error.attempt)
            }
            Self::Retry { at, error: None } => write!(f, "its next attempt is due at {at}"),
            Self::Late(at) => write!(f, "it expired at {at}, and ends as expired when it is picked up"),
            Self::Paused => f.write_str("its queue is paused: `resume` it"),
            Self::Revoked => {
                f.write_str("its task is revoked, so it is discarded when it is picked up: `restore` the task")
            }
            Self::Unannounced => f.write_str("its last change is not on the disk yet, or a receiver still hears of it"),
            Self::Suspect(id) => {
                write!(f, "the job {id} is one crash short of its limit, and runs with nothing beside it")
            }
            Self::RunsAlone { running } => {
                write!(f, "it is one crash short of its limit, and waits until nothing else runs: {running} do")
            }
            Self::Step(id) => write!(f, "it follows the job {id}, whose turn it is"),
            Self::Members { ended, of } => write!(f, "it follows a group, of whose {of} members {ended} have ended"),
            Self::UnknownTask => f.write_str("this program has no task of that name, so it would be parked"),
            Self::OtherParameters => f.write_str(
                "its task has other parameters in this program than it was enqueued with, so it would be parked",
            ),
            Self::MissingData(types) => {
                write!(f, "nobody provided `{}`: write `.data(value)` on the builder", types.join("`, `"))
            }
            Self::NoConsumer => f.write_str("no consumer runs in this process"),
            Self::NotServed { serve } => {
                write!(f, "the consumers of this process serve other queues: `{}`", serve.join("`, `"))
            }
            Self::NoWorker => f.write_str("its queue is served without workers for plain tasks: set `workers`"),
            Self::NoAsyncPlace => f.write_str("its queue is served without places for async tasks: set `async_limit`"),
            Self::InLine { queued, running } => {
                write!(f, "it may run now, and waits for its turn: in its queue {queued} wait and {running} run")
            }
            Self::Running { since, attempt, stopping } => {
                write!(f, "attempt {attempt} runs since {since}")?;
                if *stopping { f.write_str(", and was told to stop") } else { Ok(()) }
            }
            Self::Parked { cause } => f.write_str(cause),
            Self::Ended { state, cause } if cause.is_empty() => write!(f, "it is {state}"),
            Self::Ended { state, cause } => write!(f, "it is {state}: {cause}"),
            Self::Locked { lock, holder } => {
                write!(f, "the job {holder} holds the lock{} that it needs", Named(lock.as_deref()))
            }
            Self::Bound { most } => {
                write!(f, "`max_running` lets {most} of its task or its key run at once, and so many do")
            }
            Self::Rate { rate, most, per, next } => {
                let rate = Named(rate.as_deref());
                write!(f, "the rate{rate} of {most} in {per:?} is used up, and lets the next one begin at {next}")
            }
            Self::RunsOn => f.write_str("the body of its last attempt has not returned, though its time was over"),
        }
    }
}

/// A name where there is one.
struct Named<'a>(Option<&'a str>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " `{name}`"))
    }
}

/// Why a job has not run, or what became of it: [`Huey::explain`](crate::Huey::explain) gives one. Shown, it is a sentence.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Explanation {
    /// The job.
    pub id: JobId,
    /// The name of its task.
    pub task: Arc<str>,
    /// The name of its queue.
    pub queue: Arc<str>,
    /// Its state.
    pub state: JobState,
    /// All that holds, what is nearest first. Never empty.
    pub reasons: Vec<Reason>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the job {} of `{}` in the queue `{}` is {}: ", self.id, self.task, self.queue, self.state)?;
        for (at, reason) in self.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
