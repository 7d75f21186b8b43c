//! What is done to a job by hand, and what a storage keeps of tasks that are not to run.

use serde::{Deserialize, Serialize};

use super::claimed::{Discarded, Lease};
use super::new_job::Placed;
use super::settlement::Settled;
use crate::state::JobState;
use crate::time::Timestamp;

/// How long a task is revoked: its jobs are discarded when they are picked up.
///
/// ```no_run
/// # use huey_core::{Huey, Registered, Result, Revocation};
/// # fn show<send: Registered>(huey: &Huey) -> Result<()> {
/// huey.revoke::<send>(Revocation::Always)?;
/// assert!(huey.restore::<send>()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Revocation {
    /// For the next job that is picked up.
    Once,
    /// Until this instant; from then on it is as if it had been restored.
    Until(Timestamp),
    /// Until it is restored.
    Always,
}

/// What became of a job that was to be canceled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Canceled {
    /// It waited, and has ended, and the later steps of its chain with it.
    Ended(Vec<Discarded>),
    /// It runs under this lease, and will not be attempted again.
    Stopping(Lease),
    /// It had ended so before.
    Over(JobState),
    /// There is no such job.
    Missing,
}

/// What became of a job that was to be moved to another time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Rescheduled {
    /// It waits for that.
    Moved(Settled),
    /// It does not wait, but is in this state.
    Not(JobState),
    /// There is no such job.
    Missing,
}

/// What became of a job that was to be made anew from one that was given up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Replayed {
    /// The new one took the old one's place.
    Placed {
        /// What became of it.
        placed: Placed,
        /// Later steps of the old one's chain, which ended with it.
        canceled: Vec<Discarded>,
    },
    /// The old one was not given up, but is in this state.
    Not(JobState),
    /// There is no such job.
    Missing,
}

/// How far a running body says it is.
///
/// ```
/// use huey_core::Progress;
///
/// let progress = Progress::new(3, 12, "resizing");
/// assert_eq!(progress.to_string(), "3/12 resizing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much.
    pub total: u64,
    /// What is being done.
    pub note: String,
}

impl Progress {
    /// So much of so much is done.
    pub fn new(done: u64, total: u64, note: impl Into<String>) -> Self {
        Self { done, total, note: note.into() }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.done, self.total)?;
        if self.note.is_empty() { Ok(()) } else { write!(f, " {}", self.note) }
    }
}
