//! Signals for slow work: a bounded channel that drops the oldest, so that the queue never waits for who listens.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::kind::Signal;
use crate::id::JobId;
use crate::process::Process;
use crate::time::monotonic;

/// What a subscription holds, and the queue fills.
#[derive(Default)]
pub(super) struct Channel {
    state: Mutex<State>,
    moved: Condvar,
    /// The job whose signals it gets; those of all if none is named.
    of: Option<JobId>,
}

#[derive(Default)]
struct State {
    signals: VecDeque<Signal>,
    capacity: usize,
    /// How many were dropped that nobody was told of yet.
    dropped: u64,
    closed: bool,
    wakers: Vec<Waker>,
}

impl Channel {
    pub(super) fn new(capacity: usize, of: Option<JobId>) -> Arc<Self> {
        let state = State { capacity: capacity.max(1), ..State::default() };
        Arc::new(Self { state: Mutex::new(state), moved: Condvar::new(), of })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        self.moved.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(super) fn put(&self, signal: Signal) {
        if self.of.is_some_and(|id| id != signal.id) {
            return;
        }
        self.change(|state| {
            if state.signals.len() == state.capacity {
                state.signals.pop_front();
                state.dropped += 1;
            }
            state.signals.push_back(signal);
        });
    }

    pub(super) fn close(&self) {
        self.change(|state| state.closed = true);
    }
}

/// Signals of a queue from now on, in their order: [`Huey::subscribe`](crate::Huey::subscribe) makes one. When it is
/// full the oldest are dropped and counted; the sequence numbers show where.
///
/// ```
/// use std::time::Duration;
/// use huey_core::{Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// let signals = huey.subscribe(1024)?;
/// assert!(signals.try_recv().is_none(), "nothing has happened yet");
/// huey.close()?;
/// assert!(signals.recv().is_none(), "nothing will");
/// # Ok::<(), huey_core::Error>(())
/// ```
#[must_use = "a subscription that is dropped hears nothing"]
pub struct Subscription(Arc<Channel>, Process);

impl Subscription {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self(channel, Process::this())
    }

    /// What came; `None` in a fork of the process, where nothing will, and where somebody may hold the lock for good.
    fn lock(&self) -> Option<MutexGuard<'_, State>> {
        self.1.is_this().then(|| self.0.lock())
    }

    /// The next signal, once there is one; `None` once the queue was closed and all were taken, and in a fork of the process
    /// that opened it.
    #[must_use]
    pub fn recv(&self) -> Option<Signal> {
        let mut state = self.lock()?;
        loop {
            if let Some(signal) = state.signals.pop_front() {
                return Some(signal);
            }
            if state.closed {
                return None;
            }
            state = self.0.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`recv`](Self::recv), but `None` as well if nothing came within `timeout`.
    #[must_use]
    pub fn recv_timeout(&self, timeout: Duration) -> Option<Signal> {
        let begun = monotonic();
        let mut state = self.lock()?;
        loop {
            if let Some(signal) = state.signals.pop_front() {
                return Some(signal);
            }
            let left = timeout.saturating_sub(monotonic().duration_since(begun));
            if state.closed || left.is_zero() {
                return None;
            }
            state = self.0.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The next signal, if it is there.
    #[must_use]
    pub fn try_recv(&self) -> Option<Signal> {
        self.lock()?.signals.pop_front()
    }

    /// As [`recv`](Self::recv), in any async runtime.
    pub async fn recv_async(&self) -> Option<Signal> {
        poll_fn(|context| {
            let Some(mut state) = self.lock() else { return Poll::Ready(None) };
            if let Some(signal) = state.signals.pop_front() {
                return Poll::Ready(Some(signal));
            }
            if state.closed {
                return Poll::Ready(None);
            }
            if !state.wakers.iter().any(|known| known.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// How many signals were dropped since the last call, because this was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().map_or(0, |mut state| std::mem::take(&mut state.dropped))
    }
}

impl Iterator for Subscription {
    type Item = Signal;

    fn next(&mut self) -> Option<Signal> {
        self.recv()
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("Subscription")
            .field("waiting", &state.signals.len())
            .field("capacity", &state.capacity)
            .field("dropped", &state.dropped)
            .finish_non_exhaustive()
    }
}
