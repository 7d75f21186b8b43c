//! Queues that earlier releases stored are read by this one, as folders and as exports.
//!
//! `tests/fixtures/VERSION` holds the files of a queue that was closed: of each its length, and the bytes that are not zero.
//! `HUEY_BLESS=1 cargo test --test fixtures` makes those of this version anew; those of a release that is out stay as they are.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "child/mod.rs"]
mod child;

use std::fmt::Write as _;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::Folder;
use huey::{Huey, JobId, JobState, Revocation, Schedule, Sled, group, task};

const EXPORT: &str = "export.txt";
/// Bytes of a file in one line.
const ROW: usize = 32;

#[task(name = "fixture::add", retention = "3650d")]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[task(name = "fixture::sum", retention = "3650d")]
fn sum(all: Vec<u64>) -> u64 {
    all.iter().sum()
}

#[task(name = "fixture::fail")]
fn fail(reason: String) -> Result<(), String> {
    Err(reason)
}

#[task(name = "fixture::alone", unique(by(key)), lock("fixture"), rate(100, "1s"), max_running = 3)]
fn alone(key: String) -> usize {
    key.len()
}

#[task(name = "fixture::unwanted")]
fn unwanted() {}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Uses every feature that leaves something behind, and notes ids as values.
fn fill(huey: &Huey) {
    let note = |name: &str, id: JobId| huey.put(&format!("id/{name}"), &id.to_string()).unwrap();
    note("complete", add::enqueue(huey, 1, 2).unwrap().id());
    note("dead", fail::job("no way".into()).header("by", "fixture").enqueue(huey).unwrap().id());
    note("limited", alone::enqueue(huey, "first".into()).unwrap().id());
    huey.consumer().run_until_idle().unwrap();
    note("queued", add::job(3, 4).priority(5).enqueue(huey).unwrap().id());
    note("scheduled", add::job(5, 6).delay(Duration::from_hours(24 * 3650)).enqueue(huey).unwrap().id());
    note("unique", alone::enqueue(huey, "second".into()).unwrap().id());
    let chain = add::job(1, 1).then(add::with(10)).then(add::with(100)).enqueue(huey).unwrap();
    note("chain", *chain.ids().last().unwrap());
    let chord = group((1..=3).map(|n| add::job(n, n))).then(sum::with()).enqueue(huey).unwrap();
    note("chord", *chord.ids().last().unwrap());
    note("unwanted", unwanted::enqueue(huey).unwrap().id());
    huey.revoke::<unwanted>(Revocation::Always).unwrap();
    note("paused", add::job(7, 8).queue("held").enqueue(huey).unwrap().id());
    huey.queue("held").pause().unwrap();
    huey.put("value", &("text".to_owned(), 7_u8)).unwrap();
    huey.incr("count", 41).unwrap();
    let nightly = Schedule::cron("0 3 * * *").unwrap().tz("Europe/Berlin");
    huey.schedules().add("by hand", nightly, add::job(9, 9)).unwrap();
    huey.schedules().pause("by hand").unwrap();
}

/// Checks that all of it is there, runs what is to run, and checks what came of it.
fn check(huey: &Huey, of: &str) {
    let id = |name: &str| -> JobId {
        huey.get::<String>(&format!("id/{name}")).unwrap().unwrap_or_else(|| panic!("{of}: {name}")).parse().unwrap()
    };
    let state = |name| huey.status(id(name)).unwrap();
    let before = [
        ("complete", JobState::Complete),
        ("dead", JobState::Dead),
        ("limited", JobState::Complete),
        ("queued", JobState::Queued),
        ("scheduled", JobState::Scheduled),
        ("unique", JobState::Queued),
        ("chain", JobState::Awaiting),
        ("chord", JobState::Awaiting),
        ("paused", JobState::Queued),
    ];
    for (name, expected) in before {
        // What its retention let go of in the meantime ended as it should.
        assert!(state(name) == expected || (name == "limited" && state(name) == JobState::Gone), "{of}: {name}");
    }
    let info = huey.handle::<fail>(id("dead")).unwrap().info().unwrap().unwrap();
    assert!(format!("{info:?}").contains("no way"), "{of}: {info:?}");
    assert_eq!(huey.get::<(String, u8)>("value").unwrap(), Some(("text".into(), 7)), "{of}");
    assert_eq!(huey.incr("count", 1).unwrap(), 42, "{of}");
    let schedule = huey.schedules().get("by hand").unwrap();
    assert!(format!("{schedule:?}").contains("Europe/Berlin"), "{of}: {schedule:?}");
    let again = alone::enqueue(huey, "second".into()).unwrap();
    assert!(!again.is_new() && again.id() == id("unique"), "{of}: the key is held");

    huey.consumer().queues(["default", "held"]).run_until_idle().unwrap();
    let yielded = |name| huey.handle::<add>(id(name)).unwrap().get().unwrap();
    assert_eq!([yielded("complete"), yielded("queued"), yielded("chain")], [Some(3), Some(7), Some(112)], "{of}");
    assert_eq!(huey.handle::<sum>(id("chord")).unwrap().get().unwrap(), Some(12), "{of}");
    assert_eq!(huey.handle::<alone>(id("unique")).unwrap().get().unwrap(), Some(6), "{of}");
    assert_eq!((state("unwanted"), state("paused")), (JobState::Revoked, JobState::Queued), "{of}");
    assert_eq!(state("scheduled"), JobState::Scheduled, "{of}");
}

fn packed(bytes: &[u8]) -> String {
    let mut text = format!("{}\n", bytes.len());
    for (number, row) in bytes.chunks(ROW).enumerate().filter(|(_, row)| row.iter().any(|byte| *byte != 0)) {
        write!(text, "{:x} ", number * ROW).unwrap();
        for byte in row {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    }
    text
}

fn unpacked(text: &str) -> Vec<u8> {
    let (length, rows) = text.split_once('\n').unwrap();
    let mut bytes = vec![0; length.parse().unwrap()];
    for row in rows.lines() {
        let (at, digits) = row.split_once(' ').unwrap();
        let at = usize::from_str_radix(at, 16).unwrap();
        for (byte, pair) in bytes.iter_mut().skip(at).zip(digits.as_bytes().chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        }
    }
    bytes
}

/// Stores a queue, and keeps its files.
fn bless() {
    let (folder, kept) = (Folder::new(), fixtures().join(env!("CARGO_PKG_VERSION")));
    let queue = folder.join("queue");
    let huey = Huey::builder().open(Sled::at(&queue)).unwrap();
    fill(&huey);
    huey.close().unwrap();
    drop(huey);
    let _ = fs::remove_dir_all(&kept);
    fs::create_dir_all(&kept).unwrap();
    huey::export(&queue, &mut fs::File::create(kept.join(EXPORT)).unwrap()).unwrap();
    keep(&queue, &kept);
}

/// Keeps the files of a folder and of those in it, packed.
fn keep(folder: &Path, kept: &Path) {
    fs::create_dir_all(kept).unwrap();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() && name != "blobs" {
            keep(&entry.path(), &kept.join(name));
        } else if entry.path().is_file() && name != "huey.lock" {
            fs::write(kept.join(format!("{name}.hex")), packed(&fs::read(entry.path()).unwrap())).unwrap();
        }
    }
}

/// Makes of the files that were kept what they were.
fn restore(kept: &Path, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for file in fs::read_dir(kept).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if file.is_dir() {
            restore(&file, &folder.join(name));
            fs::create_dir(folder.join(name).join("blobs")).unwrap();
        } else if let Some(name) = name.strip_suffix(".hex") {
            fs::write(folder.join(name), unpacked(&fs::read_to_string(&file).unwrap())).unwrap();
        }
    }
}

#[test]
fn what_earlier_releases_stored_is_read_and_runs() {
    if std::env::var_os("HUEY_BLESS").is_some() {
        bless();
    }
    let mut many = 0;
    for release in fs::read_dir(fixtures()).unwrap() {
        let release = release.unwrap().path();
        let (of, folder) = (release.display().to_string(), Folder::new());
        let (stored, imported) = (folder.join("stored"), folder.join("imported"));
        restore(&release, &stored);
        let findings = huey::verify(&stored).unwrap();
        assert!(findings.is_sound(), "{of}: {findings}");
        check(&Huey::builder().open(Sled::at(&stored)).unwrap(), &of);
        let mut export = BufReader::new(fs::File::open(release.join(EXPORT)).unwrap());
        huey::import(&imported, &mut export).unwrap();
        check(&Huey::builder().open(Sled::at(&imported)).unwrap(), &of);
        many += 1;
    }
    assert!(many > 0, "nothing is kept: run this test with HUEY_BLESS=1");
}
