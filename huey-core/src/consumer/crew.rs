//! What the threads of a consumer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bell::Bell;
use super::config::Owner;
use crate::execute::{Attempt, End, Executor, Kit};
use crate::store::{Claimed, Commit, Outcome, StorageError, Tasks, Transition};
use crate::task::{Durability, Stopped};
use crate::time::monotonic;

pub(crate) struct Crew {
    pub(crate) executor: Arc<Executor>,
    pub(crate) owner: Owner,
    pub(crate) queues: Vec<String>,
    /// Names of the async tasks, which plain workers leave alone.
    pub(crate) async_tasks: Vec<String>,
    pub(crate) bell: Bell,
    #[cfg(feature = "tokio")]
    pub(crate) async_bell: tokio::sync::Notify,
    stopping: AtomicBool,
    attempts: Mutex<Attempts>,
    /// Rung whenever an attempt is over.
    over: Condvar,
}

/// The attempts between their claim and their settle.
#[derive(Default)]
struct Attempts {
    running: HashMap<usize, Running>,
    /// Threads and claimers that have not ended.
    hands: usize,
    /// Claims whose commit, and what ended by it, has not been told of yet.
    claiming: usize,
    /// How many claims were begun.
    claims: u64,
    /// The grace is over: what begins now is told to end at once.
    interrupted: bool,
}

struct Running {
    kit: Kit,
    /// The body has returned, and the rest is the storage's.
    returned: bool,
    #[cfg(feature = "tokio")]
    cancel: Option<Arc<tokio::sync::Notify>>,
}

/// An attempt's place in the crew. Its number is also its slot in the running table.
pub(crate) struct Place {
    crew: Arc<Crew>,
    pub(crate) slot: usize,
}

impl Crew {
    pub(crate) fn new(executor: Arc<Executor>, owner: Owner, queues: Vec<String>, async_tasks: Vec<String>) -> Self {
        Self {
            executor,
            owner,
            queues,
            async_tasks,
            bell: Bell::default(),
            #[cfg(feature = "tokio")]
            async_bell: tokio::sync::Notify::new(),
            stopping: AtomicBool::new(false),
            attempts: Mutex::default(),
            over: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Nothing more is claimed from here on.
    pub(crate) fn stop_claiming(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.bell.close();
        #[cfg(feature = "tokio")]
        self.async_bell.notify_one();
        self.executor.storage.wake();
    }

    /// Takes up to `most` jobs. What ended at pick-up has been told of when this returns.
    pub(crate) fn claim(&self, tasks: Tasks, most: u32) -> Result<Vec<Claimed>, StorageError> {
        {
            let mut attempts = self.lock();
            attempts.claiming += 1;
            attempts.claims += 1;
        }
        let claimed = self.claim_now(tasks, most);
        self.lock().claiming -= 1;
        self.over.notify_all();
        claimed
    }

    fn claim_now(&self, tasks: Tasks, most: u32) -> Result<Vec<Claimed>, StorageError> {
        let keep = self.executor.defaults.retention.unwrap_or(crate::execute::KEEP);
        let transition = Transition::Claim { queues: self.queues.clone(), tasks, most, keep };
        let how = Commit { durability: Durability::Relaxed, hold: false };
        match self.executor.storage.commit(transition, how)? {
            Outcome::Claimed { claimed, ended } => {
                for end in ended {
                    self.executor.ended_at_pick_up(end);
                }
                Ok(claimed)
            }
            other => Err(StorageError::Damaged(format!("the storage answered a claim with {other:?}"))),
        }
    }

    /// Prepares a claimed job: its place, its kit, and what to run.
    pub(crate) fn begin(self: &Arc<Self>, claimed: Claimed, worker: &Arc<str>) -> (Place, Kit, Result<Attempt, End>) {
        let lease = claimed.lease;
        let owner = (self.owner)(lease.id);
        let (kit, attempt) = self.executor.begin(claimed, worker, Some(owner));
        let place = {
            let slot = self.executor.take_slot();
            let mut attempts = self.lock();
            if attempts.interrupted {
                kit.stop.because(Stopped::Shutdown);
            }
            let running = Running {
                kit: kit.clone(),
                returned: false,
                #[cfg(feature = "tokio")]
                cancel: None,
            };
            attempts.running.insert(slot, running);
            Place { crew: Arc::clone(self), slot }
        };
        let attempt = attempt.and_then(|attempt| match self.executor.storage.begin(place.slot, lease) {
            Ok(()) => Ok(attempt),
            Err(error) => {
                tracing::error!(job = %lease.id, %error, "an attempt could not be noted, so its job goes back");
                Err(End::NotBegun)
            }
        });
        (place, kit, attempt)
    }

    /// Settles an attempt and gives its place back once that is done.
    pub(crate) fn settle(&self, place: Place, kit: Kit, end: End) {
        if let Some(running) = self.lock().running.get_mut(&place.slot) {
            running.returned = true;
        }
        self.executor.settle(kit, end, move || drop(place));
    }

    /// A thread of the crew begins.
    pub(crate) fn sign_on(&self) {
        self.lock().hands += 1;
    }

    pub(crate) fn sign_off(&self) {
        self.lock().hands -= 1;
        self.over.notify_all();
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

    /// Waits until all attempts are settled and all threads have ended, or `until` has come.
    pub(crate) fn wait_done(&self, until: Option<Instant>) -> bool {
        self.wait_while(until, |attempts| !attempts.running.is_empty() || attempts.hands > 0)
    }

    /// How many claims were begun so far.
    pub(crate) fn claims(&self) -> u64 {
        self.lock().claims
    }

    /// Waits until no claim and no attempt is underway.
    pub(crate) fn wait_settled(&self) {
        self.wait_while(None, |attempts| !attempts.running.is_empty() || attempts.claiming > 0);
    }

    /// Waits until no attempt whose body has returned is unsettled, or `until` has come.
    pub(crate) fn wait_returned(&self, until: Option<Instant>) {
        self.wait_while(until, |attempts| attempts.running.values().any(|running| running.returned));
    }

    fn wait_while(&self, until: Option<Instant>, busy: impl Fn(&Attempts) -> bool) -> bool {
        let mut attempts = self.lock();
        while busy(&attempts) {
            attempts = match until {
                None => self.over.wait(attempts).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(monotonic());
                    if left.is_zero() {
                        return false;
                    }
                    self.over.wait_timeout(attempts, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        true
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

    /// Gives back the jobs of bodies that do not end, and names them.
    pub(crate) fn abandon(&self) -> Vec<String> {
        let left: Vec<Kit> = self
            .lock()
            .running
            .values()
            .filter(|running| !running.returned)
            .map(|running| running.kit.clone())
            .collect();
        let mut names = Vec::new();
        for kit in left {
            names.push(kit.to_string());
            let (told, wait) = std::sync::mpsc::channel::<()>();
            self.executor.settle(kit, End::Interrupted, move || drop(told));
            // Ends with the sender.
            let _ = wait.recv_timeout(Duration::from_millis(500));
        }
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crew.executor.storage.end(self.slot);
        let mut attempts = self.crew.lock();
        attempts.running.remove(&self.slot);
        drop(attempts);
        self.crew.executor.give_slot(self.slot);
        self.crew.over.notify_all();
    }
}
