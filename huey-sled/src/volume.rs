//! A volume: a database of sled's, in a folder of its own, that holds a stretch of the journal.
//!
//! sled keeps 8 to 16 neighbouring entries in a leaf of its tree, appends what changes in a leaf to its file, and writes
//! the leaf whole after ten changes and when it splits. Entries that only ever come at the end would be written three to four
//! times, and half of the file would be what nobody needs. So keys are laid out with nothing in them, [`AHEAD`] before
//! their entries: by the time an entry comes, its leaf has split for the last time, and its eight entries are eight changes.
//! Each is written once, and next to nothing of a volume is ever free to be written over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use huey_core::store::{Entry, LogError};

use crate::files;
use crate::handle::{Handle, collect_garbage};
use crate::site::Site;

/// A leaf splits when it holds more than 16 keys, and leaves at least eight behind.
const AHEAD: u64 = 24;
/// What sled takes for a database that it has created, in bytes: a buffer as large as a segment, and some of its tables.
const CREATED: u64 = 3 * 1024 * 1024;
/// What it takes for one that it has read: tables of 6 MiB for its pages as well, which it clears.
const OPENED: u64 = 7 * 1024 * 1024;

/// A stretch of the journal, from the entry `first` to the one before the next volume's first.
pub(crate) struct Volume {
    pub(crate) first: u64,
    /// How many bytes of entries it holds; those of its file until it was read, which sled writes ahead.
    pub(crate) bytes: u64,
    path: PathBuf,
    open: Option<Open>,
}

/// A volume that is open.
struct Open {
    handle: Handle,
    /// Keys below it are laid out.
    laid: u64,
    /// About how many bytes of entries sled holds in memory, and beside them.
    cached: u64,
    tables: u64,
    /// Whether an entry was read since it is open.
    was_read: bool,
}

impl Volume {
    /// The volumes in a queue's folder, oldest first, all of them closed.
    pub(crate) fn list(site: &Site) -> io::Result<Vec<Self>> {
        let mut found: Vec<_> = files::volumes(&site.folder)?
            .into_iter()
            .map(|(first, path)| {
                let bytes = fs::metadata(path.join("db")).map_or(0, |file| file.len());
                Self { first, bytes, path, open: None }
            })
            .collect();
        found.sort_unstable_by_key(|volume| volume.first);
        Ok(found)
    }

    /// A volume that begins with the entry `first`, empty and durable under its name.
    pub(crate) fn create(site: &Site, first: u64) -> Result<Self, LogError> {
        let path = files::volume(&site.folder, first);
        files::create_volume(&path).map_err(|error| site.failed("a volume could not be created", &error))?;
        let mut volume = Self { first, bytes: 0, path, open: None };
        volume.open(site)?;
        volume.settle_names(site)?;
        Ok(volume)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// About how many bytes sled takes for it in memory.
    pub(crate) fn cached(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.tables + open.cached)
    }

    /// Whether an entry was read since it is open.
    pub(crate) fn was_read(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.was_read)
    }

    /// Opens it, unless it is open.
    pub(crate) fn open(&mut self, site: &Site) -> Result<(), LogError> {
        if self.open.is_none() {
            let handle = site.open(&self.path)?;
            let newest = handle.call("a read", |db| db.last())?;
            let tables = if newest.is_some() { OPENED } else { CREATED };
            let laid = newest.map_or(Ok(0), |(key, _)| handle.number(&key))?.saturating_add(1);
            self.open = Some(Open { handle, laid: laid.max(self.first), cached: 0, tables, was_read: false });
        }
        Ok(())
    }

    /// What was not flushed is flushed by sled, and whether that failed is not told.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Makes its files durable under their names. A volume that was found may have been left by a kill at its creation.
    pub(crate) fn settle_names(&self, site: &Site) -> Result<(), LogError> {
        files::settle_volume(&self.path)
            .and_then(|()| files::sync_folder(&site.folder))
            .map_err(|error| site.failed("a volume's files could not be made durable", &error))
    }

    fn opened(&self) -> Result<&Open, LogError> {
        self.open.as_ref().ok_or_else(|| LogError::failed(format!("{} is closed", self.path.display())))
    }

    /// The newest entry in it.
    pub(crate) fn last(&self) -> Result<Option<u64>, LogError> {
        let handle = &self.opened()?.handle;
        let newest = handle.call("a read", |db| {
            // Behind the newest entry come keys that are laid out.
            db.iter().rev().find(|pair| pair.as_ref().map_or(true, |(_, entry)| !entry.is_empty())).transpose()
        })?;
        newest.map(|(key, _)| handle.number(&key)).transpose()
    }

    pub(crate) fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        let Some(open) = &mut self.open else { return self.opened().map(drop) };
        while open.laid < sequence + AHEAD {
            let key = open.laid.max(sequence);
            open.handle.call("a write", |db| db.insert(key.to_be_bytes(), &[]))?;
            open.laid = key + 1;
        }
        open.handle.call("a write", |db| db.insert(sequence.to_be_bytes(), entry))?;
        self.bytes += entry.len() as u64;
        open.cached += entry.len() as u64;
        Ok(())
    }

    /// Puts other bytes in the place of an entry.
    pub(crate) fn overwrite(&self, sequence: u64, entry: &[u8]) -> Result<(), LogError> {
        self.opened()?.handle.call("a write", |db| db.insert(sequence.to_be_bytes(), entry)).map(drop)
    }

    pub(crate) fn read(&mut self, sequence: u64) -> Result<Option<Entry>, LogError> {
        let Some(open) = &mut self.open else { return self.opened().map(|_| None) };
        let found = open.handle.call("a read", |db| db.get(sequence.to_be_bytes()))?;
        let found = found.filter(|entry| !entry.is_empty());
        // sled reads a leaf whole.
        let leaf = found.as_ref().map_or(0, |entry| 8 * entry.len() as u64);
        open.cached = (open.cached + leaf).min(self.bytes);
        open.was_read = true;
        Ok(found.map(Entry::new))
    }

    pub(crate) fn flush(&self) -> Result<(), LogError> {
        self.opened()?.handle.call("a flush", |db| db.flush()).map(drop)
    }

    /// Calls `each` with every entry from `from` on, until it breaks with an error.
    #[expect(clippy::type_complexity, reason = "as `Log::scan`")]
    pub(crate) fn scan(
        &mut self,
        from: u64,
        each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let Some(open) = &mut self.open else { return self.opened().map(drop) };
        let mut bytes = 0;
        // The first error ends the scan: sled may yield errors without end.
        let mut stopped = Ok(());
        open.handle.call("a scan", |db| {
            for pair in db.range(from.to_be_bytes()..) {
                let (key, entry) = pair?;
                collect_garbage();
                if !entry.is_empty() {
                    bytes += entry.len() as u64;
                    stopped = open.handle.number(&key).and_then(|sequence| each(sequence, &entry));
                }
                if stopped.is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        open.cached = bytes;
        if from <= self.first && stopped.is_ok() {
            self.bytes = bytes;
        }
        stopped
    }

    /// Removes it from the disk. Durable once this returns, so that volumes go in order.
    pub(crate) fn remove(mut self, site: &Site) -> Result<(), LogError> {
        self.close();
        files::remove_volume(&site.folder, &self.path, self.first)
            .map_err(|error| site.failed("a volume could not be removed", &error))
    }
}
