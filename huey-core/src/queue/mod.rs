//! `Huey`: the queue as a program holds it. Thin: it puts the parts together.

mod builder;
mod bulk;
mod control;
mod job;
mod jobs;
mod queues;
mod values;

use std::any::Any;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Weak};

pub use self::builder::HueyBuilder;
pub use self::job::{EnqueueFuture, EnqueueManyFuture};
pub use self::jobs::Jobs;
pub use self::queues::Queue;
pub use self::values::Values;
use crate::consumer::{Consumer, Inline, Owner};
use crate::enqueue::{Enqueued, Pipeline};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{Context, Executor};
use crate::handle::{JobHandle, Source};
use crate::id::JobId;
use crate::job::{DEFAULT_QUEUE, Origin};
use crate::periodic::{Schedules, Ticker};
use crate::signal::Subscription;
use crate::state::JobState;
use crate::store::{Answer, Counts, Findings, Missing, Query, Storage};
use crate::task::Task;

/// An open queue. Cheap to clone, and shared by threads.
///
/// The store is closed when the last clone, consumer and handle is gone. A `Huey` in a `static` is never dropped:
/// [`close`](Huey::close) it before the program ends, or what was enqueued as [`Durability::Relaxed`](crate::Durability::Relaxed) within the last
/// interval may be lost.
///
/// ```
/// use huey_core::{Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// huey.close()?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Huey {
    inner: Arc<Inner>,
    /// The job in whose body this handle was got.
    parent: Option<JobId>,
}

struct Inner {
    pipeline: Arc<Pipeline>,
    executor: Arc<Executor>,
    ticker: Arc<Ticker>,
    /// Runs jobs on the thread that asks for it: immediate mode, and the test kit.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "it is kept here, and called by the pipeline"))]
    inline: Arc<Inline>,
}

impl Huey {
    /// Begins to set up a queue.
    pub fn builder() -> HueyBuilder {
        HueyBuilder::default()
    }

    fn storage(&self) -> Result<&dyn Storage> {
        self.check_process()?;
        Ok(&*self.inner.pipeline.storage)
    }

    fn check_process(&self) -> Result<()> {
        self.inner.executor.process.check()
    }

    fn origin(&self) -> Origin {
        Origin::Call { parent: self.parent }
    }

    fn source(&self) -> Source {
        Source(Arc::clone(&self.inner.executor))
    }

    fn handle_of<T: Task>(&self, enqueued: Enqueued) -> JobHandle<T::Output> {
        JobHandle::new(enqueued.id, T::DEFINITION, enqueued.is_new, self.source())
    }

    /// The handle of a job, from its id.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, JobId, Registered, Result};
    /// # fn show<add: Registered<Output = i64>>(huey: &Huey, id: JobId) -> Result<()> {
    /// let sum: Option<i64> = huey.handle::<add>(id)?.get()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the job is one of another task, [`Error::is_no_such_job`] if there never was one of
    /// that id. A job that is gone has a handle, which says so.
    pub fn handle<T: Task>(&self, id: JobId) -> Result<JobHandle<T::Output>> {
        let task = T::DEFINITION;
        match self.storage()?.read(Query::Job(id))? {
            Answer::Job(Ok(row)) if !task.is_named(&row.task) => Err(Error::new(
                ErrorKind::BadInput,
                format!("the job {id} is one of `{}`, not of `{}`", row.task, task.name),
            )),
            Answer::Job(Err(Missing::NeverExisted)) => {
                Err(Error::new(ErrorKind::NoSuchJob, format!("no job of this queue ever had the id {id}")))
            }
            _ => Ok(self.handle_of::<T>(Enqueued { id, is_new: false })),
        }
    }

    /// Where a job is in its life. Never fails because of the id.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn status(&self, id: JobId) -> Result<JobState> {
        match self.storage()?.read(Query::Job(id))? {
            Answer::Job(Ok(row)) => Ok(row.state),
            Answer::Job(Err(Missing::Gone)) => Ok(JobState::Gone),
            Answer::Job(Err(Missing::NeverExisted)) => Ok(JobState::NeverExisted),
            other => Err(misanswered(&other)),
        }
    }

    /// How many jobs of all queues do what.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn counts(&self) -> Result<Counts> {
        match self.storage()?.read(Query::all_counts())? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(misanswered(&other)),
        }
    }

    /// How many jobs of a task do what, over all queues.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn counts_of<T: Task>(&self) -> Result<Counts> {
        let query = Query::Counts { queues: Vec::new(), tasks: T::DEFINITION.all_names() };
        match self.storage()?.read(query)? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(misanswered(&other)),
        }
    }

    /// Whether a job of the task is queued, running, or waiting for another attempt. One that is scheduled for later does
    /// not count until it is due.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn is_active<T: Task>(&self) -> Result<bool> {
        let counts = self.counts_of::<T>()?;
        Ok(counts.queued + counts.running + counts.retrying > 0)
    }

    /// The schedules: those that the code declares, and those added at run time.
    #[must_use]
    pub fn schedules(&self) -> Schedules<'_> {
        Schedules::new(&self.inner.ticker, self.origin())
    }

    /// Decides every tick that has come, as a consumer would. The instant of the next one.
    #[cfg(feature = "testing")]
    pub(crate) fn tick(&self) -> Result<crate::time::Timestamp> {
        self.inner.ticker.turn(&|| true)
    }

    /// Runs what is due on this thread, up to so many attempts. How many there were.
    #[cfg(feature = "testing")]
    pub(crate) fn drain(&self, most: usize) -> Result<usize> {
        self.check_not_nested()?;
        Ok(self.inner.inline.drain(most)?)
    }

    /// Runs the attempt that is next.
    #[cfg(feature = "testing")]
    pub(crate) fn run_next(&self) -> Result<Option<JobId>> {
        self.check_not_nested()?;
        Ok(self.inner.inline.run_next()?)
    }

    #[cfg(feature = "testing")]
    fn check_not_nested(&self) -> Result<()> {
        if self.inner.inline.is_nested() {
            return Err(Error::new(
                ErrorKind::WouldBlock,
                "a body, hook or receiver cannot run the jobs of its own queue",
            ));
        }
        Ok(())
    }

    /// When the next scheduled job is due.
    #[cfg(feature = "testing")]
    pub(crate) fn next_due(&self, now: crate::time::Timestamp) -> Result<Option<crate::time::Timestamp>> {
        Ok(self.inner.inline.next_due(now)?)
    }

    /// Stored arguments of a task in words.
    #[cfg(feature = "testing")]
    pub(crate) fn show(&self, task: &str, args: &[u8]) -> String {
        self.inner.executor.registry.find(task).map_or_else(String::new, |found| (found.task.shown)(args))
    }

    /// Every signal from now on, through a channel that holds `capacity` of them: for slow work, which no job waits for.
    /// When it is full the oldest is dropped and counted.
    ///
    /// # Errors
    ///
    /// [`Error::is_setup`] in a fork of the process that opened the queue: nothing would come.
    pub fn subscribe(&self, capacity: usize) -> Result<Subscription> {
        self.check_process()?;
        Ok(self.inner.pipeline.signals.subscribe(capacity, None))
    }

    /// A consumer of this queue, to be set up and started.
    pub fn consumer(&self) -> Consumer {
        // The consumer keeps the store open, whoever drops the last handle.
        let inner = Arc::clone(&self.inner);
        let owner: Owner = Arc::new(move |parent| Some(as_parent(Arc::clone(&inner), parent)));
        let queue = self.inner.executor.defaults.queue.unwrap_or(DEFAULT_QUEUE);
        Consumer::new(Arc::clone(&self.inner.executor), owner, Arc::clone(&self.inner.ticker), queue)
    }

    /// Writes all that the queue holds as text, while it goes on: as it stands at one instant not before this call, with every
    /// job whose enqueue had returned. `huey::import` makes a queue of it.
    ///
    /// A running job is written as one that waits again, and one that is to run at most once as one that may have begun. The
    /// journal keeps its old entries until the text is written, so it grows meanwhile by what is appended.
    ///
    /// ```
    /// # use huey_core::{Huey, Memory};
    /// let huey = Huey::builder().open(Memory::new())?;
    /// let mut copy = Vec::new();
    /// println!("{}", huey.backup(&mut copy)?);
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_unavailable`] if `out` cannot be written, or the store failed on the way. What was written then is cut
    /// off, which an import notices.
    pub fn backup(&self, out: &mut dyn Write) -> Result<Findings> {
        Ok(self.storage()?.export(out)?)
    }

    /// Makes everything durable and closes the store, whoever still holds a handle. Later calls get
    /// [`Error::is_closed`], and so do those who wait for a job. The place itself is let go, for another process or
    /// another `open`, once the last clone, handle and consumer is gone: until then an attempt may still run.
    ///
    /// # Errors
    ///
    /// When something could not be made durable.
    pub fn close(&self) -> Result<()> {
        let closed = self.storage()?.close();
        // Nobody will tell those who wait of an end any more.
        self.inner.executor.waiters.close();
        self.inner.executor.signals.close();
        Ok(closed?)
    }
}

/// The handle of the queue for the body of a job.
fn as_parent(inner: Arc<Inner>, parent: JobId) -> Arc<dyn Any + Send + Sync> {
    Arc::new(Huey { inner, parent: Some(parent) })
}

/// Makes handles for bodies, while somebody else keeps the queue open.
fn owner(inner: Weak<Inner>) -> Owner {
    Arc::new(move |parent| inner.upgrade().map(|inner| as_parent(inner, parent)))
}

fn misanswered(answer: &Answer) -> Error {
    Error::damaged(format!("the storage answered another question: {answer:?}"))
}

impl fmt::Debug for Huey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Huey({})", self.inner.pipeline.storage.name())
    }
}

impl Context {
    /// The queue that runs this job. What is enqueued through it names this job as its parent.
    ///
    /// # Errors
    ///
    /// [`Error::is_setup`] on a [detached](Context::detached) context, which belongs to no queue.
    pub fn huey(&self) -> Result<&Huey> {
        self.owner().and_then(|owner| owner.downcast_ref()).ok_or_else(|| {
            Error::new(ErrorKind::Setup, "a detached context belongs to no queue: run the job through a consumer")
        })
    }
}
