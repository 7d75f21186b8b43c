//! What is attacked here must be all there is: a lock that these tests do not know would never be contended for.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// What one thread may wait for, or learn from another by.
const OF_SYNC: [&str; 6] = ["Mutex", "RwLock", "Condvar", "Barrier", "mpsc", "atomic"];
/// What is the system's own all the same: the flag of a handler of signals, and that of a static, which nobody waits for; the type
/// of a panic, the number of processors.
const ALLOWED: [&str; 3] =
    ["use std::sync::atomic::AtomicBool;", "std::thread::Result", "std::thread::available_parallelism"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}

/// The test kit has the system's own: nobody waits for anybody while its disk is locked.
#[test]
fn all_synchronization_of_the_core_is_taken_from_one_module() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../huey-core/src");
    let mut found = Vec::new();
    for path in sources(&core) {
        let name = path.strip_prefix(&core).unwrap().display().to_string();
        if name == "sync.rs" || name.starts_with("testing") || name.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // Tests stand at the end.
        let is_tests = |line: &str| {
            line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test,") && line.contains("not(huey_races)")
        };
        let shipped = text.lines().take_while(|line| !is_tests(line));
        for line in shipped.map(str::trim).filter(|line| !line.starts_with("//")) {
            let locks = line.contains("std::sync::") && OF_SYNC.iter().any(|word| line.contains(word));
            let threads = line.contains("std::thread::");
            if (locks || threads) && !ALLOWED.iter().any(|word| line.contains(word)) {
                found.push(format!("{name}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "take it from `crate::sync`:\n{}", found.join("\n"));
}
