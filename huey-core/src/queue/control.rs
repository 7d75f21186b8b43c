//! What is done to jobs and tasks by hand.

use super::{Huey, misanswered};
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::Result;
use crate::execute::misanswered as misdone;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Answer, Commit, Explanation, Outcome, Query, Revocation, Transition};
use crate::task::Task;
use crate::time::Timestamp;

impl Huey {
    /// Cancels a job, for good. One that waits ends at once, and lets go of all it held. One that runs is told to stop: an
    /// async body is dropped at its next await, a plain one hears it at its next
    /// [`checkpoint`](crate::Context::checkpoint), and it is not attempted again; a value that it yields all the same stands.
    ///
    /// Gives the state of the job now: `Canceled`, `Running` if it was told to stop, or how it had ended before.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, JobId, JobState, Result};
    /// # fn show(huey: &Huey, id: JobId) -> Result<()> {
    /// if huey.cancel(id)? == JobState::Complete {
    ///     println!("too late");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_no_such_job`] if it is gone or never existed; else when the storage cannot answer.
    pub fn cancel(&self, id: JobId) -> Result<JobState> {
        self.check_process()?;
        self.inner.executor.cancel(id)
    }

    /// Why a job has not run: its time, a paused queue, a task that this program does not have, no worker for its queue in this
    /// process, what it follows; or that it runs, or how it ended. Shown, it is a sentence for people; asking is cheap, changes
    /// nothing, and decodes no arguments.
    ///
    /// A job does not wait for a unique key: one whose key is held is not stored.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, JobId, Reason, Result};
    /// # fn show(huey: &Huey, id: JobId) -> Result<()> {
    /// let explanation = huey.explain(id)?;
    /// if explanation.reasons.contains(&Reason::Paused) {
    ///     huey.queue(&*explanation.queue).resume()?;
    /// }
    /// println!("{explanation}");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_no_such_job`] if it is gone or never existed; else when the storage cannot answer.
    pub fn explain(&self, id: JobId) -> Result<Explanation> {
        self.check_process()?;
        self.inner.executor.explain(id)
    }

    /// Gives a waiting job another time; one in the past means now. Among the jobs that are due its place stays that of its
    /// enqueueing. Gives its state now, `Queued` or `Scheduled`.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if it does not wait; [`Error::is_no_such_job`] if it is gone or never existed; else when the
    /// storage cannot answer.
    pub fn reschedule(&self, id: JobId, at: impl Into<Timestamp>) -> Result<JobState> {
        self.check_process()?;
        let outermost = self.inner.pipeline.outermost();
        let state = self.inner.executor.reschedule(id, at.into())?;
        if let Some(outermost) = outermost {
            outermost.run(&[id]);
            return self.status(id);
        }
        Ok(state)
    }

    /// Enqueues a dead, lost or parked job anew, with its arguments, headers, priority and queue, and drops the old one in
    /// the same commit. It is a new job, with an id of its own and the origin
    /// [`Replay`](crate::Origin::Replay); it passes the hooks.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if it is none of these; [`Error::is_setup`] if this program does not have its task;
    /// [`Error::is_no_such_job`] if it is gone or never existed; else as [`Job::enqueue`](crate::Job::enqueue).
    pub fn replay(&self, id: JobId) -> Result<JobId> {
        self.check_process()?;
        self.inner.pipeline.replay(&self.inner.executor.registry, id).map(|enqueued| enqueued.id)
    }

    /// Drops a dead, lost or parked job, with its arguments and its record. Whether it was one.
    ///
    /// # Errors
    ///
    /// When the storage cannot do it.
    pub fn purge(&self, id: JobId) -> Result<bool> {
        self.check_process()?;
        self.inner.executor.purge(id)
    }

    /// Marks a task: its jobs are discarded when they are picked up, and can be had back until then by
    /// [`restore`](Self::restore). A second mark takes the place of the first. A task with an `alias` is marked under each of its
    /// names: [`Revocation::Once`] then stands for one job of each.
    ///
    /// # Errors
    ///
    /// When the storage cannot note it.
    pub fn revoke<T: Task>(&self, mark: Revocation) -> Result<()> {
        self.mark::<T>(Some(mark)).map(drop)
    }

    /// Takes the mark of a task away. Whether it was revoked.
    ///
    /// # Errors
    ///
    /// When the storage cannot note it.
    pub fn restore<T: Task>(&self) -> Result<bool> {
        self.mark::<T>(None)
    }

    fn mark<T: Task>(&self, mark: Option<Revocation>) -> Result<bool> {
        let mut was = false;
        for task in T::DEFINITION.all_names() {
            match self.storage()?.commit(Transition::Revoke { task, mark }, Commit::default())? {
                Outcome::Revoked(before) => was |= before,
                other => return Err(misdone("revocation", &other)),
            }
        }
        Ok(was)
    }

    /// How a task is revoked, if it is. Asking changes nothing.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn revocation<T: Task>(&self) -> Result<Option<Revocation>> {
        for task in T::DEFINITION.all_names() {
            match self.storage()?.read(Query::Revocation(task))? {
                Answer::Revocation(None) => {}
                Answer::Revocation(mark) => return Ok(mark),
                other => return Err(misanswered(&other)),
            }
        }
        Ok(None)
    }
}
