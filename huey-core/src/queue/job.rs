//! A job on its way into a queue: the calls at its end, and the future of one.

use crate::sync::{Arc, Mutex, PoisonError};
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::Huey;
use crate::enqueue::{Chain, Enqueued, Group, Registered, Stored};
use crate::error::Result;
use crate::handle::{ChainHandle, GroupHandle, JobHandle};
use crate::job::Job;
use crate::task::Task;

impl<T: Registered> Job<T> {
    /// Stores the job, and returns once it is as durable as asked. Its arguments, encoded, may take up to 16 MiB less
    /// some bytes for the envelope; a megabyte is fine, but is better kept in a file that the job names.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused`] if a hook refused it, [`Error::is_conflict`] if another job holds its unique key and its task
    /// rejects a second one, [`Error::is_codec`] if its arguments cannot be stored,
    /// [`Error::is_full`], [`Error::is_unavailable`] or [`Error::is_unknown`] if the storage failed.
    ///
    /// [`Error::is_codec`]: crate::Error::is_codec
    /// [`Error::is_conflict`]: crate::Error::is_conflict
    /// [`Error::is_full`]: crate::Error::is_full
    /// [`Error::is_refused`]: crate::Error::is_refused
    /// [`Error::is_unavailable`]: crate::Error::is_unavailable
    /// [`Error::is_unknown`]: crate::Error::is_unknown
    pub fn enqueue(self, huey: &Huey) -> Result<JobHandle<T::Output>> {
        huey.check_process()?;
        let enqueued = huey.inner.pipeline.enqueue(self, huey.origin())?;
        Ok(huey.handle_of::<T>(enqueued))
    }

    /// As [`enqueue`](Self::enqueue), for async code: hooks run here and now, and no thread of the runtime waits for the
    /// disk. Dropping the future undoes nothing.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_async(self, huey: &Huey) -> EnqueueFuture<T> {
        let told = Arc::new(Told::default());
        if let Err(error) = huey.check_process() {
            told.tell(Err(error));
        } else {
            let teller = Arc::clone(&told);
            huey.inner.pipeline.submit(self, huey.origin(), move |result| teller.tell(result));
        }
        EnqueueFuture { told, huey: huey.clone(), task: PhantomData }
    }
}

impl<T: Registered> Chain<T> {
    /// Stores what it begins with, its first step or the members of its group, and with that what is to follow; all or none.
    ///
    /// # Errors
    ///
    /// As [`Job::enqueue`], for a job that it begins with; [`Error::is_codec`] also if the arguments of a later one cannot be
    /// stored; [`Error::is_conflict`] if one is answered with a job that is there, since that has no part in this flow;
    /// [`Error::is_bad_input`] if groups stand in groups more than 64 deep.
    ///
    /// [`Error::is_bad_input`]: crate::Error::is_bad_input
    /// [`Error::is_codec`]: crate::Error::is_codec
    /// [`Error::is_conflict`]: crate::Error::is_conflict
    pub fn enqueue(self, huey: &Huey) -> Result<ChainHandle<T::Output>> {
        huey.check_process()?;
        let stored = huey.inner.pipeline.enqueue_flow(self.into_plan(), huey.origin())?;
        Ok(ChainHandle::new(stored.ids, stored.members, huey.handle_of::<T>(stored.last)))
    }
}

impl<O, By> Group<O, By> {
    /// Stores the members, all or none, in one commit. A job whose unique key is held is answered with the holder, as in
    /// [`Huey::enqueue_many`].
    ///
    /// # Errors
    ///
    /// As [`Chain::enqueue`], for any member; the error names it by its place.
    pub fn enqueue(self, huey: &Huey) -> Result<GroupHandle<O>> {
        huey.check_process()?;
        let stored = huey.inner.pipeline.enqueue_group(self.into_members())?;
        let handle = |one: Stored| JobHandle::new(one.last.id, one.task, one.last.is_new, huey.source());
        Ok(GroupHandle::new(stored.into_iter().map(handle).collect()))
    }
}

impl Huey {
    /// Stores jobs together, all of them or none, in one commit; the highest durability among them holds. Hooks run for
    /// each job in order, before anything is stored, and the handles come in that order. All of them are kept in memory
    /// until they are stored.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, Job, Registered, Result};
    /// # fn show<add: Registered<Output = i64>>(huey: &Huey, jobs: Vec<Job<add>>) -> Result<()> {
    /// let handles = huey.enqueue_many(jobs.into_iter().map(|job| job.priority(5)))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Job::enqueue`], naming the job by its place, and then none is stored; [`Error::is_conflict`] also where a
    /// unique key of a task that rejects is held.
    ///
    /// [`Error::is_conflict`]: crate::Error::is_conflict
    pub fn enqueue_many<T: Registered>(
        &self,
        jobs: impl IntoIterator<Item = Job<T>>,
    ) -> Result<Vec<JobHandle<T::Output>>> {
        self.check_process()?;
        let all = self.inner.pipeline.enqueue_many(jobs)?;
        Ok(all.into_iter().map(|enqueued| self.handle_of::<T>(enqueued)).collect())
    }

    /// As [`enqueue_many`](Self::enqueue_many), for async code: hooks run here and now, and no thread of the runtime
    /// waits for the disk. Dropping the future undoes nothing.
    ///
    /// # Errors
    ///
    /// As [`enqueue_many`](Self::enqueue_many).
    pub fn enqueue_many_async<T: Registered>(&self, jobs: impl IntoIterator<Item = Job<T>>) -> EnqueueManyFuture<T> {
        let told = Arc::new(Told::default());
        if let Err(error) = self.check_process() {
            told.tell(Err(error));
        } else {
            let teller = Arc::clone(&told);
            self.inner.pipeline.submit_many(jobs, move |result| teller.tell(result));
        }
        EnqueueManyFuture { told, huey: self.clone(), task: PhantomData }
    }
}

struct Told<R>(Mutex<(Option<Result<R>>, Option<Waker>)>);

impl<R> Default for Told<R> {
    fn default() -> Self {
        Self(Mutex::new((None, None)))
    }
}

impl<R> Told<R> {
    fn tell(&self, result: Result<R>) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Result<R>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.0.take() {
            return Poll::Ready(result);
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

/// An enqueue underway. The job is stored whether or not this is awaited.
#[must_use = "the job is stored anyway; await this to know that it is"]
pub struct EnqueueFuture<T> {
    told: Arc<Told<Enqueued>>,
    huey: Huey,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Future for EnqueueFuture<T> {
    type Output = Result<JobHandle<T::Output>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.told.poll(context).map_ok(|enqueued| self.huey.handle_of::<T>(enqueued))
    }
}

impl<T> fmt::Debug for EnqueueFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnqueueFuture")
    }
}

/// Many jobs that are being enqueued together. They are stored whether or not this is awaited.
#[must_use = "the jobs are stored anyway; await this to know that they are"]
pub struct EnqueueManyFuture<T> {
    told: Arc<Told<Vec<Enqueued>>>,
    huey: Huey,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Future for EnqueueManyFuture<T> {
    type Output = Result<Vec<JobHandle<T::Output>>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let handle = |enqueued| self.huey.handle_of::<T>(enqueued);
        self.told.poll(context).map_ok(|all| all.into_iter().map(handle).collect())
    }
}

impl<T> fmt::Debug for EnqueueManyFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnqueueManyFuture")
    }
}
