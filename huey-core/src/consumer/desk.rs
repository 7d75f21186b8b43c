//! What a worker has before it, and the pool of those who serve the same queues.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use std::collections::VecDeque;
use std::time::Instant;

use super::batch::QUICK;
use crate::store::Claimed;

/// Workers that serve the same queues.
pub(crate) struct Pool {
    pub(super) queues: Vec<String>,
    pub(super) workers: usize,
}

/// A plain worker, whichever thread it is just now.
pub(crate) struct Desk {
    pub(super) name: Arc<str>,
    pub(super) pool: usize,
    pub(super) shelf: Shelf,
}

impl Desk {
    pub(crate) fn new(name: String, pool: usize) -> Self {
        Self { name: name.into(), pool, shelf: Shelf::default() }
    }
}

/// Jobs that a worker has claimed together and not begun yet. They are its own, so that what one thread has read it frees, and
/// nobody waits for another's lock; but any worker of its pool may take one that would wait for long.
/// A cache line of its own: each worker takes its lock for each job.
#[derive(Default)]
#[repr(align(128))]
pub(crate) struct Shelf {
    claims: Mutex<Claims>,
    /// How many they are, for those who would take the lock for nothing.
    count: AtomicUsize,
}

#[derive(Default)]
struct Claims {
    jobs: VecDeque<Claimed>,
    /// When its worker took one.
    taken: Option<Instant>,
}

impl Shelf {
    fn change<T>(&self, change: impl FnOnce(&mut Claims) -> T) -> T {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut claims);
        self.count.store(claims.jobs.len(), Ordering::SeqCst);
        changed
    }

    pub(super) fn put(&self, jobs: impl Iterator<Item = Claimed>, now: Instant) {
        self.change(|claims| {
            claims.jobs.extend(jobs);
            claims.taken = Some(now);
        });
    }

    /// The next job for the worker whose shelf it is.
    pub(super) fn next(&self, now: Instant) -> Option<Claimed> {
        self.take(|claims| {
            claims.taken = Some(now);
            true
        })
    }

    /// The next job for another one, if the worker whose shelf it is took none for longer than a quick body takes.
    pub(super) fn overdue(&self, now: Instant) -> Option<Claimed> {
        self.take(|claims| claims.taken.is_none_or(|taken| now.saturating_duration_since(taken) >= QUICK))
    }

    /// The next job for whoever has nothing else to do.
    pub(super) fn any(&self) -> Option<Claimed> {
        self.take(|_| true)
    }

    fn take(&self, may: impl FnOnce(&mut Claims) -> bool) -> Option<Claimed> {
        if self.is_empty() {
            return None;
        }
        self.change(|claims| if may(claims) { claims.jobs.pop_front() } else { None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    pub(super) fn clear(&self) -> VecDeque<Claimed> {
        self.change(|claims| std::mem::take(&mut claims.jobs))
    }
}
