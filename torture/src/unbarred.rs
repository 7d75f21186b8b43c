//! A medium without the barrier by volume: what the queue would be had it only the syncs that somebody waits for.
//!
//! It swallows each flush, and the sync behind it, that comes when so much was appended since the last one that a sync begins
//! for that reason: half of what the barrier allows. A sync that somebody waited for may be among them; who checks a run over this
//! medium believes only acknowledgements that a real sync followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use huey::Result;
use huey::store::{BARRIER, Barrier, Entry, Log, LogError, Medium, Running};

#[derive(Default)]
struct Tally {
    /// Bytes appended since the last flush.
    since: AtomicU64,
    /// The sync behind the last flush is to be swallowed.
    swallow: AtomicBool,
    newest: AtomicU64,
    /// The newest entry that a real flush has reached, and a real sync.
    flushed: AtomicU64,
    synced: AtomicU64,
}

pub(crate) struct Unbarred<M> {
    medium: M,
    tally: Arc<Tally>,
}

impl<M: Medium> Unbarred<M> {
    pub(crate) fn new(medium: M) -> Self {
        Self { medium, tally: Arc::default() }
    }
}

impl<M: Medium> Medium for Unbarred<M> {
    type Log = UnbarredLog<M::Log>;

    fn open(&self) -> Result<Self::Log> {
        Ok(UnbarredLog { log: self.medium.open()?, tally: Arc::clone(&self.tally) })
    }

    fn running(&self) -> Arc<dyn Running> {
        self.medium.running()
    }

    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        // Nothing may be called durable that was only swallowed.
        match sequence.min(self.tally.synced.load(Ordering::SeqCst)) {
            0 => Ok(()),
            synced => self.medium.mark(synced),
        }
    }

    fn marked(&self) -> Option<u64> {
        self.medium.marked()
    }

    fn name(&self) -> String {
        self.medium.name()
    }
}

pub(crate) struct UnbarredLog<L> {
    log: L,
    tally: Arc<Tally>,
}

impl<L: Log> Log for UnbarredLog<L> {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        self.tally.since.fetch_add(entry.len() as u64, Ordering::SeqCst);
        self.tally.newest.fetch_max(sequence, Ordering::SeqCst);
        self.log.append(sequence, entry)
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        self.log.read(sequence)
    }

    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.tally.since.fetch_add(64, Ordering::SeqCst);
        self.log.remove_oldest(sequence)
    }

    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.tally.since.fetch_add(64, Ordering::SeqCst);
        self.log.remove_newest(sequence)
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let by_volume = self.tally.since.swap(0, Ordering::SeqCst) > (BARRIER / 2) as u64;
        self.tally.swallow.store(by_volume, Ordering::SeqCst);
        if by_volume {
            return Ok(());
        }
        let newest = self.tally.newest.load(Ordering::SeqCst);
        self.log.flush()?;
        self.tally.flushed.fetch_max(newest, Ordering::SeqCst);
        Ok(())
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::new(UnbarredBarrier { barrier: self.log.barrier(), tally: Arc::clone(&self.tally) })
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        self.log.scan(each)
    }

    fn free_space(&self) -> Option<u64> {
        self.log.free_space()
    }
}

struct UnbarredBarrier {
    barrier: Arc<dyn Barrier>,
    tally: Arc<Tally>,
}

impl Barrier for UnbarredBarrier {
    fn sync(&self) -> Result<(), LogError> {
        if self.tally.swallow.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        let flushed = self.tally.flushed.load(Ordering::SeqCst);
        self.barrier.sync()?;
        self.tally.synced.fetch_max(flushed, Ordering::SeqCst);
        Ok(())
    }
}
