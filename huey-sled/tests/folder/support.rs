//! What the scenarios share: a folder that goes away, and children that play a role in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use huey_core::store::{Log, Medium};
use huey_sled::{SledLog, SledMedium};

const CACHE: u64 = 8 * 1024 * 1024;

/// The path of a folder that does not exist yet, and will not any more.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("huey-sled-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file of the oldest volume.
    pub(crate) fn volume_file(&self, name: &str) -> PathBuf {
        self.volumes().remove(0).join(name)
    }

    /// The folders of its volumes, the oldest first.
    pub(crate) fn volumes(&self) -> Vec<PathBuf> {
        let names = std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path());
        let mut volumes: Vec<_> =
            names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("volume.")).collect();
        volumes.sort();
        volumes
    }

    pub(crate) fn medium(&self) -> SledMedium {
        medium(&self.0).unwrap()
    }

    /// Appends the entries up to `last` to a new queue, and closes it.
    pub(crate) fn filled(name: &str, last: u64) -> Self {
        let folder = Self::new(name);
        let mut log = folder.medium().open().unwrap();
        append(&mut log, 1, last);
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn medium(folder: &Path) -> huey_core::Result<SledMedium> {
    SledMedium::new(folder.to_owned(), CACHE)
}

/// The entry of that number: the number, then bytes that follow from it.
pub(crate) fn entry(sequence: u64) -> Vec<u8> {
    let length = sequence * 37 % 1_500;
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.extend((0..length).map(|at| u8::try_from((sequence + at) % 251).unwrap()));
    bytes
}

pub(crate) fn append(log: &mut SledLog, first: u64, last: u64) {
    for sequence in first..=last {
        log.append(sequence, &entry(sequence)).unwrap();
    }
    log.flush().unwrap();
    log.barrier().sync().unwrap();
}

/// The numbers of the first and the last entry, once it is clear that none is missing between them and all are whole.
pub(crate) fn bounds(log: &SledLog) -> Option<(u64, u64)> {
    let mut found: Option<(u64, u64)> = None;
    log.scan(&mut |sequence, bytes| {
        assert_eq!(bytes, entry(sequence), "entry {sequence}");
        found = Some(match found {
            None => (sequence, sequence),
            Some((first, last)) => {
                assert_eq!(sequence, last + 1, "a gap");
                (first, sequence)
            }
        });
        Ok(())
    })
    .unwrap();
    found
}

/// This program again, playing a role of [`child`](crate::child) in a folder.
pub(crate) struct Actor {
    process: Child,
    lines: BufReader<ChildStdout>,
}

const MARKER: &str = "actor: ";
pub(crate) const ROLE: &str = "HUEY_SLED_ROLE";
pub(crate) const PLACE: &str = "HUEY_SLED_PLACE";

impl Actor {
    pub(crate) fn start(role: &str, folder: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child::act", "--nocapture"])
            .env(ROLE, role)
            .env(PLACE, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap());
        Self { process, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next thing it says, or `None` if it is gone.
    pub(crate) fn hears(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            if let (Some((_, said)), true) = (line.split_once(MARKER), line.ends_with('\n')) {
                return Some(said.trim_end().to_owned());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn expect(&mut self, said: &str) {
        assert_eq!(self.hears().as_deref(), Some(said));
    }

    /// As `kill -9`. What it said before can still be heard.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Lets it go on to its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.process.stdin.take());
        self.process.wait().unwrap()
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child: says something to the one who started it.
pub(crate) fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{MARKER}{what}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// In a child: stays until it is let go.
pub(crate) fn stay() {
    let _ = std::io::stdin().lines().count();
}

/// Numbers that look random, the same in each run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
