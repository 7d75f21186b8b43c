//! Wakes workers that found nothing to do, one at a time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Default)]
struct Inner {
    /// Rung, and nobody has come yet.
    rung: bool,
    /// How many wait to be woken, async claimers among them.
    idle: usize,
    closed: bool,
}

/// A bell that remembers one ring. Who comes and finds work rings again for the next one, so that many jobs wake many
/// workers, and one job wakes one.
#[derive(Default)]
pub(crate) struct Bell {
    inner: Mutex<Inner>,
    rung: Condvar,
    idle: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ring(&self) {
        let mut inner = self.lock();
        inner.rung = true;
        let awaited = inner.idle > 0;
        drop(inner);
        if awaited {
            self.rung.notify_one();
        }
    }

    /// Blocks until it rings, or for `most`. Returns at once after [`close`](Self::close).
    pub(crate) fn wait(&self, most: Option<Duration>) {
        let mut inner = self.lock();
        inner.idle += 1;
        self.idle.notify_all();
        while !inner.rung && !inner.closed {
            inner = match most {
                None => self.rung.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(most) => {
                    let (mut inner, waited) =
                        self.rung.wait_timeout(inner, most).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() {
                        inner.idle -= 1;
                        return;
                    }
                    inner
                }
            };
        }
        inner.rung = false;
        inner.idle -= 1;
    }

    /// A claimer that waits elsewhere comes or goes.
    #[cfg(feature = "tokio")]
    pub(crate) fn idle_elsewhere(&self, idle: bool) {
        let mut inner = self.lock();
        if idle {
            inner.idle += 1;
            self.idle.notify_all();
        } else {
            inner.idle -= 1;
        }
    }

    /// Blocks until somebody waits to be woken. False once the bell is closed.
    pub(crate) fn somebody_idle(&self) -> bool {
        let mut inner = self.lock();
        while inner.idle == 0 && !inner.closed {
            inner = self.idle.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        !inner.closed
    }

    /// Wakes everybody, for good.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.rung.notify_all();
        self.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_that_comes_too_early_is_kept() {
        let bell = Bell::default();
        bell.ring();
        bell.wait(None);
        bell.wait(Some(Duration::from_millis(1)));
        bell.close();
        bell.wait(None);
        assert!(!bell.somebody_idle());
    }
}
