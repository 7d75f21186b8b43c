//! A disk that can be crashed at any call.

use std::sync::{Arc, Mutex};

use super::sim_disk::{Change, Disk, Stored, Table, lock};
use crate::error::{Error, Result};
#[cfg(doc)]
use crate::store::{BARRIER, REWRITE};
use crate::store::{Barrier, Entry, Log, LogError, Medium, Running};
use crate::task::Durability;

/// What happens at a call of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and so does every later call of that log. Whether it did anything is open.
    Fail,
    /// It panics, as a broken storage engine may.
    Panic,
    /// The process dies.
    Kill,
    /// The power fails.
    PowerCut,
}

/// A disk in memory that outlives the processes which use it, and keeps of what they wrote what a real one would.
///
/// After a kill it holds what was flushed and any part of what came later, in order; after a power cut, what a sync
/// covered and any part of what came later. After a sync that failed, what it should have covered is lost with the
/// next power cut unless it is appended anew, also if later syncs succeed: Linux calls such pages clean. A kill ends
/// that memory; what a process leaves that dies between a failed sync and its recovery is not simulated. Once more
/// than [`BARRIER`] bytes follow the last sync, or more than [`REWRITE`] were written anew, a power cut may destroy
/// everything: a log may reuse its space. What was removed from the beginning may be there again after a crash.
///
/// ```
/// use huey_core::store::{Log, Medium};
/// use huey_core::testing::SimDisk;
///
/// let disk = SimDisk::new(42);
/// let mut log = disk.medium().open()?;
/// log.append(1, b"kept").unwrap();
/// log.flush().unwrap();
/// log.barrier().sync().unwrap();
/// disk.power_cut();
/// assert!(log.read(1).is_err(), "the process is gone");
/// let log = disk.medium().open()?;
/// assert_eq!(&*log.read(1).unwrap().unwrap(), b"kept");
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Disk>>);

/// The disk as one process sees it: after a crash it fails, and the next process takes a new one.
#[derive(Clone)]
pub struct SimMedium {
    disk: SimDisk,
    life: u64,
}

/// An open log of a [`SimDisk`].
pub struct SimLog {
    disk: SimDisk,
    life: u64,
    handle: u64,
}

impl SimDisk {
    /// An empty disk. What a crash keeps comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk::new(seed))))
    }

    /// The disk for the process that lives now.
    #[must_use]
    pub fn medium(&self) -> SimMedium {
        SimMedium { disk: self.clone(), life: lock(&self.0).life }
    }

    /// Lets the process die now. What it opened fails from here on; take a new [`medium`](SimDisk::medium).
    pub fn kill(&self) {
        lock(&self.0).crash(false);
    }

    /// Cuts the power now. As [`kill`](SimDisk::kill), but what no sync covered may be lost too.
    pub fn power_cut(&self) {
        lock(&self.0).crash(true);
    }

    /// Lets the `nth` call from now on, counted from 0, of any log of this disk meet a fault.
    pub fn fault_at(&self, nth: u64, fault: Fault) {
        let mut disk = lock(&self.0);
        disk.fault = Some((disk.calls + nth, fault));
    }

    /// Takes back what [`fault_at`](SimDisk::fault_at) ordered.
    pub fn no_fault(&self) {
        lock(&self.0).fault = None;
    }

    /// Lets the next `times` attempts to open the log fail.
    pub fn fail_opens(&self, times: u32) {
        lock(&self.0).failing_opens = times;
    }

    /// How many attempts to open the log are still to fail.
    #[must_use]
    pub fn failing_opens(&self) -> u32 {
        lock(&self.0).failing_opens
    }

    /// Lets the next `times` notes that an attempt begins fail.
    pub fn fail_begins(&self, times: u32) {
        lock(&self.0).failing_begins = times;
    }

    /// Says how many bytes are free on the disk.
    pub fn set_free_space(&self, bytes: Option<u64>) {
        lock(&self.0).free = bytes;
    }

    /// Lets the log reuse space already after so many bytes without a sync: less than [`BARRIER`] shows what the
    /// barrier by volume is good for.
    pub fn reuse_after(&self, bytes: usize) {
        lock(&self.0).reuse_after = bytes;
    }

    /// Whether the process that took `medium` is dead.
    #[must_use]
    pub fn is_dead(&self, medium: &SimMedium) -> bool {
        lock(&self.0).life != medium.life
    }

    /// Whether the last crash was a power cut.
    #[must_use]
    pub fn power_failed(&self) -> bool {
        lock(&self.0).power_failed
    }

    /// How many calls its logs have met.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// How many bytes were appended, ever.
    #[must_use]
    pub fn appended(&self) -> u64 {
        lock(&self.0).written.appended
    }

    /// The oldest entry that a process would see now.
    #[must_use]
    pub fn oldest(&self) -> Option<Vec<u8>> {
        lock(&self.0).content.first_key_value().map(|(_, stored)| stored.bytes.to_vec())
    }

    /// How many entries a process would see now.
    #[must_use]
    pub fn entries(&self) -> usize {
        lock(&self.0).content.len()
    }
}

impl Medium for SimMedium {
    type Log = SimLog;

    fn open(&self) -> Result<SimLog> {
        let mut disk = lock(&self.disk.0);
        if disk.life != self.life {
            return Err(Error::unavailable("the process is dead"));
        }
        if disk.failing_opens > 0 {
            disk.failing_opens -= 1;
            return Err(Error::unavailable("the disk cannot be opened now"));
        }
        if disk.broken {
            // The failed handle had not handed everything over.
            disk.reopen();
        }
        disk.handle += 1;
        Ok(SimLog { disk: self.disk.clone(), life: self.life, handle: disk.handle })
    }

    fn running(&self) -> Arc<dyn Running> {
        Arc::new(SimTable(self.clone()))
    }

    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        let mut disk = lock(&self.disk.0);
        if disk.life == self.life {
            disk.marks.push(sequence);
        }
        Ok(())
    }

    fn marked(&self) -> Option<u64> {
        lock(&self.disk.0).marks.last().copied()
    }

    fn name(&self) -> String {
        "a simulated disk".into()
    }
}

impl Log for SimLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        let mut disk = lock(&self.disk.0);
        let change = Change::Put(sequence, Stored { bytes: entry.into(), phantom: false });
        disk.call(self.life, self.handle, |disk| disk.change(change.clone()))?;
        if let Some((newest, _)) = disk.content.last_key_value() {
            assert!(sequence <= newest + 1, "entry {sequence} leaves a gap behind {newest}");
        }
        disk.change(change);
        Ok(())
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let mut disk = lock(&self.disk.0);
        disk.call(self.life, self.handle, |_| ())?;
        Ok(disk.content.get(&sequence).map(|stored| Entry::new(Arc::clone(&stored.bytes))))
    }

    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        let mut disk = lock(&self.disk.0);
        disk.call(self.life, self.handle, |disk| disk.remove_oldest(sequence))?;
        assert_eq!(disk.content.first_key_value().map(|(oldest, _)| *oldest), Some(sequence), "the oldest entry");
        assert!(disk.content.len() > 1, "the newest entry is never removed as the oldest");
        disk.remove_oldest(sequence);
        Ok(())
    }

    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError> {
        let mut disk = lock(&self.disk.0);
        disk.call(self.life, self.handle, |disk| disk.change(Change::Remove(sequence)))?;
        assert_eq!(disk.content.last_key_value().map(|(newest, _)| *newest), Some(sequence), "the newest entry");
        disk.change(Change::Remove(sequence));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        let mut disk = lock(&self.disk.0);
        disk.call(self.life, self.handle, Disk::flush)?;
        disk.flush();
        Ok(())
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::new(SimBarrier { disk: self.disk.clone(), life: self.life, handle: self.handle })
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        let content = {
            let mut disk = lock(&self.disk.0);
            disk.call(self.life, self.handle, |_| ())?;
            disk.content.clone()
        };
        content.iter().try_for_each(|(sequence, stored)| each(*sequence, &stored.bytes))
    }

    fn free_space(&self) -> Option<u64> {
        lock(&self.disk.0).free
    }
}

struct SimBarrier {
    disk: SimDisk,
    life: u64,
    handle: u64,
}

impl Barrier for SimBarrier {
    fn sync(&self) -> Result<(), LogError> {
        let (upto, bytes) = {
            let mut disk = lock(&self.disk.0);
            let called = disk.call(self.life, self.handle, |_| ());
            if called.is_err() && disk.life == self.life {
                disk.fail_sync();
            }
            called?;
            (disk.settled + disk.flushed as u64, disk.flushed_bytes)
        };
        // Others may write while this one waits for the disk.
        std::thread::yield_now();
        let mut disk = lock(&self.disk.0);
        if (disk.life, disk.handle) != (self.life, self.handle) {
            return Err(LogError::failed("the log failed before"));
        }
        disk.settle(upto, bytes);
        Ok(())
    }
}

struct SimTable(SimMedium);

impl SimTable {
    fn set(&self, slot: usize, to: Option<(u64, u32)>) -> Result<(), LogError> {
        let mut disk = lock(&self.0.disk.0);
        if disk.life != self.0.life {
            return Err(LogError::failed("the process is dead"));
        }
        disk.table.set(slot, to);
        Ok(())
    }
}

impl Running for SimTable {
    fn begin(&self, slot: usize, counter: u64, claim: u32, durability: Durability) -> Result<(), LogError> {
        if lock(&self.0.disk.0).fails_to_begin() {
            return Err(LogError::failed("the note is not written, as the test wants it"));
        }
        self.set(slot, Some((counter, claim)))?;
        if durability == Durability::Synced {
            lock(&self.0.disk.0).table.sync();
        }
        Ok(())
    }

    fn end(&self, slot: usize) -> Result<(), LogError> {
        self.set(slot, None)
    }

    fn left(&self) -> Vec<(u64, u32)> {
        lock(&self.0.disk.0).table.left.clone()
    }

    fn forget_left(&self) -> Result<(), LogError> {
        lock(&self.0.disk.0).table = Table::default();
        Ok(())
    }
}
