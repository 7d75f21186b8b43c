//! The log of what a process asked of its files, in the order in which it happened.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

/// A record's fixed beginning: kind, length of the name, a number, length of the data.
pub(crate) const HEAD: usize = 1 + 2 + 8 + 8;

/// What a record is about. Names are relative to the watched folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A file was opened so that it is created; the number says whether it is emptied.
    Create = 1,
    /// Data was written at the offset that the number says.
    Write,
    /// Data was written at the end.
    Append,
    /// The file got the length that the number says.
    Length,
    /// A file or a folder, with all that is in it; the data is the new name.
    Rename,
    /// A file or an empty folder is gone.
    Remove,
    Folder,
    /// A sync of a file or folder began; the number names it.
    SyncBegins,
    /// That sync has returned without an error.
    SyncEnds,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Create,
        Self::Write,
        Self::Append,
        Self::Length,
        Self::Rename,
        Self::Remove,
        Self::Folder,
        Self::SyncBegins,
        Self::SyncEnds,
    ];
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) number: u64,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn head(kind: Kind, name: usize, number: u64, data: usize) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let name = u16::try_from(name).unwrap_or(u16::MAX).to_le_bytes();
    let bytes = [kind as u8].into_iter().chain(name).chain(number.to_le_bytes()).chain((data as u64).to_le_bytes());
    head.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    head
}

/// The records of a log, one after the other.
pub(crate) struct Records(BufReader<std::fs::File>);

impl Records {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::with_capacity(1 << 20, std::fs::File::open(path)?)))
    }

    fn number<const N: usize>(&mut self) -> io::Result<u64> {
        let (mut bytes, mut whole) = ([0; N], [0; 8]);
        self.0.read_exact(&mut bytes)?;
        whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        Ok(u64::from_le_bytes(whole))
    }

    fn bytes(&mut self, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn read(&mut self, kind: u8) -> io::Result<Record> {
        let known = Kind::ALL.into_iter().find(|known| *known as u8 == kind);
        let kind = known.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, format!("no record is a {kind}")))?;
        let (name, number, data) = (self.number::<2>()?, self.number::<8>()?, self.number::<8>()?);
        let name = String::from_utf8(self.bytes(name)?).map_err(io::Error::other)?;
        Ok(Record { kind, name, number, data: self.bytes(data)? })
    }
}

impl Iterator for Records {
    type Item = io::Result<Record>;

    fn next(&mut self) -> Option<io::Result<Record>> {
        let mut kind = [0];
        match self.0.read(&mut kind) {
            Ok(0) => None,
            Ok(_) => {
                let [kind] = kind;
                Some(self.read(kind))
            }
            Err(error) => Some(Err(error)),
        }
    }
}
