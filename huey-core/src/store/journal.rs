//! The journal: batches of effects in a log, and the way back from a place to an effect.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::{Batch, View, frame, framed};
use super::log::{BARRIER, Barrier, Entry, Log, LogError};
use super::storage::StorageError;
use crate::codec;
use crate::machine::{Effect, Fetch, Place};

/// What a removal counts for against the barrier: it dirties pages as an append does.
const REMOVAL: usize = 64;
/// How many entries are kept at hand. Jobs that were enqueued together are claimed together.
const CACHED: usize = 8;

pub(crate) struct Journal<L> {
    log: L,
    barrier: Arc<dyn Barrier>,
    /// The number of the newest entry; 0 if there is none.
    last: u64,
    /// Bytes appended since the last sync.
    unsynced: usize,
    /// The newest entry known to be on the medium.
    durable: Arc<AtomicU64>,
    cache: RefCell<Vec<(u64, Arc<Entry>)>>,
}

impl<L: Log> Journal<L> {
    pub(crate) fn new(log: L, last: u64, durable: Arc<AtomicU64>) -> Self {
        let barrier = log.barrier();
        Self { log, barrier, last, unsynced: 0, durable, cache: RefCell::default() }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    pub(crate) fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::clone(&self.barrier)
    }

    pub(crate) fn free_space(&self) -> Option<u64> {
        self.log.free_space()
    }

    /// An entry's bytes, as they are in the log.
    pub(crate) fn raw(&self, sequence: u64) -> Result<Vec<u8>, LogError> {
        let entry = self.log.read(sequence)?;
        entry.map(|entry| entry.to_vec()).ok_or_else(|| LogError::damaged(format!("entry {sequence} is gone")))
    }

    /// A batch that will stand behind the newest entry.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.last + 1)
    }

    /// Appends one entry, behind a sync if the log might otherwise reuse space that the last one still needs.
    pub(crate) fn append_entry(&mut self, entry: &[u8]) -> Result<(), LogError> {
        if self.unsynced + entry.len() > BARRIER {
            self.sync()?;
        }
        self.log.append(self.last + 1, entry)?;
        self.last += 1;
        self.unsynced += entry.len();
        Ok(())
    }

    pub(crate) fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.unsynced += REMOVAL;
        self.cache.get_mut().retain(|(cached, _)| *cached != sequence);
        self.log.remove_oldest(sequence)
    }

    /// Removes the newest entry: part of a batch that a crash cut off, or one that is to be written anew.
    pub(crate) fn remove_newest(&mut self) -> Result<(), LogError> {
        self.cache.get_mut().clear();
        self.log.remove_newest(self.last)?;
        self.last -= 1;
        Ok(())
    }

    /// Hands everything to the operating system, and says up to which entry.
    pub(crate) fn flush(&mut self) -> Result<u64, LogError> {
        self.log.flush()?;
        self.unsynced = 0;
        Ok(self.last)
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        let upto = self.flush()?;
        self.barrier.sync()?;
        self.durable.fetch_max(upto, Ordering::SeqCst);
        Ok(())
    }

    fn entry(&self, sequence: u64) -> Result<Arc<Entry>, StorageError> {
        let mut cache = self.cache.borrow_mut();
        if let Some((_, entry)) = cache.iter().find(|(cached, _)| *cached == sequence) {
            return Ok(Arc::clone(entry));
        }
        let read = self.log.read(sequence).map_err(|error| fault(&error))?;
        let entry = Arc::new(read.ok_or_else(|| {
            StorageError::Damaged(format!("entry {sequence} of the journal is gone, though it is still needed"))
        })?);
        if cache.len() == CACHED {
            cache.remove(0);
        }
        cache.push((sequence, Arc::clone(&entry)));
        Ok(entry)
    }

    /// The effects that begin in an entry, with their places.
    pub(crate) fn effects_in(&self, sequence: u64) -> Result<Vec<(Effect, Place)>, StorageError> {
        let entry = self.entry(sequence)?;
        let view = View::of(sequence, &entry).map_err(|error| fault(&error))?;
        let mut offset = view.continued;
        let mut all = Vec::new();
        while offset < view.payload.len() {
            let bytes = self.effect_bytes(sequence, offset)?;
            let length = framed(bytes.len());
            let effect = codec::decode(&bytes).map_err(|error| StorageError::Damaged(error.to_string()))?;
            all.push((effect, Place::new(sequence, offset, length)));
            offset += length;
        }
        Ok(all)
    }

    fn effect_bytes(&self, sequence: u64, offset: usize) -> Result<Vec<u8>, StorageError> {
        let cut = || StorageError::Damaged(format!("an effect at {sequence}+{offset} of the journal is cut off"));
        let entry = self.entry(sequence)?;
        let view = View::of(sequence, &entry).map_err(|error| fault(&error))?;
        let (here, mut missing) = view.payload.get(offset..).and_then(frame).ok_or_else(cut)?;
        let mut bytes = here.to_vec();
        let mut next = sequence;
        while missing > 0 {
            next += 1;
            let entry = self.entry(next)?;
            let view = View::of(next, &entry).map_err(|error| fault(&error))?;
            let part = view.payload.get(..view.continued.min(missing)).filter(|part| !part.is_empty());
            let part = part.ok_or_else(cut)?;
            bytes.extend_from_slice(part);
            missing -= part.len();
        }
        Ok(bytes)
    }
}

impl<L: Log> Fetch for Journal<L> {
    fn fetch(&self, place: Place) -> Result<Effect, StorageError> {
        let bytes = self.effect_bytes(place.sequence(), place.offset())?;
        codec::decode(&bytes).map_err(|error| StorageError::Damaged(format!("at {place:?} of the journal: {error}")))
    }
}

/// A failed read of a log that goes on: nothing has changed.
pub(crate) fn fault(error: &LogError) -> StorageError {
    if error.damaged {
        StorageError::Damaged(error.message.clone())
    } else {
        StorageError::Unavailable(error.message.clone())
    }
}
