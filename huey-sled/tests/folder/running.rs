//! What had begun when the process died.

use huey_core::Durability;
use huey_core::store::Medium;

use crate::support::{Actor, Folder};

#[test]
fn what_had_begun_survives_an_abort_until_it_is_forgotten() {
    let folder = Folder::new("abort");
    assert!(!Actor::start("begin and abort", folder.path()).end().success());
    for life in 0..2 {
        let running = folder.medium().running();
        let mut left = running.left();
        left.sort_unstable();
        assert_eq!(left, [(7, 1), (9, 4)], "life {life}");
        assert_eq!(running.left().len(), 2, "asking does not forget");
    }
    let running = folder.medium().running();
    running.forget_left().unwrap();
    assert_eq!(running.left(), []);
    running.begin(2, 11, 1, Durability::Relaxed).unwrap();
    assert_eq!(running.left(), [], "what runs now was not left");
    drop(running);
    assert_eq!(folder.medium().running().left(), [(11, 1)]);
}

#[test]
fn a_torn_note_is_passed_over() {
    let folder = Folder::new("torn-note");
    let running = folder.medium().running();
    running.begin(0, 7, 1, Durability::Relaxed).unwrap();
    running.begin(1, 8, 1, Durability::Relaxed).unwrap();
    drop(running);
    let mut bytes = std::fs::read(folder.file("huey.running")).unwrap();
    bytes[9] ^= 1;
    bytes.push(1);
    std::fs::write(folder.file("huey.running"), bytes).unwrap();
    assert_eq!(folder.medium().running().left(), [(8, 1)]);
}

#[test]
fn attempts_can_begin_in_space_that_is_there_already() {
    let folder = Folder::new("reserved");
    let running = folder.medium().running();
    let length = || std::fs::metadata(folder.file("huey.running")).unwrap().len();
    let before = length();
    running.forget_left().unwrap();
    running.begin(63, 1, 1, Durability::Relaxed).unwrap();
    assert_eq!(length(), before);
}
