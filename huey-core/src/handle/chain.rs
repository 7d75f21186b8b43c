//! The handle of a chain.

use std::fmt;
use std::future::IntoFuture;
use std::ops::Deref;

use serde::de::DeserializeOwned;

use super::job_handle::{JobHandle, WaitForJob};
use crate::id::JobId;

/// A chain, as its caller sees it: the [handle](JobHandle) of its last step, and the ids of all its jobs.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn show(chain: huey_core::ChainHandle<u64>) -> huey_core::Result<()> {
/// for id in chain.ids() {
///     println!("{id}");
/// }
/// println!("{}", chain.wait(Duration::from_secs(5))?);
/// # Ok(())
/// # }
/// ```
pub struct ChainHandle<O> {
    ids: Vec<JobId>,
    members: Vec<JobId>,
    last: JobHandle<O>,
}

impl<O> ChainHandle<O> {
    pub(crate) fn new(ids: Vec<JobId>, members: Vec<JobId>, last: JobHandle<O>) -> Self {
        Self { ids, members, last }
    }

    /// The ids of all jobs, in the order of declaration: those of the group that it begins with, if it does, and then its
    /// steps. Those whose turn has not come are [awaiting](crate::JobState::Awaiting); [`Huey::handle`](crate::Huey::handle)
    /// makes a handle of any.
    #[must_use]
    pub fn ids(&self) -> &[JobId] {
        &self.ids
    }

    /// If it begins with a group, the id of each member, in the order of declaration: that of its last step, for a chain.
    #[must_use]
    pub fn members(&self) -> &[JobId] {
        &self.members
    }

    /// The handle of the last step.
    #[must_use]
    pub fn last(&self) -> &JobHandle<O> {
        &self.last
    }
}

impl<O> Deref for ChainHandle<O> {
    type Target = JobHandle<O>;

    fn deref(&self) -> &JobHandle<O> {
        &self.last
    }
}

impl<O> Clone for ChainHandle<O> {
    fn clone(&self) -> Self {
        Self { ids: self.ids.clone(), members: self.members.clone(), last: self.last.clone() }
    }
}

impl<O> fmt::Debug for ChainHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainHandle({} jobs, {:?})", self.ids.len(), self.last)
    }
}

impl<O: DeserializeOwned> IntoFuture for ChainHandle<O> {
    type Output = crate::error::Result<O>;
    type IntoFuture = WaitForJob<O>;

    fn into_future(self) -> WaitForJob<O> {
        self.last.into_future()
    }
}

impl<O: DeserializeOwned> IntoFuture for &ChainHandle<O> {
    type Output = crate::error::Result<O>;
    type IntoFuture = WaitForJob<O>;

    fn into_future(self) -> WaitForJob<O> {
        self.last.clone().into_future()
    }
}
