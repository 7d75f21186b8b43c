//! The options of a task, in the one form that the attribute, a decorator and the builder share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::limit::LimitRule;
use super::unique::UniqueRule;

/// What must have happened before an enqueue returns.
///
/// ```
/// use huey_core::{Durability, Huey, Memory};
///
/// let huey = Huey::builder().durability(Durability::Relaxed).open(Memory::new())?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Durability {
    /// The job is written; it reaches the disk within the storage's interval (500 ms unless set). A kill or a power
    /// cut may lose what came within that interval.
    Relaxed,
    /// The job is on the disk: it survives kill -9 and a power cut. The default.
    #[default]
    Synced,
}

/// How often a job may be started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Delivery {
    /// A job whose consumer died is given to another attempt. The default.
    #[default]
    AtLeastOnce,
    /// A job whose consumer died ends as [`JobState::Lost`](crate::JobState::Lost).
    AtMostOnce,
}

/// Options of a task. A field that is `None` leaves the choice to the next one out: call, task, inner decorator,
/// outer decorator, Huey.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[doc(hidden)]
pub struct Options {
    pub retries: Option<u32>,
    pub retry_delay: Option<Duration>,
    pub backoff: Option<f64>,
    pub max_delay: Option<Duration>,
    pub jitter: Option<f64>,
    pub priority: Option<i16>,
    pub expires: Option<Duration>,
    pub timeout: Option<Duration>,
    pub delivery: Option<Delivery>,
    pub retention: Option<Duration>,
    pub durability: Option<Durability>,
    pub queue: Option<&'static str>,
    pub crash_limit: Option<u8>,
    pub unique: Option<UniqueRule>,
    pub lock: Option<LimitRule>,
    pub max_running: Option<LimitRule>,
    pub rate: Option<LimitRule>,
}

impl Options {
    /// No choice made.
    pub const NONE: Self = Self {
        retries: None,
        retry_delay: None,
        backoff: None,
        max_delay: None,
        jitter: None,
        priority: None,
        expires: None,
        timeout: None,
        delivery: None,
        retention: None,
        durability: None,
        queue: None,
        crash_limit: None,
        unique: None,
        lock: None,
        max_running: None,
        rate: None,
    };

    /// These options, with what they leave open taken from `outer`.
    #[must_use]
    pub fn or(self, outer: Self) -> Self {
        Self {
            retries: self.retries.or(outer.retries),
            retry_delay: self.retry_delay.or(outer.retry_delay),
            backoff: self.backoff.or(outer.backoff),
            max_delay: self.max_delay.or(outer.max_delay),
            jitter: self.jitter.or(outer.jitter),
            priority: self.priority.or(outer.priority),
            expires: self.expires.or(outer.expires),
            timeout: self.timeout.or(outer.timeout),
            delivery: self.delivery.or(outer.delivery),
            retention: self.retention.or(outer.retention),
            durability: self.durability.or(outer.durability),
            queue: self.queue.or(outer.queue),
            crash_limit: self.crash_limit.or(outer.crash_limit),
            unique: self.unique.or(outer.unique),
            lock: self.lock.or(outer.lock),
            max_running: self.max_running.or(outer.max_running),
            rate: self.rate.or(outer.rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_option_wins_and_a_missing_one_is_taken_from_outside() {
        let inner = Options { retries: Some(1), ..Options::NONE };
        let outer = Options { retries: Some(9), queue: Some("mail"), ..Options::NONE };
        assert_eq!(inner.or(outer), Options { retries: Some(1), queue: Some("mail"), ..Options::NONE });
    }
}
