//! When a task runs by itself.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cron::Cron;
use crate::error::{Error, ErrorKind, Result};

/// What becomes of a tick while a job of the same task is active: queued, running, or waiting for another attempt,
/// whoever enqueued it. A job that is scheduled for later counts from when it is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Overlap {
    /// It makes no job. The default.
    #[default]
    Skip,
    /// It makes one if none waits yet, so that one may wait beside the running one.
    QueueOne,
    /// It makes one.
    Allow,
}

/// What becomes of ticks that are first seen more than 60 seconds late, because no consumer ran or the machine slept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Missed {
    /// They make no jobs. The default.
    #[default]
    Skip,
    /// The newest of them makes a job.
    Once,
    /// The newest of them, up to so many, make a job each, in their order.
    All(u32),
}

/// When jobs are made by themselves, and what becomes of a tick that comes at a bad time.
///
/// The attribute writes one for `cron = ".."` or `every = ".."`; at run time [`Schedules`](crate::Schedules) takes one.
///
/// ```
/// use std::time::Duration;
/// use huey_core::{Missed, Overlap, Schedule};
///
/// let nightly = Schedule::cron("30 2 * * *")?.tz("Europe/Berlin").missed(Missed::Once);
/// let often = Schedule::every(Duration::from_secs(90))?.overlap(Overlap::Allow);
/// assert_eq!(nightly.to_string(), "cron 30 2 * * * in Europe/Berlin");
/// assert_eq!(often.to_string(), "every 90s");
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub(crate) timing: Timing,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timing {
    Cron {
        text: Cow<'static, str>,
        /// An IANA name; UTC if there is none.
        tz: Option<Cow<'static, str>>,
    },
    Every(Duration),
}

/// The shortest distance of two ticks: each is made durable.
const SHORTEST: Duration = Duration::from_secs(1);
const TOO_SHORT: &str =
    "a schedule ticks at most once a second, since each tick is made durable: set `every` to 1 s or more";

impl Schedule {
    /// At the times that a cron expression names: minute, hour, day of the month, month and weekday, each `*`, a number
    /// or a name, a range, a step, or a list of these; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Where
    /// both fields of days are restricted, one of them is enough. In UTC, unless [`tz`](Self::tz) says otherwise.
    ///
    /// An expression whose hours are named one by one means times of the day: one that daylight saving leaves out runs at
    /// the next instant that exists, one that it repeats runs once. An expression with `*`, a range or a step in the hour
    /// follows elapsed time.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if it is no such expression, or if it can never run.
    pub fn cron(expression: impl Into<String>) -> Result<Self> {
        let text = expression.into();
        match Cron::parse(&text) {
            Ok(_) => Ok(Self::of(Timing::Cron { text: text.into(), tz: None })),
            Err(fault) => Err(Error::new(ErrorKind::BadInput, format!("`{text}`: {fault}"))),
        }
    }

    /// Every so often, counted from the Unix epoch, so that all consumers and all restarts agree.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if it is less than a second.
    pub fn every(distance: Duration) -> Result<Self> {
        if distance < SHORTEST {
            return Err(Error::new(ErrorKind::BadInput, TOO_SHORT));
        }
        Ok(Self::of(Timing::Every(distance)))
    }

    const fn of(timing: Timing) -> Self {
        Self { timing, overlap: Overlap::Skip, missed: Missed::Skip }
    }

    /// The time zone of a cron expression, by its IANA name. Without effect on [`every`](Self::every).
    #[must_use]
    pub fn tz(mut self, name: impl Into<String>) -> Self {
        if let Timing::Cron { tz, .. } = &mut self.timing {
            *tz = Some(name.into().into());
        }
        self
    }

    /// What becomes of a tick while a job of the task is active. [`Overlap::Skip`] unless set.
    #[must_use]
    pub const fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// What becomes of ticks that are seen late. [`Missed::Skip`] unless set.
    #[must_use]
    pub const fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// The attribute's.
    #[doc(hidden)]
    #[must_use]
    pub const fn declared_cron(text: &'static str, tz: Option<&'static str>) -> Self {
        let tz = match tz {
            Some(name) => Some(Cow::Borrowed(name)),
            None => None,
        };
        Self::of(Timing::Cron { text: Cow::Borrowed(text), tz })
    }

    /// The attribute's.
    #[doc(hidden)]
    #[must_use]
    pub const fn declared_every(distance: Duration) -> Self {
        Self::of(Timing::Every(distance))
    }
}

/// Fails to compile where an expression is wrong.
#[doc(hidden)]
#[track_caller]
pub const fn check_cron(text: &str) {
    if let Err(fault) = Cron::parse(text) {
        panic!("{}", fault)
    }
}

/// Fails to compile where a distance is too short.
#[doc(hidden)]
#[track_caller]
pub const fn check_every(distance: Duration) {
    assert!(distance.as_nanos() >= SHORTEST.as_nanos(), "{}", TOO_SHORT);
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.timing {
            Timing::Cron { text, tz: Some(tz) } => write!(f, "cron {text} in {tz}"),
            Timing::Cron { text, tz: None } => write!(f, "cron {text}"),
            Timing::Every(distance) => write!(f, "every {distance:?}"),
        }
    }
}

/// Why a tick made no job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SkipReason {
    /// It was seen more than 60 seconds late.
    Missed,
    /// A job of the task was active.
    Overlap,
    /// The schedule was paused.
    Paused,
}

impl SkipReason {
    /// The reason in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::Overlap => "overlap",
            Self::Paused => "paused",
        }
    }
}
