//! Wakes workers that found nothing to do, one at a time.

use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Inner {
    /// Rung, and nobody has looked since: by pool of workers.
    rung: Vec<bool>,
    /// How many sleep until it rings, by pool.
    asleep: Vec<usize>,
    closed: bool,
}

/// A bell that remembers one ring. It rings for each job that may be claimed, and whoever claims and leaves some rings again:
/// many jobs wake many workers, one job wakes one, and where it has not rung there is nothing to claim. Each pool of
/// workers hears its own ring.
pub(crate) struct Bell {
    inner: Mutex<Inner>,
    rung: Vec<Condvar>,
}

impl Bell {
    /// One that has rung: what is there at the start nobody has told of.
    pub(crate) fn new(pools: usize) -> Self {
        Self {
            inner: Mutex::new(Inner { rung: vec![true; pools], asleep: vec![0; pools], closed: false }),
            rung: std::iter::repeat_with(Condvar::new).take(pools).collect(),
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

    /// Whether it has rung since it was last asked: who asks looks for a job.
    pub(crate) fn take(&self, pool: usize) -> bool {
        self.lock().rung.get_mut(pool).is_some_and(std::mem::take)
    }

    /// Blocks until it has rung. After `most` it rings by itself. Returns at once after [`close`](Self::close).
    pub(crate) fn wait(&self, pool: usize, most: Option<Duration>) {
        let Some(bell) = self.rung.get(pool) else { return };
        let mut inner = self.lock();
        let sleeps = |inner: &mut Inner, more: bool| {
            if let Some(asleep) = inner.asleep.get_mut(pool) {
                *asleep = if more { *asleep + 1 } else { asleep.saturating_sub(1) };
            }
        };
        sleeps(&mut inner, true);
        while !inner.rung.get(pool).copied().unwrap_or(true) && !inner.closed {
            inner = match most {
                None => bell.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (mut inner, waited) = bell.wait_timeout(inner, most).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out()
                        && let Some(rung) = inner.rung.get_mut(pool)
                    {
                        *rung = true;
                    }
                    inner
                }
            };
        }
        sleeps(&mut inner, false);
    }

    /// Wakes everybody, for good.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.rung.iter().for_each(Condvar::notify_all);
    }
}

#[cfg(all(test, not(huey_races)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_comes_too_early_is_kept() {
        let bell = Bell::new(2);
        assert!(bell.take(0) && bell.take(1), "it has rung at the start");
        bell.ring(1);
        assert!(!bell.take(0), "each pool hears its own");
        bell.wait(1, None);
        assert!(bell.take(1) && !bell.take(1), "one ring is heard once");
        bell.close();
        bell.wait(1, None);
    }

    #[test]
    fn a_wait_that_is_over_counts_as_a_ring() {
        let bell = Bell::new(1);
        bell.take(0);
        bell.wait(0, Some(Duration::from_millis(1)));
        assert!(bell.take(0));
    }
}
