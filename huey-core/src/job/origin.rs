//! Why a job exists.

use serde::{Deserialize, Serialize};

use crate::id::JobId;
use crate::time::Timestamp;

/// What made a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Origin {
    /// A call of `enqueue`. `parent` is the job whose body made the call, if a body did.
    Call {
        /// The job whose body enqueued this one.
        parent: Option<JobId>,
    },
    /// One of many enqueued together.
    Bulk,
    /// A member of a group.
    GroupMember,
    /// A tick of a schedule.
    Periodic {
        /// The instant that was planned.
        tick: Timestamp,
    },
    /// A later step of a chain.
    Chain {
        /// The step before.
        parent: JobId,
    },
    /// The follow-up of a flow that failed.
    ErrorFollowUp {
        /// The job that failed.
        parent: JobId,
    },
    /// The callback of a chord.
    ChordCallback,
    /// Another try of a dead job, by hand.
    Replay {
        /// The dead job.
        of: JobId,
    },
}

impl Origin {
    /// The job that this one came from.
    #[must_use]
    pub fn parent(&self) -> Option<JobId> {
        match *self {
            Self::Call { parent } => parent,
            Self::Chain { parent } | Self::ErrorFollowUp { parent } | Self::Replay { of: parent } => Some(parent),
            Self::Bulk | Self::GroupMember | Self::Periodic { .. } | Self::ChordCallback => None,
        }
    }

    /// The kind in a word or two, for logs and tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Call { .. } => "call",
            Self::Bulk => "bulk",
            Self::GroupMember => "group member",
            Self::Periodic { .. } => "periodic",
            Self::Chain { .. } => "chain",
            Self::ErrorFollowUp { .. } => "error follow-up",
            Self::ChordCallback => "chord callback",
            Self::Replay { .. } => "replay",
        }
    }
}
