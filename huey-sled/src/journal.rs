//! The log of the journal in sled: volumes one behind the other, and in each a key for each entry, its number.
//!
//! Entries come at the end of the newest volume, and nothing in a volume is removed or moved. What is dead goes with the whole
//! volume, once all before the next one's first entry is.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use huey_core::store::{Barrier, ENTRY_LIMIT, Entry, Log, LogError};

use crate::barrier::FileBarrier;
use crate::files;
use crate::site::Site;
use crate::volume::Volume;

/// How large a volume becomes, in bytes: a sixteenth of the journal, so that what the oldest one still takes for a few entries
/// that live is little beside the rest, within these bounds.
const LEAST: u64 = 3 * 1024 * 1024;
const MOST: u64 = 8 * 1024 * 1024;

/// A log in sled.
pub struct SledLog {
    site: Site,
    volumes: RefCell<Volumes>,
    barrier: Arc<FileBarrier>,
    /// Entries below it were removed.
    first: u64,
    /// The newest entry.
    last: u64,
}

/// All volumes, the oldest first. There is always one.
struct Volumes {
    all: VecDeque<Volume>,
    /// Those that are open, the one that was read last at the end. The newest of all is always open, and not among them. One
    /// that was not read yet comes before all others: those that were full earlier are read sooner.
    open: Vec<u64>,
}

impl SledLog {
    /// Opens the newest volume, and creates one if there is none.
    pub(crate) fn open(site: Site) -> Result<Self, LogError> {
        let fault = |error| site.failed("the volumes could not be listed", &error);
        files::remove_gone(&site.folder).map_err(fault)?;
        let mut all: VecDeque<_> = Volume::list(&site).map_err(fault)?.into();
        if all.is_empty() {
            all.push_back(Volume::create(&site, 1)?);
        }
        let (mut last, mut newest) = (0, None);
        // A life that ended while it wrote something anew may have left it to the system alone.
        let older = all.len() - 1;
        all.iter().take(older).try_for_each(|volume| files::sync_volume(volume.path())).map_err(fault)?;
        if let Some(volume) = all.back_mut() {
            volume.open(&site)?;
            volume.settle_names(&site)?;
            last = volume.last()?.unwrap_or(volume.first.saturating_sub(1));
            newest = Some(FileBarrier::open(volume.path()).map_err(fault)?);
        }
        let barrier = newest.ok_or_else(|| LogError::failed("there is no volume"))?;
        let volumes = RefCell::new(Volumes { all, open: Vec::new() });
        Ok(Self { site, volumes, barrier: Arc::new(barrier), first: 0, last })
    }

    /// Makes the newest volume durable, and begins one that begins with the entry `first`.
    fn turn(&mut self, first: u64) -> Result<(), LogError> {
        if self.site.seals {
            self.flush()?;
            self.barrier.sync()?;
        }
        let volume = Volume::create(&self.site, first)?;
        self.barrier
            .turn_to(volume.path())
            .map_err(|error| self.site.failed("a volume could not be opened", &error))?;
        self.volumes.get_mut().push(volume, &self.site);
        Ok(())
    }

    /// Puts other bytes in the place of an entry, in whatever volume it is.
    fn overwrite(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        let volumes = self.volumes.get_mut();
        let newest = volumes.newest()?.first;
        volumes.with(&self.site, sequence, |volume| {
            volume.overwrite(sequence, entry)?;
            if volume.first == newest {
                return Ok(());
            }
            // It may be closed at any time.
            volume.flush()?;
            let added = self.barrier.add(volume.path());
            added.map_err(|error| self.site.failed("a volume could not be opened", &error))
        })
    }
}

impl Volumes {
    fn newest(&mut self) -> Result<&mut Volume, LogError> {
        self.all.back_mut().ok_or_else(|| LogError::failed("there is no volume"))
    }

    /// How large the newest volume may become.
    fn room(&self) -> u64 {
        let all: u64 = self.all.iter().map(|volume| volume.bytes).sum();
        (all / 16).clamp(LEAST, MOST)
    }

    /// Adds the newest. The last one before it stays open if there is room: to open it again takes sled some milliseconds.
    fn push(&mut self, volume: Volume, site: &Site) {
        if let Some(last) = self.all.back() {
            let at = if last.was_read() { self.open.len() } else { 0 };
            self.open.insert(at, last.first);
        }
        self.all.push_back(volume);
        // sled syncs its file when it is closed.
        if site.seals {
            self.close(site.cache, 0);
        }
    }

    /// Does something with the volume of an entry, open.
    fn with<T>(
        &mut self,
        site: &Site,
        sequence: u64,
        act: impl FnOnce(&mut Volume) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let at = self.all.partition_point(|volume| volume.first <= sequence).saturating_sub(1);
        self.at(site, at, act)
    }

    fn at<T>(
        &mut self,
        site: &Site,
        at: usize,
        act: impl FnOnce(&mut Volume) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let is_newest = at + 1 == self.all.len();
        let volume = self.all.get_mut(at).ok_or_else(|| LogError::failed("there is no volume"))?;
        volume.open(site)?;
        let (done, first) = (act(volume), volume.first);
        if !is_newest {
            if self.open.last() != Some(&first) {
                self.open.retain(|open| *open != first);
                self.open.push(first);
            }
            self.close(site.cache, 1);
        }
        done
    }

    /// Closes those that were not read for longest, until what sled takes for the others, and for the newest once that is full,
    /// is within `cache`. That many `stay` in any case.
    fn close(&mut self, cache: u64, stay: usize) {
        let coming = self.room().saturating_sub(self.all.back().map_or(0, |newest| newest.bytes));
        let Self { all, open } = self;
        let mut cached = coming + all.iter().map(Volume::cached).sum::<u64>();
        while cached > cache && open.len() > stay {
            let first = open.remove(0);
            if let Ok(at) = all.binary_search_by_key(&first, |volume| volume.first)
                && let Some(volume) = all.get_mut(at)
            {
                cached -= volume.cached();
                volume.close();
            }
        }
    }
}

impl Log for SledLog {
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        debug_assert!(entry.len() <= ENTRY_LIMIT, "larger entries would go to blobs, which sled never syncs");
        if sequence <= self.last {
            return self.overwrite(sequence, entry);
        }
        let volumes = self.volumes.get_mut();
        let room = volumes.room();
        if volumes.newest()?.bytes >= room {
            self.turn(sequence)?;
        }
        self.volumes.get_mut().newest()?.append(sequence, entry)?;
        self.last = sequence;
        Ok(())
    }

    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError> {
        if !(self.first..=self.last).contains(&sequence) {
            return Ok(None);
        }
        self.volumes.borrow_mut().with(&self.site, sequence, |volume| volume.read(sequence))
    }

    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError> {
        self.first = sequence + 1;
        let volumes = self.volumes.get_mut();
        while volumes.all.get(1).is_some_and(|second| second.first <= self.first)
            && let Some(oldest) = volumes.all.pop_front()
        {
            volumes.open.retain(|open| *open != oldest.first);
            oldest.remove(&self.site)?;
        }
        Ok(())
    }

    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError> {
        let volumes = self.volumes.get_mut();
        while volumes.newest()?.first > sequence
            && let Some(newest) = volumes.all.pop_back()
        {
            // In this order: an entry must not be there without those before it.
            newest.remove(&self.site)?;
            let before = volumes.newest()?;
            before.open(&self.site)?;
            let turned = self.barrier.turn_to(before.path());
            turned.map_err(|error| self.site.failed("a volume could not be opened", &error))?;
            let first = before.first;
            volumes.open.retain(|open| *open != first);
        }
        self.overwrite(sequence, &[])?;
        self.last = sequence - 1;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LogError> {
        self.volumes.get_mut().newest()?.flush()
    }

    fn barrier(&self) -> Arc<dyn Barrier> {
        Arc::clone(&self.barrier) as Arc<dyn Barrier>
    }

    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError> {
        let mut volumes = self.volumes.borrow_mut();
        (0..volumes.all.len()).try_for_each(|at| {
            let next = volumes.all.get(at + 1).map_or(u64::MAX, |next| next.first);
            volumes.at(&self.site, at, |volume| {
                let (first, path) = (volume.first, volume.path().to_owned());
                volume.scan(self.first, &mut |sequence, entry| {
                    // By its name an entry is looked for.
                    if !(first..next).contains(&sequence) {
                        let shown = self.site.shown(&path);
                        return Err(LogError::damaged(format!(
                            "{} holds entry {sequence}, which its name does not allow",
                            shown.display()
                        )));
                    }
                    each(sequence, entry)
                })
            })
        })
    }

    fn free_space(&self) -> Option<u64> {
        fs2::available_space(&self.site.folder).ok()
    }
}

impl std::fmt::Debug for SledLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledLog({})", self.site.shown.display())
    }
}
