//! Listings: which jobs there are, page by page.

use std::collections::VecDeque;
use std::fmt;

use super::{Huey, misanswered};
use crate::error::Result;
use crate::handle::JobInfo;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Answer, List, Missing, Query, Rows};
use crate::task::Task;

/// How many jobs are asked for at a time.
const PAGE: u32 = 100;

impl Huey {
    /// The jobs that the queue knows, in the order of enqueueing: those that wait or run, and those that ended within
    /// their retention. What is read is a page at a time, so that jobs may move while they are listed; one that does is
    /// told as it was when its page was read.
    ///
    /// ```
    /// use huey_core::{Huey, JobState, Memory};
    ///
    /// let huey = Huey::builder().open(Memory::new())?;
    /// for job in huey.jobs().queue("mail").state(JobState::Dead).header("customer", "7") {
    ///     let job = job?;
    ///     println!("{} of {} gave up: {:?}", job.id, job.task, job.error);
    /// }
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    pub fn jobs(&self) -> Jobs {
        Jobs {
            huey: self.clone(),
            list: List { most: PAGE, ..List::default() },
            headers: Vec::new(),
            page: VecDeque::new(),
            is_last: false,
        }
    }

    /// What is known of a job; `None` if it is gone or never existed.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn info(&self, id: JobId) -> Result<Option<JobInfo>> {
        match self.storage()?.read(Query::Job(id))? {
            Answer::Job(Ok(row)) => Ok(Some((*row).into())),
            Answer::Job(Err(Missing::Gone | Missing::NeverExisted)) => Ok(None),
            other => Err(misanswered(&other)),
        }
    }
}

/// A listing, to be narrowed and then iterated over: [`Huey::jobs`] makes one.
#[must_use = "a listing reads nothing until it is iterated over"]
pub struct Jobs {
    pub(super) huey: Huey,
    pub(super) list: List,
    headers: Vec<(String, String)>,
    pub(super) page: VecDeque<JobInfo>,
    /// Whether nothing is left behind the page.
    pub(super) is_last: bool,
}

impl Jobs {
    /// Those of this task; called again, of another one too.
    pub fn task<T: Task>(mut self) -> Self {
        self.list.tasks.extend(T::DEFINITION.all_names());
        self
    }

    /// Those of the task of this name, also if the program does not know it.
    pub fn task_named(mut self, name: impl Into<String>) -> Self {
        self.list.tasks.push(name.into());
        self
    }

    /// Those of this queue; called again, of another one too.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.list.queues.push(queue.into());
        self
    }

    /// Those in this state; called again, in another one too.
    pub fn state(mut self, state: JobState) -> Self {
        self.list.states.push(state);
        self
    }

    /// Those with this header; called again, with the other one as well.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Those that were enqueued after this one: where a listing that was broken off goes on.
    pub fn after(mut self, id: JobId) -> Self {
        self.list.from = id.counter() + 1;
        self
    }

    pub(super) fn read(&mut self) -> Result<()> {
        let Rows { rows, next } = match self.huey.storage()?.read(Query::List(self.list.clone()))? {
            Answer::List(rows) => rows,
            other => return Err(misanswered(&other)),
        };
        let wanted = |job: &JobInfo| self.headers.iter().all(|header| job.headers.contains(header));
        self.page.extend(rows.into_iter().map(JobInfo::from).filter(wanted));
        match next {
            Some(next) => self.list.from = next,
            None => self.is_last = true,
        }
        Ok(())
    }
}

impl Iterator for Jobs {
    type Item = Result<JobInfo>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.page.is_empty() && !self.is_last {
            if let Err(error) = self.read() {
                self.is_last = true;
                return Some(Err(error));
            }
        }
        self.page.pop_front().map(Ok)
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("list", &self.list).field("headers", &self.headers).finish_non_exhaustive()
    }
}
