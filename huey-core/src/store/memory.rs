//! A storage in memory: for tests, and for jobs that need not outlive the process.

use std::collections::VecDeque;
use std::sync::Arc;

use super::engine::engine;
use super::log::{Barrier, Entry, Log, LogError, Medium, Running};
use super::storage::{OpenStorage, Storage, StorageOptions};
use crate::error::Result;
use crate::task::Durability;

/// Keeps jobs in memory. Everything is gone when the process ends.
///
/// It is the same engine as on disk over a log of byte strings, so that a test against it runs the code that ships.
///
/// ```
/// use huey_core::{Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory(());

impl Memory {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self(())
    }
}

impl OpenStorage for Memory {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        engine(Ram, options)
    }
}

pub(crate) struct Ram;

impl Medium for Ram {
    type Log = RamLog;

    fn open(&self) -> Result<RamLog> {
        Ok(RamLog::default())
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::new(Ram)
    }

    fn name(&self) -> String {
        "memory".into()
    }
}

/// Nothing survives this process, so there is nothing to note.
impl Running for Ram {
    fn begin(&self, _: usize, _: u64, _: u32, _: Durability) -> Result<(), LogError> {
        Ok(())
    }

    fn end(&self, _: usize) -> Result<(), LogError> {
        Ok(())
    }

    fn left(&self) -> Vec<(u64, u32)> {
        Vec::new()
    }

    fn forget_left(&self) -> Result<(), LogError> {
        Ok(())
    }
}

impl Barrier for Ram {
    fn sync(&self) -> Result<(), LogError> {
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct RamLog {
    first: u64,
    entries: VecDeque<Arc<[u8]>>,
}

impl Log for RamLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        if self.entries.is_empty() {
            self.first = sequence;
        }
        self.entries.push_back(entry.into());
        Ok(())
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let at = sequence.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        Ok(at.and_then(|at| self.entries.get(at)).map(|entry| Entry::new(Arc::clone(entry))))
    }

    fn remove_oldest(&mut self, _: u64) -> Result<(), LogError> {
        self.entries.pop_front();
        self.first += 1;
        Ok(())
    }

    fn remove_newest(&mut self, _: u64) -> Result<(), LogError> {
        self.entries.pop_back();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::new(Ram)
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        (self.first..).zip(&self.entries).try_for_each(|(sequence, entry)| each(sequence, entry))
    }
}
