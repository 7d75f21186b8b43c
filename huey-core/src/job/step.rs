//! A later step of a chain.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::builder::{Choices, When, choices, set_header};
use crate::task::{Continues, Durability, Task, Unique};
use crate::time::Timestamp;

/// The next step of a chain: a task and every stored argument but the first, which the step before supplies with what it
/// yields. Made by `task::with(..)`, and put behind a job by [`Job::then`](crate::Job::then).
#[must_use = "a step does nothing until it follows a job and the chain is enqueued"]
pub struct Step<T: Continues> {
    pub(crate) rest: T::Rest,
    pub(crate) choices: Choices,
}

impl<T: Continues> Step<T> {
    #[doc(hidden)]
    pub fn new(rest: T::Rest) -> Self {
        Self { rest, choices: Choices::default() }
    }

    choices!();

    /// The arguments, once the step before has yielded the first of them.
    pub fn join(self, first: T::First) -> T {
        T::join(first, self.rest)
    }
}

impl<T: Continues> fmt::Debug for Step<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("task", &<T as Task>::DEFINITION.name)
            .field("choices", &self.choices)
            .finish_non_exhaustive()
    }
}
