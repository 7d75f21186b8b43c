//! How far the medium has come: who leads the next sync, who waits for it, and what is announced after it.

use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::storage::{Done, StorageError};
use super::transition::Outcome;
use crate::time::monotonic;

/// Locks, also behind a thread that panicked: what the locks here protect is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".into())
}

fn lost(why: &str) -> StorageError {
    StorageError::Unknown(format!("the storage failed before this was on the disk: {why}"))
}

/// An outcome that is told once its entry is durable.
pub(crate) struct Announcement {
    pub(crate) sequence: u64,
    pub(crate) life: u64,
    pub(crate) outcome: Outcome,
    pub(crate) held: Vec<u64>,
    pub(crate) keep_held: bool,
    pub(crate) done: Done,
}

#[derive(Default)]
struct Inner {
    /// Someone syncs now.
    leading: bool,
    /// When the first write came that no sync has been asked for.
    relaxed_since: Option<Instant>,
    announcements: Vec<Announcement>,
    /// Transitions wait in the inbox for the writer thread.
    inbox: bool,
    /// When the writer thread is to look at the inbox in any case.
    knock_at: Option<Instant>,
    closing: bool,
    /// Why the log failed last.
    failure: String,
}

/// Shared by the callers that wait for durability and the thread that brings it about for the others.
pub(crate) struct Watermark {
    durable: Arc<AtomicU64>,
    /// Counts the failures of the log: what was inserted in an earlier life and was not durable then is unknown.
    life: AtomicU64,
    /// Whether `relaxed_since` is set.
    dirty: AtomicBool,
    inner: Mutex<Inner>,
    moved: Condvar,
}

/// What the writer thread is to do next.
pub(crate) enum Errand {
    Serve,
    Sync,
    Announce(Vec<Announcement>),
    Close,
}

impl Watermark {
    pub(crate) fn new() -> Self {
        Self {
            durable: Arc::default(),
            life: AtomicU64::new(0),
            dirty: AtomicBool::new(false),
            inner: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    pub(crate) fn durable(&self) -> &Arc<AtomicU64> {
        &self.durable
    }

    pub(crate) fn life(&self) -> u64 {
        self.life.load(Ordering::SeqCst)
    }

    fn reached(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    /// The log failed: waiters of this life learn that their outcome is unknown, and why.
    pub(crate) fn fail(&self, why: &str) {
        let mut inner = lock(&self.inner);
        why.clone_into(&mut inner.failure);
        self.life.fetch_add(1, Ordering::SeqCst);
        drop(inner);
        self.moved.notify_all();
    }

    /// What those hear whose entries were not known to be durable when the log failed.
    pub(crate) fn lost(&self) -> StorageError {
        lost(&lock(&self.inner).failure)
    }

    /// Something was written that nobody waits for.
    pub(crate) fn written(&self) {
        if !self.dirty.swap(true, Ordering::SeqCst) {
            lock(&self.inner).relaxed_since.get_or_insert_with(monotonic);
            self.moved.notify_all();
        }
    }

    /// Everything written so far is about to be synced.
    pub(crate) fn clean(&self) {
        self.dirty.store(false, Ordering::SeqCst);
        lock(&self.inner).relaxed_since = None;
    }

    pub(crate) fn ask_to_serve(&self) {
        lock(&self.inner).inbox = true;
        self.moved.notify_all();
    }

    /// As [`ask_to_serve`](Self::ask_to_serve), but after a pause.
    pub(crate) fn ask_to_serve_in(&self, pause: Duration) {
        lock(&self.inner).knock_at = Some(monotonic() + pause);
        self.moved.notify_all();
    }

    pub(crate) fn announce_later(&self, announcement: Announcement) {
        lock(&self.inner).announcements.push(announcement);
        self.moved.notify_all();
    }

    pub(crate) fn close(&self) {
        lock(&self.inner).closing = true;
        self.moved.notify_all();
    }

    /// What the writer thread, which is gone, did not announce.
    pub(crate) fn take_announcements(&self) -> Vec<Announcement> {
        std::mem::take(&mut lock(&self.inner).announcements)
    }

    /// Returns once `sequence`, inserted in `life`, is durable. One of those who wait syncs for all.
    ///
    /// Every error is `Unknown`: the entry is in the log, and what became of it only opening it again can tell.
    pub(crate) fn wait_for(
        &self,
        sequence: u64,
        life: u64,
        sync: impl Fn() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut inner = lock(&self.inner);
        loop {
            // In this order, and the life first of all: after a failure the numbers of lost entries are given out
            // again, and that such a number is durable says nothing about this entry.
            let reached = self.reached();
            if self.life() != life {
                return Err(lost(&inner.failure));
            }
            if reached >= sequence {
                return Ok(());
            }
            if inner.leading {
                inner = self.moved.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            inner.leading = true;
            drop(inner);
            let led = sync();
            inner = lock(&self.inner);
            inner.leading = false;
            self.moved.notify_all();
            if let Err(error) = led
                && self.life() == life
                && self.reached() < sequence
            {
                return Err(error.unknown());
            }
        }
    }

    /// Syncs for all who wait, unless somebody does already; then it returns once that is over.
    pub(crate) fn lead(&self, sync: impl FnOnce()) {
        let mut inner = lock(&self.inner);
        if inner.leading {
            drop(self.moved.wait(inner).unwrap_or_else(PoisonError::into_inner));
            return;
        }
        inner.leading = true;
        drop(inner);
        sync();
        lock(&self.inner).leading = false;
        self.moved.notify_all();
    }

    /// Blocks until there is something to do for the writer thread.
    pub(crate) fn next_errand(&self, interval: Duration) -> Errand {
        let mut inner = lock(&self.inner);
        loop {
            let now = monotonic();
            if std::mem::take(&mut inner.inbox) || inner.knock_at.is_some_and(|at| at <= now) {
                inner.knock_at = None;
                return Errand::Serve;
            }
            let (reached, life) = (self.reached(), self.life());
            let told = |one: &Announcement| one.sequence <= reached || one.life != life;
            if inner.announcements.iter().any(told) {
                let all = std::mem::take(&mut inner.announcements);
                let (ready, rest) = all.into_iter().partition(told);
                inner.announcements = rest;
                return Errand::Announce(ready);
            }
            let sync_at = inner.relaxed_since.map(|since| since + interval);
            let wanted = !inner.announcements.is_empty() || sync_at.is_some_and(|at| at <= now);
            if wanted && !inner.leading {
                return Errand::Sync;
            }
            if inner.closing {
                return Errand::Close;
            }
            // While somebody syncs, the end of it is what to wait for.
            let sync_at = sync_at.filter(|_| !wanted);
            inner = match [sync_at, inner.knock_at].into_iter().flatten().min() {
                Some(at) => {
                    let left = at.saturating_duration_since(now);
                    self.moved.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.moved.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Whether what was inserted as `sequence` in `life` is known to be durable.
    pub(crate) fn is_durable(&self, sequence: u64, life: u64) -> bool {
        let reached = self.reached();
        self.life() == life && reached >= sequence
    }
}
