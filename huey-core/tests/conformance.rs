//! Every storage of this crate does what every storage must do, also behind a bad network.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::Mutex;

use huey_core::Result;
use huey_core::store::{Memory, OpenStorage, Storage, StorageOptions, engine};
use huey_core::testing::conformance::{self, Subject};
use huey_core::testing::{Remote, SimDisk};

struct InMemory;

impl Subject for InMemory {
    fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        Memory::new().open_storage(options)
    }
}

/// On a disk that outlives the process.
#[derive(Default)]
struct OnDisk(Mutex<Option<SimDisk>>);

impl OnDisk {
    fn disk(&self) -> SimDisk {
        self.0.lock().unwrap().clone().expect("a store was opened")
    }
}

impl Subject for OnDisk {
    fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        let disk = SimDisk::new(11);
        *self.0.lock().unwrap() = Some(disk.clone());
        engine(disk.medium(), options)
    }

    fn reopen(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        store.close().unwrap();
        drop(store);
        Some(engine(self.disk().medium(), options))
    }

    fn kill(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        self.disk().kill();
        drop(store);
        Some(engine(self.disk().medium(), options))
    }
}

/// Two clients of one store, each behind its own bad network.
struct Distant<S>(S, u64, Mutex<Option<Arc<dyn Storage>>>);

impl<S: Subject> Subject for Distant<S> {
    fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        let server = self.0.open(options)?;
        *self.2.lock().unwrap() = Some(Arc::clone(&server));
        Ok(Arc::new(Remote::new(server, self.1)))
    }

    fn second(&self, _: &Arc<dyn Storage>) -> Arc<dyn Storage> {
        let server = self.2.lock().unwrap().clone().expect("a store was opened");
        Arc::new(Remote::new(server, self.1 + 1_000_000))
    }

    fn kill(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        drop(store);
        let server = self.2.lock().unwrap().take().expect("a store was opened");
        let server = match self.0.kill(server, options)? {
            Ok(server) => server,
            Err(error) => return Some(Err(error)),
        };
        *self.2.lock().unwrap() = Some(Arc::clone(&server));
        Some(Ok(Arc::new(Remote::new(server, self.1 + 2))))
    }
}

#[test]
fn memory_conforms() {
    conformance::run(&InMemory);
}

#[test]
fn the_engine_on_a_disk_conforms() {
    conformance::run(&OnDisk::default());
}

#[test]
fn memory_behind_a_bad_network_conforms() {
    for seed in 0..8 {
        conformance::run(&Distant(InMemory, seed, Mutex::default()));
    }
}

#[test]
fn a_disk_behind_a_bad_network_conforms() {
    for seed in 0..8 {
        conformance::run(&Distant(OnDisk::default(), seed, Mutex::default()));
    }
}
