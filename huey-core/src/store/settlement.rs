//! How an attempt is settled, and what that comes to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claimed::{Discarded, Lease};
use super::new_job::{Next, Placed};
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::state::JobState;
use crate::time::Timestamp;

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The attempt's lease.
    pub lease: Lease,
    /// What becomes of the job.
    pub verdict: Verdict,
}

/// What becomes of a job whose attempt has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// It is complete.
    Complete {
        /// The encoded output.
        output: Bytes,
        /// The hash of the output's type.
        signature: u32,
        /// How long the result is kept; zero keeps none.
        keep: Duration,
        /// What follows it.
        next: Option<Next>,
    },
    /// It waits for another attempt.
    Retry {
        /// For how long it waits first.
        delay: Duration,
        /// Why the attempt failed, if it did.
        error: Option<TaskError>,
        /// Whether this spends a retry.
        spend: bool,
    },
    /// It is given up, and kept.
    Dead {
        /// Why.
        error: TaskError,
        /// What follows that.
        next: Option<Next>,
    },
    /// It is canceled.
    Canceled {
        /// Why.
        cause: String,
        /// How long that is kept.
        keep: Duration,
    },
    /// No task fits it.
    Parked {
        /// Why.
        cause: String,
    },
    /// It goes back as if it had not been claimed.
    Returned {
        /// Whether it had started, so that this counts against the bound of refunds.
        started: bool,
    },
    /// At-most-once, and its attempt was cut off.
    Lost {
        /// Why.
        cause: String,
    },
    /// Its body found a lock held: it waits for that. The attempt is not counted.
    Locked {
        /// The locks that the body asked for, which the next claim takes together. The last one was held.
        keys: Vec<Bytes>,
    },
    /// It stood for a chord, and is gone now.
    Gathered {
        /// The callback, or why there is none.
        next: Next,
    },
}

/// A job after its attempt was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Its state.
    pub state: JobState,
    /// When it is due, if it waits.
    pub due: Option<Timestamp>,
    /// What became of the next step, if that was to be stored.
    pub next: Option<Placed>,
    /// Later steps that were canceled with it, in order.
    pub canceled: Vec<Discarded>,
}

impl Settled {
    /// A job in that state that nothing followed.
    #[must_use]
    pub fn new(state: JobState, due: Option<Timestamp>) -> Self {
        Self { state, due, next: None, canceled: Vec::new() }
    }
}

/// How a job ended, or why it stands still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The encoded output.
    pub output: Option<Bytes>,
    /// The hash of the output's type.
    pub signature: u32,
    /// The record of the last failed attempt.
    pub error: Option<TaskError>,
    /// Why it ended so, in words.
    pub cause: Option<String>,
    /// When the last attempt was claimed.
    pub started: Option<Timestamp>,
}
