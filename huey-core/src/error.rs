//! The public error: opaque, asked with `is_*`, and the stored record of a failed attempt.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::codec::Bytes;
use crate::time::Timestamp;

/// `Result` with the error of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error that a task or a hook may return.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. Ask it with the `is_*` methods; its text names the thing and the cure.
///
/// ```
/// let error = "no id".parse::<huey_core::JobId>().unwrap_err();
/// assert!(error.is_bad_input());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: Cow<'static, str>,
    source: Option<BoxError>,
}

/// The kinds that the predicates of [`Error`] tell apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ErrorKind {
    Conflict,
    BadInput,
    Codec,
    Refused { hook: String, reason: String },
    Setup,
    InUse,
    Damaged,
    Unavailable,
    Unknown,
    Full,
    Timeout,
    WouldBlock,
    Failed(Box<TaskError>),
    Ended(crate::state::JobState),
    NoSuchJob,
    Closed,
    Locked { keys: Vec<Bytes> },
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner { kind, text: text.into(), source: None }))
    }

    /// The same error, of one of many jobs that were to be enqueued together.
    pub(crate) fn of_job(mut self, index: usize) -> Self {
        self.0.text = format!("job {index} of the bulk, counted from 0: {}", self.0.text).into();
        self
    }

    /// The same error, of one of the members of a group.
    pub(crate) fn of_member(mut self, index: usize) -> Self {
        self.0.text = format!("member {index} of the group, counted from 0: {}", self.0.text).into();
        self
    }

    /// The same error, of that job.
    pub(crate) fn at_job(mut self, id: crate::id::JobId) -> Self {
        self.0.text = format!("the job {id}: {}", self.0.text).into();
        self
    }

    /// The same error, after so many jobs that it was done to.
    pub(crate) fn after(mut self, done: u64, what: &str) -> Self {
        self.0.text = format!("{done} jobs were {what} before this: {}", self.0.text).into();
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// For storages: a value given to a call is out of its range or cannot be read.
    pub fn bad_input(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::BadInput, text)
    }

    /// For storages: the place is open already, here or in another process.
    pub fn in_use(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InUse, text)
    }

    /// For storages: what is stored is not what was written, or not of this version.
    pub fn damaged(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Damaged, text)
    }

    /// For storages: the place cannot be used now, and nothing happened.
    pub fn unavailable(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, text)
    }

    /// A value given to this call is out of its range or cannot be read.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(self.0.kind, ErrorKind::BadInput)
    }

    /// Arguments, a result or a stored value could not be encoded or decoded.
    #[must_use]
    pub fn is_codec(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Codec)
    }

    /// A hook refused the enqueue; nothing was stored. [`Error::refused_by`] gives its name.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Refused { .. })
    }

    /// The name of the hook that refused, and its reason.
    #[must_use]
    pub fn refused_by(&self) -> Option<(&str, &str)> {
        match &self.0.kind {
            ErrorKind::Refused { hook, reason } => Some((hook, reason)),
            _ => None,
        }
    }

    /// Another job holds the unique key, and the task rejects a second one; nothing was stored. The text names the job.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Conflict)
    }

    /// The queue or the consumer is not set up to do this: two tasks of one name, data that nobody provided.
    #[must_use]
    pub fn is_setup(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Setup)
    }

    /// The store is open already, in this process or in another.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self.0.kind, ErrorKind::InUse)
    }

    /// The stored bytes are not what was written. Nothing was deleted.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Damaged)
    }

    /// The storage cannot be reached or used now; nothing happened, and the call may be repeated.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Closed)
    }

    /// The storage failed underway: the change may or may not have happened. Repeating the call is safe.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unknown)
    }

    /// Too little space is left on the disk, so new jobs are refused; nothing happened.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Full)
    }

    /// The time given to a wait has passed; the job goes on.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Timeout)
    }

    /// The call would wait for a job that this very thread may be needed to run.
    #[must_use]
    pub fn is_would_block(&self) -> bool {
        matches!(self.0.kind, ErrorKind::WouldBlock)
    }

    /// Another attempt holds the lock. A body that returns this error is attempted again once the lock is free.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Locked { .. })
    }

    /// The keys of the locks that the attempt asked for; the last is held.
    pub(crate) fn locked_keys(&self) -> Option<&[Bytes]> {
        match &self.0.kind {
            ErrorKind::Locked { keys } => Some(keys),
            _ => None,
        }
    }

    /// The queue has been closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Closed)
    }

    /// No job of that id and task is known: it never was, or it is past its retention.
    #[must_use]
    pub fn is_no_such_job(&self) -> bool {
        matches!(self.0.kind, ErrorKind::NoSuchJob)
    }

    /// The record of the job's last attempt, if it failed.
    #[must_use]
    pub fn task_error(&self) -> Option<&TaskError> {
        match &self.0.kind {
            ErrorKind::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How the job ended, if it ended otherwise than complete.
    #[must_use]
    pub fn ending(&self) -> Option<crate::state::JobState> {
        match &self.0.kind {
            ErrorKind::Failed(_) => Some(crate::state::JobState::Dead),
            ErrorKind::Ended(state) => Some(*state),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What `fn main() -> huey::Result<()>` prints: the text, then the causes.
        f.write_str(&self.0.text)?;
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

/// The stored record of a failed attempt.
///
/// ```
/// # fn show(handle: &huey_core::JobHandle<u64>) -> huey_core::Result<()> {
/// if let Err(error) = handle.wait(std::time::Duration::from_secs(5)) {
///     if let Some(failure) = error.task_error() {
///         println!("attempt {} failed: {}", failure.attempt, failure.message);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskError {
    /// The error's own text.
    pub message: String,
    /// The texts of its sources, outermost first.
    pub chain: Vec<String>,
    /// Where a panic happened, as `file:line:column`.
    pub place: Option<String>,
    /// Whether the body panicked.
    pub panicked: bool,
    /// Which attempt it was, counted from 1.
    pub attempt: u32,
    /// The thread that ran it.
    pub worker: String,
    /// When the attempt was claimed.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl TaskError {
    /// The record of a job that was running at too many crashes.
    pub(crate) fn crash_limit(crashes: u8) -> Self {
        Self::new(format!(
            "was running in {crashes} lives of a consumer that ended without stopping, which is its crash limit"
        ))
    }

    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            chain: Vec::new(),
            place: None,
            panicked: false,
            attempt: 0,
            worker: String::new(),
            started: Timestamp::default(),
            ended: Timestamp::default(),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        if let Some(place) = &self.place {
            write!(f, " (at {place})")?;
        }
        Ok(())
    }
}

impl std::error::Error for TaskError {}
