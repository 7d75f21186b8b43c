//! What is appended can be read, in order, also by the next opener.

use huey_core::store::{Log, LogError, Medium};

use crate::support::{Folder, append, bounds, entry};

#[test]
fn entries_are_kept_in_order_from_open_to_open() {
    let folder = Folder::new("order");
    {
        let mut log = folder.medium().open().unwrap();
        assert_eq!(bounds(&log), None);
        append(&mut log, 1, 300);
        assert_eq!(&*log.read(255).unwrap().unwrap(), entry(255));
        assert!(log.read(301).unwrap().is_none());
        log.remove_oldest(1).unwrap();
        log.remove_oldest(2).unwrap();
        log.remove_newest(300).unwrap();
        assert!(log.read(2).unwrap().is_none());
        assert_eq!(bounds(&log), Some((3, 299)));
        log.flush().unwrap();
    }
    let log = folder.medium().open().unwrap();
    assert_eq!(bounds(&log), Some((3, 299)), "also beyond 255, where another order of bytes would fail");
}

#[test]
fn an_entry_outlives_its_log() {
    let folder = Folder::filled("outlive", 1);
    let medium = folder.medium();
    let log = medium.open().unwrap();
    let kept = log.read(1).unwrap().unwrap();
    drop(log);
    let _again = medium.open().unwrap();
    assert_eq!(&*kept, entry(1));
}

#[test]
fn a_scan_ends_at_the_first_error() {
    let folder = Folder::filled("scan", 10);
    let log = folder.medium().open().unwrap();
    let mut seen = 0;
    let stopped = log.scan(&mut |sequence, _| {
        seen = sequence;
        if sequence == 4 { Err(LogError::failed("enough")) } else { Ok(()) }
    });
    assert_eq!((stopped.unwrap_err().message.as_str(), seen), ("enough", 4));
}

#[test]
fn the_largest_entries_go_to_no_blob() {
    let folder = Folder::new("largest");
    let medium = folder.medium();
    let mut log = medium.open().unwrap();
    for sequence in 1..=600 {
        log.append(sequence, &vec![7; huey_core::store::ENTRY_LIMIT]).unwrap();
        if sequence > 100 {
            log.remove_oldest(sequence - 100).unwrap();
        }
    }
    log.flush().unwrap();
    assert_eq!(std::fs::read_dir(folder.file("blobs")).unwrap().count(), 0);
}

#[test]
fn the_log_is_opened_again_under_the_same_lock() {
    let folder = Folder::new("again");
    let medium = folder.medium();
    for life in 0..20 {
        let mut log = medium.open().unwrap();
        assert_eq!(bounds(&log).map_or(0, |(_, last)| last), life);
        append(&mut log, life + 1, life + 1);
    }
}

#[test]
fn the_space_left_is_that_of_the_disk() {
    let folder = Folder::new("space");
    let free = folder.medium().open().unwrap().free_space().unwrap();
    assert!(free > 0 && free < 1 << 60, "{free} bytes");
}
