//! Damage is told, in words and with the folder's name; it never panics into the caller.

use std::fs;
use std::path::Path;

use huey_core::store::{Log, LogError, Medium};

use crate::support::{Actor, Dice, Folder, entry, medium, say, stay};

const LAST: u64 = 1_000;

#[test]
fn blobs_are_reported() {
    let folder = Folder::filled("blobs", 3);
    fs::write(folder.volume_file("blobs").join("17"), "").unwrap();
    let medium = folder.medium();
    let error = medium.open().unwrap_err();
    assert!(error.is_damaged());
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()) && text.contains("`blobs`"), "{text}");
    fs::remove_file(folder.volume_file("blobs").join("17")).unwrap();
    medium.open().unwrap();
}

#[test]
fn other_settings_of_sled_are_reported() {
    let folder = Folder::filled("settings", 1);
    fs::write(folder.volume_file("conf"), "segment_size: 8388608\nuse_compression: false\nversion: 0.34\n0000")
        .unwrap();
    let error = folder.medium().open().unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
}

#[test]
fn changed_bytes_end_in_an_error_or_below_the_mark() {
    let mut dice = Dice::new(8);
    let (mut refused, mut short) = (0, 0);
    for round in 0..16 {
        let folder = Folder::filled(&format!("flip-{round}"), LAST);
        let medium = folder.medium();
        medium.mark(LAST).unwrap();
        if round % 2 == 0 {
            // Writes a snapshot, so that what lies before it is not read from the start and cut off.
            medium.open().unwrap();
        }
        drop(medium);
        let mut bytes = fs::read(folder.volume_file("db")).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        for _ in 0..=round * 4 {
            let at = usize::try_from(dice.below(used as u64)).unwrap();
            bytes[at] ^= 0x55;
        }
        fs::write(folder.volume_file("db"), bytes).unwrap();
        // In a process of its own: what sled leaves behind after a panic goes with it.
        let mut reader = Actor::start("read what is damaged", folder.path());
        let said = reader.hears().unwrap_or_default();
        assert!(reader.end().success(), "a panic escaped in round {round}");
        if let Some(last) = said.strip_prefix("ends at ") {
            short += u32::from(last.parse::<u64>().unwrap() < LAST);
        } else {
            assert!(said.contains(folder.path().to_str().unwrap()), "{said}");
            refused += 1;
        }
    }
    assert!(refused > 0 && short > 0, "{refused} refused and {short} short, so this test does not show both");
}

#[test]
fn after_a_panic_the_folder_is_shut_for_all_as_long_as_that_process_lives() {
    let folder = Folder::filled("panic", 1);
    let mut panicked = Actor::start("panic", folder.path());
    panicked.expect("contained");
    let error = medium(folder.path()).unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains(&format!("process {} ", panicked.id())), "{error}");
    assert!(panicked.end().success());
    folder.medium().open().unwrap();
}

/// In a child: panics within a call of sled's, which ends there, and lets go of everything.
pub(crate) fn panic(folder: &Path) {
    let log = medium(folder).unwrap().open().unwrap();
    let error = log.scan(&mut |_, _| panic!("as sled does on bytes that it did not write")).unwrap_err();
    assert!(error.damaged && error.message.contains("as sled does"), "{error}");
    drop(log);
    say("contained");
    stay();
}

/// In a child: reads everything, and says how far it got. After a panic of sled's, the folder stays shut.
pub(crate) fn read_all(folder: &Path) {
    let held = medium(folder).unwrap();
    assert_eq!(held.marked(), Some(LAST));
    let mut last = 0;
    let told = match held.open() {
        Err(error) => {
            assert!(error.is_damaged(), "{error}");
            error.to_string()
        }
        Ok(log) => match log.scan(&mut |sequence, bytes| {
            assert!(bytes == entry(sequence), "wrong bytes came back");
            last = sequence;
            Ok(())
        }) {
            Err(LogError { message, damaged }) => {
                assert!(damaged, "{message}");
                message
            }
            Ok(()) => return say(&format!("ends at {last}")),
        },
    };
    if told.contains("panicked") {
        let again = held.open().unwrap_err().to_string();
        assert!(again.contains("cannot open it again"), "{again}");
        drop(held);
        let again = medium(folder).unwrap_err().to_string();
        assert!(again.contains("cannot open it again"), "{again}");
    }
    say(&told);
    stay();
}
