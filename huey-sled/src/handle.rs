//! A database of sled's, with its errors and panics put into words.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use huey_core::store::LogError;

use crate::lock::FolderLock;

/// The only handle of a database, with its panics contained: after a failed write that is dead, and must be gone
/// before its folder can be opened again.
pub(crate) struct Handle {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    lock: Arc<FolderLock>,
    /// The database's folder for messages.
    shown: PathBuf,
}

impl Handle {
    pub(crate) fn new(db: sled::Db, lock: Arc<FolderLock>, shown: PathBuf) -> Self {
        Self { db: Some(db), lock, shown }
    }

    pub(crate) fn call<T>(&self, what: &str, act: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, LogError> {
        let shown = self.shown.display();
        let Some(db) = &self.db else { return Err(LogError::failed(format!("the queue in {shown} is closed"))) };
        let acted = catch_unwind(AssertUnwindSafe(|| act(db)));
        collect_garbage();
        match acted {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                Err(LogError { message: format!("{what} in {shown} failed: {error}"), damaged: is_damage(&error) })
            }
            Err(panic) => {
                self.lock.poison();
                Err(LogError::damaged(format!(
                    "sled panicked at {what} in {shown} ({}), and this process cannot open it again",
                    said(&*panic)
                )))
            }
        }
    }

    /// The number that a key is.
    pub(crate) fn number(&self, key: &[u8]) -> Result<u64, LogError> {
        key.try_into().map(u64::from_be_bytes).map_err(|_| {
            LogError::damaged(format!("the journal in {} holds a key that is no number", self.shown.display()))
        })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let db = self.db.take();
        if self.lock.is_poisoned() {
            // A thread that panicked may have left others waiting for it, and closing waits for them.
            std::mem::forget(db);
        } else if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            // sled ends with a sync, and panics if that fails, having let go of its file. What counts is on the disk
            // already, or was never confirmed.
            tracing::warn!(folder = %self.shown.display(), "sled panicked while it was closed");
        }
        collect_garbage();
    }
}

/// Whether an error of sled's is about what is stored, so that trying again will not help.
pub(crate) fn is_damage(error: &sled::Error) -> bool {
    match error {
        sled::Error::Io(error) => matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData),
        _ => true,
    }
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied()).unwrap_or("no text")
}

/// Frees what sled has let go of: old pages, and write buffers that are as large as a segment. It leaves them to the
/// epoch collector, in a bag for each thread that is handed over once it holds 64 of them, which may be hundreds of
/// megabytes.
pub(crate) fn collect_garbage() {
    crossbeam_epoch::pin().flush();
}
