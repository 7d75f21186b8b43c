//! The endings that a body may choose, and what every failed body comes to.

use std::fmt;
use std::time::Duration;

use crate::codec::Bytes;
use crate::error::{BoxError, Error};

/// An error that asks for another attempt. It spends no retry.
///
/// Return it from a body as it is, or as the source of any other error.
///
/// ```
/// use std::time::Duration;
/// use huey_core::Retry;
///
/// fn poll(ready: bool) -> Result<u32, huey_core::BoxError> {
///     if !ready {
///         return Err(Retry::after(Duration::from_secs(30)).into());
///     }
///     Ok(7)
/// }
/// assert!(poll(false).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    after: Duration,
}

impl Retry {
    /// Another attempt as soon as a worker is free.
    #[must_use]
    pub const fn now() -> Self {
        Self { after: Duration::ZERO }
    }

    /// Another attempt after `delay`.
    #[must_use]
    pub const fn after(delay: Duration) -> Self {
        Self { after: delay }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task asked for another attempt after {:?}", self.after)
    }
}

impl std::error::Error for Retry {}

/// An error that ends the job as canceled, without another attempt.
///
/// ```
/// let stop = huey_core::Cancel::because("the user is gone");
/// assert_eq!(stop.to_string(), "the user is gone");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancel {
    reason: String,
}

impl Cancel {
    /// Ends the job, giving `reason` as the cause.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

impl fmt::Display for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Cancel {}

/// An error that makes the job dead, whatever retries are left.
///
/// ```
/// use huey_core::Fatal;
///
/// fn charge(card: &str) -> Result<(), Fatal> {
///     card.parse::<u64>().map(drop).map_err(Fatal::new)
/// }
/// assert!(charge("none").is_err());
/// ```
#[derive(Debug)]
pub struct Fatal {
    error: BoxError,
}

impl Fatal {
    /// Gives up because of `error`.
    #[must_use]
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self { error: error.into() }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Fatal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// What a checkpoint says when the attempt is to end: its deadline has passed, or the job or the consumer is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// The attempt's timeout has passed.
    Deadline,
    /// The job was canceled.
    Canceled,
    /// The consumer is stopping and its grace is over.
    Shutdown,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadline => "the attempt passed its deadline",
            Self::Canceled => "the job was canceled",
            Self::Shutdown => "the consumer is stopping",
        })
    }
}

impl std::error::Error for Stopped {}

/// What a body that yielded nothing came to.
#[derive(Debug)]
#[doc(hidden)]
pub enum Failure {
    /// An ordinary error: text, then the texts of its sources.
    Failed {
        message: String,
        chain: Vec<String>,
    },
    Fatal {
        message: String,
        chain: Vec<String>,
    },
    Retry {
        after: Duration,
    },
    Cancel {
        reason: String,
    },
    Stopped(Stopped),
    /// It found a lock held.
    Locked {
        keys: Vec<Bytes>,
        why: String,
    },
    /// The stored arguments are not this task's.
    Unreadable(String),
    /// A `#[data]` parameter of a type that nobody provided.
    MissingData(&'static str),
    /// The result could not be stored.
    Unstorable(String),
}

impl Failure {
    /// Sorts an error by what is found in its chain of sources.
    #[must_use]
    pub fn from_error(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut at = Some(error);
        while let Some(link) = at {
            if let Some(retry) = link.downcast_ref::<Retry>() {
                return Self::Retry { after: retry.after };
            }
            if let Some(cancel) = link.downcast_ref::<Cancel>() {
                return Self::Cancel { reason: cancel.reason.clone() };
            }
            if let Some(stopped) = link.downcast_ref::<Stopped>() {
                return Self::Stopped(*stopped);
            }
            if let Some((why, keys)) =
                link.downcast_ref::<Error>().and_then(|error| Some((error, error.locked_keys()?)))
            {
                return Self::Locked { keys: keys.to_vec(), why: why.to_string() };
            }
            if link.is::<Fatal>() {
                return Self::Fatal { message: error.to_string(), chain: sources(error) };
            }
            at = link.source();
        }
        Self::Failed { message: error.to_string(), chain: sources(error) }
    }
}

fn sources(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(BoxError);
    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn a_chosen_ending_is_found_anywhere_in_the_chain() {
        let wrap = |error: BoxError| Failure::from_error(&Outer(error));
        assert!(
            matches!(wrap(Retry::after(Duration::from_secs(3)).into()), Failure::Retry { after } if after.as_secs() == 3)
        );
        assert!(matches!(wrap(Cancel::because("x").into()), Failure::Cancel { reason } if reason == "x"));
        assert!(matches!(wrap(Stopped::Deadline.into()), Failure::Stopped(Stopped::Deadline)));
        assert!(
            matches!(wrap(Fatal::new("bad").into()), Failure::Fatal { message, chain } if message == "outer" && chain == ["bad"])
        );
        assert!(
            matches!(wrap("plain".into()), Failure::Failed { message, chain } if message == "outer" && chain == ["plain"])
        );
    }
}
