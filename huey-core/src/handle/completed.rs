//! Jobs in the order in which they end.

use crate::sync::{Arc, Condvar, Mutex, PoisonError};
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use serde::de::DeserializeOwned;

use super::job_handle::{JobHandle, WaitForJob};
use crate::error::Result;
use crate::time::monotonic;

/// The jobs of these handles, each with its result, in the order in which they end. It blocks until the next one does, woken and
/// not polling; [`AsCompleted::until`] sets an end to that.
///
/// ```no_run
/// # use huey_core::{JobHandle, Result, as_completed};
/// # fn show(handles: Vec<JobHandle<u64>>) {
/// for (handle, result) in as_completed(handles) {
///     match result {
///         Ok(sum) => println!("{} came to {sum}", handle.id()),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # }
/// ```
///
/// On a thread that runs or settles jobs of the same queue each result is the error of [`JobHandle::wait`] there.
pub fn as_completed<O: DeserializeOwned>(handles: impl IntoIterator<Item = JobHandle<O>>) -> AsCompleted<O> {
    let ready = Arc::new(Ready::default());
    let waits: Vec<_> = handles.into_iter().map(|handle| Some((handle.clone(), handle.into_future()))).collect();
    ready.lock().extend(0..waits.len());
    AsCompleted { left: waits.len(), waits, ready, until: None }
}

/// The iterator of [`as_completed`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct AsCompleted<O> {
    waits: Vec<Option<(JobHandle<O>, WaitForJob<O>)>>,
    /// How many have not been given out.
    left: usize,
    ready: Arc<Ready>,
    until: Option<Instant>,
}

/// The places of those that may have ended.
#[derive(Default)]
struct Ready {
    places: Mutex<VecDeque<usize>>,
    added: Condvar,
}

impl Ready {
    fn lock(&self) -> crate::sync::MutexGuard<'_, VecDeque<usize>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Bell {
    ready: Arc<Ready>,
    place: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ready.lock().push_back(self.place);
        self.ready.added.notify_one();
    }
}

impl<O> AsCompleted<O> {
    /// Ends once this instant has come, whatever is left.
    pub fn until(mut self, instant: Instant) -> Self {
        self.until = Some(instant);
        self
    }

    /// The place of one that may have ended; none if the time is over.
    fn next_ready(&self) -> Option<usize> {
        let mut places = self.ready.lock();
        loop {
            if let Some(place) = places.pop_front() {
                return Some(place);
            }
            places = match self.until {
                None => self.ready.added.wait(places).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(monotonic());
                    if left.is_zero() {
                        return None;
                    }
                    self.ready.added.wait_timeout(places, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl<O: DeserializeOwned> Iterator for AsCompleted<O> {
    type Item = (JobHandle<O>, Result<O>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let place = self.next_ready()?;
            let Some(slot) = self.waits.get_mut(place) else { continue };
            let Some((handle, wait)) = slot else { continue };
            let polled = if let Err(error) = handle.check_thread() {
                Poll::Ready(Err(error))
            } else {
                let waker = Waker::from(Arc::new(Bell { ready: Arc::clone(&self.ready), place }));
                Pin::new(wait).poll(&mut Context::from_waker(&waker))
            };
            if let Poll::Ready(result) = polled {
                let handle = handle.clone();
                *slot = None;
                self.left -= 1;
                return Some((handle, result));
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<O> fmt::Debug for AsCompleted<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}
