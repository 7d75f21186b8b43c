//! Marks the threads that jobs need to come to their end: one that waits for a job may wait for itself.

use crate::sync::thread_local;
use std::cell::Cell;

thread_local! {
    static QUEUE: Cell<usize> = const { Cell::new(0) };
    static AWAITS: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, this thread works for the queue with that key.
pub(crate) struct WorkerMark(usize);

impl WorkerMark {
    pub(crate) fn new(queue: usize) -> Self {
        Self(QUEUE.with(|known| known.replace(queue)))
    }
}

impl Drop for WorkerMark {
    fn drop(&mut self) {
        QUEUE.with(|known| known.set(self.0));
    }
}

/// Whether this thread works for the queue with that key.
pub(crate) fn is_worker_of(queue: usize) -> bool {
    QUEUE.with(Cell::get) == queue
}

/// The future that is polled on this thread waits for a job.
pub(crate) fn note_await() {
    AWAITS.with(|awaits| awaits.set(true));
}

/// Whether one waited since this was asked last.
#[cfg(feature = "tokio")]
pub(crate) fn take_await() -> bool {
    AWAITS.with(|awaits| awaits.replace(false))
}
