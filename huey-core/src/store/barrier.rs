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

/// The syncs, one after the other.
#[derive(Default)]
struct Rounds {
    /// Someone syncs now.
    leading: bool,
    /// The number of the sync that runs, or of the last one.
    number: u64,
    /// The newest entry that the sync which runs will cover; `None` until it has begun to gather: whatever is there by then
    /// is covered.
    covers: Option<u64>,
    /// How many wait for the sync that runs, and for the next one.
    waiting: usize,
    waiting_next: usize,
}

impl Rounds {
    fn begin(&mut self) {
        self.leading = true;
        self.number += 1;
        self.covers = None;
        self.waiting = std::mem::take(&mut self.waiting_next);
    }

    fn is_over(&self, number: u64) -> bool {
        self.number > number || (self.number == number && !self.leading)
    }
}

/// What the writer thread does.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Writer {
    /// It has not come, or has gone, and leads no sync.
    #[default]
    Away,
    There,
    /// It waits for the end of the sync that runs.
    AwaitsEnd,
}

#[derive(Default)]
struct Inner {
    rounds: Rounds,
    writer: Writer,
    /// Much was written since the last sync.
    early: bool,
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
    /// What the writer thread waits for.
    errand: Condvar,
    /// The ends of syncs with even and with odd numbers: who waits for the next one sleeps on through the end of this one.
    over: (Condvar, Condvar),
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
            errand: Condvar::new(),
            over: (Condvar::new(), Condvar::new()),
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
        self.over.0.notify_all();
        self.over.1.notify_all();
        self.errand.notify_one();
    }

    /// What those hear whose entries were not known to be durable when the log failed.
    pub(crate) fn lost(&self) -> StorageError {
        lost(&lock(&self.inner).failure)
    }

    /// Something was written that nobody waits for.
    pub(crate) fn written(&self) {
        if !self.dirty.swap(true, Ordering::SeqCst) {
            lock(&self.inner).relaxed_since.get_or_insert_with(monotonic);
            self.errand.notify_one();
        }
    }

    /// So much was written that a sync should begin before somebody has to wait for one.
    pub(crate) fn sync_early(&self) {
        let mut inner = lock(&self.inner);
        if !std::mem::replace(&mut inner.early, true) {
            drop(inner);
            self.errand.notify_one();
        }
    }

    /// Everything written so far, up to entry `last`, is about to be synced, and what is in the inbox from now on may not be.
    pub(crate) fn gather(&self, last: u64) {
        self.dirty.store(false, Ordering::SeqCst);
        let mut inner = lock(&self.inner);
        inner.relaxed_since = None;
        inner.early = false;
        inner.rounds.covers = Some(last);
    }

    pub(crate) fn ask_to_serve(&self) {
        lock(&self.inner).inbox = true;
        self.errand.notify_one();
    }

    /// As [`ask_to_serve`](Self::ask_to_serve), but after a pause.
    pub(crate) fn ask_to_serve_in(&self, pause: Duration) {
        lock(&self.inner).knock_at = Some(monotonic() + pause);
        self.errand.notify_one();
    }

    pub(crate) fn announce_later(&self, announcement: Announcement) {
        lock(&self.inner).announcements.push(announcement);
        self.errand.notify_one();
    }

    pub(crate) fn close(&self) {
        lock(&self.inner).closing = true;
        self.errand.notify_one();
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
            if inner.rounds.leading {
                let covered = inner.rounds.covers.is_none_or(|last| last >= sequence);
                inner = self.wait_for_round(inner, covered, life);
                continue;
            }
            inner.rounds.begin();
            drop(inner);
            let led = sync();
            self.finish(true);
            inner = lock(&self.inner);
            if let Err(error) = led
                && self.life() == life
                && self.reached() < sequence
            {
                return Err(error.unknown());
            }
        }
    }

    /// Returns once somebody has begun to sync, taken what is in the inbox now with it, and come to an end; or once there is
    /// reason to look what became of it.
    pub(crate) fn pass(&self, sync: impl FnOnce()) {
        let mut inner = lock(&self.inner);
        if inner.rounds.leading {
            let covered = inner.rounds.covers.is_none();
            drop(self.wait_for_round(inner, covered, self.life()));
            return;
        }
        inner.rounds.begin();
        drop(inner);
        sync();
        self.finish(true);
    }

    /// The writer thread syncs for all who wait, unless somebody does already.
    pub(crate) fn lead(&self, sync: impl FnOnce()) {
        let mut inner = lock(&self.inner);
        if !inner.rounds.leading {
            inner.rounds.begin();
            drop(inner);
            sync();
            self.finish(false);
        }
    }

    /// A sync is over: those who waited for it are woken, and for those who came too late the writer thread leads the next
    /// one, and goes on as long as there are any, so that the disk does not wait until a caller has woken.
    fn finish(&self, by_caller: bool) {
        let mut inner = lock(&self.inner);
        inner.rounds.leading = false;
        let (round, next) = (inner.rounds.number, inner.rounds.waiting_next > 0);
        let waited = std::mem::take(&mut inner.rounds.waiting) > 0;
        let (awaited, served) = (inner.writer == Writer::AwaitsEnd, inner.writer != Writer::Away);
        let wake_writer = by_caller && (awaited || (next && served));
        drop(inner);
        if wake_writer {
            self.errand.notify_one();
        }
        if waited {
            self.over(round).notify_all();
        }
        if next && !served {
            self.over(round + 1).notify_all();
        }
    }

    fn over(&self, round: u64) -> &Condvar {
        if round.is_multiple_of(2) { &self.over.0 } else { &self.over.1 }
    }

    /// Blocks while the sync that runs, or else the next one, is not over, unless the log fails, or nobody would lead it.
    fn wait_for_round<'a>(&'a self, mut inner: MutexGuard<'a, Inner>, this: bool, life: u64) -> MutexGuard<'a, Inner> {
        let rounds = &mut inner.rounds;
        let round = rounds.number + u64::from(!this);
        *(if this { &mut rounds.waiting } else { &mut rounds.waiting_next }) += 1;
        let is_led = |inner: &Inner| inner.rounds.leading || inner.writer != Writer::Away;
        while !inner.rounds.is_over(round) && is_led(&inner) && self.life() == life {
            inner = self.over(round).wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    /// Blocks until there is something to do for the writer thread.
    pub(crate) fn next_errand(&self, interval: Duration) -> Errand {
        let mut inner = lock(&self.inner);
        inner.writer = Writer::There;
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
            let asked = !inner.announcements.is_empty() || inner.early || inner.rounds.waiting_next > 0;
            let wanted = asked || sync_at.is_some_and(|at| at <= now);
            if wanted && !inner.rounds.leading {
                return Errand::Sync;
            }
            if inner.closing {
                inner.writer = Writer::Away;
                return Errand::Close;
            }
            inner.writer = if wanted { Writer::AwaitsEnd } else { Writer::There };
            // While somebody syncs, the end of it is what to wait for.
            let sync_at = sync_at.filter(|_| !wanted);
            inner = match [sync_at, inner.knock_at].into_iter().flatten().min() {
                Some(at) => {
                    let left = at.saturating_duration_since(now);
                    self.errand.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.errand.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Whether what was inserted as `sequence` in `life` is known to be durable.
    pub(crate) fn is_durable(&self, sequence: u64, life: u64) -> bool {
        let reached = self.reached();
        self.life() == life && reached >= sequence
    }
}
