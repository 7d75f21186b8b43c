//! What a disk holds: what was synced for certain, and what may or may not have arrived.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use crate::record::{Kind, Record};

/// A change of a file.
pub(crate) enum Change {
    Write { offset: u64, data: Vec<u8> },
    Length(u64),
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => put(bytes, *offset, data),
            Self::Length(length) => bytes.resize(usize::try_from(*length).unwrap_or(0), 0),
        }
    }
}

/// A file, by whatever name.
#[derive(Default)]
pub(crate) struct File {
    /// What the last sync made certain.
    pub(crate) certain: Vec<u8>,
    /// Changes since, oldest first.
    pub(crate) pending: Vec<Change>,
    /// How many changes were made certain.
    passed: usize,
    /// Its length with every change.
    length: u64,
}

/// A change of names.
#[derive(Clone)]
pub(crate) enum Naming {
    File(String, usize),
    Folder(String),
    Unlink(String),
    Rename(String, String),
}

impl Naming {
    /// The folder whose sync makes it certain.
    fn folder(&self) -> &str {
        let (Self::File(name, _) | Self::Folder(name) | Self::Unlink(name) | Self::Rename(_, name)) = self;
        folder_of(name)
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Which file has a name; `None` for a folder.
pub(crate) type Names = BTreeMap<String, Option<usize>>;

pub(crate) fn rename(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::File(name, file) => drop(names.insert(name.clone(), Some(*file))),
        Naming::Folder(name) => drop(names.entry(name.clone()).or_insert(None)),
        Naming::Unlink(name) => drop(names.remove(name)),
        Naming::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

/// The disk below the watched folder, which itself is certain.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) files: Vec<File>,
    /// Names as the process sees them.
    seen: Names,
    /// Names that were synced.
    pub(crate) certain: Names,
    pub(crate) pending: Vec<(usize, Naming)>,
    namings: usize,
    /// What each sync that runs covers.
    syncs: HashMap<u64, usize>,
}

impl Disk {
    /// A disk that holds what is below a folder, all of it certain.
    pub(crate) fn holding(root: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        disk.take_in(root, "")?;
        disk.certain = disk.seen.clone();
        Ok(disk)
    }

    fn take_in(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.seen.insert(name.clone(), None);
                self.take_in(&entry.path(), &format!("{name}/"))?;
            } else {
                let certain = std::fs::read(entry.path())?;
                let length = certain.len() as u64;
                self.files.push(File { certain, length, ..File::default() });
                self.seen.insert(name, Some(self.files.len() - 1));
            }
        }
        Ok(())
    }

    /// The first file or name that is not as the process that was logged left it below `root`.
    pub(crate) fn differs_from(&self, root: &Path) -> io::Result<Option<String>> {
        let real = Self::holding(root)?;
        if let Some(name) = real.seen.keys().find(|name| !self.seen.contains_key(*name)) {
            return Ok(Some(name.clone()));
        }
        for (name, file) in &self.seen {
            let Some(found) = real.seen.get(name) else { return Ok(Some(name.clone())) };
            let bytes = |disk: &Self, file: Option<usize>| file.and_then(|file| disk.files.get(file).map(File::latest));
            if bytes(self, *file) != bytes(&real, *found) {
                return Ok(Some(name.clone()));
            }
        }
        Ok(None)
    }

    fn name(&mut self, naming: Naming) {
        rename(&mut self.seen, &naming);
        self.pending.push((self.namings, naming));
        self.namings += 1;
    }

    fn file(&mut self, name: &str) -> Option<&mut File> {
        let file = (*self.seen.get(name)?)?;
        self.files.get_mut(file)
    }

    /// Takes what the process did.
    pub(crate) fn apply(&mut self, record: Record) {
        let Record { kind, name, number, data } = record;
        match kind {
            Kind::Create => match self.file(&name) {
                Some(file) if number != 0 => file.change(Change::Length(0)),
                Some(_) => {}
                None => {
                    self.files.push(File::default());
                    self.name(Naming::File(name, self.files.len() - 1));
                }
            },
            Kind::Write | Kind::Append | Kind::Length => {
                if let Some(file) = self.file(&name) {
                    file.change(match kind {
                        Kind::Write => Change::Write { offset: number, data },
                        Kind::Append => Change::Write { offset: file.length, data },
                        _ => Change::Length(number),
                    });
                }
            }
            Kind::Rename => self.name(Naming::Rename(name, String::from_utf8_lossy(&data).into_owned())),
            Kind::Unlink => self.name(Naming::Unlink(name)),
            Kind::Folder => self.name(Naming::Folder(name)),
            Kind::SyncBegins => {
                let covered = match self.file(&name) {
                    Some(file) => file.passed + file.pending.len(),
                    None => self.namings,
                };
                self.syncs.insert(number, covered);
            }
            Kind::SyncEnds => {
                let Some(covered) = self.syncs.remove(&number) else { return };
                match self.file(&name) {
                    Some(file) => file.settle(covered),
                    None => self.settle_names(&name, covered),
                }
            }
        }
    }

    fn settle_names(&mut self, folder: &str, covered: usize) {
        let all = std::mem::take(&mut self.pending);
        for (number, naming) in all {
            if number < covered && naming.folder() == folder {
                rename(&mut self.certain, &naming);
            } else {
                self.pending.push((number, naming));
            }
        }
    }
}

impl File {
    fn change(&mut self, change: Change) {
        self.length = match &change {
            Change::Write { offset, data } => self.length.max(offset + data.len() as u64),
            Change::Length(length) => *length,
        };
        self.pending.push(change);
    }

    /// The changes before `covered` are certain now.
    fn settle(&mut self, covered: usize) {
        let many = covered.saturating_sub(self.passed).min(self.pending.len());
        for change in self.pending.drain(..many) {
            change.make(&mut self.certain);
        }
        self.passed += many;
    }

    /// With every change.
    fn latest(&self) -> Vec<u8> {
        let mut bytes = self.certain.clone();
        self.pending.iter().for_each(|change| change.make(&mut bytes));
        bytes
    }
}

/// Writes into a file's bytes, which grow as needed.
pub(crate) fn put(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = usize::try_from(offset).unwrap_or(usize::MAX);
    let end = start + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(start..end) {
        place.copy_from_slice(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, name: &str, number: u64, data: &[u8]) -> Record {
        Record { kind, name: name.to_owned(), number, data: data.to_vec() }
    }

    #[test]
    fn a_sync_makes_certain_what_came_before_it_began() {
        let mut disk = Disk::default();
        disk.apply(record(Kind::Create, "f", 0, b""));
        disk.apply(record(Kind::Write, "f", 0, b"one"));
        disk.apply(record(Kind::SyncBegins, "f", 1, b""));
        disk.apply(record(Kind::Write, "f", 3, b"two"));
        disk.apply(record(Kind::SyncEnds, "f", 1, b""));
        let file = disk.files.first().expect("a file");
        assert_eq!((file.certain.as_slice(), file.latest().as_slice()), (&b"one"[..], &b"onetwo"[..]));
        assert!(disk.certain.is_empty(), "its name is a matter of the folder");
    }

    #[test]
    fn a_name_is_certain_once_its_folder_is_synced() {
        let mut disk = Disk::default();
        disk.apply(record(Kind::Create, "new", 0, b""));
        disk.apply(record(Kind::Rename, "new", 0, b"old"));
        disk.apply(record(Kind::SyncBegins, "", 1, b""));
        disk.apply(record(Kind::Folder, "later", 0, b""));
        disk.apply(record(Kind::SyncEnds, "", 1, b""));
        assert_eq!(disk.certain.keys().collect::<Vec<_>>(), ["old"]);
        assert_eq!(disk.pending.len(), 1);
    }
}
