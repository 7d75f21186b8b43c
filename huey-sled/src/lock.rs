//! One opener at a time, in this process and beside it.

use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use huey_core::{Error, Result};

use crate::files::LOCK_FILE;

/// How long the lock is tried for. A child that is just being started holds its parent's locks until it runs its own
/// program, and a killed holder lets go only when the system has cleaned up.
const PATIENCE: Duration = Duration::from_millis(500);
/// As long as sled's own lock is tried for: with ours in hand, whoever has that one is about to let go.
pub(crate) const PATIENCE_WITH_SLED: Duration = Duration::from_secs(3);
pub(crate) const PAUSE: Duration = Duration::from_millis(10);

/// What this process has to do with a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Open,
    /// sled panicked there; its threads and its lock may still live, so it is not opened again.
    Poisoned,
}

static HERE: Mutex<Option<HashMap<PathBuf, Held>>> = Mutex::new(None);

fn here() -> MutexGuard<'static, Option<HashMap<PathBuf, Held>>> {
    HERE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder, locked. An OS lock alone would not do: within a process, systems differ in what it means.
#[derive(Debug)]
pub(crate) struct FolderLock {
    /// `None` until it is locked, and once it is not.
    file: Option<File>,
    key: PathBuf,
}

impl FolderLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        let fault =
            |error: io::Error| Error::unavailable(format!("the queue's folder {shown} cannot be locked: {error}"));
        let mut lock = Self::register(folder, folder.canonicalize().map_err(fault)?)?;
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(folder.join(LOCK_FILE)).map_err(fault)?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::in_use(format!(
                        "the queue in {shown} is open in {}: stop that first, or use another folder",
                        holder(&mut file)
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(fault(error)),
            }
        }
        sign(&mut file).map_err(fault)?;
        lock.file = Some(file);
        Ok(lock)
    }

    /// Enters the folder in the list of this process.
    fn register(folder: &Path, key: PathBuf) -> Result<Self> {
        let shown = folder.display();
        let mut here = here();
        let held = here.get_or_insert_default();
        match held.get(&key) {
            Some(Held::Open) => Err(Error::in_use(format!(
                "the queue in {shown} is already open in this process (pid {}): share the handle, since `Huey` is cheap \
                 to clone",
                std::process::id()
            ))),
            Some(Held::Poisoned) => Err(poisoned(folder)),
            None => {
                held.insert(key.clone(), Held::Open);
                Ok(Self { file: None, key })
            }
        }
    }

    /// sled panicked: the folder is not opened again in this process.
    pub(crate) fn poison(&self) {
        here().get_or_insert_default().insert(self.key.clone(), Held::Poisoned);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        here().get_or_insert_default().get(&self.key) == Some(&Held::Poisoned)
    }
}

/// Why a folder on which sled panicked is not opened again.
pub(crate) fn poisoned(folder: &Path) -> Error {
    Error::damaged(format!(
        "sled panicked on the queue in {}, and this process cannot open it again: start it anew, and restore the folder \
         from a copy if the panic comes back",
        folder.display()
    ))
}

/// Who has the lock. Only for the message: the text may be missing or old while the holder writes it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    // In one write, so that nobody reads half of it.
    file.write_all(format!("process {} since {}\n", std::process::id(), clock_text(since)).as_bytes())
}

/// The instant in UTC, for people. Days to a date as in Howard Hinnant's `civil_from_days`.
fn clock_text(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        let file = self.file.take();
        let mut here = here();
        let held = here.get_or_insert_default();
        if held.get(&self.key) == Some(&Held::Poisoned) {
            // sled's own lock lives on with its threads. As long as it does, others are told by whom.
            std::mem::forget(file);
            return;
        }
        if let Some(file) = file {
            // Not left to closing it: a child that is being started has a copy of the descriptor.
            let _ = file.unlock();
        }
        held.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(clock_text(0), "1970-01-01T00:00:00Z");
        assert_eq!(clock_text(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(clock_text(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
