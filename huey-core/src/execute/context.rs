//! What a running body may know and do.

use crate::sync::atomic::{AtomicU8, Ordering};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::executor::Executor;
use super::lock::{self, LockGuard};
use crate::id::JobId;
use crate::job::Origin;
use crate::signal::{Signal, SignalKind};
use crate::store::{Commit, Lease, Outcome, Progress, Transition};
use crate::task::{Call, Failure, KeyPart, Stopped};
use crate::time::monotonic;

/// The running job, as its body sees it through a `#[ctx]` parameter.
///
/// ```
/// use huey_core::Context;
///
/// fn crunch(ctx: &Context, parts: u32) -> Result<(), huey_core::BoxError> {
///     for part in 0..parts {
///         ctx.checkpoint()?; // ends here once the job is canceled, late, or to be given back
///         let _ = part;
///     }
///     Ok(())
/// }
/// # let ctx = Context::detached();
/// # crunch(&ctx, 3).unwrap();
/// ```
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    id: JobId,
    task: Arc<str>,
    queue: Arc<str>,
    attempt: u32,
    origin: Origin,
    headers: Vec<(String, String)>,
    deadline: Option<Instant>,
    stop: Stop,
    /// The queue's handle, which belongs to a module that this one does not know.
    pub(crate) owner: Option<Arc<dyn Any + Send + Sync>>,
    /// Where it tells how far it is, and asks for locks.
    reporter: Option<(Arc<Executor>, Lease)>,
    locks: Arc<lock::Locks>,
}

/// Tells a running body to end. Shared by the context and those who may stop the attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicU8>);

impl Stop {
    pub(crate) fn because(&self, reason: Stopped) {
        let code = match reason {
            Stopped::Deadline => 1,
            Stopped::Canceled => 2,
            Stopped::Shutdown => 3,
        };
        // The first reason stands.
        let _ = self.0.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
    }

    pub(crate) fn reason(&self) -> Option<Stopped> {
        match self.0.load(Ordering::SeqCst) {
            1 => Some(Stopped::Deadline),
            2 => Some(Stopped::Canceled),
            3 => Some(Stopped::Shutdown),
            _ => None,
        }
    }
}

/// What a context is made of.
pub(crate) struct About {
    pub(crate) id: JobId,
    pub(crate) task: Arc<str>,
    pub(crate) queue: Arc<str>,
    pub(crate) attempt: u32,
    pub(crate) origin: Origin,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stop: Stop,
    pub(crate) owner: Option<Arc<dyn Any + Send + Sync>>,
    pub(crate) reporter: Option<(Arc<Executor>, Lease)>,
}

impl Context {
    pub(crate) fn new(about: About) -> Self {
        let deadline = about.timeout.and_then(|timeout| monotonic().checked_add(timeout));
        let About { id, task, queue, attempt, origin, headers, stop, owner, reporter, .. } = about;
        let locks = Arc::default();
        Self(Arc::new(Inner { id, task, queue, attempt, origin, headers, deadline, stop, owner, reporter, locks }))
    }

    /// A context of no job, to call a task's function by hand, as a unit test does: attempt 1, no deadline, never
    /// stopped.
    #[must_use]
    pub fn detached() -> Self {
        Self::new(About {
            id: JobId::new(crate::time::Timestamp::default(), 0, 0),
            task: "detached".into(),
            queue: "detached".into(),
            attempt: 1,
            origin: Origin::Call { parent: None },
            headers: Vec::new(),
            timeout: None,
            stop: Stop::default(),
            owner: None,
            reporter: None,
        })
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.id
    }

    /// The name of its task.
    #[must_use]
    pub fn task(&self) -> &str {
        &self.0.task
    }

    /// The name of its queue.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.0.queue
    }

    /// Which attempt this is, counted from 1. Attempts that were cut off and given back do not count.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// Why the job exists.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The job's headers, in the order in which they were set.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.0.headers
    }

    /// The value of one header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.0.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The instant at which the attempt is too late, if it has a timeout.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long the attempt may still take, if it has a timeout.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(monotonic()))
    }

    /// Asks whether the attempt is to go on. A plain function calls it now and then, and returns its error.
    ///
    /// # Errors
    ///
    /// [`Stopped`] once the deadline has passed, the job was canceled, or the consumer is done with its grace.
    pub fn checkpoint(&self) -> Result<(), Stopped> {
        if let Some(reason) = self.0.stop.reason() {
            return Err(reason);
        }
        if self.time_left().is_some_and(|left| left.is_zero()) {
            self.0.stop.because(Stopped::Deadline);
            return Err(Stopped::Deadline);
        }
        Ok(())
    }

    /// Tells how far the job is: so much done of so much, and what is being done. It can be read from the job's
    /// [handle](crate::JobHandle::progress) and is heard as [`SignalKind::Progress`](crate::SignalKind::Progress). It is
    /// written as [`Durability::Relaxed`](crate::Durability::Relaxed); on a [detached](Self::detached) context it does nothing.
    ///
    /// # Errors
    ///
    /// When the storage cannot note it. The job goes on, and its body may ignore that.
    pub fn progress(&self, done: u64, total: u64, note: impl Into<String>) -> crate::error::Result<()> {
        let Some((executor, lease)) = &self.0.reporter else { return Ok(()) };
        let progress = Progress::new(done, total, note);
        let transition = Transition::Progress { lease: *lease, progress: progress.clone() };
        if executor.storage.commit(transition, Commit::RELAXED)? != Outcome::Noted(true) {
            // Its lease was given away: what it comes to will be refused.
            self.0.stop.because(Stopped::Canceled);
        } else if executor.signals.hears(SignalKind::Progress) {
            executor.signals.emit(Signal {
                kind: SignalKind::Progress,
                sequence: 0,
                id: self.0.id,
                task: Arc::clone(&self.0.task),
                queue: Arc::clone(&self.0.queue),
                at: executor.storage.clock().now(),
                origin: self.0.origin,
                headers: self.0.headers.clone().into(),
                run_at: None,
                attempt: self.0.attempt,
                error: None,
                skipped: None,
                progress: Some(progress.into()),
                cause: None,
            });
        }
        Ok(())
    }

    /// Takes a lock, which is named by a text, or by a tuple of a text and more: `ctx.lock("ledger")?`,
    /// `ctx.lock(&("ledger", account))?`. A task that declares `lock = "ledger"`, or `lock("ledger", by(account))`, means the
    /// same one. It is freed when the guard is dropped, and at the latest when the attempt ends, however that happens.
    ///
    /// It never waits: when the lock is held this is an error, and a body that returns it, as it is or as a source of another
    /// one, is attempted again once the lock is free, and has it then. That attempt takes its place; none is spent. What the
    /// body did before is done again, so take locks first.
    ///
    /// A lock that the attempt holds already is given again: it is free once all its guards are dropped, or, if the task
    /// declares it, when the attempt ends. On a [detached](Self::detached) context every lock is free.
    ///
    /// # Errors
    ///
    /// [`is_locked`](crate::Error::is_locked) while another attempt holds it. When the storage cannot take it, or the key is
    /// longer than 1,024 bytes.
    pub fn lock<K: KeyPart + ?Sized>(&self, key: &K) -> crate::error::Result<LockGuard> {
        lock::take(&self.0.locks, self.0.reporter.as_ref(), key, &self.0.stop)
    }

    pub(crate) fn owner(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.owner.as_ref()
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("id", &self.0.id)
            .field("task", &self.0.task)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

/// The context of a run, for a `#[ctx]` parameter.
///
/// # Errors
///
/// [`Failure::MissingData`] if the call carries none, which no call of a consumer does.
#[doc(hidden)]
pub fn context_of(call: &Call) -> Result<&Context, Failure> {
    call.context.downcast_ref().ok_or(Failure::MissingData("huey::Context"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_tells_the_first_reason_to_stop() {
        let stop = Stop::default();
        let context = Context::detached();
        assert_eq!(context.checkpoint(), Ok(()));
        stop.because(Stopped::Canceled);
        stop.because(Stopped::Shutdown);
        assert_eq!(stop.reason(), Some(Stopped::Canceled));
    }
}
