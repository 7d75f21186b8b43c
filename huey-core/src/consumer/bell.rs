//! Wakes workers that found nothing to do, one at a time.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Inner {
    /// Rung, and nobody has come yet: by pool of workers.
    rung: Vec<bool>,
    /// How many sleep until it rings, by pool.
    asleep: Vec<usize>,
    /// How many wait to be woken, async claimers among them.
    idle: usize,
    /// Whether somebody waits for one of them.
    awaited: bool,
    closed: bool,
}

/// A bell that remembers one ring. Who comes and finds work rings again for the next one, so that many jobs wake many
/// workers, and one job wakes one. Each pool of workers hears its own ring.
pub(crate) struct Bell {
    inner: Mutex<Inner>,
    rung: Vec<Condvar>,
    idle: Condvar,
}

impl Bell {
    pub(crate) fn new(pools: usize) -> Self {
        Self {
            inner: Mutex::new(Inner { rung: vec![false; pools], asleep: vec![0; pools], ..Inner::default() }),
            rung: std::iter::repeat_with(Condvar::new).take(pools).collect(),
            idle: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings for every pool.
    pub(crate) fn ring_all(&self) {
        for pool in 0..self.rung.len() {
            self.ring(pool);
        }
    }

    pub(crate) fn ring(&self, pool: usize) {
        let mut inner = self.lock();
        if let Some(rung) = inner.rung.get_mut(pool) {
            *rung = true;
        }
        let heard = inner.asleep.get(pool).is_some_and(|asleep| *asleep > 0);
        drop(inner);
        if heard && let Some(rung) = self.rung.get(pool) {
            rung.notify_one();
        }
    }

    /// Blocks until it rings, or for `most`. Returns at once after [`close`](Self::close).
    pub(crate) fn wait(&self, pool: usize, most: Option<Duration>) {
        let Some(bell) = self.rung.get(pool) else { return };
        let mut inner = self.lock();
        self.rests(&mut inner, pool, true);
        while !inner.rung.get(pool).copied().unwrap_or(true) && !inner.closed {
            inner = match most {
                None => bell.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (mut inner, waited) = bell.wait_timeout(inner, most).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        self.rests(&mut inner, pool, false);
                        return;
                    }
                    inner
                }
            };
        }
        if let Some(rung) = inner.rung.get_mut(pool) {
            *rung = false;
        }
        self.rests(&mut inner, pool, false);
    }

    /// Somebody goes to sleep, or wakes.
    fn rests(&self, inner: &mut Inner, pool: usize, rests: bool) {
        let count = |number: &mut usize| *number = if rests { *number + 1 } else { number.saturating_sub(1) };
        count(&mut inner.idle);
        inner.asleep.get_mut(pool).map(count);
        if rests && inner.awaited {
            self.idle.notify_all();
        }
    }

    /// A claimer that waits elsewhere comes or goes.
    #[cfg(feature = "tokio")]
    pub(crate) fn idle_elsewhere(&self, idle: bool) {
        let mut inner = self.lock();
        // It belongs to no pool.
        self.rests(&mut inner, usize::MAX, idle);
    }

    /// Blocks until somebody waits to be woken. False once the bell is closed.
    pub(crate) fn somebody_idle(&self) -> bool {
        let mut inner = self.lock();
        while inner.idle == 0 && !inner.closed {
            inner.awaited = true;
            inner = self.idle.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.awaited = false;
        }
        !inner.closed
    }

    /// Wakes everybody, for good.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.rung.iter().for_each(Condvar::notify_all);
        self.idle.notify_all();
    }
}

#[cfg(all(test, not(huey_races)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_comes_too_early_is_kept() {
        let bell = Bell::new(2);
        bell.ring(1);
        bell.wait(0, Some(Duration::from_millis(1)));
        bell.wait(1, None);
        bell.wait(1, Some(Duration::from_millis(1)));
        bell.close();
        bell.wait(1, None);
        assert!(!bell.somebody_idle());
    }
}
