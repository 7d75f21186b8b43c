//! The barrier: sled's flush hands its pages to the system, and on Linux waits for no disk.

use std::fs::File;
use std::path::Path;

use huey_core::store::{Barrier, LogError};

/// A descriptor of our own on sled's file. It is opened before the first write, since the system reports a failed
/// write once to each descriptor that was open then.
pub(crate) struct FileBarrier {
    file: File,
    name: String,
}

impl FileBarrier {
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        let path = folder.join("db");
        let file = File::options().read(true).write(true).open(&path)?;
        Ok(Self { file, name: path.display().to_string() })
    }
}

impl Barrier for FileBarrier {
    fn sync(&self) -> Result<(), LogError> {
        // sled's own files are synced by sled itself elsewhere than on Linux. `fdatasync` is enough: it covers the size
        // of the file, which is all of its metadata that reading needs.
        if cfg!(target_os = "linux") {
            self.file
                .sync_data()
                .map_err(|error| LogError::failed(format!("{} could not be synced: {error}", self.name)))?;
        }
        Ok(())
    }
}
