//! A folder as a medium: locked once, opened as often as a failure makes it necessary.

use std::path::PathBuf;
use std::sync::Arc;

use huey_core::store::{LogError, Medium, Running};
use huey_core::{Error, Result};

use crate::journal::SledLog;
use crate::lock::{self, FolderLock};
use crate::running::RunningTable;
use crate::site::Site;
use crate::{files, mark};

/// A locked folder that holds a queue. It stays locked until this, its log and its running table are gone.
#[derive(Debug)]
pub struct SledMedium {
    site: Site,
    running: Arc<RunningTable>,
    /// Whether what is left of a damaged queue is wanted.
    for_reading: bool,
}

impl SledMedium {
    /// Creates the folder if it is not there, and locks it. `cache` is in bytes.
    ///
    /// # Errors
    ///
    /// [`Error::is_in_use`] naming the holder; [`Error::is_damaged`] if the folder holds something else or another
    /// format; [`Error::is_unavailable`] if it cannot be created or read.
    pub fn new(folder: PathBuf, cache: u64) -> Result<Self> {
        files::create(&folder)?;
        // The lock is a file as well, so it is not put into a folder of somebody else.
        files::refuse_foreign(&folder)?;
        let lock = Arc::new(FolderLock::take(&folder)?);
        files::claim(&folder)?;
        let shown = folder.clone();
        Self::locked(folder, shown, cache, lock)
    }

    /// A folder that is locked already, and goes by another name in messages.
    pub(crate) fn locked(folder: PathBuf, shown: PathBuf, cache: u64, lock: Arc<FolderLock>) -> Result<Self> {
        let running = RunningTable::open(&folder, Arc::clone(&lock)).map_err(|error| {
            Error::unavailable(format!("the running table of the queue in {} failed: {error}", shown.display()))
        })?;
        let site = Site { folder, shown, lock, cache, seals: true };
        Ok(Self { site, running: Arc::new(running), for_reading: false })
    }

    pub(crate) fn for_reading(self) -> Self {
        Self { for_reading: true, ..self }
    }

    /// Does not make a volume durable before the next one begins, which loses jobs in a power cut: for tests that must show
    /// so.
    #[doc(hidden)]
    #[must_use]
    pub fn without_sealing(self) -> Self {
        Self { site: Site { seals: false, ..self.site }, ..self }
    }

    #[cfg(test)]
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    fn fault(&self, error: &LogError) -> Error {
        let shown = self.site.shown.display();
        if error.damaged {
            Error::damaged(format!(
                "the queue in {shown} is damaged: {error}; nothing was deleted: restore the folder from a copy, or export \
                 what is left of it and import that into a new one"
            ))
        } else {
            Error::unavailable(format!("the queue in {shown} cannot be opened: {error}"))
        }
    }
}

impl Medium for SledMedium {
    type Log = SledLog;

    fn open(&self) -> Result<SledLog> {
        if self.site.lock.is_poisoned() {
            return Err(lock::poisoned(&self.site.shown));
        }
        if !self.for_reading && mark::is_torn(&self.site.folder) {
            return Err(self.fault(&LogError::damaged(
                "its mark, huey.mark, cannot be read, so a missing end of the journal would not be noticed (remove that \
                 file if `verify` finds nothing else wrong)",
            )));
        }
        SledLog::open(self.site.clone()).map_err(|error| self.fault(&error))
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::clone(&self.running) as Arc<dyn Running>
    }

    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        mark::write(&self.site.folder, sequence).map_err(|error| {
            LogError::failed(format!("the mark in {} could not be written: {error}", self.site.shown.display()))
        })
    }

    fn marked(&self) -> Option<u64> {
        mark::read(&self.site.folder)
    }

    fn name(&self) -> String {
        self.site.shown.display().to_string()
    }
}
