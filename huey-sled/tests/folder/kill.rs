//! `kill -9` at any instant.

use std::time::{Duration, Instant};

use huey_core::store::Medium;

use crate::support::{Actor, Dice, Folder, bounds};

const ROUNDS: u64 = 30;

/// Not `sleep`, which is too coarse to hit every part of an open.
fn spin(micros: u64) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_micros(micros) {
        std::hint::spin_loop();
    }
}

/// How long an opener takes, in microseconds.
fn time_to_open(folder: &Folder) -> u64 {
    let mut opener = Actor::start("open", folder.path());
    opener.expect("opening");
    opener.hears().unwrap().parse().unwrap()
}

#[test]
fn what_was_flushed_is_there_after_a_kill_and_nothing_before_it_is_missing() {
    let folder = Folder::new("kill");
    let mut dice = Dice::new(42);
    let mut acknowledged = (1, 0);
    for round in 0..ROUNDS {
        let mut writer = Actor::start("append", folder.path());
        let before = acknowledged;
        for _ in 0..=dice.below(20) {
            acknowledged = bounds_said(&writer.hears().unwrap());
        }
        spin(dice.below(3_000));
        writer.kill();
        while let Some(said) = writer.hears() {
            acknowledged = bounds_said(&said);
        }
        assert!(acknowledged.1 > before.1, "round {round} appended nothing");
        let found = bounds(&folder.medium().open().unwrap()).unwrap();
        assert!(found.1 >= acknowledged.1, "round {round}: {found:?} after {acknowledged:?}");
        for volume in folder.volumes() {
            assert_eq!(std::fs::read_dir(volume.join("blobs")).unwrap().count(), 0);
        }
    }
}

fn bounds_said(said: &str) -> (u64, u64) {
    let (first, last) = said.split_once(' ').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

#[test]
fn a_queue_whose_creation_was_killed_opens() {
    let usual = time_to_open(&Folder::new("kill-create-usual"));
    let mut dice = Dice::new(7);
    for round in 0..ROUNDS {
        let folder = Folder::new(&format!("kill-create-{round}"));
        let mut opener = Actor::start("open", folder.path());
        opener.expect("opening");
        spin(dice.below(usual + 1));
        opener.kill();
        let log = folder.medium().open().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(bounds(&log), None);
    }
}

#[test]
fn a_queue_whose_opening_was_killed_opens_with_everything() {
    let folder = Folder::filled("kill-open", 2_000);
    let usual = time_to_open(&folder);
    let mut dice = Dice::new(9);
    for round in 0..ROUNDS {
        let mut opener = Actor::start("open", folder.path());
        opener.expect("opening");
        spin(dice.below(usual + 1));
        opener.kill();
        let log = folder.medium().open().unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(bounds(&log), Some((1, 2_000)), "round {round}");
    }
}
