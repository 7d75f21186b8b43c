//! What a kill during open leaves behind is cleared away, and nothing else.

use std::fs;

use huey_core::store::Medium;

use crate::support::{Folder, bounds};

#[test]
fn an_unfinished_snapshot_is_removed() {
    let folder = Folder::filled("generating", 50);
    let left = folder.volume_file("snap.00000000000FFFFF.generating");
    fs::write(&left, "half a snapshot").unwrap();
    let alone = sled::Config::new().path(folder.volume_file("")).segment_size(2 * 1024 * 1024).open();
    assert!(alone.is_err(), "without us sled takes it for a snapshot, so this test shows something");
    drop(alone);
    let log = folder.medium().open().unwrap();
    assert_eq!(bounds(&log), Some((1, 50)));
    assert!(!left.exists());
}

#[test]
fn a_queue_that_was_hardly_begun_is_begun_again() {
    let whole = fs::read(Folder::filled("conf", 1).volume_file("conf")).unwrap();
    let zeros = vec![0; whole.len()];
    let cuts = (0..whole.len()).map(|end| &whole[..end]).chain([&*zeros]);
    for (number, conf) in cuts.enumerate() {
        let folder = Folder::new(&format!("conf-{number}"));
        let volume = folder.file("volume.00000000000000000001");
        fs::create_dir_all(volume.join("blobs")).unwrap();
        fs::write(folder.file("huey.format"), "huey-sled 2\n").unwrap();
        fs::write(volume.join("conf"), conf).unwrap();
        folder.medium().open().unwrap();
        assert_eq!(fs::read(volume.join("conf")).unwrap(), whole, "cut at {number}");
    }
}

#[test]
fn a_folder_with_only_our_first_files_opens() {
    for (number, format) in [None, Some(""), Some("huey-s"), Some("huey-sled 2\n")].into_iter().enumerate() {
        let folder = Folder::new(&format!("first-{number}"));
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.file("huey.lock"), "process 1 since 2000-02-29T00:00:00Z\n").unwrap();
        if let Some(text) = format {
            fs::write(folder.file("huey.format"), text).unwrap();
        }
        folder.medium().open().unwrap();
        assert_eq!(fs::read_to_string(folder.file("huey.format")).unwrap(), "huey-sled 2\n");
    }
}
