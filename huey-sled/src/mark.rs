//! The mark: the last entry known to be on the disk.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::files::{create_private, sync_folder};

const MARK_FILE: &str = "huey.mark";
const NEW_FILE: &str = "huey.mark.new";

/// The mark that was left, if it is whole.
pub(crate) fn read(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join(MARK_FILE)).ok()?;
    let (number, _) = text.split_once(' ')?;
    let sequence = number.parse().ok()?;
    (text == line(sequence)).then_some(sequence)
}

/// Whether a mark is there that is not whole. None is ever left so: it is replaced by a rename.
pub(crate) fn is_torn(folder: &Path) -> bool {
    folder.join(MARK_FILE).exists() && read(folder).is_none()
}

/// Replaces the mark: at every instant there is the old one or the new one.
pub(crate) fn write(folder: &Path, sequence: u64) -> io::Result<()> {
    let new = folder.join(NEW_FILE);
    let mut file = create_private(&new)?;
    file.write_all(line(sequence).as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, folder.join(MARK_FILE))?;
    sync_folder(folder)
}

fn line(sequence: u64) -> String {
    format!("{sequence} {:08x}\n", crate::running::checksum(&sequence.to_le_bytes()))
}
