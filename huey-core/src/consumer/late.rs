//! Plain bodies that do not look at their deadline: settled at it, and replaced, while they run on.

use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::crew::{Attempts, Crew, Place};
use super::supervisor::hire;
use crate::execute::{End, Kit};
use crate::store::Lease;
use crate::task::Stopped;
use crate::time::monotonic;

/// What an attempt holds whose body runs on: let go of once the body has returned and its end has been told.
pub(super) struct Hold {
    crew: Arc<Crew>,
    lease: Lease,
    /// The place of the attempt, once the body has returned.
    place: Mutex<Option<Place>>,
}

impl Hold {
    pub(super) fn new(crew: &Arc<Crew>, lease: Lease) -> Arc<Self> {
        Arc::new(Self { crew: Arc::clone(crew), lease, place: Mutex::default() })
    }

    /// The body has returned.
    pub(super) fn returned(&self, place: Place) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.crew.executor.let_go(self.lease);
    }
}

/// An attempt that is to be settled though its body runs.
pub(super) struct Overrun {
    pub(super) slot: usize,
    pub(super) kit: Kit,
    pub(super) hold: Arc<Hold>,
    /// Whether another thread takes the place of the one that the body keeps.
    pub(super) replace: bool,
}

/// What becomes of a thread whose body has returned.
pub(crate) enum Back {
    /// The attempt is to be settled.
    InTime(Place),
    /// It was settled before. Whether the thread is needed.
    Late { needed: bool },
}

impl Crew {
    /// The body at a place has returned, perhaps long after its deadline. If its settle is to be `put_off`, that counts from
    /// now on.
    pub(crate) fn back(&self, place: Place, put_off: bool) -> Back {
        let (hold, needed) = {
            let mut attempts = self.lock();
            let attempts = &mut *attempts;
            attempts.deadlines.retain(|(_, slot)| *slot != place.slot);
            let running = attempts.running.get_mut(&place.slot);
            let hold = running.and_then(|running| {
                running.returned = true;
                running.hold.take().map(|hold| (running, hold))
            });
            let Some((running, hold)) = hold else {
                attempts.unsettled += usize::from(put_off);
                return Back::InTime(place);
            };
            tracing::warn!(
                job = %running.kit.id(), task = running.kit.task(),
                "a late body has returned, and what it came to is refused"
            );
            let pool = self.pool_of(running.kit.worker());
            let needed = pool.is_some_and(|pool| match (attempts.at_work.get_mut(pool), self.pools.get(pool)) {
                (Some(at_work), Some(pool)) if *at_work < pool.workers => {
                    *at_work += 1;
                    true
                }
                _ => false,
            });
            (hold, needed)
        };
        self.calls.late.fetch_sub(1, Ordering::SeqCst);
        hold.returned(place);
        Back::Late { needed }
    }

    /// Whether so many bodies ignore their deadlines that no plain job is claimed.
    pub(crate) fn is_stuck(&self) -> bool {
        self.calls.is_stuck()
    }

    /// Waits for the next body that is past its deadline. `None` once no worker is left.
    pub(super) fn next_overrun(self: &Arc<Self>) -> Option<Overrun> {
        let mut attempts = self.lock();
        while attempts.threads > 0 {
            let Some((deadline, slot)) = attempts.deadlines.first().copied() else {
                attempts.sleeps_until = None;
                attempts = self.nearer.wait(attempts).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(monotonic());
            if !left.is_zero() {
                attempts.sleeps_until = Some(deadline);
                attempts = self.nearer.wait_timeout(attempts, left).unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            attempts.deadlines.pop_first();
            let Some((kit, hold)) = self.hold(&mut attempts, slot) else { continue };
            let replace = !self.is_stuck() && !self.is_stopping();
            if !replace {
                self.one_less_at_work(&mut attempts, kit.worker());
            }
            return Some(Overrun { slot, kit, hold, replace });
        }
        None
    }

    /// Notes that a body runs on though its attempt is settled.
    fn hold(self: &Arc<Self>, attempts: &mut Attempts, slot: usize) -> Option<(Kit, Arc<Hold>)> {
        let running = attempts.running.get_mut(&slot)?;
        if running.returned || running.hold.is_some() {
            return None;
        }
        let hold = Hold::new(self, running.kit.lease);
        running.hold = Some(Arc::clone(&hold));
        self.calls.late.fetch_add(1, Ordering::SeqCst);
        Some((running.kit.clone(), hold))
    }

    /// Everybody has heard that the attempt in a slot is settled, whose body runs on.
    pub(super) fn told(&self, slot: usize) {
        self.change(|attempts| {
            if let Some(running) = attempts.running.get_mut(&slot) {
                running.told = true;
            }
        });
    }

    /// The thread of a worker begins, which may be one in the place of another.
    pub(super) fn hired(&self, replaces: bool, pool: usize) {
        let mut attempts = self.lock();
        attempts.threads += 1;
        if !replaces && let Some(at_work) = attempts.at_work.get_mut(pool) {
            *at_work += 1;
        }
    }

    fn one_less_at_work(&self, attempts: &mut Attempts, worker: &str) {
        if let Some(at_work) = self.pool_of(worker).and_then(|pool| attempts.at_work.get_mut(pool)) {
            *at_work = at_work.saturating_sub(1);
        }
    }

    pub(super) fn leave(&self) {
        self.lock().threads -= 1;
        self.nearer.notify_one();
    }

    /// Gives back the jobs of bodies that do not end, and names them, and those that were late before.
    pub(crate) fn abandon(self: &Arc<Self>) -> Vec<String> {
        let mut names = Vec::new();
        let left: Vec<(usize, Kit, Arc<Hold>)> = {
            let mut attempts = self.lock();
            let stuck = attempts.running.iter().filter(|(_, running)| !running.returned);
            let slots: Vec<usize> =
                stuck.map(|(slot, running)| (names.push(running.kit.to_string()), *slot).1).collect();
            let held = slots
                .into_iter()
                .filter_map(|slot| self.hold(&mut attempts, slot).map(|(kit, hold)| (slot, kit, hold)));
            held.collect()
        };
        for (slot, kit, hold) in left {
            let (told, wait) = crate::sync::mpsc::channel::<()>();
            settle(self, slot, kit, End::Interrupted, hold, move || drop(told));
            // Ends with the sender.
            let _ = wait.recv_timeout(Duration::from_millis(500));
        }
        names
    }
}

/// Sees to deadlines until the last worker has left.
pub(super) fn keep_deadlines(crew: &Arc<Crew>) {
    let _mark = crate::signal::WorkerMark::new(crew.executor.waiters.key());
    while let Some(Overrun { slot, kit, hold, replace }) = crew.next_overrun() {
        kit.stop.because(Stopped::Deadline);
        tracing::warn!(
            job = %kit.id(), task = kit.task(), worker = kit.worker(),
            "a body ignores its deadline: its attempt is settled, and what it comes to will be refused; call \
             `ctx.checkpoint()?` in long bodies"
        );
        if replace {
            if let Err(error) = hire(crew, kit.worker()) {
                crew.one_less_at_work(&mut crew.lock(), kit.worker());
                tracing::error!(%error, "a worker whose body ignores its deadline could not be replaced");
            }
        } else {
            tracing::error!(
                "as many bodies ignore their deadlines as there are workers: no plain job is claimed until one returns"
            );
            // What was claimed together with it is for others.
            crew.clear_shelves();
        }
        settle(crew, slot, kit, End::Late, hold, || ());
    }
}

/// Settles an attempt whose body runs on, and calls `told` once everybody has heard of it.
pub(super) fn settle(
    crew: &Arc<Crew>,
    slot: usize,
    kit: Kit,
    end: End,
    hold: Arc<Hold>,
    told: impl FnOnce() + Send + 'static,
) {
    let crew = Arc::clone(crew);
    let executor = Arc::clone(&crew.executor);
    executor.settle(kit.running_on(), end, move || {
        crew.told(slot);
        told();
        drop(hold);
    });
}
