//! The log of the journal in sled: a key for each entry, its number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use huey_core::store::{Barrier, Entry, Log, LogError};

use crate::barrier::FileBarrier;
use crate::lock::FolderLock;

/// A log in sled. It owns the only handle of the database: after a failed write that is dead, and must be gone before
/// the folder can be opened again.
pub struct SledLog {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    barrier: Arc<FileBarrier>,
    lock: Arc<FolderLock>,
    folder: PathBuf,
}

impl SledLog {
    pub(crate) fn new(db: sled::Db, barrier: FileBarrier, lock: Arc<FolderLock>, folder: PathBuf) -> Self {
        Self { db: Some(db), barrier: Arc::new(barrier), lock, folder }
    }

    /// Calls sled, whose panics end here.
    fn call<T>(&self, what: &str, act: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, LogError> {
        let shown = self.folder.display();
        let Some(db) = &self.db else { return Err(LogError::failed(format!("the queue in {shown} is closed"))) };
        match catch_unwind(AssertUnwindSafe(|| act(db))) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(fault(&format!("{what} in {shown} failed"), &error)),
            Err(_) => {
                self.lock.poison();
                Err(LogError::damaged(format!("sled panicked at {what} in {shown}")))
            }
        }
    }
}

/// An error of sled's, in words.
pub(crate) fn fault(what: &str, error: &sled::Error) -> LogError {
    match error {
        sled::Error::Corruption { .. } => LogError::damaged(format!("{what}: {error}")),
        _ => LogError::failed(format!("{what}: {error}")),
    }
}

fn number(key: &[u8]) -> Result<u64, LogError> {
    let key = key.try_into().map_err(|_| LogError::damaged("a key of the journal is no number".to_owned()))?;
    Ok(u64::from_be_bytes(key))
}

impl Log for SledLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        self.call("a write", |db| db.insert(sequence.to_be_bytes(), entry)).map(drop)
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        Ok(self.call("a read", |db| db.get(sequence.to_be_bytes()))?.map(Entry::new))
    }

    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.call("a removal", |db| db.remove(sequence.to_be_bytes())).map(drop)
    }

    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.remove_oldest(sequence)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.call("a flush", |db| db.flush()).map(drop)
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::clone(&self.barrier) as Arc<dyn Barrier>
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        // The first error ends the scan: sled may yield errors without end.
        let mut stopped = Ok(());
        self.call("a scan", |db| {
            for pair in db.iter() {
                let (key, entry) = pair?;
                stopped = number(&key).and_then(|sequence| each(sequence, &entry));
                if stopped.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        stopped
    }

    fn free_space(&self) -> Option<u64> {
        fs2::available_space(&self.folder).ok()
    }
}

impl Drop for SledLog {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            // sled ends with a sync, and panics if that fails, as it does after a failed write. What counts is on the
            // disk already, or was never confirmed.
            tracing::warn!(folder = %self.folder.display(), "sled panicked while it was closed");
        }
    }
}

impl std::fmt::Debug for SledLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledLog({})", self.folder.display())
    }
}
