//! What is done with a queue that nobody has open: looking for damage, export, import.
//!
//! sled writes when it opens, so that what is only to be read is read from a copy.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use huey_core::store;
use huey_core::{Error, Findings, Result};

use crate::lock::FolderLock;
use crate::medium::SledMedium;
use crate::{files, mark, running};

const CACHE: u64 = 32 * 1024 * 1024;

/// Reads the queue in a folder from end to end, and says what is wrong with it, or that it is sound. Changes nothing but the
/// text in `huey.lock`.
///
/// The folder is locked meanwhile, and read from a copy, which is made beside it and takes as much space.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("huey-verify-{}", std::process::id()));
/// # huey_core::Huey::builder().open(huey_sled::Sled::at(&folder))?.close()?;
/// let findings = huey_sled::verify(&folder)?;
/// println!("{findings}");
/// assert!(findings.is_sound());
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// If it cannot be looked at: [`Error::is_in_use`] while it is open; [`Error::is_damaged`] if the folder holds no queue, or one
/// of a newer format; [`Error::is_unavailable`] if it is not there, or cannot be read or copied. Damage is no error, but stands
/// in the findings.
#[must_use = "what is wrong stands in the findings, and not in an error"]
pub fn verify(folder: impl AsRef<Path>) -> Result<Findings> {
    let folder = folder.as_ref();
    let copy = Copy::of(folder)?;
    let mut findings = match copy.medium().and_then(|medium| store::verify(&medium)) {
        Err(error) if error.is_damaged() => {
            let mut findings = Findings::default();
            findings.flaws.push(error.to_string());
            findings
        }
        found => found?,
    };
    findings.flaws.extend(beside(&copy.path));
    Ok(findings)
}

/// Writes everything in the queue of a folder as text, which [`import`] makes a queue of. It changes nothing in the folder,
/// and reads a copy, as [`verify`] does.
///
/// Of a damaged queue it writes what is whole before the first fault. What is wrong stands in the findings: look at them.
/// A queue that is open is exported by [`Huey::backup`](huey_core::Huey::backup).
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("huey-export-{}", std::process::id()));
/// # huey_core::Huey::builder().open(huey_sled::Sled::at(&folder))?.close()?;
/// let mut text = Vec::new();
/// assert!(huey_sled::export(&folder, &mut text)?.is_sound());
/// # let second = folder.with_extension("2");
/// huey_sled::import(&second, &mut text.as_slice())?;
/// # for folder in [folder, second] { std::fs::remove_dir_all(&folder).unwrap(); }
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// As [`verify`]; also [`Error::is_damaged`] if sled can read nothing at all, and [`Error::is_unavailable`] if `out` cannot be
/// written.
#[must_use = "what is wrong stands in the findings, and not in an error"]
pub fn export(folder: impl AsRef<Path>, out: &mut dyn Write) -> Result<Findings> {
    let copy = Copy::of(folder.as_ref())?;
    let mut findings = store::export(&copy.medium()?, out)?;
    findings.flaws.extend(beside(&copy.path));
    Ok(findings)
}

/// Makes a queue of what [`export`] or [`Huey::backup`](huey_core::Huey::backup) wrote, in a folder that is empty or does not
/// exist yet. All ids stay the same, and exporting it again gives the same bytes.
///
/// The queue can be opened once the import has come to its end, and not before. After an error the folder is empty again; an
/// import that was killed leaves a folder that no queue opens, to be removed.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("huey-import-{}", std::process::id()));
/// # let backup = { let mut text = Vec::new();
/// #     huey_core::Huey::builder().open(huey_core::Memory::new())?.backup(&mut text)?; text };
/// println!("{}", huey_sled::import(&folder, &mut backup.as_slice())?);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::is_bad_input`] if the folder holds anything, or the input is no whole export: the text names the line;
/// [`Error::is_in_use`] and [`Error::is_unavailable`] as opening a queue.
pub fn import(folder: impl AsRef<Path>, input: &mut dyn BufRead) -> Result<Findings> {
    let folder = folder.as_ref();
    files::create(folder)?;
    files::refuse_filled(folder)?;
    let lock = Arc::new(FolderLock::take(folder)?);
    // Asked again, now that nobody else can begin one.
    files::refuse_filled(folder)?;
    files::begin_import(folder)?;
    let imported = SledMedium::locked(folder.to_owned(), folder.to_owned(), CACHE, Arc::clone(&lock))
        .and_then(|medium| store::import(&medium, input));
    match &imported {
        Ok(_) => files::end_import(folder)?,
        Err(_) => files::empty(folder),
    }
    imported
}

/// What is wrong with the files that stand beside sled's.
fn beside(folder: &Path) -> Vec<String> {
    let mut flaws = Vec::new();
    if mark::is_torn(folder) {
        flaws.push(
            "the mark (huey.mark) cannot be read, so a missing end of the journal would not be noticed".to_owned(),
        );
    }
    match running::torn(folder) {
        Ok(0) => {}
        Ok(slots) => flaws.push(format!("{slots} notes of begun attempts (huey.running) are torn")),
        Err(error) => flaws.push(format!("the notes of begun attempts (huey.running) cannot be read: {error}")),
    }
    flaws
}

/// A copy of a queue's folder, which goes with this, and the lock on the original.
struct Copy {
    path: PathBuf,
    of: PathBuf,
    _lock: FolderLock,
}

impl Copy {
    fn of(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        if !folder.is_dir() {
            return Err(Error::unavailable(format!("there is no queue in {shown}: no such folder")));
        }
        files::refuse_foreign(folder)?;
        let lock = FolderLock::take(folder)?;
        if !files::is_named(folder)? {
            return Err(Error::damaged(format!("there is no queue in {shown}: the folder is empty")));
        }
        let fault = |error: io::Error| {
            Error::unavailable(format!("the queue in {shown} cannot be copied, to read the copy: {error}"))
        };
        let whole = folder.canonicalize().map_err(fault)?;
        let path = beside_of(&whole).map_err(fault)?;
        files::create(&path)?;
        let copy = Self { path, of: folder.to_owned(), _lock: lock };
        files::copy(&whole, &copy.path).map_err(fault)?;
        Ok(copy)
    }

    fn medium(&self) -> Result<SledMedium> {
        let lock = Arc::new(FolderLock::take(&self.path)?);
        Ok(SledMedium::locked(self.path.clone(), self.of.clone(), CACHE, lock)?.for_reading())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "the copy that was read could not be removed");
        }
    }
}

/// A name for a copy. Copies that a kill left behind are removed: whoever made them had the lock.
fn beside_of(folder: &Path) -> io::Result<PathBuf> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let prefix = format!(".{name}.huey-copy-");
    let parent = folder.parent().unwrap_or(folder);
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(parent.join(format!("{prefix}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))))
}
