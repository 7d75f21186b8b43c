//! The log of the journal in sled: a key for each entry, its number.

use std::any::Any;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use huey_core::store::{Barrier, ENTRY_LIMIT, Entry, Log, LogError};

use crate::barrier::FileBarrier;
use crate::lock::FolderLock;

/// The only handle of the database, with its panics contained: after a failed write that is dead, and must be gone
/// before the folder can be opened again.
pub(crate) struct Handle {
    /// `None` only while it is dropped.
    db: Option<sled::Db>,
    lock: Arc<FolderLock>,
    /// The folder for messages.
    shown: PathBuf,
    folder: PathBuf,
}

impl Handle {
    pub(crate) fn new(db: sled::Db, lock: Arc<FolderLock>, shown: PathBuf, folder: PathBuf) -> Self {
        Self { db: Some(db), lock, shown, folder }
    }

    fn call<T>(&self, what: &str, act: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, LogError> {
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

    fn number(&self, key: &[u8]) -> Result<u64, LogError> {
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
fn collect_garbage() {
    crossbeam_epoch::pin().flush();
}

/// sled looks at its cache's bound only once a page's shard, of 256, has seen 64 accesses. A scan comes to each page
/// once, and would hold 16,000 of them: it comes to each so often more.
const COUNTED: usize = 4;

/// A log in sled.
pub struct SledLog {
    handle: Handle,
    barrier: Arc<FileBarrier>,
}

impl SledLog {
    pub(crate) fn new(handle: Handle, barrier: FileBarrier) -> Self {
        Self { handle, barrier: Arc::new(barrier) }
    }

    fn remove(&self, sequence: u64) -> Result<(), LogError> {
        self.handle.call("a removal", |db| db.remove(sequence.to_be_bytes())).map(drop)
    }
}

impl Log for SledLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        debug_assert!(entry.len() <= ENTRY_LIMIT, "larger entries would go to blobs, which sled never syncs");
        self.handle.call("a write", |db| db.insert(sequence.to_be_bytes(), entry)).map(drop)
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        Ok(self.handle.call("a read", |db| db.get(sequence.to_be_bytes()))?.map(Entry::new))
    }

    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.remove(sequence)
    }

    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.remove(sequence)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.handle.call("a flush", |db| db.flush()).map(drop)
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::clone(&self.barrier) as Arc<dyn Barrier>
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        // The first error ends the scan: sled may yield errors without end.
        let mut stopped = Ok(());
        self.handle.call("a scan", |db| {
            for pair in db.iter() {
                let (key, entry) = pair?;
                for _ in 0..COUNTED {
                    db.get(&key)?;
                }
                collect_garbage();
                stopped = self.handle.number(&key).and_then(|sequence| each(sequence, &entry));
                if stopped.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        stopped
    }

    fn free_space(&self) -> Option<u64> {
        fs2::available_space(&self.handle.folder).ok()
    }
}

impl std::fmt::Debug for SledLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledLog({})", self.handle.shown.display())
    }
}

#[cfg(test)]
mod tests {
    use huey_core::store::Medium;

    use crate::SledMedium;

    #[test]
    fn a_panic_in_sled_becomes_an_error_and_shuts_the_folder_for_this_process() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-panic", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        let log = medium.open().unwrap();
        let error = log.handle.call::<()>("a write", |_| panic!("at the disco")).unwrap_err();
        assert!(error.damaged);
        assert!(error.message.contains(folder.to_str().unwrap()) && error.message.contains("at the disco"), "{error}");
        drop(log);
        for error in [medium.open().unwrap_err(), SledMedium::new(folder.clone(), 1 << 20).unwrap_err()] {
            assert!(error.is_damaged() && error.to_string().contains("cannot open it again"), "{error}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
