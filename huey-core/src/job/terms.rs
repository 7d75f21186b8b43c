//! The terms of one job, settled: what the caller, the task, its decorators and the queue came to together.

use std::borrow::Cow;
use std::time::Duration;

use super::builder::{Choices, When};
use crate::task::{Delivery, Durability, LimitRule, Options, Unique, UniqueRule};
use crate::time::Timestamp;

/// The queue of a job for which nobody named one.
pub(crate) const DEFAULT_QUEUE: &str = "default";

/// How long a result is kept if nobody said.
pub(crate) const KEEP: Duration = Duration::from_hours(1);

/// How a job comes to its unique key.
#[derive(Clone, Debug)]
pub(crate) enum Keyed {
    /// By its task's rule, from the arguments as the hooks leave them.
    Rule(UniqueRule),
    /// As the caller or a hook said.
    Fixed(Unique),
    /// It has none.
    No,
}

/// Everything about a job but its arguments, its id and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) queue: Cow<'static, str>,
    pub(crate) priority: i16,
    pub(crate) run_at: Timestamp,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) retries: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) durability: Durability,
    pub(crate) delivery: Delivery,
    pub(crate) crash_limit: u8,
    pub(crate) unique: Keyed,
    /// The lock, the bound and the rate of its task.
    pub(crate) limits: [Option<LimitRule>; 3],
    pub(crate) keep: Duration,
}

impl Terms {
    const CRASH_LIMIT: u8 = 3;

    /// Settles the caller's choices with the task's options, which hold everything from the task outwards.
    pub(crate) fn settle(choices: Choices, options: &Options, now: Timestamp) -> Self {
        Self {
            queue: choices.queue.unwrap_or(Cow::Borrowed(options.queue.unwrap_or(DEFAULT_QUEUE))),
            priority: choices.priority.or(options.priority).unwrap_or(0),
            run_at: match choices.when {
                When::Now => now,
                When::After(delay) => now + delay,
                When::At(instant) => instant.max(now),
            },
            expires: choices.expires.or(options.expires).map(|after| deadline(now, after)),
            retries: choices.retries.or(options.retries).unwrap_or(0),
            timeout: choices.timeout.or(options.timeout),
            headers: choices.headers,
            durability: choices.durability.or(options.durability).unwrap_or_default(),
            delivery: options.delivery.unwrap_or_default(),
            crash_limit: options.crash_limit.unwrap_or(Self::CRASH_LIMIT),
            unique: match (choices.unique, options.unique) {
                (Some(unique), _) => Keyed::Fixed(unique),
                (None, Some(rule)) => Keyed::Rule(rule),
                (None, None) => Keyed::No,
            },
            limits: [options.lock, options.max_running, options.rate],
            keep: options.retention.unwrap_or(KEEP),
        }
    }
}

/// The last instant at which a job may be picked up. Zero is past already, and not "at once".
pub(crate) fn deadline(now: Timestamp, after: Duration) -> Timestamp {
    if after.is_zero() { Timestamp::from_micros(now.as_micros() - 1) } else { now + after }
}
