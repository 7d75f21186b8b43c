//! The states of a job.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// Where a job is in its life.
///
/// ```
/// use huey_core::JobState;
///
/// assert!(JobState::Complete.is_ended());
/// assert!(!JobState::Scheduled.is_ended());
/// assert_eq!(JobState::NeverExisted.to_string(), "never-existed");
/// assert_eq!("dead".parse::<JobState>()?, JobState::Dead);
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum JobState {
    /// A later step or a callback whose turn has not come.
    Awaiting,
    /// Waits for its run time.
    Scheduled,
    /// May be claimed now.
    Queued,
    /// An attempt has claimed it.
    Running,
    /// Ended well; its result is kept for its retention.
    Complete,
    /// Given up: attempts spent, a fatal error, or the crash limit. Kept until replayed or purged.
    Dead,
    /// Discarded at pick-up because its task was revoked.
    Revoked,
    /// Discarded at pick-up because its deadline had passed.
    Expired,
    /// Ended by a caller, by its body, or with the flow it belonged to.
    Canceled,
    /// An at-most-once job whose consumer died or passed its grace while it ran.
    Lost,
    /// No consumer of this program knows what to do with it; it waits for one that does.
    Parked,
    /// Ended, and past its retention.
    Gone,
    /// No job of this store ever had that id.
    NeverExisted,
}

const NAMES: [(JobState, &str); 13] = [
    (JobState::Awaiting, "awaiting"),
    (JobState::Scheduled, "scheduled"),
    (JobState::Queued, "queued"),
    (JobState::Running, "running"),
    (JobState::Complete, "complete"),
    (JobState::Dead, "dead"),
    (JobState::Revoked, "revoked"),
    (JobState::Expired, "expired"),
    (JobState::Canceled, "canceled"),
    (JobState::Lost, "lost"),
    (JobState::Parked, "parked"),
    (JobState::Gone, "gone"),
    (JobState::NeverExisted, "never-existed"),
];

impl JobState {
    /// Whether the job will not run again by itself. A parked job has not ended.
    #[must_use]
    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Awaiting | Self::Scheduled | Self::Queued | Self::Running | Self::Parked)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(state, _)| state == self).map_or("", |(_, name)| *name);
        f.pad(name)
    }
}

impl FromStr for JobState {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        NAMES.iter().find(|(_, name)| *name == text).map(|(state, _)| *state).ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|(_, name)| *name).collect();
            Error::new(ErrorKind::BadInput, format!("`{text}` is no state of a job: write one of {}", known.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_reads_back_from_its_name() {
        for (state, name) in NAMES {
            assert_eq!(name.parse::<JobState>().unwrap(), state);
            assert_eq!(state.to_string(), name);
        }
        assert!("dying".parse::<JobState>().unwrap_err().is_bad_input());
    }
}
