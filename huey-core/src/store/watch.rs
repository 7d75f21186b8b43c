//! A counter that can be waited for.

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::barrier::lock;
use super::storage::{Handed, Roused, Version};

/// What changed.
#[derive(Debug, Default)]
#[must_use = "those who wait are to hear of it, once the lock is free"]
pub(crate) struct Stir {
    /// Something that a consumer or a waiting caller may care for.
    pub(crate) any: bool,
    /// What may be claimed that could not be before.
    pub(crate) work: Option<Roused>,
    /// What was claimed for those who wait for it.
    pub(crate) handed: Vec<Handed>,
    /// The next scheduled job is due sooner than before.
    pub(crate) sooner: bool,
}

#[derive(Default)]
pub(crate) struct Watch {
    version: AtomicU64,
    /// How many wait, so that a change that nobody waits for costs no lock.
    waiters: AtomicUsize,
    gate: Mutex<()>,
    moved: Condvar,
}

impl Watch {
    pub(crate) fn version(&self) -> Version {
        Version(self.version.load(Ordering::SeqCst))
    }

    pub(crate) fn bump(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.gate));
            self.moved.notify_all();
        }
    }

    /// Returns once the version is above `since`, or after `most`. May return early.
    pub(crate) fn wait(&self, since: Version, most: Option<Duration>) {
        let gate = lock(&self.gate);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        if self.version() <= since {
            match most {
                Some(most) => drop(self.moved.wait_timeout(gate, most).unwrap_or_else(PoisonError::into_inner)),
                None => drop(self.moved.wait(gate).unwrap_or_else(PoisonError::into_inner)),
            }
        }
        self.waiters.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, not(huey_races)))]
mod tests {
    use super::*;

    #[test]
    fn a_change_between_looking_and_waiting_is_not_missed() {
        let watch = Watch::default();
        let since = watch.version();
        watch.bump();
        watch.wait(since, None);
        assert!(watch.version() > since);
    }
}
