//! The folder and what may stand in it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use huey_core::{Error, Result};

const FORMAT: &str = "huey-sled 1\n";
const FORMAT_FILE: &str = "huey.format";

/// Makes the folder ours: creates it, refuses a foreign one, names the format.
pub(crate) fn prepare(folder: &Path) -> Result<()> {
    let fault = |what: &str, error: io::Error| {
        Error::unavailable(format!("the queue's folder {} cannot be {what}: {error}", folder.display()))
    };
    create(folder).map_err(|error| fault("created", error))?;
    let format = folder.join(FORMAT_FILE);
    match fs::read_to_string(&format) {
        Ok(text) if text == FORMAT => Ok(()),
        // A process that was killed while it named the format.
        Ok(text) if FORMAT.starts_with(&text) => name_format(folder).map_err(|error| fault("written", error)),
        Ok(text) => Err(Error::damaged(format!(
            "the folder {} holds a queue of another format, `{}`, and this build reads `{}`: open it with the version \
             of huey that wrote it",
            folder.display(),
            text.trim_end(),
            FORMAT.trim_end()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            refuse_foreign(folder).map_err(|error| fault("read", error))??;
            name_format(folder).map_err(|error| fault("written", error))
        }
        Err(error) => Err(fault("read", error)),
    }
}

fn create(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    sync_folder(folder)?;
    match folder.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_folder(Path::new(".")),
        Some(parent) => sync_folder(parent),
        None => Ok(()),
    }
}

/// A folder that holds something else is not filled with a database.
fn refuse_foreign(folder: &Path) -> io::Result<Result<()>> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("huey.") {
            return Ok(Err(Error::damaged(format!(
                "the folder {} holds `{name}` and no queue: name a folder that is empty, or one that does not exist yet",
                folder.display()
            ))));
        }
    }
    Ok(Ok(()))
}

fn name_format(folder: &Path) -> io::Result<()> {
    let mut file = create_private(&folder.join(FORMAT_FILE))?;
    file.write_all(FORMAT.as_bytes())?;
    file.sync_all()?;
    sync_folder(folder)
}

/// Creates a file for its owner alone, or empties the one that is there.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes names in a folder durable. Elsewhere than on Unix a folder cannot be opened, and the system sees to it.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// sled 0.34 writes a snapshot when it opens, under a name that it would take for a finished one if it was killed on
/// the way, and then refuses the folder for ever.
pub(crate) fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    for path in named(folder, |name| name.starts_with("snap.") && name.ends_with(".generating"))? {
        tracing::info!(file = %path.display(), "removing what a killed open left behind");
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Blobs are never synced by sled, and entries are small enough to need none.
pub(crate) fn has_blobs(folder: &Path) -> io::Result<bool> {
    match fs::read_dir(folder.join("blobs")) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// After sled has opened: its files are for their owner alone, and durable under their names.
pub(crate) fn settle_names(folder: &Path, created: bool) -> io::Result<()> {
    for path in named(folder, |name| name == "db" || name == "conf" || name.starts_with("snap."))? {
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        if created {
            File::options().write(true).open(&path)?.sync_all()?;
        }
    }
    if created {
        let blobs = folder.join("blobs");
        if blobs.is_dir() {
            sync_folder(&blobs)?;
        }
    }
    sync_folder(folder)
}

fn named(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&wanted) {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}
