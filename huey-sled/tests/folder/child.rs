//! The roles that this program plays when another test starts it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use huey_core::Durability;
use huey_core::store::{Log, Medium};

use crate::support::{PLACE, ROLE, bounds, entry, medium, say, stay};

#[test]
#[ignore = "started by other tests, as their child"]
fn act() {
    let (Ok(role), Some(folder)) = (std::env::var(ROLE), std::env::var_os(PLACE)) else { return };
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "hold" => hold(&folder),
        "open" => open(&folder),
        "append" => append(&folder),
        "begin and abort" => begin_and_abort(&folder),
        "read what is damaged" => crate::damage::read_all(&folder),
        "panic" => crate::damage::panic(&folder),
        _ => panic!("no role is named {role}"),
    }
}

/// Opens the folder and keeps it, or says why not.
fn hold(folder: &Path) {
    match medium(folder).and_then(|medium| medium.open().map(|log| (medium, log))) {
        Ok(_held) => {
            say("open");
            stay();
        }
        Err(error) => {
            say(&format!("in use: {}, {error}", error.is_in_use()));
            stay();
        }
    }
}

/// Opens the folder, to be killed on the way; says how long it took.
fn open(folder: &Path) {
    say("opening");
    let begun = Instant::now();
    let medium = medium(folder).unwrap();
    let _log = medium.open().unwrap();
    say(&begun.elapsed().as_micros().to_string());
    stay();
}

/// Appends for ever, keeping 300 entries, and says which are there as soon as they are flushed.
fn append(folder: &Path) {
    let mut log = medium(folder).unwrap().open().unwrap();
    let (mut first, mut last) = bounds(&log).unwrap_or((1, 0));
    loop {
        for _ in 0..=last % 7 {
            last += 1;
            log.append(last, &entry(last)).unwrap();
            if last - first >= 300 {
                log.remove_oldest(first).unwrap();
                first += 1;
            }
        }
        log.flush().unwrap();
        say(&format!("{first} {last}"));
    }
}

fn begin_and_abort(folder: &Path) {
    let running = medium(folder).unwrap().running();
    running.forget_left().unwrap();
    running.begin(0, 7, 1, Durability::Relaxed).unwrap();
    running.begin(1, 8, 1, Durability::Relaxed).unwrap();
    running.begin(100, 9, 4, Durability::Relaxed).unwrap();
    running.end(1).unwrap();
    std::process::abort();
}
