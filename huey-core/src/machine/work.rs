//! A job's work: the small, often rewritten part of its state.

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::id::JobId;
use crate::time::Timestamp;

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Waits for its time, and then for a worker.
    Waiting,
    Running,
    /// Given up; kept with its arguments.
    Dead,
    /// At-most-once, and its consumer died; kept with its arguments.
    Lost,
    /// Fits no task of the consumer that picked it up.
    Parked,
    /// Ended; only in a result.
    Complete,
    Canceled,
    Expired,
    Revoked,
    /// Stands for a chord, and its time has not come.
    Awaiting,
}

impl Phase {
    /// Whether the job has not ended.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running | Self::Parked)
    }
}

/// The work as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorkItem {
    pub(crate) counter: u64,
    /// When the job was made, as its id says, in milliseconds.
    pub(crate) made: u64,
    pub(crate) task: u32,
    pub(crate) queue: u32,
    pub(crate) priority: i16,
    pub(crate) phase: Phase,
    /// Due while waiting, claimed while running, ended otherwise.
    pub(crate) at: Timestamp,
    /// `Timestamp::MAX` for never.
    pub(crate) expires: Timestamp,
    /// How often it was claimed: the number that a lease carries.
    pub(crate) claim: u32,
    /// How many attempts began, less those refunded.
    pub(crate) attempts: u32,
    /// How many retries were spent.
    pub(crate) retried: u32,
    pub(crate) crashes: u8,
    pub(crate) crash_limit: u8,
    pub(crate) refunds: u8,
    pub(crate) flags: Flags,
}

/// What holds for a job for life, but for `rescued` and `canceled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Flags(u8);

impl Flags {
    const AT_MOST_ONCE: u8 = 1;
    const SYNCED: u8 = 2;
    const RESCUED: u8 = 4;
    const CANCELED: u8 = 8;
    const IN_FLOW: u8 = 16;
    const FOLLOWED: u8 = 32;

    pub(crate) fn new(at_most_once: bool, synced: bool, in_flow: bool) -> Self {
        Self(
            (u8::from(at_most_once) * Self::AT_MOST_ONCE)
                | (u8::from(synced) * Self::SYNCED)
                | (u8::from(in_flow) * Self::IN_FLOW),
        )
    }

    pub(crate) fn with_follow_up(self, follow_up: bool) -> Self {
        Self(self.0 | (u8::from(follow_up) * Self::FOLLOWED))
    }

    /// Whether another job follows should it be dead.
    pub(crate) fn has_follow_up(self) -> bool {
        self.0 & Self::FOLLOWED != 0
    }

    /// Whether it is a step of a chain.
    pub(crate) fn in_flow(self) -> bool {
        self.0 & Self::IN_FLOW != 0
    }

    pub(crate) fn at_most_once(self) -> bool {
        self.0 & Self::AT_MOST_ONCE != 0
    }

    pub(crate) fn synced(self) -> bool {
        self.0 & Self::SYNCED != 0
    }

    /// Whether the last claim was taken back because its consumer died.
    pub(crate) fn rescued(self) -> bool {
        self.0 & Self::RESCUED != 0
    }

    /// Whether it was canceled while it ran.
    pub(crate) fn canceled(self) -> bool {
        self.0 & Self::CANCELED != 0
    }

    pub(crate) fn with_canceled(self) -> Self {
        Self(self.0 | Self::CANCELED)
    }

    pub(crate) fn with_rescued(self, rescued: bool) -> Self {
        Self((self.0 & !Self::RESCUED) | (u8::from(rescued) * Self::RESCUED))
    }
}

/// The id of a job that was made at an instant in milliseconds.
pub(crate) fn id_of(made: u64, counter: u64, salt: u32) -> JobId {
    let made = i64::try_from(made.saturating_mul(1000)).unwrap_or(i64::MAX);
    JobId::new(Timestamp::from_micros(made), counter, salt)
}

impl WorkItem {
    pub(crate) fn id(&self, salt: u32) -> JobId {
        id_of(self.made, self.counter, salt)
    }

    /// Whether a crash limit is set and reached.
    pub(crate) fn is_condemned(&self) -> bool {
        self.crash_limit > 0 && self.crashes >= self.crash_limit
    }

    /// How many attempts had begun when the claim was made that it runs under. One at its crash limit is given out to be
    /// settled, which is no attempt.
    pub(crate) fn attempts_before(&self) -> u32 {
        self.attempts.saturating_sub(u32::from(!self.is_condemned()))
    }

    /// The work once its lease is void because the process is gone, if that changes it. `begun` is the newest claim
    /// that is known to have begun, `ran_on` the claim whose body ran on after its settle.
    pub(crate) fn taken_back(mut self, begun: Option<u32>, ran_on: Option<u32>, now: Timestamp) -> Option<Self> {
        // The claim itself may have been lost with the process: the note of what began survives where the journal's
        // last entries do not.
        let crashed = match (self.phase, begun) {
            (Phase::Running, Some(claim)) if claim >= self.claim => Some(claim),
            (Phase::Waiting, Some(claim)) if claim > self.claim => Some(claim),
            _ => None,
        };
        match crashed {
            Some(claim) => {
                self.attempts = self.attempts.saturating_add(u32::from(claim > self.claim));
                self.claim = claim;
                self.crashes = self.crashes.saturating_add(1);
                self.flags = self.flags.with_rescued(true);
            }
            None if self.phase == Phase::Running => self.attempts = self.attempts_before(),
            // Its attempt was settled before, and is not taken over; but the process died while the body still ran.
            None if self.phase == Phase::Waiting && ran_on.is_some() && begun == ran_on => {
                self.crashes = self.crashes.saturating_add(1);
                return Some(self);
            }
            None => return None,
        }
        self.phase = Phase::Waiting;
        // It was due when it was claimed, and a clock that went back does not change that.
        self.at = self.at.min(now);
        Some(self)
    }

    /// Whether one more crash would reach the limit.
    pub(crate) fn is_suspect(&self) -> bool {
        self.crashes > 0 && self.crashes.saturating_add(1) == self.crash_limit
    }
}

/// The work as memory holds it: the item, and where its parts stand in the journal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) item: WorkItem,
    pub(crate) home: Place,
    pub(crate) body: Place,
    pub(crate) note: Place,
    pub(crate) listed: Listed,
}

impl Work {
    /// Whether it is a job that no crash can have left behind: one without work, or without a body.
    pub(crate) fn is_half(&self) -> bool {
        self.home.is_none() || self.body.is_none()
    }
}

/// In which index a waiting job stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Listed {
    #[default]
    Nowhere,
    Due,
    Ready,
    /// In the line of a lock, a bound or a rate.
    Limited,
}
