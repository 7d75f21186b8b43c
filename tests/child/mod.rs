//! What the tests share that need a second process: this very program, run again in one role of one test.
#![allow(dead_code, clippy::unwrap_used, reason = "each test program uses its part, and a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of the test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("huey-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// In a child, the queue's folder if this is its role; in the parent, none.
pub(crate) fn role(role: &str) -> Option<PathBuf> {
    let (wanted, folder) = (std::env::var("HUEY_CHILD").ok()?, std::env::var_os("HUEY_FOLDER")?);
    (wanted == role).then(|| folder.into())
}

/// The command for a child that runs `test` in a role, behind the words of `before`, such as those of strace.
pub(crate) fn child(before: &[&str], test: &str, role: &str, queue: &Path) -> Command {
    let program = std::env::current_exe().unwrap();
    let mut command = match before {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env("HUEY_CHILD", role).env("HUEY_FOLDER", queue);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Whether strace is there; says so if it is not.
pub(crate) fn has_strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        eprintln!("skipped: strace is not installed");
    }
    there
}

/// What a child says, line by line.
pub(crate) struct Lines(BufReader<ChildStdout>);

impl Lines {
    pub(crate) fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stdout.take().unwrap()))
    }

    /// The rest of the next line that begins so; none once the child has ended.
    pub(crate) fn next(&mut self, start: &str) -> Option<String> {
        let mut line = String::new();
        loop {
            line.clear();
            // A line that a kill cut off was not said.
            if self.0.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
                return None;
            }
            if let Some(rest) = line.strip_prefix(start) {
                return Some(rest.trim().to_owned());
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    /// Takes the seed from `HUEY_SEED`, or from the clock, and prints it.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("HUEY_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
        let seed = given.unwrap_or_else(clock);
        println!("HUEY_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }
}

/// A number from the environment.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
