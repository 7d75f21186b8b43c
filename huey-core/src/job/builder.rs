//! A job that has not been enqueued yet, and what its caller chose for it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::task::{Durability, Task, Unique};
use crate::time::Timestamp;

/// One request to run a task, with its arguments; `welcome::job(7, "Ada".into())` makes one.
///
/// Nothing happens before [`enqueue`](Job::enqueue). What is left out here is taken from the task, its decorators and
/// the queue, in this order.
#[must_use = "a job does nothing until it is enqueued"]
pub struct Job<T> {
    pub(crate) args: T,
    pub(crate) choices: Choices,
}

/// What a caller chose for one job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Choices {
    pub(crate) when: When,
    pub(crate) priority: Option<i16>,
    pub(crate) expires: Option<Duration>,
    pub(crate) retries: Option<u32>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) queue: Option<Cow<'static, str>>,
    pub(crate) durability: Option<Durability>,
    pub(crate) unique: Option<Unique>,
}

/// The run time of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum When {
    #[default]
    Now,
    After(Duration),
    At(Timestamp),
}

/// The choices that a caller has for a job and for a step of a chain, by the same names.
macro_rules! choices {
    () => {
        /// Runs the job once `delay` has passed since it was enqueued; a later step of a chain, since the step before it was
        /// complete.
        pub fn delay(mut self, delay: Duration) -> Self {
            self.choices.when = When::After(delay);
            self
        }

        /// Runs the job at `instant`; one in the past means now. Takes a [`Timestamp`] or a
        /// [`SystemTime`](std::time::SystemTime).
        pub fn run_at(mut self, instant: impl Into<Timestamp>) -> Self {
            self.choices.when = When::At(instant.into());
            self
        }

        /// Higher runs first; jobs of one priority run in the order of enqueueing. 0 unless set.
        pub fn priority(mut self, priority: i16) -> Self {
            self.choices.priority = Some(priority);
            self
        }

        /// Discards the job if it has not been picked up within `after` of its enqueueing. Zero means it is late already.
        pub fn expires(mut self, after: Duration) -> Self {
            self.choices.expires = Some(after);
            self
        }

        /// How many more attempts a failed one is given.
        pub fn retries(mut self, retries: u32) -> Self {
            self.choices.retries = Some(retries);
            self
        }

        /// How long one attempt may take.
        pub fn timeout(mut self, timeout: Duration) -> Self {
            self.choices.timeout = Some(timeout);
            self
        }

        /// A text that travels with the job. A second value under one name replaces the first.
        pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
            set_header(&mut self.choices.headers, name.into(), value.into());
            self
        }

        /// The queue to put the job in.
        pub fn queue(mut self, queue: impl Into<Cow<'static, str>>) -> Self {
            self.choices.queue = Some(queue.into());
            self
        }

        /// What must have happened before the enqueue returns.
        pub fn durability(mut self, durability: Durability) -> Self {
            self.choices.durability = Some(durability);
            self
        }

        /// The key that the job is to hold alone, in the place of what its task says.
        pub fn unique(mut self, unique: Unique) -> Self {
            self.choices.unique = Some(unique);
            self
        }
    };
}
pub(super) use choices;

impl<T: Task> Job<T> {
    #[doc(hidden)]
    pub fn new(args: T) -> Self {
        Self { args, choices: Choices::default() }
    }

    choices!();

    /// The arguments.
    pub fn args(&self) -> &T {
        &self.args
    }
}

impl<T: Task> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("task", &T::DEFINITION.name).field("choices", &self.choices).finish_non_exhaustive()
    }
}

pub(crate) fn set_header(headers: &mut Vec<(String, String)>, name: String, value: String) {
    match headers.iter_mut().find(|(known, _)| *known == name) {
        Some((_, old)) => *old = value,
        None => headers.push((name, value)),
    }
}
