//! The barrier: sled's flush hands its pages to the system, and on Linux waits for no disk.

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use huey_core::store::{Barrier, LogError};

/// Descriptors of our own on sled's files. Each is opened before the first write, since the system reports a failed write
/// once to each descriptor that was open then.
pub(crate) struct FileBarrier(Mutex<Files>);

struct Files {
    /// The newest volume's, and before it those in which something was written anew.
    open: Vec<(File, String)>,
    /// The first failed sync. After one the system may call lost pages clean, and a later one would succeed without them.
    failed: Option<String>,
}

fn open(volume: &Path) -> std::io::Result<(File, String)> {
    let path = volume.join("db");
    let file = File::options().read(true).write(true).open(&path)?;
    Ok((file, path.display().to_string()))
}

impl FileBarrier {
    pub(crate) fn open(newest: &Path) -> std::io::Result<Self> {
        Ok(Self(Mutex::new(Files { open: vec![open(newest)?], failed: None })))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on another volume is the newest. The last one was synced, or is gone.
    pub(crate) fn turn_to(&self, newest: &Path) -> std::io::Result<()> {
        self.files().open = vec![open(newest)?];
        Ok(())
    }

    /// The next sync covers this one too.
    pub(crate) fn add(&self, volume: &Path) -> std::io::Result<()> {
        let added = open(volume)?;
        let mut files = self.files();
        if files.open.iter().all(|(_, name)| *name != added.1) {
            files.open.insert(0, added);
        }
        Ok(())
    }
}

impl Barrier for FileBarrier {
    fn sync(&self) -> Result<(), LogError> {
        let mut files = self.files();
        if let Some(failed) = &files.failed {
            return Err(LogError::failed(failed.clone()));
        }
        // sled's own files are synced by sled itself elsewhere than on Linux. `fdatasync` is enough: it covers the size
        // of the file, which is all of its metadata that reading needs.
        if cfg!(target_os = "linux") {
            for (file, name) in &files.open {
                if let Err(error) = file.sync_data() {
                    let failed = format!("{name} could not be synced: {error}");
                    files.failed = Some(failed.clone());
                    return Err(LogError::failed(failed));
                }
            }
        }
        let older = files.open.len() - 1;
        files.open.drain(..older);
        Ok(())
    }
}
