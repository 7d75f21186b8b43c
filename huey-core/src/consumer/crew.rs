//! What the threads of a consumer share.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::calls::Calls;
use super::config::Owner;
use super::desk::{Desk, Pool};
use super::ends::Ends;
use super::late::Hold;
use super::roll::Roll;
use crate::execute::{Attempt, End, Executor, Hands, Kit, Stopper};
use crate::periodic::Ticker;
use crate::store::{Claimed, Lease, StorageError};
use crate::task::Stopped;
use crate::time::monotonic;

pub(crate) struct Crew {
    pub(crate) executor: Arc<Executor>,
    pub(crate) owner: Owner,
    ticker: Arc<Ticker>,
    /// All queues that are served.
    pub(crate) queues: Vec<String>,
    pub(super) pools: Vec<Pool>,
    /// Names of the async tasks, which plain workers leave alone.
    pub(crate) async_tasks: Vec<String>,
    runs_async: bool,
    pub(crate) calls: Arc<Calls>,
    stopping: AtomicBool,
    /// The plain workers.
    pub(super) desks: Vec<Desk>,
    pub(super) attempts: Mutex<Attempts>,
    /// Rung for the keeper of deadlines.
    pub(super) nearer: Condvar,
    /// Its threads, and the ends that others settle.
    pub(super) roll: Arc<Roll>,
    /// Rung whenever an attempt is over.
    over: Condvar,
    pub(crate) ends: Ends,
}

/// The attempts between their claim and their settle.
#[derive(Default)]
pub(super) struct Attempts {
    pub(super) running: BTreeMap<usize, Running>,
    /// Claims whose commit, and what ended by it, has not been told of yet.
    pub(super) claiming: usize,
    /// How many claims were begun, and how many jobs handed over.
    pub(super) claims: u64,
    /// Attempts whose body has returned, which wait for others to be settled with.
    pub(super) unsettled: usize,
    /// The deadlines of plain bodies, by slot.
    pub(super) deadlines: BTreeSet<(Instant, usize)>,
    /// How long their keeper sleeps; for good if none.
    pub(super) sleeps_until: Option<Instant>,
    /// Threads of plain workers, and those of them that no late body keeps.
    pub(super) threads: usize,
    pub(super) at_work: Vec<usize>,
    /// How many threads wait for a change here.
    watchers: usize,
    /// The grace is over: what begins now is told to end at once.
    interrupted: bool,
}

pub(super) struct Running {
    pub(super) kit: Kit,
    /// The body has returned, and the rest is the storage's.
    pub(super) returned: bool,
    /// The body runs on though its attempt is settled.
    pub(super) hold: Option<Arc<Hold>>,
    /// That has been told.
    pub(super) told: bool,
    #[cfg(feature = "tokio")]
    cancel: Option<Arc<tokio::sync::Notify>>,
}

/// An attempt's place in the crew. Its number is also its slot in the running table.
pub(crate) struct Place {
    crew: Arc<Crew>,
    pub(crate) slot: usize,
}

impl Crew {
    pub(crate) fn new(
        executor: Arc<Executor>,
        owner: Owner,
        ticker: Arc<Ticker>,
        pools: Vec<Pool>,
        async_tasks: Vec<String>,
        desks: Vec<Desk>,
        runs_async: bool,
    ) -> Self {
        let attempts = Attempts { at_work: vec![0; pools.len()], ..Attempts::default() };
        Self {
            executor,
            owner,
            ticker,
            queues: pools.iter().flat_map(|pool| pool.queues.iter().cloned()).collect(),
            calls: Arc::new(Calls::new(
                pools.iter().map(|pool| pool.queues.clone()).collect(),
                async_tasks.clone(),
                desks.len(),
            )),
            pools,
            async_tasks,
            runs_async,
            stopping: AtomicBool::new(false),
            nearer: Condvar::new(),
            attempts: Mutex::new(attempts),
            roll: Arc::default(),
            over: Condvar::new(),
            ends: Ends::new(desks.len()),
            desks,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Nothing more is claimed from here on.
    pub(crate) fn stop_claiming(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.calls.bell.close();
        self.calls.call_async();
        self.ticker.wake();
        self.executor.storage.wake();
    }

    /// Changes what is known of the attempts, and tells who waits for it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Attempts) -> T) -> T {
        let mut attempts = self.lock();
        let changed = change(&mut attempts);
        let watched = attempts.watchers > 0;
        drop(attempts);
        if watched {
            self.over.notify_all();
        }
        changed
    }

    /// All queues, those of another pool first each time, so that none takes all places for async tasks.
    #[cfg(feature = "tokio")]
    pub(super) fn queues_in_turn(&self, turn: usize) -> Vec<String> {
        let (before, from) = self.pools.split_at(turn % self.pools.len().max(1));
        from.iter().chain(before).flat_map(|pool| pool.queues.iter().cloned()).collect()
    }

    /// The pool of a plain worker.
    pub(super) fn pool_of(&self, worker: &str) -> Option<usize> {
        self.desks.iter().find(|desk| *desk.name == *worker).map(|desk| desk.pool)
    }

    /// Prepares a claimed job: its place, which may be one whose attempt has returned, its kit, and what to run.
    pub(crate) fn begin(
        self: &Arc<Self>,
        place: Option<Place>,
        claimed: Claimed,
        worker: &Arc<str>,
    ) -> (Place, Kit, Result<Attempt, End>) {
        let lease = claimed.lease;
        let owner = (self.owner)(lease.id);
        let (kit, attempt) = self.executor.begin(claimed, worker, owner);
        let place = place.unwrap_or_else(|| Place { crew: Arc::clone(self), slot: self.executor.take_slot() });
        let running = Running {
            kit: kit.clone(),
            returned: false,
            hold: None,
            told: false,
            #[cfg(feature = "tokio")]
            cancel: None,
        };
        let interrupted = {
            let mut attempts = self.lock();
            attempts.running.insert(place.slot, running);
            // Where there are no workers nobody keeps deadlines.
            if !self.desks.is_empty()
                && let Some(deadline) = attempt.as_ref().ok().and_then(Attempt::plain_deadline)
            {
                attempts.deadlines.insert((deadline, place.slot));
                if attempts.sleeps_until.is_none_or(|until| deadline < until) {
                    self.nearer.notify_one();
                }
            }
            attempts.interrupted
        };
        if self.executor.is_canceled(lease) {
            kit.stop.because(Stopped::Canceled);
        }
        if interrupted {
            kit.stop.because(Stopped::Shutdown);
        }
        // The hooks of a chord's callback are user code, too.
        let is_noted = matches!(attempt, Ok(_) | Err(End::Gather));
        if is_noted {
            let Executor { storage, trouble, .. } = &*self.executor;
            if let Err(error) = storage.begin(place.slot, lease, kit.note_level()) {
                tracing::error!(job = %lease.id, %error, "an attempt could not be noted, so its job goes back");
                // One whose claim is void is over with that.
                if !matches!(error, StorageError::Refused(_)) {
                    trouble.not_begun(storage.clock().now(), &error);
                }
                return (place, kit, Err(End::NotBegun));
            }
            trouble.begun();
        }
        (place, kit, attempt)
    }

    /// Settles an attempt and gives its place back once that is done.
    pub(crate) fn settle(&self, place: Place, kit: Kit, end: End) {
        self.returned(&place);
        let present = self.roll.sign();
        self.executor.settle(kit, end, move || {
            drop(place);
            drop(present);
        });
    }

    /// Settles an attempt, and returns once everybody has heard of it.
    pub(crate) fn settle_and_wait(&self, place: Place, kit: Kit, end: End) {
        let (told, wait) = crate::sync::mpsc::channel::<()>();
        self.returned(&place);
        self.executor.settle(kit, end, move || {
            drop(place);
            drop(told);
        });
        // Ends with the sender.
        let _ = wait.recv();
    }

    /// Settles an attempt together with others of its worker: at once if that is asked for, else within two milliseconds. Its
    /// place may be given to another: should the process die first, the job goes back as if it had not begun.
    ///
    /// Its [`back`](Self::back) has counted it as put off.
    pub(crate) fn settle_with_others(&self, worker: usize, kit: Kit, end: End, now: Instant, at_once: bool) {
        let at_once = at_once || self.executor.waiters.any(kit.id());
        self.settle_all(self.ends.add(worker, (kit, end), now, at_once));
    }

    /// Settles what was put off.
    pub(crate) fn settle_all(&self, ends: Vec<(Kit, End)>) {
        if ends.is_empty() {
            return;
        }
        let count = ends.len();
        self.executor.settle_relaxed(ends);
        self.change(|attempts| attempts.unsettled -= count);
    }

    /// The body at a place has returned.
    fn returned(&self, place: &Place) {
        let mut attempts = self.lock();
        if let Some(running) = attempts.running.get_mut(&place.slot) {
            running.returned = true;
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn cancel_with(&self, slot: usize, cancel: Arc<tokio::sync::Notify>) {
        if let Some(running) = self.lock().running.get_mut(&slot) {
            if running.kit.stop.reason().is_some() {
                cancel.notify_one();
            }
            running.cancel = Some(cancel);
        }
    }

    /// Waits until no claim and no attempt is underway.
    pub(crate) fn wait_settled(&self) {
        self.wait_while(None, |attempts| {
            attempts.running.values().any(|running| !running.told) || attempts.claiming > 0 || attempts.unsettled > 0
        });
    }

    /// Waits until no attempt whose body has returned is unsettled, or `until` has come.
    pub(crate) fn wait_returned(&self, until: Option<Instant>) {
        self.wait_while(until, |attempts| {
            attempts.unsettled > 0 || attempts.running.values().any(|running| running.returned)
        });
    }

    fn wait_while(&self, until: Option<Instant>, busy: impl Fn(&Attempts) -> bool) -> bool {
        let mut attempts = self.lock();
        attempts.watchers += 1;
        while busy(&attempts) {
            attempts = match until {
                None => self.over.wait(attempts).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(monotonic());
                    if left.is_zero() {
                        break;
                    }
                    self.over.wait_timeout(attempts, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        attempts.watchers -= 1;
        !busy(&attempts)
    }

    /// Tells every running body to end.
    pub(crate) fn interrupt(&self) {
        let mut attempts = self.lock();
        attempts.interrupted = true;
        for running in attempts.running.values() {
            running.kit.stop.because(Stopped::Shutdown);
            #[cfg(feature = "tokio")]
            if let Some(cancel) = &running.cancel {
                cancel.notify_one();
            }
        }
    }
}

impl Stopper for Crew {
    fn queues(&self) -> &[String] {
        if self.is_stopping() { &[] } else { &self.queues }
    }

    fn hands(&self, queue: &str) -> Option<Hands> {
        let serves = Stopper::queues(self).iter().any(|served| served == queue);
        let serves_plain = |pool: &Pool| pool.workers > 0 && pool.queues.iter().any(|served| served == queue);
        serves.then(|| Hands { plain: self.pools.iter().any(serves_plain), is_async: self.runs_async })
    }

    fn cancel(&self, lease: Lease) {
        for running in self.lock().running.values().filter(|running| running.kit.lease == lease) {
            running.kit.stop.because(Stopped::Canceled);
            #[cfg(feature = "tokio")]
            if let Some(cancel) = &running.cancel {
                cancel.notify_one();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crew.executor.storage.end(self.slot);
        self.crew.change(|attempts| attempts.running.remove(&self.slot));
        self.crew.executor.give_slot(self.slot);
    }
}
