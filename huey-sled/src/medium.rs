//! A folder as a medium: locked once, opened as often as a failure makes it necessary.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use huey_core::store::{BARRIER, LogError, Medium, Running};
use huey_core::{Error, Result};

use crate::barrier::FileBarrier;
use crate::journal::{Handle, SledLog, is_damage, said};
use crate::lock::{self, FolderLock};
use crate::running::RunningTable;
use crate::{files, mark};

/// sled reuses a segment only after a later one was begun, and writes up to ten bytes for each byte of an entry. With
/// segments of this size, what is written between two syncs stays within one, so that a power cut cannot lose an entry
/// by what came after it. Fixed when the folder is created.
const SEGMENT: usize = 4 * 1024 * 1024;
const _: () = assert!(BARRIER * 10 < SEGMENT);

/// A locked folder that holds a queue. It stays locked until this, its log and its running table are gone.
#[derive(Debug)]
pub struct SledMedium {
    folder: PathBuf,
    /// The folder for messages.
    shown: PathBuf,
    cache: u64,
    lock: Arc<FolderLock>,
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
        Ok(Self { folder, shown, cache, lock, running: Arc::new(running), for_reading: false })
    }

    pub(crate) fn for_reading(self) -> Self {
        Self { for_reading: true, ..self }
    }

    fn unavailable(&self, error: &io::Error) -> Error {
        Error::unavailable(format!("the queue in {} cannot be opened: {error}", self.shown.display()))
    }

    fn damaged(&self, what: &str) -> Error {
        Error::damaged(format!(
            "the queue in {} is damaged: {what}; nothing was deleted: restore the folder from a copy, or export what is \
             left of it and import that into a new one",
            self.shown.display()
        ))
    }

    fn config(&self) -> sled::Config {
        sled::Config::new().path(&self.folder).cache_capacity(self.cache).segment_size(SEGMENT).flush_every_ms(None)
    }

    /// Opens the database by `open`, whose panics end here.
    fn open_db(&self, open: impl Fn() -> sled::Result<sled::Db>) -> Result<sled::Db> {
        let until = Instant::now() + lock::PATIENCE_WITH_SLED;
        loop {
            return match catch_unwind(AssertUnwindSafe(&open)) {
                Ok(Ok(db)) => Ok(db),
                // The last handle's descriptor, in its threads or in a child that is just being started.
                Ok(Err(error)) if is_locked(&error) && Instant::now() < until => {
                    sleep(lock::PAUSE);
                    continue;
                }
                Ok(Err(error)) if is_damage(&error) => Err(self.damaged(&error.to_string())),
                Ok(Err(error)) => {
                    let shown = self.shown.display();
                    Err(Error::unavailable(format!("the queue in {shown} cannot be opened: {error}")))
                }
                Err(panic) => {
                    self.lock.poison();
                    Err(self.damaged(&format!(
                        "sled panicked when it was opened ({}), and this process cannot open it again",
                        said(&*panic)
                    )))
                }
            };
        }
    }
}

/// Whether sled's own lock on its file was the reason.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().starts_with("could not acquire lock"))
}

impl Medium for SledMedium {
    type Log = SledLog;

    fn open(&self) -> Result<SledLog> {
        let fault = |error: io::Error| self.unavailable(&error);
        if self.lock.is_poisoned() {
            return Err(lock::poisoned(&self.shown));
        }
        if files::has_blobs(&self.folder).map_err(fault)? {
            return Err(self.damaged("its folder `blobs` holds files, which a queue never writes"));
        }
        if !self.for_reading && mark::is_torn(&self.folder) {
            return Err(self.damaged(
                "its mark, huey.mark, cannot be read, so a missing end of the journal would not be noticed (remove that \
                 file if `verify` finds nothing else wrong)",
            ));
        }
        files::remove_unfinished(&self.folder, SEGMENT).map_err(fault)?;
        // Until something was known to be durable, the names of the files may not be.
        let created = mark::read(&self.folder).is_none();
        // From here on the database is closed with its panics contained, also if a later step fails.
        let db = Handle::new(
            self.open_db(|| self.config().open())?,
            Arc::clone(&self.lock),
            self.shown.clone(),
            self.folder.clone(),
        );
        let barrier = FileBarrier::open(&self.folder).map_err(fault)?;
        files::settle_names(&self.folder, created).map_err(fault)?;
        Ok(SledLog::new(db, barrier))
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::clone(&self.running) as Arc<dyn Running>
    }

    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        mark::write(&self.folder, sequence).map_err(|error| {
            LogError::failed(format!("the mark in {} could not be written: {error}", self.shown.display()))
        })
    }

    fn marked(&self) -> Option<u64> {
        mark::read(&self.folder)
    }

    fn name(&self) -> String {
        self.shown.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_sled_opens_is_told_and_the_folder_stays_shut() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-panic-open", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        let error = medium.open_db(|| panic!("tried to serialize Uninitialized")).unwrap_err();
        assert!(error.is_damaged());
        let text = error.to_string();
        assert!(text.contains(folder.to_str().unwrap()) && text.contains("tried to serialize"), "{text}");
        assert!(text.contains("nothing was deleted") && text.contains("cannot open it again"), "{text}");
        assert!(medium.open().unwrap_err().is_damaged());
        drop(medium);
        assert!(SledMedium::new(folder.clone(), 1 << 20).unwrap_err().is_damaged());
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_lock_that_is_about_to_go_is_waited_for() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-wait", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        let tries = std::cell::Cell::new(0);
        let db = medium.open_db(|| {
            tries.set(tries.get() + 1);
            if tries.get() < 3 {
                return Err(sled::Error::Io(io::Error::other("could not acquire lock on \"db\"")));
            }
            medium.config().open()
        });
        assert_eq!((db.is_ok(), tries.get()), (true, 3));
        drop(db);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
