//! What went wrong with the storage last.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Mutex, PoisonError};

use crate::store::StorageError;
use crate::time::Timestamp;

/// The last error of the storage, and whether nothing could be done since.
#[derive(Default)]
pub(crate) struct Trouble {
    last: Mutex<Option<(Timestamp, String)>>,
    fails: AtomicBool,
    /// Whether the last attempt could not be noted, which a claim or a settle that goes well does not change.
    begins_fail: AtomicBool,
    /// Whether what is stored is the reason, so that trying again will not help.
    is_damage: AtomicBool,
}

impl Trouble {
    pub(crate) fn note(&self, at: Timestamp, error: &StorageError) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, error.to_string()));
        self.is_damage.store(matches!(error, StorageError::Damaged(_)), Ordering::SeqCst);
        self.fails.store(true, Ordering::SeqCst);
    }

    /// An attempt could not be noted.
    pub(crate) fn not_begun(&self, at: Timestamp, error: &StorageError) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, error.to_string()));
        self.begins_fail.store(true, Ordering::SeqCst);
    }

    /// Whether the last attempt could not be noted.
    pub(crate) fn begins_fail(&self) -> bool {
        self.begins_fail.load(Ordering::SeqCst)
    }

    /// An attempt was noted.
    pub(crate) fn begun(&self) {
        if self.begins_fail.load(Ordering::Relaxed) {
            self.begins_fail.store(false, Ordering::SeqCst);
        }
    }

    /// An attempt was settled: the storage works, but what is stored may be damaged all the same.
    pub(crate) fn settled(&self) {
        if !self.is_damage.load(Ordering::Relaxed) {
            self.over();
        }
    }

    /// Something was claimed.
    pub(crate) fn over(&self) {
        if self.fails.load(Ordering::Relaxed) {
            self.fails.store(false, Ordering::SeqCst);
        }
    }

    /// Why nothing will be done any more.
    pub(crate) fn damage(&self) -> Option<String> {
        let (last, _) = self.last();
        last.filter(|_| self.fails.load(Ordering::SeqCst) && self.is_damage.load(Ordering::SeqCst))
            .map(|(_, error)| error)
    }

    /// The last error and when, and whether nothing could be done since.
    pub(crate) fn last(&self) -> (Option<(Timestamp, String)>, bool) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (last, self.fails.load(Ordering::SeqCst) || self.begins_fail())
    }
}
