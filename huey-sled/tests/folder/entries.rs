//! What is appended can be read, in order, also by the next opener.

use std::path::Path;

use huey_core::store::{Log, LogError, Medium};
use huey_sled::SledMedium;

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
    assert_eq!(bounds(&log), Some((1, 299)), "what was removed is there until its volume goes; also beyond 255");
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
    let largest = |sequence: u64| vec![u8::try_from(sequence % 251).unwrap(); huey_core::store::ENTRY_LIMIT];
    for sequence in 1..=1_500 {
        log.append(sequence, &largest(sequence)).unwrap();
        if sequence > 500 {
            log.remove_oldest(sequence - 500).unwrap();
        }
        if sequence % 100 == 0 {
            for volume in folder.volumes() {
                assert_eq!(std::fs::read_dir(volume.join("blobs")).unwrap().count(), 0);
            }
        }
    }
    log.flush().unwrap();
    log.barrier().sync().unwrap();
    for sequence in [1_001, 1_002, 1_250, 1_499, 1_001, 1_500] {
        assert_eq!(&*log.read(sequence).unwrap().unwrap(), largest(sequence), "{sequence}");
    }
}

fn size(folder: &Path) -> u64 {
    let of = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        found if found.is_dir() => size(&entry.path()),
        found => found.len(),
    };
    std::fs::read_dir(folder).unwrap().map(|entry| of(entry.unwrap())).sum()
}

#[test]
fn entries_are_written_once_and_go_with_their_volumes() {
    const EACH: u64 = huey_core::store::ENTRY_LIMIT as u64;
    let folder = Folder::new("volumes");
    let mut log = folder.medium().open().unwrap();
    let mut fill = |from: u64, upto: u64| {
        for sequence in from..=upto {
            log.append(sequence, &vec![7; huey_core::store::ENTRY_LIMIT]).unwrap();
        }
    };
    fill(1, 1_000);
    let volumes = folder.volumes().len();
    assert!(volumes > 2, "{volumes} volumes");
    assert!(size(folder.path()) < 1_000 * EACH * 5 / 4, "{} bytes on the disk", size(folder.path()));
    for sequence in 1..1_000 {
        log.remove_oldest(sequence).unwrap();
    }
    assert_eq!(folder.volumes().len(), 1, "the newest stays");
    assert!(size(folder.path()) < 500 * EACH, "{} bytes on the disk", size(folder.path()));
    assert!(log.read(999).unwrap().is_none() && log.read(1_000).unwrap().is_some());
}

/// Waits until just these of a queue's volumes are open in this process, the oldest of which is 0. sled's threads hold the files of
/// one that is closed for a moment.
#[cfg(target_os = "linux")]
fn wait_open(folder: &Folder, expected: &[usize]) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        let files: Vec<_> = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok()).collect();
        let is_open = |volume: &Path| files.iter().any(|file| file.starts_with(volume));
        let all = folder.volumes();
        let open: Vec<usize> = (0..).zip(&all).filter(|(_, volume)| is_open(volume)).map(|(at, _)| at).collect();
        if open == expected {
            return;
        }
        assert!(std::time::Instant::now() < until, "{open:?} are open and not {expected:?}");
        std::thread::yield_now();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn full_volumes_stay_open_while_the_cache_has_room_those_that_are_read_first_before_others() {
    const MIB: u64 = 1024 * 1024;
    let fill = |cache: u64| {
        let folder = Folder::new(&format!("open-{cache}"));
        let mut log = SledMedium::new(folder.path().to_owned(), cache).unwrap().open().unwrap();
        for sequence in 1..=3_000 {
            log.append(sequence, &vec![7; huey_core::store::ENTRY_LIMIT]).unwrap();
        }
        (folder, log)
    };
    let at = |folder: &Folder, sequence: u64| {
        let first = |path: &Path| path.extension().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        folder.volumes().iter().filter(|path| first(path) <= sequence).count() - 1
    };
    let (folder, log) = fill(MIB);
    let (middle, newest) = (at(&folder, 1_500), folder.volumes().len() - 1);
    wait_open(&folder, &[newest]);
    for (sequence, open) in [(1, [0, newest]), (1_500, [middle, newest])] {
        assert!(log.read(sequence).unwrap().is_some());
        wait_open(&folder, &open);
    }
    let (folder, log) = fill(22 * MIB);
    wait_open(&folder, &[0, 1, newest]);
    assert!(log.read(1_500).unwrap().is_some());
    wait_open(&folder, &[0, middle, newest]);
}

#[test]
fn an_end_that_is_taken_back_may_reach_into_older_volumes() {
    let folder = Folder::new("taken-back");
    {
        let mut log = folder.medium().open().unwrap();
        append(&mut log, 1, 5_000);
        assert!(folder.volumes().len() > 1);
        for sequence in (1_001..=5_000).rev() {
            log.remove_newest(sequence).unwrap();
        }
        assert_eq!(bounds(&log), Some((1, 1_000)));
        append(&mut log, 1_001, 2_000);
        assert_eq!(bounds(&log), Some((1, 2_000)));
    }
    let log = folder.medium().open().unwrap();
    assert_eq!(bounds(&log), Some((1, 2_000)));
}

#[test]
fn all_that_a_volume_holds_may_be_taken_back() {
    let folder = Folder::new("emptied");
    let mut log = folder.medium().open().unwrap();
    for _ in 0..2 {
        append(&mut log, 1, 5);
        for sequence in (1..=5).rev() {
            log.remove_newest(sequence).unwrap();
        }
        assert_eq!(bounds(&log), None);
    }
    append(&mut log, 1, 5);
    drop(log);
    assert_eq!(bounds(&folder.medium().open().unwrap()), Some((1, 5)));
}

#[test]
fn entries_are_written_anew_wherever_they_are() {
    let folder = Folder::new("anew");
    {
        let mut log = folder.medium().open().unwrap();
        append(&mut log, 1, 5_000);
        append(&mut log, 2_000, 5_000);
        append(&mut log, 5_001, 5_100);
    }
    let log = folder.medium().open().unwrap();
    assert_eq!(bounds(&log), Some((1, 5_100)));
}

#[test]
fn a_volume_that_is_missing_is_noticed() {
    let folder = Folder::new("missing");
    append(&mut folder.medium().open().unwrap(), 1, 9_000);
    let volumes = folder.volumes();
    assert!(volumes.len() > 2);
    std::fs::remove_dir_all(&volumes[1]).unwrap();
    let log = folder.medium().open().unwrap();
    let (mut last, mut gap) = (0, false);
    log.scan(&mut |sequence, _| {
        gap |= sequence != last + 1;
        last = sequence;
        Ok(())
    })
    .unwrap();
    assert!(gap && last == 9_000, "whoever reads the journal sees the gap");
}

#[test]
fn what_is_left_of_a_removed_volume_goes_when_it_is_opened() {
    let folder = Folder::filled("gone", 10);
    let gone = folder.file("gone.00000000000000000001");
    std::fs::create_dir(&gone).unwrap();
    std::fs::write(gone.join("db"), "half").unwrap();
    let log = folder.medium().open().unwrap();
    assert_eq!(bounds(&log), Some((1, 10)));
    assert!(!gone.exists());
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

#[test]
fn a_volume_under_another_name_is_noticed() {
    for to in ["volume.00000000000000000002", "volume.09999999999999999999"] {
        let folder = Folder::new("renamed");
        append(&mut folder.medium().open().unwrap(), 1, 9_000);
        std::fs::rename(folder.volumes().remove(0), folder.file(to)).unwrap();
        let log = folder.medium().open().unwrap();
        let error = log.scan(&mut |_, _| Ok(())).unwrap_err();
        assert!(error.damaged && error.message.contains("which its name does not allow"), "{error}");
    }
}

#[test]
fn a_volume_goes_on_after_it_was_opened_again() {
    let folder = Folder::new("goes-on");
    let medium = folder.medium();
    for life in 0..20 {
        let mut log = medium.open().unwrap();
        assert_eq!(bounds(&log).map_or(0, |(_, last)| last), life * 10);
        append(&mut log, life * 10 + 1, life * 10 + 10);
    }
    assert_eq!(folder.volumes().len(), 1, "what sled writes ahead is not taken for entries");
}
