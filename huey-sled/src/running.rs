//! The running table: which attempts have begun and not ended.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use huey_core::Durability;
use huey_core::store::{LogError, Running};

use crate::files::create_private;
use crate::lock::FolderLock;

const FILE: &str = "huey.running";
const SLOT: usize = 64;
const BEGUN: u8 = 1;
/// How much of the table is there from the start, so that attempts can begin while the disk is full.
const RESERVED: usize = 64 * SLOT;

/// The table in `huey.running`: a slot of 64 bytes for each attempt that can run at once. A slot is one plain write,
/// which survives the death of the process in the system's cache, and needs no sync, since a power cut is no fault of the
/// job; unless the job may start only once.
pub(crate) struct RunningTable {
    file: File,
    name: String,
    left: Mutex<Vec<(u64, u32)>>,
    /// Whoever can write here holds the folder.
    _lock: Arc<FolderLock>,
}

impl RunningTable {
    pub(crate) fn open(folder: &Path, lock: Arc<FolderLock>) -> io::Result<Self> {
        let path = folder.join(FILE);
        if !path.exists() {
            create_private(&path)?;
        }
        let mut file = File::options().read(true).write(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut left = Vec::new();
        for (number, bytes) in bytes.chunks(SLOT).enumerate() {
            match read_slot(bytes) {
                Some(attempt) => left.push(attempt),
                None if bytes.iter().all(|byte| *byte == 0) => {}
                None => tracing::warn!(
                    file = %path.display(),
                    slot = number,
                    "the note of a begun attempt is torn, so no crash is counted for it"
                ),
            }
        }
        if let Some(missing) = RESERVED.checked_sub(bytes.len()) {
            write_at(&file, &vec![0; missing], bytes.len() as u64)?;
        }
        Ok(Self { file, name: path.display().to_string(), left: Mutex::new(left), _lock: lock })
    }

    fn left_notes(&self) -> MutexGuard<'_, Vec<(u64, u32)>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, slot: usize, bytes: &[u8; SLOT]) -> Result<(), LogError> {
        let offset = (slot * SLOT) as u64;
        write_at(&self.file, bytes, offset)
            .map_err(|error| LogError::failed(format!("{} could not be written: {error}", self.name)))
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
    if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// counter, claim, whether it has begun, check; the rest is zero.
fn slot(counter: u64, claim: u32, state: u8) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    let mut body = [0; 13];
    for (to, from) in body.iter_mut().zip(counter.to_le_bytes().into_iter().chain(claim.to_le_bytes()).chain([state])) {
        *to = from;
    }
    let check = checksum(&body).to_le_bytes();
    for (to, from) in bytes.iter_mut().zip(body.into_iter().chain(check)) {
        *to = from;
    }
    bytes
}

/// The attempt in a slot, if one has begun. A slot that was torn or never written holds none.
fn read_slot(bytes: &[u8]) -> Option<(u64, u32)> {
    let counter = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let claim = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let state = *bytes.get(12)?;
    (state == BEGUN && bytes == slot(counter, claim, state)).then_some((counter, claim))
}

/// How many notes in a folder's table are torn.
pub(crate) fn torn(folder: &Path) -> io::Result<usize> {
    let bytes = match std::fs::read(folder.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    Ok(bytes.chunks(SLOT).filter(|slot| read_slot(slot).is_none() && slot.iter().any(|byte| *byte != 0)).count())
}

/// FNV-1a, to tell a torn write from a whole one.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl std::fmt::Debug for RunningTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningTable({})", self.name)
    }
}

impl Running for RunningTable {
    fn begin(&self, number: usize, counter: u64, claim: u32, durability: Durability) -> Result<(), LogError> {
        self.write(number, &slot(counter, claim, BEGUN))?;
        if durability == Durability::Synced {
            let failed = |error| LogError::failed(format!("{} could not be synced: {error}", self.name));
            self.file.sync_data().map_err(failed)?;
        }
        Ok(())
    }

    fn end(&self, number: usize) -> Result<(), LogError> {
        self.write(number, &[0; SLOT])
    }

    fn left(&self) -> Vec<(u64, u32)> {
        self.left_notes().clone()
    }

    fn forget_left(&self) -> Result<(), LogError> {
        let mut left = self.left_notes();
        // Overwritten, not cut off: the space stays ours. A kill on the way leaves some notes, which name claims that
        // nobody has any more.
        let forgotten = self
            .file
            .metadata()
            .and_then(|file| write_at(&self.file, &vec![0; usize::try_from(file.len()).unwrap_or(0)], 0));
        forgotten.map_err(|error| LogError::failed(format!("{} could not be emptied: {error}", self.name)))?;
        left.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_read_back_only_if_it_is_whole() {
        let whole = slot(7, 3, BEGUN);
        assert_eq!(read_slot(&whole), Some((7, 3)));
        for at in 0..17 {
            let mut torn = whole;
            torn[at] ^= 0x40;
            assert_eq!(read_slot(&torn), None, "byte {at}");
        }
        assert_eq!(read_slot(&[0; SLOT]), None);
    }
}
