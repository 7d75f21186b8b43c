//! The embedded storage on a real disk, through the suite that every storage passes.

mod child;

use std::sync::{Arc, Mutex, PoisonError};

use child::Folder;
use huey::store::{OpenStorage, Storage, StorageOptions};
use huey::testing::conformance::{self, Subject};
use huey::{Result, Sled};

/// A folder for each store that the checks open, the last one to be opened again.
#[derive(Default)]
struct OnDisk(Mutex<Vec<Folder>>);

impl OnDisk {
    fn sled(&self) -> Sled {
        let folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Sled::at(folders.last().map_or_else(Default::default, |folder| folder.join("queue")))
    }
}

impl Subject for OnDisk {
    fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Folder::new());
        self.sled().open_storage(options)
    }

    fn reopen(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        drop(store);
        Some(self.sled().open_storage(options))
    }
}

#[test]
fn sled_on_a_disk_conforms() {
    conformance::run(&OnDisk::default());
}
