//! A consumer that runs, and its stop.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::crew::Crew;
use super::health::Health;
use super::supervisor::see_off;
use crate::error::{Error, Result};
use crate::process::Process;
use crate::store::{Answer, Query, QueueInfo, Version};
use crate::time::Timestamp;

/// How a stop went, and who waits to know.
#[derive(Default)]
pub(crate) struct Done {
    state: Mutex<(Option<Result<()>>, Vec<Waker>)>,
    told: Condvar,
}

impl Done {
    fn lock(&self) -> MutexGuard<'_, (Option<Result<()>>, Vec<Waker>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, result: Result<()>) {
        let wakers = {
            let mut state = self.lock();
            state.0 = Some(result);
            std::mem::take(&mut state.1)
        };
        self.told.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A running consumer. Dropping it stops it gracefully, and waits for that.
#[must_use = "dropping the handle stops the consumer"]
pub struct ConsumerHandle {
    /// `None` once a stop has been asked for.
    crew: Option<Arc<Crew>>,
    done: Arc<Done>,
    grace: Duration,
    process: Process,
}

impl ConsumerHandle {
    pub(crate) fn new(crew: Arc<Crew>, done: Arc<Done>, grace: Duration) -> Self {
        Self { crew: Some(crew), done, grace, process: Process::this() }
    }

    /// Stops the consumer gracefully: nothing more is claimed from now on. Wait for the end with
    /// [`wait`](Stopping::wait), or with `.await` in any runtime.
    ///
    /// ```no_run
    /// # async fn show(consumer: huey_core::ConsumerHandle) -> huey_core::Result<()> {
    /// consumer.shutdown().await
    /// # }
    /// ```
    pub fn shutdown(mut self) -> Stopping {
        self.stop();
        Stopping { done: Arc::clone(&self.done) }
    }

    fn stop(&mut self) {
        let Some(crew) = self.crew.take() else { return };
        if let Err(forked) = self.process.check() {
            // It goes on in the process that started it.
            std::mem::forget(crew);
            return self.done.tell(Err(forked));
        }
        crew.stop_claiming();
        let (done, grace) = (Arc::clone(&self.done), self.grace);
        let body = {
            let (crew, done) = (Arc::clone(&crew), Arc::clone(&done));
            move || {
                let seen_off = see_off(&crew, grace);
                // Whoever hears of it may close the queue by dropping it.
                drop(crew);
                done.tell(seen_off);
            }
        };
        if let Err(error) = crate::sync::thread::Builder::new().name("huey-supervisor".into()).spawn(body) {
            tracing::warn!(%error, "the stop happens on this thread");
            done.tell(see_off(&crew, grace));
        }
    }

    /// How it is: what its workers do, and what is wrong. Cheap enough to be asked every second.
    ///
    /// ```
    /// use huey_core::{HealthStatus, Huey, Memory};
    ///
    /// let huey = Huey::builder().open(Memory::new())?;
    /// let consumer = huey.consumer().workers(1).start()?;
    /// let health = consumer.health();
    /// assert_eq!((health.status, health.workers.len()), (HealthStatus::Ok, 1));
    /// # consumer.shutdown().wait()?;
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        // Only a handle that was consumed or dropped has none.
        self.crew.as_ref().map_or_else(Health::stopped, |crew| crew.health())
    }

    /// Blocks until nothing is queued, running or due in the queues that it serves. Jobs scheduled for later may be left, and
    /// those that wait in a paused queue.
    /// It waits for queued jobs also if they are of a kind that this consumer has nobody for.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer, or cannot read a job that is to run ([`Error::is_damaged`]).
    pub fn wait_idle(&self) -> Result<()> {
        self.process.check()?;
        let Some(crew) = &self.crew else { return Ok(()) };
        let storage = &crew.executor.storage;
        let mut seen = Version::default();
        loop {
            let claims = crew.claims();
            crew.wait_settled();
            let Answer::Queues(queues) = storage.read(Query::Queues)? else {
                return Err(Error::damaged("the storage answered a question about queues otherwise"));
            };
            let is_busy = |queue: &QueueInfo| queue.counts.running > 0 || (queue.counts.queued > 0 && !queue.paused);
            if !queues.iter().any(|queue| crew.queues.iter().any(|served| *served == *queue.name) && is_busy(queue)) {
                // A job that was claimed and ended in between may be about to make others: its receivers run.
                if crew.claims() == claims {
                    return Ok(());
                }
                continue;
            }
            if let Some(damage) = crew.executor.trouble.damage() {
                return Err(Error::damaged(damage));
            }
            // What happened since the version seen last ends this wait at once.
            seen = storage.wait(seen, Timestamp::MAX);
        }
    }
}

impl Drop for ConsumerHandle {
    fn drop(&mut self) {
        if self.crew.is_some() {
            self.stop();
            if let Err(error) = (Stopping { done: Arc::clone(&self.done) }).wait() {
                tracing::error!(%error, "the consumer did not stop cleanly");
            }
        }
    }
}

impl fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerHandle").field("grace", &self.grace).finish_non_exhaustive()
    }
}

/// A consumer that stops. It goes on stopping if nobody waits for it.
#[must_use = "the consumer stops anyway; `wait` or `.await` this to know when it has"]
pub struct Stopping {
    done: Arc<Done>,
}

impl Stopping {
    /// Blocks until the consumer has stopped.
    ///
    /// # Errors
    ///
    /// If a body did not look at its [`Context`](crate::Context) after the grace, an error that names its job.
    pub fn wait(self) -> Result<()> {
        let mut state = self.done.lock();
        loop {
            if let Some(result) = state.0.take() {
                return result;
            }
            state = self.done.told.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl fmt::Debug for Stopping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stopping")
    }
}

/// The future of a stop.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForStop(Stopping);

impl Future for WaitForStop {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let mut state = self.0.done.lock();
        if let Some(result) = state.0.take() {
            return Poll::Ready(result);
        }
        if !state.1.iter().any(|known| known.will_wake(context.waker())) {
            state.1.push(context.waker().clone());
        }
        Poll::Pending
    }
}

impl IntoFuture for Stopping {
    type Output = Result<()>;
    type IntoFuture = WaitForStop;

    fn into_future(self) -> WaitForStop {
        WaitForStop(self)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use crate::Huey;
    use crate::store::{Commit, Memory, Outcome, Transition};
    use crate::testing::{job_id, new_job};

    #[test]
    fn jobs_that_come_one_by_one_are_claimed_once_each_and_nobody_looks_in_vain() -> crate::Result<()> {
        let huey = Huey::builder().open(Memory::new())?;
        let consumer = huey.consumer().workers(2).start()?;
        let crew = consumer.crew.clone().ok_or_else(|| crate::Error::damaged("it has no crew"))?;
        let storage = &crew.executor.storage;
        let Outcome::Reserved { first, salt, .. } =
            storage.commit(Transition::Reserve { count: 9 }, Commit::RELAXED)?
        else {
            return Err(crate::Error::damaged("no counters"));
        };
        consumer.wait_idle()?;
        for counter in first..first + 9 {
            let job = new_job(job_id(storage.clock().now(), counter, salt));
            storage.commit(Transition::enqueue(vec![job]), Commit::RELAXED)?;
            consumer.wait_idle()?;
        }
        // Beside one for what was there before the start.
        assert!((9..=10).contains(&crew.claims()), "{} claims", crew.claims());
        drop(crew);
        consumer.shutdown().wait()
    }
}
