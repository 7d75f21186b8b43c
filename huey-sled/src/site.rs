//! Where a queue is, and how sled opens its volumes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use huey_core::store::{BARRIER, ENTRY_LIMIT, LogError, REWRITE};

use crate::files;
use crate::handle::{Handle, is_damage, said};
use crate::lock::{self, FolderLock};

/// sled reuses a segment only after a later one was begun, and writes little more than each entry, but where they are small, or
/// written anew. With segments of this size, what is written between two syncs stays within one, so that a power cut cannot
/// lose an entry by what came after it. Fixed when a volume is created; such a buffer is held for each that is open.
const SEGMENT: usize = 2 * 1024 * 1024;
const _: () = assert!(BARRIER * 4 <= SEGMENT && REWRITE * 20 <= SEGMENT);
/// Pages that are longer than a quarter of a segment would go to files of their own, which sled never syncs. A leaf has up to 16
/// entries.
const _: () = assert!(ENTRY_LIMIT * 20 < SEGMENT / 4);
/// What sled takes at least.
const LEAST_CACHE: u64 = 64 * 1024;

/// A locked folder that holds a queue.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) folder: PathBuf,
    /// The folder for messages.
    pub(crate) shown: PathBuf,
    pub(crate) lock: Arc<FolderLock>,
    /// How many bytes of volumes are kept in memory.
    pub(crate) cache: u64,
    /// Whether a volume is made durable before the next one begins.
    pub(crate) seals: bool,
}

impl Site {
    /// The name of a volume's folder, for messages.
    pub(crate) fn shown(&self, volume: &Path) -> PathBuf {
        volume.file_name().map_or_else(|| self.shown.clone(), |name| self.shown.join(name))
    }

    /// What to say of a call to the system that failed.
    pub(crate) fn failed(&self, what: &str, error: &io::Error) -> LogError {
        LogError::failed(format!("{what} in {}: {error}", self.shown.display()))
    }

    fn config(&self, volume: &Path) -> sled::Config {
        let cache = self.cache.max(LEAST_CACHE);
        sled::Config::new().path(volume).cache_capacity(cache).segment_size(SEGMENT).flush_every_ms(None)
    }

    /// Opens the database of a volume.
    pub(crate) fn open(&self, volume: &Path) -> Result<Handle, LogError> {
        let shown = self.shown(volume);
        if self.lock.is_poisoned() {
            return Err(LogError::damaged(lock::poisoned(&self.shown).to_string()));
        }
        let fault = |error: io::Error| self.failed("a volume could not be opened", &error);
        if files::has_blobs(volume).map_err(fault)? {
            return Err(LogError::damaged(format!(
                "the folder `blobs` of {} holds files, which a queue never writes",
                shown.display()
            )));
        }
        files::remove_unfinished(volume, SEGMENT).map_err(fault)?;
        let db = self.open_db(&shown, || self.config(volume).open())?;
        // From here on it is closed with its panics contained, also if a later step fails.
        let handle = Handle::new(db, Arc::clone(&self.lock), shown);
        files::own_volume(volume).map_err(fault)?;
        Ok(handle)
    }

    /// Opens a database by `open`, whose panics end here.
    fn open_db(&self, shown: &Path, open: impl Fn() -> sled::Result<sled::Db>) -> Result<sled::Db, LogError> {
        let shown = shown.display();
        let until = Instant::now() + lock::PATIENCE_WITH_SLED;
        loop {
            return match catch_unwind(AssertUnwindSafe(&open)) {
                Ok(Ok(db)) => Ok(db),
                // The last handle's descriptor, in its threads or in a child that is just being started.
                Ok(Err(error)) if is_locked(&error) && Instant::now() < until => {
                    sleep(lock::PAUSE);
                    continue;
                }
                Ok(Err(error)) => {
                    Err(LogError { message: format!("opening {shown} failed: {error}"), damaged: is_damage(&error) })
                }
                Err(panic) => {
                    self.lock.poison();
                    Err(LogError::damaged(format!(
                        "sled panicked when it opened {shown} ({}), and this process cannot open it again",
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

#[cfg(test)]
mod tests {
    use huey_core::store::Medium;

    use super::*;
    use crate::SledMedium;

    #[test]
    fn a_panic_while_sled_opens_is_told_and_the_folder_stays_shut() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-panic-open", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        let error = medium.site().open_db(&folder, || panic!("tried to serialize Uninitialized")).unwrap_err();
        assert!(error.damaged);
        let text = error.to_string();
        assert!(text.contains(folder.to_str().unwrap()) && text.contains("tried to serialize"), "{text}");
        assert!(text.contains("cannot open it again"), "{text}");
        assert!(medium.open().unwrap_err().is_damaged());
        drop(medium);
        assert!(SledMedium::new(folder.clone(), 1 << 20).unwrap_err().is_damaged());
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_panic_in_sled_becomes_an_error_and_shuts_the_folder_for_this_process() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-panic", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        drop(medium.open().unwrap());
        let handle = medium.site().open(&files::volume(&folder, 1)).unwrap();
        let error = handle.call::<()>("a write", |_| panic!("at the disco")).unwrap_err();
        assert!(error.damaged);
        assert!(error.message.contains(folder.to_str().unwrap()) && error.message.contains("at the disco"), "{error}");
        drop(handle);
        for error in [medium.open().unwrap_err(), SledMedium::new(folder.clone(), 1 << 20).unwrap_err()] {
            assert!(error.is_damaged() && error.to_string().contains("cannot open it again"), "{error}");
        }
        let _ = std::fs::remove_dir_all(&folder);
    }

    #[test]
    fn a_lock_that_is_about_to_go_is_waited_for() {
        let folder = std::env::temp_dir().join(format!("huey-sled-{}-wait", std::process::id()));
        let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
        let tries = std::cell::Cell::new(0);
        let db = medium.site().open_db(&folder, || {
            tries.set(tries.get() + 1);
            if tries.get() < 3 {
                return Err(sled::Error::Io(io::Error::other("could not acquire lock on \"db\"")));
            }
            medium.site().config(&folder.join("volume")).open()
        });
        assert_eq!((db.is_ok(), tries.get()), (true, 3));
        drop(db);
        let _ = std::fs::remove_dir_all(&folder);
    }
}
