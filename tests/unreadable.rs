//! Jobs that the storage has and cannot read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use huey::store::{Barrier, Entry, Log, LogError, Medium, OpenStorage, Running, Storage, StorageOptions, engine};
use huey::testing::{SimDisk, SimLog, SimMedium};
use huey::{Huey, Result, task};

#[task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// A simulated disk whose entries cannot be found any more once it is told so.
struct Holed(SimMedium, Arc<AtomicBool>);

struct HoledLog(SimLog, Arc<AtomicBool>);

impl OpenStorage for Holed {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        engine(self, options)
    }
}

impl Medium for Holed {
    type Log = HoledLog;

    fn open(&self) -> Result<HoledLog> {
        Ok(HoledLog(self.0.open()?, Arc::clone(&self.1)))
    }

    fn running(&self) -> Arc<dyn Running> {
        self.0.running()
    }

    fn name(&self) -> String {
        self.0.name()
    }
}

type Each<'a> = dyn FnMut(u64, &[u8]) -> std::result::Result<(), LogError> + 'a;

impl Log for HoledLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> std::result::Result<(), LogError> {
        self.0.append(sequence, entry)
    }

    fn read(&self, sequence: u64) -> std::result::Result<Option<Entry>, LogError> {
        Ok(self.0.read(sequence)?.filter(|_| !self.1.load(Ordering::SeqCst)))
    }

    fn remove_oldest(&mut self, sequence: u64) -> std::result::Result<(), LogError> {
        self.0.remove_oldest(sequence)
    }

    fn remove_newest(&mut self, sequence: u64) -> std::result::Result<(), LogError> {
        self.0.remove_newest(sequence)
    }

    fn flush(&mut self) -> std::result::Result<(), LogError> {
        self.0.flush()
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        self.0.barrier()
    }

    fn scan(&self, each: &mut Each<'_>) -> std::result::Result<(), LogError> {
        self.0.scan(each)
    }
}

#[test]
fn a_run_ends_with_an_error_if_its_jobs_cannot_be_read() {
    let holed = Arc::new(AtomicBool::new(false));
    let huey = Huey::builder().open(Holed(SimDisk::new(1).medium(), Arc::clone(&holed))).unwrap();
    let handle = add::enqueue(&huey, 1, 2).unwrap();
    holed.store(true, Ordering::SeqCst);
    let error = huey.consumer().workers(2).run_until_idle().unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("is gone, though it is still needed"), "{error}");
    holed.store(false, Ordering::SeqCst);
    huey.consumer().workers(2).run_until_idle().unwrap();
    assert_eq!(handle.get().unwrap(), Some(3));
}
