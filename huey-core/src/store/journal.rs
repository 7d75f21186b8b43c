//! The journal: batches of effects in a log, and the way back from a place to an effect.

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::barrier::{lock, panic_text};
use super::batch::{Batch, View, decode_effect, frame, framed};
use super::log::{BARRIER, Barrier, ENTRY_LIMIT, Entry, Log, LogError, OVERHEAD, REWRITE};
use super::storage::StorageError;
use crate::machine::{Effect, Fetch, Place};

/// How many entries are kept at hand. Jobs that were enqueued together are claimed together.
const CACHED: usize = 8;

pub(crate) struct Journal<L> {
    log: L,
    syncer: Arc<Syncer>,
    /// The number of the newest entry; 0 if there is none.
    last: u64,
    /// The newest entry that ends a batch: what a sync may call durable, since a batch counts only whole.
    whole: u64,
    /// Bytes written since the log was opened, and one more, so that the first sync is never taken for needless.
    volume: u64,
    /// How far the last flush went.
    flushed: u64,
    /// The newest entry known to be on the medium.
    durable: Arc<AtomicU64>,
    cache: RefCell<Vec<(u64, Arc<Entry>)>>,
    /// The first failed read. No further call of the log can be trusted.
    failed: RefCell<Option<LogError>>,
}

/// How far a flush went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// The newest entry of a whole batch.
    pub(crate) upto: u64,
    volume: u64,
}

/// The log's barrier, used by one thread at a time.
pub(crate) struct Syncer {
    barrier: Arc<dyn Barrier>,
    /// How far the last sync went. Read by the writer while a sync runs.
    volume: AtomicU64,
    /// Held by who syncs. After one failed sync the system may call lost pages clean, and a later sync would succeed
    /// without them, so there is none.
    failed: Mutex<Option<String>>,
}

impl Syncer {
    /// Makes what was flushed durable.
    pub(crate) fn sync(&self, flushed: Flushed) -> Result<(), LogError> {
        let mut failed = lock(&self.failed);
        if let Some(failed) = &*failed {
            return Err(LogError::failed(failed.clone()));
        }
        if self.volume() >= flushed.volume {
            return Ok(());
        }
        let done = catch_unwind(AssertUnwindSafe(|| self.barrier.sync()))
            .unwrap_or_else(|panic| Err(LogError::damaged(format!("a sync panicked: {}", panic_text(&*panic)))));
        match &done {
            Ok(()) => self.volume.store(flushed.volume, Ordering::SeqCst),
            Err(error) => *failed = Some(error.message.clone()),
        }
        done
    }

    fn volume(&self) -> u64 {
        self.volume.load(Ordering::SeqCst)
    }
}

impl<L: Log> Journal<L> {
    /// A journal that ends at entry `last`, of which a sync may call all up to `whole` durable.
    pub(crate) fn new(log: L, last: u64, whole: u64, durable: Arc<AtomicU64>) -> Self {
        let syncer = Arc::new(Syncer { barrier: log.barrier(), volume: AtomicU64::new(0), failed: Mutex::default() });
        let (cache, failed) = Default::default();
        Self { log, syncer, last, whole, volume: 1, flushed: 1, durable, cache, failed }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// The newest entry known to be on the medium.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::SeqCst)
    }

    pub(crate) fn syncer(&self) -> Arc<Syncer> {
        Arc::clone(&self.syncer)
    }

    pub(crate) fn free_space(&self) -> Option<u64> {
        self.log.free_space()
    }

    /// Why a read failed, if one did: the log is to be opened again then.
    pub(crate) fn failure(&self) -> Option<LogError> {
        self.failed.borrow_mut().take()
    }

    /// A batch that will stand behind the newest entry.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.last + 1)
    }

    /// Appends the entries of a batch.
    pub(crate) fn append(&mut self, entries: &[Vec<u8>]) -> Result<(), LogError> {
        for entry in entries {
            self.spend(entry.len(), BARRIER)?;
            self.log.append(self.last + 1, entry)?;
            self.last += 1;
        }
        self.whole = self.last;
        Ok(())
    }

    /// Writes the entries above `durable` anew and makes them durable: after a failed sync the system may hold them
    /// for written. They are overwritten and never removed first, since they may hold the only copy of something.
    pub(crate) fn write_anew(&mut self, durable: u64) -> Result<(), LogError> {
        for sequence in durable + 1..=self.last {
            let entry = self.read(sequence)?;
            self.spend(entry.len(), REWRITE)?;
            self.log.append(sequence, &entry)?;
        }
        self.whole = self.last;
        self.sync()
    }

    /// An entry that is there.
    pub(crate) fn read(&self, sequence: u64) -> Result<Entry, LogError> {
        let entry = self.log.read(sequence)?;
        entry.ok_or_else(|| LogError::damaged(format!("entry {sequence} of the journal is gone")))
    }

    pub(crate) fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.cache.get_mut().retain(|(cached, _)| *cached != sequence);
        self.log.remove_oldest(sequence)
    }

    /// Removes the newest entry, part of a batch that a crash cut off.
    pub(crate) fn remove_newest(&mut self) -> Result<(), LogError> {
        self.spend(ENTRY_LIMIT, REWRITE)?;
        self.cache.get_mut().clear();
        self.log.remove_newest(self.last)?;
        self.last -= 1;
        Ok(())
    }

    /// Counts bytes that are about to be written, behind a sync if there would be more than `most` since the last one: the log
    /// might otherwise reuse space that what was written before still needs.
    fn spend(&mut self, bytes: usize, most: usize) -> Result<(), LogError> {
        let bytes = bytes + OVERHEAD;
        // What was written before the first sync counts from the opening.
        let since = self.volume - self.syncer.volume().max(1);
        if since + bytes as u64 > most as u64 {
            self.sync()?;
        }
        self.volume += bytes as u64;
        Ok(())
    }

    /// Whether half of what the barrier allows was written since the last flush: a sync that begins now is mostly over before
    /// somebody must wait for it.
    pub(crate) fn is_barrier_near(&self) -> bool {
        self.volume - self.flushed > BARRIER as u64 / 2
    }

    /// Hands everything to the operating system, and says how far that is.
    pub(crate) fn flush(&mut self) -> Result<Flushed, LogError> {
        self.log.flush()?;
        self.flushed = self.volume;
        Ok(Flushed { upto: self.whole, volume: self.volume })
    }

    /// Makes everything durable.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        let flushed = self.flush()?;
        self.syncer.sync(flushed)?;
        self.durable.fetch_max(flushed.upto, Ordering::SeqCst);
        Ok(())
    }

    fn entry(&self, sequence: u64) -> Result<Arc<Entry>, StorageError> {
        let mut cache = self.cache.borrow_mut();
        if let Some((_, entry)) = cache.iter().find(|(cached, _)| *cached == sequence) {
            return Ok(Arc::clone(entry));
        }
        let read = self.log.read(sequence).map_err(|error| {
            let told = fault(&error);
            if !error.damaged {
                self.failed.borrow_mut().get_or_insert(error);
            }
            told
        })?;
        let entry = Arc::new(read.ok_or_else(|| {
            StorageError::Damaged(format!("entry {sequence} of the journal is gone, though it is still needed"))
        })?);
        if cache.len() == CACHED {
            cache.remove(0);
        }
        cache.push((sequence, Arc::clone(&entry)));
        Ok(entry)
    }

    /// The effects that begin in an entry, with their places and their bytes.
    pub(crate) fn effects_in(&self, sequence: u64) -> Result<Vec<(Effect, Place, Vec<u8>)>, StorageError> {
        let entry = self.entry(sequence)?;
        let view = View::of(sequence, &entry).map_err(|error| fault(&error))?;
        let mut offset = view.continued;
        let mut all = Vec::new();
        while offset < view.payload.len() {
            let bytes = self.with_effect(sequence, offset, <[u8]>::to_vec)?;
            let length = framed(bytes.len());
            let place = Place::new(sequence, offset, length);
            all.push((decode_effect(&bytes, place)?, place, bytes));
            offset += length;
        }
        Ok(all)
    }

    fn with_effect<T>(&self, sequence: u64, offset: usize, read: impl FnOnce(&[u8]) -> T) -> Result<T, StorageError> {
        let cut = || StorageError::Damaged(format!("an effect at {sequence}+{offset} of the journal is cut off"));
        let entry = self.entry(sequence)?;
        let view = View::of(sequence, &entry).map_err(|error| fault(&error))?;
        let (here, mut missing) = view.payload.get(offset..).and_then(frame).ok_or_else(cut)?;
        if missing == 0 {
            return Ok(read(here));
        }
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
        Ok(read(&bytes))
    }

    /// Reads the log from end to end, as opening it does.
    #[cfg(feature = "testing")]
    pub(crate) fn replay(&self, now: crate::time::Timestamp) -> Result<super::replay::Replayed, LogError> {
        super::replay::replay(&self.log, now)
    }
}

impl<L: Log> Fetch for Journal<L> {
    fn fetch(&self, place: Place) -> Result<Effect, StorageError> {
        self.with_effect(place.sequence(), place.offset(), |bytes| decode_effect(bytes, place))?
    }
}

/// The journal with a batch that is not in it yet: what one transition of a batch put, the next may read.
pub(crate) struct WithBatch<'a, L> {
    pub(crate) journal: &'a Journal<L>,
    pub(crate) batch: &'a Batch,
}

impl<L: Log> Fetch for WithBatch<'_, L> {
    fn fetch(&self, place: Place) -> Result<Effect, StorageError> {
        match self.batch.effect_bytes(place) {
            Some(bytes) => decode_effect(&bytes, place),
            None => self.journal.fetch(place),
        }
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
