//! A job on its way into a queue: the calls at its end, and the future of one.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::Huey;
use crate::enqueue::{Enqueued, Registered};
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::Result;
use crate::handle::JobHandle;
use crate::job::Job;
use crate::task::Task;

impl<T: Registered> Job<T> {
    /// Stores the job, and returns once it is as durable as asked. Its arguments, encoded, may take up to 16 MiB less
    /// some bytes for the envelope; a megabyte is fine, but is better kept in a file that the job names.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused`] if a hook refused it, [`Error::is_codec`] if its arguments cannot be stored,
    /// [`Error::is_full`], [`Error::is_unavailable`] or [`Error::is_unknown`] if the storage failed.
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

#[derive(Default)]
struct Told(Mutex<(Option<Result<Enqueued>>, Option<Waker>)>);

impl Told {
    fn tell(&self, result: Result<Enqueued>) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An enqueue underway. The job is stored whether or not this is awaited.
#[must_use = "the job is stored anyway; await this to know that it is"]
pub struct EnqueueFuture<T> {
    told: Arc<Told>,
    huey: Huey,
    task: PhantomData<fn() -> T>,
}

impl<T: Task> Future for EnqueueFuture<T> {
    type Output = Result<JobHandle<T::Output>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.0.take() {
            return Poll::Ready(result.map(|enqueued| self.huey.handle_of::<T>(enqueued)));
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for EnqueueFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnqueueFuture")
    }
}
