//! What a disk holds: what was synced for certain, and what may or may not have arrived.

use std::collections::{BTreeMap, HashMap, HashSet};
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

/// What a name stands for: names change, and it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    File(usize),
    Folder(usize),
}

/// A name: its folder, and what it is called there.
pub(crate) type Name = (usize, String);

/// A change of names.
#[derive(Clone)]
pub(crate) enum Naming {
    New(Name, Node),
    Removed(Name),
    Renamed(Name, Name, Node),
}

impl Naming {
    /// The folder whose sync makes it certain.
    pub(crate) fn folder(&self) -> usize {
        let (Self::New((folder, _), _) | Self::Removed((folder, _)) | Self::Renamed(_, (folder, _), _)) = self;
        *folder
    }
}

/// The watched folder.
pub(crate) const ROOT: usize = 0;

/// What each folder holds. A folder that has no name any more still holds what it held.
#[derive(Clone, Default)]
pub(crate) struct Tree(BTreeMap<usize, BTreeMap<String, Node>>);

impl Tree {
    pub(crate) fn rename(&mut self, naming: &Naming) {
        match naming {
            Naming::New((folder, name), node) => drop(self.0.entry(*folder).or_default().insert(name.clone(), *node)),
            Naming::Removed((folder, name)) => drop(self.0.entry(*folder).or_default().remove(name)),
            Naming::Renamed((from, old), (to, new), node) => {
                let left = self.0.entry(*from).or_default();
                if left.get(old) == Some(node) {
                    left.remove(old);
                }
                self.0.entry(*to).or_default().insert(new.clone(), *node);
            }
        }
    }

    pub(crate) fn held_by(&self, folder: usize) -> impl Iterator<Item = (&String, Node)> {
        self.0.get(&folder).into_iter().flatten().map(|(name, node)| (name, *node))
    }

    /// What has a name, by a path from the root.
    fn node(&self, path: &str) -> Option<Node> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(Node::Folder(ROOT), |node, name| match node {
            Node::Folder(folder) => self.0.get(&folder)?.get(name).copied(),
            Node::File(_) => None,
        })
    }

    /// Everything below a folder, by its path from there.
    fn below(&self, folder: usize, prefix: &str, found: &mut BTreeMap<String, Node>) {
        for (name, node) in self.held_by(folder) {
            let path = format!("{prefix}{name}");
            if let Node::Folder(folder) = node {
                self.below(folder, &format!("{path}/"), found);
            }
            found.insert(path, node);
        }
    }

    fn paths(&self) -> BTreeMap<String, Node> {
        let mut found = BTreeMap::new();
        self.below(ROOT, "", &mut found);
        found
    }
}

/// The disk below the watched folder, which itself is certain.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) files: Vec<File>,
    /// How many folders there have been below the root.
    folders: usize,
    /// Names as the process sees them.
    seen: Tree,
    /// Names that were synced.
    pub(crate) certain: Tree,
    pub(crate) pending: Vec<(usize, Naming)>,
    namings: usize,
    /// What each sync that runs is of, and covers.
    syncs: HashMap<u64, (Node, usize)>,
}

impl Disk {
    /// A disk that holds what is below a folder, all of it certain.
    pub(crate) fn holding(root: &Path) -> io::Result<Self> {
        let mut disk = Self::default();
        disk.take_in(root, ROOT)?;
        disk.certain = disk.seen.clone();
        Ok(disk)
    }

    fn take_in(&mut self, path: &Path, folder: usize) -> io::Result<()> {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let name = (folder, entry.file_name().to_string_lossy().into_owned());
            if entry.file_type()?.is_dir() {
                let new = self.new_folder();
                self.seen.rename(&Naming::New(name, Node::Folder(new)));
                self.take_in(&entry.path(), new)?;
            } else {
                let certain = std::fs::read(entry.path())?;
                let length = certain.len() as u64;
                let new = self.new_file(File { certain, length, ..File::default() });
                self.seen.rename(&Naming::New(name, new));
            }
        }
        Ok(())
    }

    fn new_file(&mut self, file: File) -> Node {
        self.files.push(file);
        Node::File(self.files.len() - 1)
    }

    fn new_folder(&mut self) -> usize {
        self.folders += 1;
        self.folders
    }

    /// The first file or name that is not as the process that was logged left it below `root`.
    pub(crate) fn differs_from(&self, root: &Path) -> io::Result<Option<String>> {
        let real = Self::holding(root)?;
        let (seen, found) = (self.seen.paths(), real.seen.paths());
        if let Some(name) = found.keys().find(|name| !seen.contains_key(*name)) {
            return Ok(Some(name.clone()));
        }
        let bytes = |disk: &Self, node: &Node| match node {
            Node::File(file) => disk.files.get(*file).map(File::latest),
            Node::Folder(_) => None,
        };
        let differs = |(name, node): &(&String, &Node)| {
            found.get(*name).is_none_or(|found| bytes(self, node) != bytes(&real, found))
        };
        Ok(seen.iter().find(differs).map(|(name, _)| name.clone()))
    }

    fn name(&mut self, naming: Naming) {
        self.seen.rename(&naming);
        self.pending.push((self.namings, naming));
        self.namings += 1;
    }

    fn file(&mut self, path: &str) -> Option<&mut File> {
        match self.seen.node(path)? {
            Node::File(file) => self.files.get_mut(file),
            Node::Folder(_) => None,
        }
    }

    /// A path as a folder that is there and a name in it.
    fn split(&self, path: &str) -> Option<Name> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.seen.node(folder)? {
            Node::Folder(folder) => Some((folder, name.to_owned())),
            Node::File(_) => None,
        }
    }

    /// Takes what the process did. What it did to something that has no name here leads to nothing, and is noticed
    /// at the end, when the disk is compared with the real one.
    pub(crate) fn apply(&mut self, record: Record) {
        let Record { kind, name, number, data } = record;
        match kind {
            Kind::Create | Kind::Folder | Kind::Rename | Kind::Remove => {
                let to = String::from_utf8_lossy(&data).into_owned();
                self.apply_naming(kind, &name, number != 0, &to);
            }
            Kind::Write | Kind::Append | Kind::Length => {
                if let Some(file) = self.file(&name) {
                    file.change(match kind {
                        Kind::Write => Change::Write { offset: number, data },
                        Kind::Append => Change::Write { offset: file.length, data },
                        _ => Change::Length(number),
                    });
                }
            }
            Kind::SyncBegins => {
                let Some(node) = self.seen.node(&name) else { return };
                let covered = match node {
                    Node::File(file) => self.files.get(file).map_or(0, |file| file.passed + file.pending.len()),
                    Node::Folder(_) => self.namings,
                };
                self.syncs.insert(number, (node, covered));
            }
            // It may go by another name by now.
            Kind::SyncEnds => match self.syncs.remove(&number) {
                Some((Node::File(file), covered)) => {
                    if let Some(file) = self.files.get_mut(file) {
                        file.settle(covered);
                    }
                }
                Some((Node::Folder(folder), covered)) => self.settle_names(folder, covered),
                None => {}
            },
        }
    }

    fn apply_naming(&mut self, kind: Kind, path: &str, emptied: bool, to: &str) {
        let Some(name) = self.split(path) else { return };
        let node = self.seen.node(path);
        match (kind, node) {
            (Kind::Create, Some(_)) => {
                if let Some(file) = self.file(path).filter(|_| emptied) {
                    file.change(Change::Length(0));
                }
            }
            (Kind::Create, None) => {
                let new = self.new_file(File::default());
                self.name(Naming::New(name, new));
            }
            (Kind::Folder, None) => {
                let new = Node::Folder(self.new_folder());
                self.name(Naming::New(name, new));
            }
            (Kind::Rename, Some(node)) => {
                if let Some(to) = self.split(to) {
                    self.name(Naming::Renamed(name, to, node));
                }
            }
            (Kind::Remove, Some(_)) => self.name(Naming::Removed(name)),
            _ => {}
        }
    }

    fn settle_names(&mut self, folder: usize, covered: usize) {
        let all = std::mem::take(&mut self.pending);
        let many = all.len();
        for (number, naming) in all {
            if number < covered && naming.folder() == folder {
                self.certain.rename(&naming);
            } else {
                self.pending.push((number, naming));
            }
        }
        if self.pending.len() < many {
            self.let_go();
        }
    }

    /// Lets go of the bytes of files that can have no name any more.
    fn let_go(&mut self) {
        let named = |tree: &Tree| tree.paths().into_values().collect::<HashSet<_>>();
        let mut kept = named(&self.seen);
        kept.extend(named(&self.certain));
        for (_, naming) in &self.pending {
            if let Naming::New(_, node) | Naming::Renamed(_, _, node) = naming {
                kept.insert(*node);
            }
        }
        // What is in a folder whose name may or may not have arrived.
        let folders: Vec<usize> =
            kept.iter().filter_map(|node| if let Node::Folder(folder) = node { Some(*folder) } else { None }).collect();
        for folder in folders {
            for tree in [&self.seen, &self.certain] {
                let mut below = BTreeMap::new();
                tree.below(folder, "", &mut below);
                kept.extend(below.into_values());
            }
        }
        for (number, file) in self.files.iter_mut().enumerate() {
            if !kept.contains(&Node::File(number)) {
                *file = File::default();
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

    fn disk(records: &[(Kind, &str, u64, &[u8])]) -> Disk {
        let mut disk = Disk::default();
        take(&mut disk, records);
        disk
    }

    fn take(disk: &mut Disk, records: &[(Kind, &str, u64, &[u8])]) {
        for (kind, name, number, data) in records {
            disk.apply(record(*kind, name, *number, data));
        }
    }

    /// A sync from its beginning to its end.
    fn sync(disk: &mut Disk, name: &str) {
        take(disk, &[(Kind::SyncBegins, name, 1, b""), (Kind::SyncEnds, name, 1, b"")]);
    }

    fn paths(tree: &Tree) -> Vec<String> {
        tree.paths().into_keys().collect()
    }

    fn bytes(disk: &mut Disk, name: &str) -> (Vec<u8>, Vec<u8>) {
        let file = disk.file(name).expect("a file");
        (file.certain.clone(), file.latest())
    }

    #[test]
    fn a_sync_makes_certain_what_came_before_it_began() {
        let mut disk = disk(&[
            (Kind::Create, "f", 0, b""),
            (Kind::Write, "f", 0, b"one"),
            (Kind::SyncBegins, "f", 1, b""),
            (Kind::Write, "f", 3, b"two"),
            (Kind::SyncEnds, "f", 1, b""),
        ]);
        assert_eq!(bytes(&mut disk, "f"), (b"one".to_vec(), b"onetwo".to_vec()));
        assert_eq!(paths(&disk.certain), [""; 0], "its name is a matter of the folder");
    }

    #[test]
    fn a_name_is_certain_once_its_folder_is_synced() {
        let disk = disk(&[
            (Kind::Create, "new", 0, b""),
            (Kind::Rename, "new", 0, b"old"),
            (Kind::SyncBegins, "", 1, b""),
            (Kind::Folder, "later", 0, b""),
            (Kind::SyncEnds, "", 1, b""),
        ]);
        assert_eq!(paths(&disk.certain), ["old"]);
        assert_eq!(disk.pending.len(), 1);
    }

    #[test]
    fn a_name_in_a_folder_is_certain_once_both_folders_are_synced() {
        for (first, second) in [("", "folder"), ("folder", "")] {
            let mut disk = disk(&[(Kind::Folder, "folder", 0, b""), (Kind::Create, "folder/f", 0, b"")]);
            sync(&mut disk, "folder/f");
            assert_eq!(paths(&disk.certain), [""; 0]);
            sync(&mut disk, first);
            assert!(paths(&disk.certain).len() < 2, "{first} alone");
            sync(&mut disk, second);
            assert_eq!(paths(&disk.certain), ["folder", "folder/f"]);
        }
    }

    /// A folder with a file in it, all certain, that then goes by another name.
    fn renamed() -> Disk {
        let mut disk =
            disk(&[(Kind::Folder, "one", 0, b""), (Kind::Create, "one/f", 0, b""), (Kind::Write, "one/f", 0, b"1")]);
        for name in ["one/f", "one", ""] {
            sync(&mut disk, name);
        }
        take(&mut disk, &[(Kind::SyncBegins, "one/f", 7, b""), (Kind::Rename, "one", 0, b"two")]);
        disk
    }

    #[test]
    fn with_a_folder_all_that_is_in_it_is_renamed() {
        let mut disk = renamed();
        assert_eq!(paths(&disk.seen), ["two", "two/f"]);
        assert_eq!(paths(&disk.certain), ["one", "one/f"]);
        // The old name is another file now.
        take(
            &mut disk,
            &[
                (Kind::Folder, "one", 0, b""),
                (Kind::Create, "one/f", 0, b""),
                (Kind::Write, "two/f", 1, b"2"),
                (Kind::Write, "one/f", 0, b"other"),
                (Kind::Create, "two/later", 0, b""),
            ],
        );
        assert_eq!(bytes(&mut disk, "two/f"), (b"1".to_vec(), b"12".to_vec()));
        sync(&mut disk, "two");
        assert_eq!(paths(&disk.certain), ["one", "one/f", "one/later"], "its own name is not synced");
        sync(&mut disk, "");
        assert_eq!(paths(&disk.certain), ["one", "two", "two/f", "two/later"]);
    }

    #[test]
    fn a_sync_is_of_the_file_that_it_began_with() {
        let mut disk = renamed();
        take(&mut disk, &[(Kind::Write, "two/f", 1, b"2")]);
        take(&mut disk, &[(Kind::Folder, "one", 0, b""), (Kind::Create, "one/f", 0, b"")]);
        take(&mut disk, &[(Kind::SyncEnds, "one/f", 7, b"")]);
        assert_eq!(bytes(&mut disk, "two/f"), (b"1".to_vec(), b"12".to_vec()), "written after it began");
        sync(&mut disk, "two/f");
        assert_eq!(bytes(&mut disk, "two/f").0, b"12");
        sync(&mut disk, "");
        assert_eq!(disk.certain.node("two/f"), disk.seen.node("two/f"));
    }

    #[test]
    fn what_is_removed_is_there_until_its_folder_is_synced() {
        let mut disk = renamed();
        sync(&mut disk, "");
        take(&mut disk, &[(Kind::Remove, "two/f", 0, b""), (Kind::Remove, "two", 0, b"")]);
        assert_eq!((paths(&disk.seen), paths(&disk.certain).len()), (Vec::new(), 2));
        assert_eq!(disk.pending.len(), 2);
        assert_eq!(disk.files.first().map(File::latest), Some(b"1".to_vec()));
        sync(&mut disk, "");
        assert_eq!(paths(&disk.certain), [""; 0], "what is in a folder goes with it");
        disk.let_go();
        assert!(disk.files.iter().all(|file| file.latest().is_empty()), "nobody can come to its bytes");
    }

    #[test]
    fn bytes_stay_while_a_name_for_them_may_arrive() {
        let mut disk = disk(&[(Kind::Folder, "one", 0, b""), (Kind::Create, "one/f", 0, b"")]);
        take(&mut disk, &[(Kind::Write, "one/f", 0, b"1"), (Kind::Folder, "two", 0, b"")]);
        sync(&mut disk, "one");
        sync(&mut disk, "two");
        take(&mut disk, &[(Kind::Remove, "one/f", 0, b""), (Kind::Remove, "one", 0, b"")]);
        sync(&mut disk, "two");
        disk.let_go();
        assert_eq!(disk.files.first().map(File::latest), Some(b"1".to_vec()), "the folder may have arrived");
    }

    #[test]
    fn a_disk_is_compared_with_a_real_one() {
        let root = std::env::temp_dir().join(format!("huey-torture-disk-{}", std::process::id()));
        std::fs::create_dir_all(root.join("one")).expect("a folder");
        std::fs::write(root.join("one/f"), "1").expect("a file");
        let mut disk = Disk::holding(&root).expect("a disk");
        assert_eq!(paths(&disk.certain), ["one", "one/f"]);
        let differs = |disk: &Disk| disk.differs_from(&root).expect("a comparison");
        assert_eq!(differs(&disk), None);
        take(&mut disk, &[(Kind::Rename, "one", 0, b"two"), (Kind::Write, "two/f", 1, b"2")]);
        assert_eq!(differs(&disk).as_deref(), Some("one"));
        std::fs::rename(root.join("one"), root.join("two")).expect("a rename");
        assert_eq!(differs(&disk).as_deref(), Some("two/f"));
        std::fs::write(root.join("two/f"), "12").expect("a write");
        assert_eq!(differs(&disk), None);
        take(&mut disk, &[(Kind::Remove, "two/f", 0, b""), (Kind::Remove, "two", 0, b"")]);
        assert_eq!(differs(&disk).as_deref(), Some("two"));
        std::fs::remove_dir_all(root.join("two")).expect("a removal");
        assert_eq!(differs(&disk), None);
        std::fs::remove_dir_all(&root).expect("a removal");
    }
}
