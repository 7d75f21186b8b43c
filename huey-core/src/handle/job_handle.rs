//! The typed handle of one job.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::info::JobInfo;
use crate::codec;
use crate::error::{Error, ErrorKind, Result, TaskError};
use crate::execute::Executor;
use crate::id::JobId;
use crate::signal::{News, Subscription, Waiting, is_worker_of, note_await};
use crate::state::JobState;
use crate::store::{Answer, Commit, Ended, Missing, Outcome, Progress, Query, Row, StorageError, Transition};
use crate::task::Definition;
use crate::time::{Timestamp, monotonic};

/// Where a handle looks for its job.
#[derive(Clone)]
pub(crate) struct Source(pub(crate) Arc<Executor>);

/// A job, as its caller sees it; `O` is what its task yields.
///
/// It is cheap to clone, and can be made anew from the id with [`Huey::handle`](crate::Huey::handle). Reading a result
/// leaves it where it is; [`take`](JobHandle::take) does not.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn show(handle: huey_core::JobHandle<u64>) -> huey_core::Result<()> {
/// let sum = handle.wait(Duration::from_secs(5))?; // on a thread
/// let sum = handle.await?; // in any async runtime
/// # Ok(())
/// # }
/// ```
pub struct JobHandle<O> {
    id: JobId,
    task: &'static Definition,
    is_new: bool,
    source: Source,
    output: PhantomData<fn() -> O>,
}

impl<O> Clone for JobHandle<O> {
    fn clone(&self) -> Self {
        Self { source: self.source.clone(), output: PhantomData, ..*self }
    }
}

impl<O> fmt::Debug for JobHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobHandle({} {})", self.task.name, self.id)
    }
}

impl<O> JobHandle<O> {
    pub(crate) fn new(id: JobId, task: &'static Definition, is_new: bool, source: Source) -> Self {
        Self { id, task, is_new, source, output: PhantomData }
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.id
    }

    /// The name of its task.
    #[must_use]
    pub fn task(&self) -> &'static str {
        self.task.name
    }

    /// Whether the enqueue that gave this handle stored the job, rather than finding it there.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Where the job is in its life.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn status(&self) -> Result<JobState> {
        Ok(match self.read()? {
            Ok(row) => row.state,
            Err(Missing::Gone) => JobState::Gone,
            Err(Missing::NeverExisted) => JobState::NeverExisted,
        })
    }

    /// What is known of the job; `None` if it is gone.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn info(&self) -> Result<Option<JobInfo>> {
        Ok(self.read()?.ok().map(|row| (*row).into()))
    }

    /// How far the job's body says it is; `None` before it said anything, and once the job has ended.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn progress(&self) -> Result<Option<Progress>> {
        Ok(self.read()?.ok().filter(|row| !row.state.is_ended()).and_then(|row| row.progress))
    }

    /// Every signal of this job from now on, its progress among them, through a channel that holds `capacity` of them; see
    /// [`Subscription`].
    ///
    /// # Errors
    ///
    /// As [`Huey::subscribe`](crate::Huey::subscribe).
    pub fn subscribe(&self, capacity: usize) -> Result<Subscription> {
        self.source.0.process.check()?;
        Ok(self.source.0.signals.subscribe(capacity, Some(self.id)))
    }

    /// Cancels the job; see [`Huey::cancel`](crate::Huey::cancel).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn cancel(&self) -> Result<JobState> {
        self.source.0.cancel(self.id)
    }

    /// Gives the job another time; see [`Huey::reschedule`](crate::Huey::reschedule).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn reschedule(&self, at: impl Into<Timestamp>) -> Result<JobState> {
        self.source.0.reschedule(self.id, at.into())
    }

    fn read(&self) -> Result<Result<Box<Row>, Missing>> {
        match self.source.0.storage.read(Query::Job(self.id))? {
            Answer::Job(found) => Ok(found),
            other => Err(Error::damaged(format!("the storage answered a question about a job with {other:?}"))),
        }
    }

    fn missing(&self, missing: Missing) -> Error {
        let text = match missing {
            Missing::Gone => format!(
                "the job {} of `{}` is gone: its retention is over, or its result was taken",
                self.id, self.task.name
            ),
            Missing::NeverExisted => format!("no job of this queue ever had the id {}", self.id),
        };
        Error::new(ErrorKind::NoSuchJob, text)
    }
}

impl<O: DeserializeOwned> JobHandle<O> {
    /// The result, if the job has ended: `None` while it has not.
    ///
    /// # Errors
    ///
    /// If the job ended otherwise than complete ([`Error::ending`], [`Error::task_error`]); if it is gone or never
    /// existed ([`Error::is_no_such_job`]); if it is one of another task ([`Error::is_bad_input`]).
    pub fn get(&self) -> Result<Option<O>> {
        match self.read()? {
            Ok(row) if row.state.is_ended() => self.output(&row.task, row.state, &row.ended).map(Some),
            Ok(row) => self.check_task(&row.task).map(|()| None),
            Err(missing) => Err(self.missing(missing)),
        }
    }

    /// The result, if the job is complete, which the store then forgets: `None` while the job has not ended.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get). A job that ended otherwise than complete is left as it is.
    pub fn take(&self) -> Result<Option<O>> {
        let Some(output) = self.get()? else { return Ok(None) };
        let taken = self.source.0.storage.commit(Transition::Take { id: self.id }, Commit::default())?;
        match taken {
            // Somebody else may have taken it in between, and then it is theirs.
            Outcome::Taken(Some(_)) => Ok(Some(output)),
            _ => Err(self.missing(Missing::Gone)),
        }
    }

    /// Waits until the job has ended, and gives its result. It is woken, and does not poll.
    ///
    /// # Errors
    ///
    /// [`Error::is_timeout`] if it has not ended within `timeout`; it goes on. [`Error::is_would_block`] on a thread
    /// that runs or settles jobs of the same queue, which may be the one that the job waits for.
    /// [`Error::is_closed`] once the queue is closed. Else as [`get`](Self::get).
    pub fn wait(&self, timeout: Duration) -> Result<O> {
        self.check_thread()?;
        let until = monotonic().checked_add(timeout);
        let waiting = self.source.0.waiters.register(self.id);
        if let Some(output) = self.get()? {
            return Ok(output);
        }
        match waiting.block(until) {
            Some(news) => self.hear(&news),
            None => Err(Error::new(
                ErrorKind::Timeout,
                format!("the job {} of `{}` has not ended within {timeout:?}; it goes on", self.id, self.task.name),
            )),
        }
    }

    fn hear(&self, news: &News) -> Result<O> {
        match news {
            News::Ended(end) => self.output(&end.task, end.state, &end.ended),
            News::Closed => Err(StorageError::Closed.into()),
        }
    }

    /// Whether this thread may wait for the job.
    pub(super) fn check_thread(&self) -> Result<()> {
        if is_worker_of(self.source.0.waiters.key()) {
            return Err(Error::new(
                ErrorKind::WouldBlock,
                format!(
                    "a thread that runs or settles jobs cannot wait for the job {} of `{}`, which may need that very \
                     thread: `.await` the handle in an `async fn` task, or wait on a thread of your own",
                    self.id, self.task.name
                ),
            ));
        }
        Ok(())
    }

    fn check_task(&self, task: &str) -> Result<()> {
        if self.task.is_named(task) {
            return Ok(());
        }
        let text = format!("the job {} is one of `{task}`, not of `{}`", self.id, self.task.name);
        Err(Error::new(ErrorKind::BadInput, text))
    }

    fn output(&self, task: &str, state: JobState, ended: &Ended) -> Result<O> {
        self.check_task(task)?;
        let (id, name) = (self.id, self.task.name);
        let cause = ended.cause.as_deref().unwrap_or("no cause is known");
        match (state, &ended.output, &ended.error) {
            (JobState::Complete, Some(_), _) if ended.signature != self.task.output => Err(Error::new(
                ErrorKind::Codec,
                format!("the result of the job {id} of `{name}` was stored when the task returned another type"),
            )),
            (JobState::Complete, Some(output), _) => codec::decode(output),
            (JobState::Dead, _, Some(error)) => Err(failed(id, name, error)),
            _ => Err(Error::new(ErrorKind::Ended(state), format!("the job {id} of `{name}` is {state}: {cause}"))),
        }
    }
}

fn failed(id: JobId, name: &str, error: &TaskError) -> Error {
    let text = format!("the job {id} of `{name}` is dead: {error}");
    Error::new(ErrorKind::Failed(Box::new(error.clone())), text)
}

/// The future of a job's end. Works in every async runtime, and without one.
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForJob<O> {
    handle: JobHandle<O>,
    waiting: Option<Waiting>,
}

impl<O> fmt::Debug for WaitForJob<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WaitForJob({:?})", self.handle)
    }
}

impl<O: DeserializeOwned> Future for WaitForJob<O> {
    type Output = Result<O>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<O>> {
        if self.waiting.is_none() {
            self.waiting = Some(self.handle.source.0.waiters.register(self.handle.id));
            match self.handle.get() {
                Ok(Some(output)) => return Poll::Ready(Ok(output)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if let Some(news) = self.waiting.as_ref().and_then(|waiting| waiting.poll(context.waker())) {
            return Poll::Ready(self.handle.hear(&news));
        }
        note_await();
        Poll::Pending
    }
}

impl<O: DeserializeOwned> IntoFuture for JobHandle<O> {
    type Output = Result<O>;
    type IntoFuture = WaitForJob<O>;

    fn into_future(self) -> WaitForJob<O> {
        WaitForJob { handle: self, waiting: None }
    }
}

impl<O: DeserializeOwned> IntoFuture for &JobHandle<O> {
    type Output = Result<O>;
    type IntoFuture = WaitForJob<O>;

    fn into_future(self) -> WaitForJob<O> {
        self.clone().into_future()
    }
}
