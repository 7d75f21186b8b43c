//! What a hook sees of an enqueue, and may change.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::hook::HookResult;
use crate::codec::Bytes;
use crate::error::Result;
use crate::id::JobId;
use crate::job::{Keyed, Origin, Terms, deadline};
use crate::task::{Definition, Durability, Task, Unique};
use crate::time::Timestamp;
use crate::value;

/// What an enqueue came to, as `after_commit` callbacks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnqueueOutcome {
    /// The job is stored, at the durability asked for.
    Stored(JobId),
    /// Nothing was stored; this job answers for the request.
    Existing(JobId),
    /// A hook refused; nothing was stored.
    Refused {
        /// The hook's name.
        hook: String,
        /// Its reason.
        reason: String,
    },
    /// The storage failed; the text is the caller's error.
    Failed(String),
}

pub(crate) type Callback = Box<dyn FnOnce(&EnqueueOutcome) + Send>;

/// A job on its way into the queue.
///
/// ```
/// use huey_core::{Decision, EnqueueRequest, HookResult};
///
/// fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
///     request.header("actor", "signup");
///     request.put(&format!("audit/{}", request.id()), &"signup")?;
///     request.after_commit(|outcome| println!("{outcome:?}"));
///     Ok(Decision::Go)
/// }
/// ```
pub struct EnqueueRequest<'a> {
    pub(crate) id: JobId,
    pub(crate) origin: Origin,
    pub(crate) task: &'static Definition,
    pub(crate) args: Option<&'a mut dyn Any>,
    pub(crate) terms: &'a mut Terms,
    pub(crate) now: Timestamp,
    pub(crate) writes: &'a mut Vec<(String, Bytes)>,
    pub(crate) callbacks: &'a mut Vec<Callback>,
}

impl EnqueueRequest<'_> {
    /// The id that the job will have.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The name of the task.
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.task.name
    }

    /// Why the job is made.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The arguments, if the job is one of the task `T`.
    #[must_use]
    pub fn args<T: Task>(&self) -> Option<&T> {
        self.args.as_deref()?.downcast_ref()
    }

    /// The arguments, to be edited, if the job is one of the task `T`.
    #[must_use]
    pub fn args_mut<T: Task>(&mut self) -> Option<&mut T> {
        self.args.as_deref_mut()?.downcast_mut()
    }

    /// Sets a header, which travels with the job. A second value under one name replaces the first.
    pub fn header(&mut self, name: impl Into<String>, value: impl Into<String>) {
        crate::job::set_header(&mut self.terms.headers, name.into(), value.into());
    }

    /// The headers, in the order in which they were set.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.terms.headers
    }

    /// The queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.terms.queue
    }

    /// Sends the job to another queue.
    pub fn set_queue(&mut self, queue: impl Into<Cow<'static, str>>) {
        self.terms.queue = queue.into();
    }

    /// The priority; higher runs first.
    #[must_use]
    pub fn priority(&self) -> i16 {
        self.terms.priority
    }

    /// Changes the priority.
    pub fn set_priority(&mut self, priority: i16) {
        self.terms.priority = priority;
    }

    /// When the job may run.
    #[must_use]
    pub fn run_at(&self) -> Timestamp {
        self.terms.run_at
    }

    /// Changes when the job may run; an instant in the past means now.
    pub fn set_run_at(&mut self, instant: impl Into<Timestamp>) {
        self.terms.run_at = instant.into().max(self.now);
    }

    /// Runs the job once `delay` has passed since it was enqueued.
    pub fn set_delay(&mut self, delay: Duration) {
        self.terms.run_at = self.now + delay;
    }

    /// When the job is too late to be picked up.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.terms.expires
    }

    /// Changes how long after its enqueueing the job may be picked up; `None` for ever.
    pub fn set_expires(&mut self, after: Option<Duration>) {
        self.terms.expires = after.map(|after| deadline(self.now, after));
    }

    /// How many more attempts a failed one is given.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.terms.retries
    }

    /// Changes how many more attempts a failed one is given.
    pub fn set_retries(&mut self, retries: u32) {
        self.terms.retries = retries;
    }

    /// How long one attempt may take.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.terms.timeout
    }

    /// Changes how long one attempt may take; `None` for as long as it likes.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.terms.timeout = timeout;
    }

    /// The unique key that the job is to hold, as its task, its caller or a hook before this one said. A key that is made
    /// of the arguments cannot be seen by a typed hook, to which they are lent.
    #[must_use]
    pub fn unique(&self) -> Option<Unique> {
        match &self.terms.unique {
            Keyed::Fixed(unique) => Some(unique.clone()),
            Keyed::Rule(rule) => self.args.as_deref().and_then(|args| rule.of(args)),
            Keyed::No => None,
        }
    }

    /// Changes the unique key; `None` for none.
    pub fn set_unique(&mut self, unique: Option<Unique>) {
        self.terms.unique = unique.map_or(Keyed::No, Keyed::Fixed);
    }

    /// What must have happened before the enqueue returns.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.terms.durability
    }

    /// Stores a value under `key` in the job's own commit: both or neither. [`Huey::get`](crate::Huey::get) reads it. Keys and
    /// values may be as large as those of [`Huey::put`](crate::Huey::put), and stay until they are taken.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`](crate::Error::is_bad_input) if the key is empty or too long,
    /// [`Error::is_codec`](crate::Error::is_codec) if the value cannot be encoded or is too large.
    pub fn put<V: Serialize + ?Sized>(&mut self, key: &str, value: &V) -> Result<()> {
        self.writes.push((key.to_owned(), value::encode(key, value)?));
        Ok(())
    }

    /// Runs `callback` once the outcome is known: exactly once, in reverse order of the hooks, before the receivers of
    /// `enqueued`. It cannot change the outcome, and a panic in it is logged.
    pub fn after_commit(&mut self, callback: impl FnOnce(&EnqueueOutcome) + Send + 'static) {
        self.callbacks.push(Box::new(callback));
    }

    /// Lends the arguments and the rest of the request to a typed hook.
    pub(crate) fn with_args<T: Task>(
        &mut self,
        hook: impl FnOnce(&mut T, &mut EnqueueRequest<'_>) -> HookResult,
    ) -> HookResult {
        let Some(lent) = self.args.take() else {
            return Err("the arguments are lent to another typed hook".into());
        };
        let Some(args) = lent.downcast_mut::<T>() else {
            return Err(
                format!("the hook takes `{}`, the job is one of `{}`", T::DEFINITION.name, self.task.name).into()
            );
        };
        let mut rest = EnqueueRequest {
            id: self.id,
            origin: self.origin,
            task: self.task,
            args: None,
            terms: self.terms,
            now: self.now,
            writes: self.writes,
            callbacks: self.callbacks,
        };
        let decision = hook(args, &mut rest);
        self.args = Some(lent);
        decision
    }
}

impl fmt::Debug for EnqueueRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnqueueRequest")
            .field("id", &self.id)
            .field("task", &self.task.name)
            .field("origin", &self.origin)
            .field("terms", &self.terms)
            .finish_non_exhaustive()
    }
}
