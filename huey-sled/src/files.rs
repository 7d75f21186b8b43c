//! The folder and what may stand in it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use huey_core::{Error, Result};

const FORMAT_NAME: &str = "huey-sled ";
const FORMAT_NUMBER: u32 = 2;
const FORMAT_FILE: &str = "huey.format";
const NEW_FORMAT_FILE: &str = "huey.format.new";
const VOLUME: &str = "volume.";
const GONE: &str = "gone.";
const IMPORTING: &str = "huey-sled importing\n";
const MARK_FILE: &str = "huey.mark";
pub(crate) const LOCK_FILE: &str = "huey.lock";

fn fault(folder: &Path, what: &str, error: &io::Error) -> Error {
    Error::unavailable(format!("the queue's folder {} cannot be {what}: {error}", folder.display()))
}

/// Creates the folder, durably, unless it is there.
pub(crate) fn create(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    // Asked only after a failure: another process may be creating it now.
    create_missing(folder).map_err(|error| {
        if folder.exists() && !folder.is_dir() {
            return Error::unavailable(format!("{} is no folder: name one for the queue", folder.display()));
        }
        fault(folder, "created", &error)
    })
}

fn create_missing(folder: &Path) -> io::Result<()> {
    let missing = folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).count();
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    for made in folder.canonicalize()?.ancestors().take(missing) {
        sync_folder(made)?;
        sync_parent(made)?;
    }
    Ok(())
}

/// Refuses a folder that holds something else, before anything is written there.
pub(crate) fn refuse_foreign(folder: &Path) -> Result<()> {
    let Some(name) = foreign(folder).map_err(|error| fault(folder, "read", &error))? else { return Ok(()) };
    // Asked after the names were read: another process may just be creating a queue here, and begins with the lock.
    if folder.join(FORMAT_FILE).exists() || folder.join(LOCK_FILE).exists() {
        return Ok(());
    }
    Err(is_foreign(folder, &name))
}

/// The first name that no queue leaves behind before its format is named.
fn foreign(folder: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name != LOCK_FILE && name != FORMAT_FILE {
            return Ok(Some(name.to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

fn is_foreign(folder: &Path, name: &str) -> Error {
    Error::damaged(format!(
        "the folder {} holds `{name}` and no queue: name a folder that is empty, or one that does not exist yet",
        folder.display()
    ))
}

/// Under the lock: checks the format, or names it in a folder that is new.
pub(crate) fn claim(folder: &Path) -> Result<()> {
    let claimed = if !is_named(folder)? {
        name_format(folder, &wanted())
    } else if folder.join(MARK_FILE).exists() {
        Ok(())
    } else {
        // Whoever named it may have come no further.
        folder.canonicalize().and_then(|folder| sync_parent(&folder))
    };
    claimed.map_err(|error| fault(folder, "written", &error))
}

fn wanted() -> String {
    format!("{FORMAT_NAME}{FORMAT_NUMBER}\n")
}

/// Under the lock: whether the folder is of our format; false if it is new.
pub(crate) fn is_named(folder: &Path) -> Result<bool> {
    let wanted = wanted();
    let text = match fs::read(folder.join(FORMAT_FILE)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(fault(folder, "read", &error)),
    };
    if text == wanted {
        return Ok(true);
    }
    // Whoever was killed while it named the format had done nothing else.
    if wanted.starts_with(&text) {
        if let Some(name) = foreign(folder).map_err(|error| fault(folder, "read", &error))? {
            return Err(if folder.join(MARK_FILE).exists() {
                Error::damaged(format!(
                    "the queue in {} is damaged: its {FORMAT_FILE} is cut off; nothing was deleted: restore it from a copy, \
                     or write `{}` into it if this build wrote the queue",
                    folder.display(),
                    wanted.trim_end()
                ))
            } else {
                is_foreign(folder, &name)
            });
        }
        return Ok(false);
    }
    let shown = folder.display();
    if text == IMPORTING {
        return Err(Error::damaged(format!(
            "the folder {shown} holds an import that did not come to its end: remove the folder, and import again"
        )));
    }
    let number = text.strip_prefix(FORMAT_NAME).and_then(|number| number.trim_end().parse::<u32>().ok());
    Err(Error::damaged(match number {
        Some(number) if number > FORMAT_NUMBER => format!(
            "the queue in {shown} was written by a newer huey: its format is {number}, and this build reads \
             {FORMAT_NUMBER}: open it with the newer version"
        ),
        _ => format!(
            "the queue in {shown} is of another format, `{}`, and this build reads `{}`: restore {FORMAT_FILE} from a \
             copy, or name another folder",
            text.trim_end(),
            wanted.trim_end()
        ),
    }))
}

/// For an import: refuses a folder in which something is.
pub(crate) fn refuse_filled(folder: &Path) -> Result<()> {
    let found = named(folder, |name| name != LOCK_FILE).map_err(|error| fault(folder, "read", &error))?;
    match found.first().and_then(|path| path.file_name()) {
        None => Ok(()),
        Some(name) => Err(Error::bad_input(format!(
            "the folder {} holds `{}`: import into one that is empty, or does not exist yet",
            folder.display(),
            name.to_string_lossy()
        ))),
    }
}

/// Under the lock: marks a folder as one that no queue opens yet.
pub(crate) fn begin_import(folder: &Path) -> Result<()> {
    name_format(folder, IMPORTING).map_err(|error| fault(folder, "written", &error))
}

/// Under the lock: names the format, all at once.
pub(crate) fn end_import(folder: &Path) -> Result<()> {
    let renamed = || {
        let new = folder.join(NEW_FORMAT_FILE);
        let mut file = create_private(&new)?;
        file.write_all(wanted().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, folder.join(FORMAT_FILE))?;
        sync_folder(folder)
    };
    renamed().map_err(|error| fault(folder, "written", &error))
}

/// Under the lock: removes what an import left that failed.
pub(crate) fn empty(folder: &Path) {
    for path in named(folder, |name| name != LOCK_FILE).unwrap_or_default() {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!(file = %path.display(), %error, "a part of a failed import could not be removed");
        }
    }
}

/// Copies all files of a queue but its lock.
pub(crate) fn copy(folder: &Path, to: &Path) -> io::Result<()> {
    for path in named(folder, |name| name != LOCK_FILE)? {
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            fs::create_dir(&target)?;
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

fn name_format(folder: &Path, text: &str) -> io::Result<()> {
    // It may have been made by somebody else, for all.
    make_private(folder, 0o700)?;
    let mut file = create_private(&folder.join(FORMAT_FILE))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    sync_folder(folder)?;
    sync_parent(&folder.canonicalize()?)
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

/// Makes the name of the folder itself durable.
fn sync_parent(folder: &Path) -> io::Result<()> {
    match folder.parent().map(sync_folder) {
        // A folder that may be passed and not be read cannot be synced, and is not ours to change.
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::warn!(folder = %folder.display(), "the parent folder may not be read, so it is not synced");
            Ok(())
        }
        Some(done) => done,
        None => Ok(()),
    }
}

/// Under the lock, before sled opens: removes what a killed open leaves behind and sled would refuse for ever.
pub(crate) fn remove_unfinished(folder: &Path, segment: usize) -> io::Result<()> {
    // Written when sled opens, under a name that it would take for a finished snapshot.
    let mut unfinished = named(folder, |name| name.starts_with("snap.") && name.ends_with(".generating"))?;
    // Written at creation in two pieces, never synced, and read as if it were whole.
    let conf = folder.join("conf");
    match fs::read(&conf) {
        Ok(bytes) if is_unfinished(&bytes, segment) => unfinished.push(conf),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for path in unfinished {
        tracing::info!(file = %path.display(), "removing what a killed open left behind");
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Whether sled's `conf` is a beginning of what it writes for our settings, or the zeros that a power cut leaves. It
/// writes the same again. Anything else stays, for sled to judge.
fn is_unfinished(conf: &[u8], segment: usize) -> bool {
    const CHECK: usize = 4;
    let text = format!("segment_size: {segment}\nuse_compression: false\nversion: 0.34\n");
    let cut = conf.len() < text.len() + CHECK && conf.iter().zip(text.as_bytes()).all(|(is, should)| is == should);
    cut || conf.iter().all(|byte| *byte == 0)
}

/// Blobs are never synced by sled, and entries are small enough to need none.
pub(crate) fn has_blobs(volume: &Path) -> io::Result<bool> {
    match fs::read_dir(volume.join("blobs")) {
        Ok(mut entries) => Ok(entries.next().is_some()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The folder of the volume that begins with the entry `first`.
pub(crate) fn volume(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{VOLUME}{first:020}"))
}

/// The volumes in a folder, in no order: the first entry of each, and where it is.
pub(crate) fn volumes(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let first = |path: &Path| path.file_name()?.to_str()?.strip_prefix(VOLUME)?.parse().ok();
    let found = named(folder, |name| name.starts_with(VOLUME))?;
    Ok(found.into_iter().filter_map(|path| Some((first(&path)?, path))).collect())
}

/// Creates the folder of a volume.
pub(crate) fn create_volume(volume: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(volume)
}

/// Removes a volume: it is gone for good once this returns, though its files may take their space for longer.
pub(crate) fn remove_volume(folder: &Path, volume: &Path, first: u64) -> io::Result<()> {
    let gone = folder.join(format!("{GONE}{first:020}"));
    fs::rename(volume, &gone)?;
    sync_folder(folder)?;
    remove_rest(&gone);
    Ok(())
}

/// Removes what is left of volumes whose removal a kill cut short.
pub(crate) fn remove_gone(folder: &Path) -> io::Result<()> {
    for gone in named(folder, |name| name.starts_with(GONE))? {
        remove_rest(&gone);
    }
    Ok(())
}

/// Its entries are gone already, and only its space is not.
fn remove_rest(gone: &Path) {
    if let Err(error) = fs::remove_dir_all(gone) {
        tracing::warn!(folder = %gone.display(), %error, "what is left of a volume could not be removed");
    }
}

/// After sled has opened: its files are for their owner alone, and durable under their names.
pub(crate) fn own_volume(volume: &Path) -> io::Result<()> {
    for path in sleds(volume)? {
        make_private(&path, 0o600)?;
    }
    make_private(&volume.join("blobs"), 0o700)?;
    sync_folder(volume)
}

/// Makes the files of a volume durable, as they must be before the first entry.
pub(crate) fn settle_volume(volume: &Path) -> io::Result<()> {
    for path in sleds(volume)? {
        File::options().write(true).open(&path)?.sync_all()?;
    }
    sync_folder(&volume.join("blobs"))?;
    sync_folder(volume)
}

/// Makes what the system holds of a volume durable.
pub(crate) fn sync_volume(volume: &Path) -> io::Result<()> {
    match File::options().write(true).open(volume.join("db")) {
        Ok(file) => file.sync_data(),
        // Whoever reads it will tell.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// sled's own files in a volume.
fn sleds(volume: &Path) -> io::Result<Vec<PathBuf>> {
    named(volume, |name| name == "db" || name == "conf" || name.starts_with("snap."))
}

/// sled creates its files with the modes of the process.
fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = (path, mode);
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conf_is_removed_only_if_it_was_cut() {
        let whole = b"segment_size: 4096\nuse_compression: false\nversion: 0.34\n\x01\x02\x03\x04";
        for end in 0..whole.len() {
            assert!(is_unfinished(&whole[..end], 4096), "cut at {end}");
        }
        assert!(is_unfinished(&[0; 60], 4096));
        assert!(!is_unfinished(whole, 4096));
        assert!(!is_unfinished(whole, 8192), "other settings are not a cut");
        assert!(!is_unfinished(b"segment_size: 4x", 4096));
    }
}
