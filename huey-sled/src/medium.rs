//! A folder as a medium: locked once, opened as often as a failure makes it necessary.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use huey_core::store::{BARRIER, LogError, Medium, Running};
use huey_core::{Error, Result};

use crate::barrier::FileBarrier;
use crate::journal::SledLog;
use crate::lock::FolderLock;
use crate::running::RunningTable;
use crate::{files, mark};

/// sled reuses a segment only after a later one was begun, and writes up to ten bytes for each byte of an entry. With
/// segments of this size, what is written between two syncs stays within one, so that a power cut cannot lose an entry
/// by what came after it. Fixed when the folder is created.
const SEGMENT: usize = 4 * 1024 * 1024;
const _: () = assert!(BARRIER * 10 < SEGMENT);

/// A locked folder that holds a queue.
#[derive(Debug)]
pub struct SledMedium {
    folder: PathBuf,
    cache: u64,
    lock: Arc<FolderLock>,
    running: Arc<RunningTable>,
}

impl SledMedium {
    /// Creates the folder if it is not there, and locks it.
    ///
    /// # Errors
    ///
    /// [`Error::is_in_use`] naming the holder; [`Error::is_damaged`] if the folder holds something else or another
    /// format; [`Error::is_unavailable`] if it cannot be created or read.
    pub fn new(folder: PathBuf, cache: u64) -> Result<Self> {
        let fault = |error: std::io::Error| unavailable(&folder, &error);
        // Not before it is known to be a folder for queues: the lock is a file in it.
        if folder.exists() && !folder.is_dir() {
            return Err(Error::unavailable(format!("{} is no folder: name one for the queue", folder.display())));
        }
        files::prepare(&folder)?;
        let lock = Arc::new(FolderLock::take(&folder)?);
        let running = Arc::new(RunningTable::open(&folder).map_err(fault)?);
        Ok(Self { folder, cache, lock, running })
    }

    fn open_db(&self) -> Result<sled::Db> {
        let shown = self.folder.display();
        let config = sled::Config::new()
            .path(&self.folder)
            .cache_capacity(self.cache)
            .segment_size(SEGMENT)
            .flush_every_ms(None);
        match catch_unwind(AssertUnwindSafe(|| config.open())) {
            Ok(Ok(db)) => Ok(db),
            Ok(Err(error @ sled::Error::Corruption { .. })) => Err(Error::damaged(format!(
                "the queue in {shown} is damaged: {error}; nothing was deleted: restore the folder from a copy, or move \
                 it away to start an empty queue"
            ))),
            Ok(Err(error)) => Err(Error::unavailable(format!("the queue in {shown} cannot be opened: {error}"))),
            Err(_) => {
                self.lock.poison();
                Err(Error::damaged(format!(
                    "the queue in {shown} is damaged: sled panicked when it was opened; nothing was deleted: restore \
                     the folder from a copy, or move it away to start an empty queue"
                )))
            }
        }
    }
}

fn unavailable(folder: &Path, error: &std::io::Error) -> Error {
    Error::unavailable(format!("the queue in {} cannot be opened: {error}", folder.display()))
}

impl Medium for SledMedium {
    type Log = SledLog;

    fn open(&self) -> Result<SledLog> {
        let fault = |error: std::io::Error| unavailable(&self.folder, &error);
        if self.lock.is_poisoned() {
            return Err(Error::damaged(format!(
                "sled panicked on the queue in {}, and this process cannot open it again",
                self.folder.display()
            )));
        }
        files::remove_unfinished_snapshots(&self.folder).map_err(fault)?;
        // Until something was known to be durable, the names of the files may not be.
        let created = mark::read(&self.folder).is_none();
        let db = self.open_db()?;
        let barrier = FileBarrier::open(&self.folder).map_err(fault)?;
        files::settle_names(&self.folder, created).map_err(fault)?;
        if files::has_blobs(&self.folder).map_err(fault)? {
            return Err(Error::damaged(format!(
                "the queue in {} holds blobs, which it never writes: restore the folder from a copy",
                self.folder.display()
            )));
        }
        Ok(SledLog::new(db, barrier, Arc::clone(&self.lock), self.folder.clone()))
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::clone(&self.running) as Arc<dyn Running>
    }

    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        mark::write(&self.folder, sequence).map_err(|error| {
            LogError::failed(format!("the mark in {} could not be written: {error}", self.folder.display()))
        })
    }

    fn marked(&self) -> Option<u64> {
        mark::read(&self.folder)
    }

    fn name(&self) -> String {
        self.folder.display().to_string()
    }
}
