//! Which folders are taken, and how they are made.

use std::fs;
use std::path::Path;

use huey_core::store::Medium;

use crate::support::{Folder, medium};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_of_somebody_else_is_left_as_it_is() {
    for name in ["letters.txt", "db", "huey.toml"] {
        let folder = Folder::new(&format!("foreign-{name}"));
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.file(name), "").unwrap();
        let text = medium(folder.path()).unwrap_err().to_string();
        assert!(text.contains(folder.path().to_str().unwrap()) && text.contains(&format!("`{name}`")), "{text}");
        assert_eq!(names(folder.path()), [name]);
    }
}

#[test]
fn a_lock_file_alone_makes_no_queue_of_a_folder() {
    let folder = Folder::new("foreign-locked");
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.file("huey.lock"), "").unwrap();
    fs::write(folder.file("letters.txt"), "").unwrap();
    let text = medium(folder.path()).unwrap_err().to_string();
    assert!(text.contains("`letters.txt` and no queue"), "{text}");
    assert_eq!(names(folder.path()), ["huey.lock", "letters.txt"]);
}

#[test]
fn a_queue_that_is_just_being_created_is_in_use_and_not_foreign() {
    let folder = Folder::new("creating");
    let held = folder.medium();
    let _log = held.open().unwrap();
    fs::remove_file(folder.file("huey.format")).unwrap();
    assert!(medium(folder.path()).unwrap_err().is_in_use());
}

#[test]
fn an_empty_folder_is_taken() {
    let folder = Folder::new("empty");
    fs::create_dir(folder.path()).unwrap();
    folder.medium().open().unwrap();
}

#[test]
fn a_file_is_no_folder() {
    let folder = Folder::new("file");
    fs::create_dir(folder.path()).unwrap();
    fs::write(folder.file("plain"), "").unwrap();
    let text = medium(&folder.file("plain")).unwrap_err().to_string();
    assert!(text.contains("is no folder"), "{text}");
}

#[test]
fn another_format_is_refused_and_a_newer_one_named() {
    for (format, word) in [
        ("huey-sled 3\n", "written by a newer huey"),
        ("huey-sled 1\n", "another format, `huey-sled 1`"),
        ("letters\n", "another format, `letters`"),
    ] {
        let folder = Folder::filled("format", 1);
        fs::write(folder.file("huey.format"), format).unwrap();
        let before = names(folder.path());
        let error = medium(folder.path()).unwrap_err();
        assert!(error.is_damaged());
        let text = error.to_string();
        assert!(text.contains(word) && text.contains(folder.path().to_str().unwrap()), "{text}");
        assert_eq!(names(folder.path()), before);
        assert_eq!(fs::read_to_string(folder.file("huey.format")).unwrap(), format);
    }
}

#[cfg(unix)]
#[test]
fn the_folder_and_its_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let outer = Folder::new("modes");
    let inner = outer.file("a").join("queue");
    let queue = medium(&inner).unwrap();
    // The second open writes a snapshot.
    drop(queue.open().unwrap());
    let _log = queue.open().unwrap();
    queue.mark(1).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    let mut seen = 0;
    let volume = inner.join("volume.00000000000000000001");
    for path in
        names(&inner).iter().map(|name| inner.join(name)).chain(names(&volume).iter().map(|name| volume.join(name)))
    {
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 9, "a volume, its conf, db, snapshot and blobs, and four of ours: {seen}");
}
