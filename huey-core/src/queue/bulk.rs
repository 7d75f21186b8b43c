//! What is done to many jobs by hand: a page of a listing at a time, each page in a commit of its own.

use super::jobs::Jobs;
use super::queues::Queue;
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::{ErrorKind, Result};
use crate::id::JobId;
use crate::state::JobState;

/// What one page came to: how many jobs it was done to, and what went wrong.
type Page = (u64, Result<()>);

impl Jobs {
    /// Cancels the jobs of the listing, as [`Huey::cancel`](crate::Huey::cancel) does one: those that wait or are parked end,
    /// those that run are told to stop. Those enqueued from now on are left alone. Gives their number.
    ///
    /// They are done a hundred at most in a commit, so that others get their turn in between. What went wrong underway leaves
    /// the rest as it is; the error says how far it came, and calling it again goes on there.
    ///
    /// ```
    /// # use huey_core::{Huey, Memory};
    /// let huey = Huey::builder().open(Memory::new())?;
    /// let canceled = huey.jobs().queue("mail").header("customer", "7").cancel_all()?;
    /// assert_eq!(canceled, 0);
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the listing names a state in which no job can be canceled; else when the storage cannot do
    /// it.
    pub fn cancel_all(self) -> Result<u64> {
        let can = [JobState::Queued, JobState::Scheduled, JobState::Running, JobState::Parked];
        self.each_page(("canceled", &can), |jobs, ids| jobs.huey.inner.executor.cancel_all(ids))
    }

    /// Drops the dead, lost and parked jobs of the listing, as [`Huey::purge`](crate::Huey::purge) does one, in steps like those
    /// of [`cancel_all`](Self::cancel_all). Gives their number.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the listing names a state in which no job can be purged; else when the storage cannot do it.
    pub fn purge_all(self) -> Result<u64> {
        self.each_page(("purged", &STANDING), |jobs, ids| jobs.huey.inner.executor.purge_all(ids))
    }

    /// Enqueues the dead, lost and parked jobs of the listing anew, as [`Huey::replay`](crate::Huey::replay) does one: each
    /// passes the hooks and has a commit of its own. Those that are given up from now on are left alone. Gives their number,
    /// without those for which another job answers.
    ///
    /// The first one that cannot be replayed ends it; the error names it, and says how many were before it.
    /// [`after`](Self::after) goes on behind it.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the listing names a state in which no job can be replayed; else as `replay`.
    pub fn replay_all(self) -> Result<u64> {
        self.each_page(("replayed", &STANDING), |jobs, ids| {
            let inner = &jobs.huey.inner;
            let mut done = 0;
            for id in ids {
                match inner.pipeline.replay(&inner.executor.registry, *id) {
                    Ok(enqueued) => done += u64::from(enqueued.is_new),
                    // Somebody else was faster.
                    Err(error) if error.is_no_such_job() => {}
                    Err(error) => return (done, Err(error.at_job(*id))),
                }
            }
            (done, Ok(()))
        })
    }

    /// Does something to the jobs of the listing that are there now, a page at a time.
    fn each_page(mut self, (what, can): (&str, &[JobState]), act: impl Fn(&Self, &[JobId]) -> Page) -> Result<u64> {
        self.huey.check_process()?;
        if let Some(state) = self.list.states.iter().find(|state| !can.contains(state)) {
            let can = can.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text = format!("a job that is {state} cannot be {what}: name {can} as states, or none");
            return Err(crate::error::Error::new(ErrorKind::BadInput, text));
        }
        if self.list.states.is_empty() {
            self.list.states = can.to_vec();
        }
        let pipeline = &self.huey.inner.pipeline;
        // Whatever is enqueued from now on has a higher counter.
        let end = pipeline.next_id(pipeline.storage.clock().now())?.counter();
        let mut done = 0;
        while !self.is_last && self.list.from < end {
            self.read().map_err(|error| error.after(done, what))?;
            let ids: Vec<JobId> = self.page.drain(..).map(|job| job.id).filter(|id| id.counter() < end).collect();
            if !ids.is_empty() {
                let (here, went) = act(&self, &ids);
                done += here;
                went.map_err(|error| error.after(done, what))?;
            }
        }
        Ok(done)
    }
}

/// In these states a job stands still until somebody does something about it.
const STANDING: [JobState; 3] = [JobState::Dead, JobState::Lost, JobState::Parked];

impl Queue {
    /// Cancels the jobs that wait in it, queued or scheduled, in the steps of [`Jobs::cancel_all`]. What runs runs on, parked
    /// jobs and those that were given up stay. Whoever waits for a job hears that it was canceled, and what follows it in a
    /// chain or a chord ends as with any cancel. Gives their number.
    ///
    /// # Errors
    ///
    /// When the storage cannot do it; the text says how many were canceled before.
    pub fn clear(&self) -> Result<u64> {
        self.huey.jobs().queue(self.name()).state(JobState::Queued).state(JobState::Scheduled).cancel_all()
    }
}
