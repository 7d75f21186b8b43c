//! The handles of a group.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::job_handle::{JobHandle, WaitForJob};
use crate::error::Result;
use crate::time::monotonic;

/// The jobs of a group, as its caller sees them: a [handle](JobHandle) for each member, in the order of declaration. That of a
/// member which is a chain is the handle of its last step.
///
/// ```no_run
/// # use std::time::Duration;
/// # fn show(group: huey_core::GroupHandle<u64>) -> huey_core::Result<()> {
/// println!("{} members, the first is {}", group.len(), group[0].id());
/// let sums: Vec<u64> = group.wait(Duration::from_secs(5))?;
/// for (handle, result) in huey_core::as_completed(group) {
///     println!("{}: {result:?}", handle.id());
/// }
/// # Ok(())
/// # }
/// ```
pub struct GroupHandle<O>(Vec<JobHandle<O>>);

impl<O> GroupHandle<O> {
    pub(crate) fn new(handles: Vec<JobHandle<O>>) -> Self {
        Self(handles)
    }
}

impl<O: DeserializeOwned> GroupHandle<O> {
    /// Blocks until every member has ended, and gives what they yielded, in the order of declaration.
    ///
    /// # Errors
    ///
    /// As [`JobHandle::wait`], for the first in that order that did not end well, once it and those before it have ended.
    pub fn wait(&self, timeout: Duration) -> Result<Vec<O>> {
        let begun = monotonic();
        self.0.iter().map(|handle| handle.wait(timeout.saturating_sub(monotonic().duration_since(begun)))).collect()
    }
}

impl<O> Deref for GroupHandle<O> {
    type Target = [JobHandle<O>];

    fn deref(&self) -> &[JobHandle<O>] {
        &self.0
    }
}

impl<O> IntoIterator for GroupHandle<O> {
    type Item = JobHandle<O>;
    type IntoIter = std::vec::IntoIter<JobHandle<O>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, O> IntoIterator for &'a GroupHandle<O> {
    type Item = &'a JobHandle<O>;
    type IntoIter = std::slice::Iter<'a, JobHandle<O>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<O> Clone for GroupHandle<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O> fmt::Debug for GroupHandle<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupHandle").field(&self.0).finish()
    }
}

/// The future of a group's end.
#[must_use = "futures do nothing unless awaited"]
pub struct WaitForGroup<O> {
    left: std::vec::IntoIter<JobHandle<O>>,
    next: Option<WaitForJob<O>>,
    done: Vec<O>,
}

impl<O> Unpin for WaitForGroup<O> {}

impl<O: DeserializeOwned> Future for WaitForGroup<O> {
    type Output = Result<Vec<O>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Vec<O>>> {
        loop {
            let this = &mut *self;
            let Some(next) = &mut this.next else { return Poll::Ready(Ok(std::mem::take(&mut this.done))) };
            match Pin::new(next).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(output)) => this.done.push(output),
            }
            this.next = this.left.next().map(IntoFuture::into_future);
        }
    }
}

impl<O> fmt::Debug for WaitForGroup<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitForGroup").field("done", &self.done.len()).finish_non_exhaustive()
    }
}

impl<O: DeserializeOwned> IntoFuture for GroupHandle<O> {
    type Output = Result<Vec<O>>;
    type IntoFuture = WaitForGroup<O>;

    fn into_future(self) -> WaitForGroup<O> {
        let mut left = self.0.into_iter();
        let next = left.next().map(IntoFuture::into_future);
        WaitForGroup { left, next, done: Vec::new() }
    }
}
