//! Named queues: what they hold, and whether their jobs are given out.

use std::fmt;

use super::{Huey, misanswered};
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::Result;
use crate::execute::misanswered as misdone;
use crate::store::{Answer, Commit, Counts, Outcome, Query, QueueInfo, Transition};

/// One of the named queues of a [`Huey`]: [`Huey::queue`] makes it. Any name is one, also before a job was sent there.
///
/// ```
/// use huey_core::{Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// let mail = huey.queue("mail");
/// mail.pause()?;
/// assert!(mail.is_paused()?);
/// assert_eq!(mail.counts()?.queued, 0);
/// mail.resume()?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Queue {
    pub(super) huey: Huey,
    name: String,
}

impl Queue {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives out none of its jobs until it is [resumed](Self::resume), also after a restart. What runs runs on, and a few
    /// quick jobs that a worker has claimed together with it; jobs can be enqueued all the same. Whether it was paused
    /// before.
    ///
    /// # Errors
    ///
    /// When the storage cannot note it.
    pub fn pause(&self) -> Result<bool> {
        self.set(true)
    }

    /// Gives out its jobs again. Whether it was paused.
    ///
    /// # Errors
    ///
    /// When the storage cannot note it.
    pub fn resume(&self) -> Result<bool> {
        self.set(false)
    }

    fn set(&self, paused: bool) -> Result<bool> {
        let transition = Transition::Pause { queue: self.name.clone(), paused };
        match self.huey.storage()?.commit(transition, Commit::default())? {
            Outcome::Paused(was) => Ok(was),
            other => Err(misdone("pause", &other)),
        }
    }

    /// Whether it is paused.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn is_paused(&self) -> Result<bool> {
        Ok(self.huey.queues()?.iter().any(|queue| queue.paused && *queue.name == *self.name))
    }

    /// How many of its jobs do what. `results` counts those of all queues.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn counts(&self) -> Result<Counts> {
        let query = Query::Counts { queues: vec![self.name.clone()], tasks: Vec::new() };
        match self.huey.storage()?.read(query)? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(misanswered(&other)),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.name)
    }
}

impl Huey {
    /// The queue of that name.
    pub fn queue(&self, name: impl Into<String>) -> Queue {
        Queue { huey: self.clone(), name: name.into() }
    }

    /// The queues that hold a job that has not ended, or one that was given up, or are paused; by name.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn queues(&self) -> Result<Vec<QueueInfo>> {
        match self.storage()?.read(Query::Queues)? {
            Answer::Queues(queues) => Ok(queues),
            other => Err(misanswered(&other)),
        }
    }
}
