//! One holder at a time.

use std::time::{Duration, Instant};

use huey_core::store::{Log, Medium};

use crate::support::{Actor, Folder, append, bounds, medium};

#[test]
fn a_second_open_in_this_process_is_told_to_share_the_handle() {
    let folder = Folder::new("here");
    let first = folder.medium();
    let same = folder.path().join("..").join(folder.path().file_name().unwrap());
    for path in [folder.path(), &same] {
        let error = medium(path).unwrap_err();
        assert!(error.is_in_use());
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(text.contains("already open in this process") && text.contains("share the handle"), "{text}");
    }
    drop(first);
    folder.medium();
}

#[test]
fn parts_of_the_medium_keep_the_folder() {
    let folder = Folder::new("parts");
    let whole = folder.medium();
    let (log, running) = (whole.open().unwrap(), whole.running());
    drop(whole);
    assert!(medium(folder.path()).unwrap_err().is_in_use());
    drop(log);
    assert!(medium(folder.path()).unwrap_err().is_in_use(), "the running table could still be written");
    drop(running);
    folder.medium();
}

#[test]
fn a_second_process_is_told_who_has_it_within_a_second() {
    let folder = Folder::new("there");
    let mut holder = Actor::start("hold", folder.path());
    holder.expect("open");
    let begun = Instant::now();
    let error = medium(folder.path()).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(error.is_in_use());
    let text = error.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    assert!(text.contains(&format!("process {} since 20", holder.id())), "{text}");
    // The failed attempt leaves nothing behind, and a killed holder lets go.
    holder.kill();
    let mut log = folder.medium().open().unwrap();
    append(&mut log, 1, 1);
    assert_eq!(bounds(&log), Some((1, 1)));
}

#[test]
fn of_two_that_create_a_queue_at_once_one_gets_it() {
    for round in 0..10 {
        let folder = Folder::new(&format!("race-{round}"));
        let mut both = [Actor::start("hold", folder.path()), Actor::start("hold", folder.path())];
        let mut said: Vec<String> = both.iter_mut().map(|one| one.hears().unwrap()).collect();
        said.sort();
        assert!(said[0].starts_with("in use: true, "), "{said:?}");
        assert_eq!(said[1], "open");
    }
}

#[test]
fn opening_does_not_trip_over_children_that_are_being_started() {
    // Between its fork and its own program a child has a copy of every lock.
    let folder = Folder::new("fork");
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut child = std::process::Command::new(std::env::current_exe().unwrap())
                    .arg("--list")
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap();
                child.wait().unwrap();
            }
        });
        let opened: Vec<_> = (0..40)
            .map(|_| medium(folder.path()).and_then(|medium| medium.open()?.flush().map_err(|_| unreachable!())))
            .collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        for result in opened {
            result.unwrap();
        }
    });
}
