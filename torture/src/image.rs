//! Crash images: folders as a disk may hold them after a power cut.
//!
//! Everything up to the last sync of each file and folder is there. Of what came later:
//!
//! | model | what arrived |
//! |---|---|
//! | cache | of each block of 4 KiB the newest bytes, older ones, or those of the last sync, each block by itself |
//! | growth | everything, but not what lies beyond the length that the file had at its last sync |
//!
//! Names that were created, changed or removed since the last sync of their folder arrived up to some point of their
//! order: that of all folders, as journaling file systems keep it, or in each folder another.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use huey::testing::Random;

use crate::disk::{Change, Disk, File, Node, ROOT, Tree, put};

const BLOCK: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Cache,
    Growth,
}

/// Writes an image of the disk into a new folder.
pub(crate) fn write(disk: &Disk, folder: &Path, model: Model, random: &mut Random) -> io::Result<()> {
    let mut names = disk.certain.clone();
    if random.one_in(2) {
        let arrived = random.below(disk.pending.len() + 1);
        disk.pending.iter().take(arrived).for_each(|(_, naming)| names.rename(naming));
    } else {
        // How many of each folder may still arrive.
        let mut rest: BTreeMap<usize, usize> = BTreeMap::new();
        disk.pending.iter().for_each(|(_, naming)| *rest.entry(naming.folder()).or_default() += 1);
        for many in rest.values_mut() {
            *many = random.below(*many + 1);
        }
        for (_, naming) in &disk.pending {
            if let Some(many @ 1..) = rest.get_mut(&naming.folder()) {
                *many -= 1;
                names.rename(naming);
            }
        }
    }
    // How many of ten blocks arrive.
    let luck = *random.pick(&[1, 5, 9]);
    let mut bytes = |file: &File| match model {
        Model::Cache => cached(file, luck, random),
        Model::Growth => not_grown(file),
    };
    write_folder(disk, &names, ROOT, folder, &mut bytes)
}

/// Writes a folder and what is in it. What lies in a folder whose own name did not arrive is gone with it.
fn write_folder(
    disk: &Disk,
    names: &Tree,
    number: usize,
    folder: &Path,
    bytes: &mut impl FnMut(&File) -> Vec<u8>,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (name, node) in names.held_by(number) {
        let path = folder.join(name);
        match node {
            Node::Folder(number) => write_folder(disk, names, number, &path, bytes)?,
            Node::File(number) => {
                if let Some(file) = disk.files.get(number) {
                    write_sparse(&path, &bytes(file))?;
                }
            }
        }
    }
    Ok(())
}

fn not_grown(file: &File) -> Vec<u8> {
    let mut bytes = file.certain.clone();
    let length = bytes.len();
    for change in &file.pending {
        if let Change::Write { offset, data } = change {
            let room = length.saturating_sub(usize::try_from(*offset).unwrap_or(usize::MAX)).min(data.len());
            put(&mut bytes, (*offset).min(length as u64), data.get(..room).unwrap_or_default());
        }
    }
    bytes
}

fn cached(file: &File, luck: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = file.certain.clone();
    // Up to which change each block arrived.
    let mut arrived: HashMap<u64, usize> = HashMap::new();
    let many = file.pending.len();
    for (number, change) in file.pending.iter().enumerate() {
        match change {
            Change::Length(length) => {
                if random.below(10) < luck {
                    bytes.resize(usize::try_from(*length).unwrap_or(0), 0);
                }
            }
            Change::Write { offset, data } => {
                let mut at = *offset;
                let mut rest = data.as_slice();
                while !rest.is_empty() {
                    let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
                    let (part, left) = rest.split_at(rest.len().min(BLOCK - within));
                    let reach = *arrived.entry(at / BLOCK as u64).or_insert_with(|| draw(luck, many, random));
                    if number < reach {
                        put(&mut bytes, at, part);
                    }
                    at += part.len() as u64;
                    rest = left;
                }
            }
        }
    }
    bytes
}

/// How many of the changes reach a block: all, none, or those up to some point.
fn draw(luck: usize, many: usize, random: &mut Random) -> usize {
    if random.below(10) >= luck {
        0
    } else if random.one_in(4) {
        random.below(many + 1)
    } else {
        many
    }
}

/// Leaves holes where there are zeros.
fn write_sparse(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.set_len(bytes.len() as u64)?;
    for (number, chunk) in bytes.chunks(16 * BLOCK).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((number * 16 * BLOCK) as u64))?;
            file.write_all(chunk)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, Record};

    fn file() -> File {
        let mut disk = Disk::default();
        let record = |kind, number, data: &[u8]| Record { kind, name: "f".to_owned(), number, data: data.to_vec() };
        disk.apply(record(Kind::Create, 0, b""));
        disk.apply(record(Kind::Write, 0, &[1; 2 * BLOCK]));
        disk.apply(record(Kind::SyncBegins, 1, b""));
        disk.apply(record(Kind::SyncEnds, 1, b""));
        disk.apply(record(Kind::Write, 0, &[2; 3 * BLOCK]));
        disk.files.remove(0)
    }

    #[test]
    fn without_growth_the_length_is_that_of_the_last_sync() {
        assert_eq!(not_grown(&file()), [2; 2 * BLOCK]);
    }

    #[test]
    fn each_block_arrives_by_itself() {
        let mut random = Random::new(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let bytes = cached(&file(), 5, &mut random);
            assert!(
                bytes.chunks(BLOCK).all(|block| block.windows(2).all(|pair| pair[0] == pair[1])),
                "torn in a block"
            );
            seen.insert(bytes.iter().step_by(BLOCK).copied().collect::<Vec<_>>());
        }
        assert_eq!(seen.len(), 8, "{seen:?}");
    }
}
