//! A disk that fills up, on a small file system of the test's own.
//!
//! A child process mounts it in a mount namespace of its own. Where that is not permitted the tests say so and pass.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::unused_async, reason = "an async task need not await")]

mod child;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use child::{Folder, Lines, child, role};
use huey::{Error, Huey, JobId, JobState, Sled, task};

const LONG: Duration = Duration::from_mins(1);
const MIB: u64 = 1024 * 1024;

#[task(retention = "1d")]
fn measure(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[task(retention = "1d")]
async fn measure_async(bytes: Vec<u8>) -> usize {
    bytes.len()
}

/// How a process gets a mount namespace of its own: as root, or as root of a user namespace.
fn namespace(disk: &Path) -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-rm"]];
    let found = ways.into_iter().find(|way| {
        let (first, rest) = way.split_first().unwrap();
        let tried = Command::new(first).args(rest).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(disk).output();
        tried.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        eprintln!("skipped: this user may not mount");
    }
    found
}

/// Runs `test` in a child that may mount, and waits for it to say that it is done.
fn in_namespace(test: &str) {
    let folder = Folder::new();
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let Some(way) = namespace(&disk) else { return };
    let mut running = child(way, test, "fill", &disk.join("queue")).spawn().unwrap();
    let mut said = Lines::of(&mut running);
    let mut done = false;
    while let Some(l) = said.next("") {
        println!("{l}");
        done |= l == "DONE";
    }
    assert!(running.wait().unwrap().success() && done, "the child failed");
}

/// In a child: a small disk, and a file on it that takes up what is to be missing.
struct Disk {
    ballast: PathBuf,
    place: PathBuf,
}

impl Disk {
    fn mount(queue: &Path) -> Self {
        let place = queue.parent().unwrap().to_owned();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=96m", "tmpfs"]).arg(&place).status();
        assert!(mounted.unwrap().success());
        // What hangs is to fail.
        std::thread::spawn(|| {
            std::thread::sleep(LONG * 3);
            eprintln!("it hangs");
            std::process::abort();
        });
        Self { ballast: place.join("ballast"), place }
    }

    fn free(&self) -> u64 {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.place).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().nth(1).unwrap().trim().parse().unwrap()
    }

    /// Takes all but so many bytes.
    fn leave(&self, bytes: u64) {
        let mut ballast = std::fs::File::options().append(true).create(true).open(&self.ballast).unwrap();
        ballast.write_all(&vec![7; usize::try_from(self.free().saturating_sub(bytes)).unwrap()]).unwrap();
    }

    /// Gives all of it back.
    fn clear(&self) {
        std::fs::remove_file(&self.ballast).unwrap();
    }
}

/// Repeats a call until it succeeds. Its errors are noted.
fn until_done<T>(errors: &mut Vec<Error>, mut call: impl FnMut() -> huey::Result<T>) -> T {
    let until = Instant::now() + LONG;
    loop {
        match call() {
            Ok(done) => return done,
            Err(error) => {
                assert!(Instant::now() < until, "it does not recover: {error}");
                errors.push(error);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

fn enqueue(huey: &Huey, number: u64, size: usize) -> huey::Result<JobId> {
    if number.is_multiple_of(2) {
        Ok(measure::enqueue(huey, vec![1; size])?.id())
    } else {
        Ok(measure_async::enqueue(huey, vec![1; size])?.id())
    }
}

fn all_are(huey: &Huey, ids: &[JobId], wanted: JobState) {
    for id in ids {
        assert_eq!(huey.status(*id).unwrap(), wanted, "{id}");
    }
}

#[test]
fn new_jobs_are_refused_while_there_is_space_for_those_that_are_there() {
    let Some(queue) = role("fill") else {
        return in_namespace("new_jobs_are_refused_while_there_is_space_for_those_that_are_there");
    };
    let disk = Disk::mount(&queue);
    let huey = huey::open(&queue).unwrap();
    let ids: Vec<JobId> = (0..1_000).map(|number| enqueue(&huey, number, 1_000).unwrap()).collect();
    disk.leave(8 * MIB);
    // A measurement of the space is believed for a moment.
    let until = Instant::now() + LONG;
    let mut late = Vec::new();
    let error = loop {
        match enqueue(&huey, 0, 1) {
            Ok(id) => late.push(id),
            Err(error) => break error,
        }
        assert!(Instant::now() < until, "nothing is refused");
    };
    assert!(error.is_full() && !error.is_unknown(), "{error}");
    let text = error.to_string();
    assert!(text.contains("bytes are free") && text.contains("`min_free`"), "{text}");
    huey.consumer().workers(2).run_until_idle().unwrap();
    all_are(&huey, &ids, JobState::Complete);
    all_are(&huey, &late, JobState::Complete);
    assert!(enqueue(&huey, 0, 1).unwrap_err().is_full());
    disk.clear();
    let id = until_done(&mut Vec::new(), || enqueue(&huey, 0, 1));
    huey.consumer().workers(1).run_until_idle().unwrap();
    all_are(&huey, &[id], JobState::Complete);
    huey.close().unwrap();
    println!("\nDONE");
}

/// Enqueues until it fails, again and again, with and without a consumer that runs meanwhile.
#[test]
fn after_a_failed_write_the_same_process_goes_on() {
    let Some(queue) = role("fill") else {
        return in_namespace("after_a_failed_write_the_same_process_goes_on");
    };
    let disk = Disk::mount(&queue);
    let huey = Huey::builder().min_free(0).open(Sled::at(&queue)).unwrap();
    let mut acknowledged: Vec<JobId> = Vec::new();
    let mut number = 0;
    for (round, with_consumer) in [false, true, false, true].into_iter().enumerate() {
        let consumer = with_consumer.then(|| huey.consumer().workers(2).start().unwrap());
        disk.leave(MIB);
        let until = Instant::now() + LONG;
        let mut errors = Vec::new();
        while errors.len() < 200 {
            assert!(Instant::now() < until, "round {round}: nothing failed for long: {:?}", errors.first());
            number += 1;
            match enqueue(&huey, number, 2_000) {
                Ok(id) => acknowledged.push(id),
                Err(error) => errors.push(error),
            }
        }
        for error in &errors {
            assert!(error.is_unknown() || error.is_unavailable(), "round {round}: {error}");
        }
        let says_so = |error: &Error| error.to_string().contains("No space left on device");
        assert!(errors.iter().any(says_so), "round {round}: {errors:?}");
        eprintln!("round {round}: {} acknowledged, then {}", acknowledged.len(), errors.first().unwrap());
        disk.clear();
        let mut errors = Vec::new();
        acknowledged.push(until_done(&mut errors, || enqueue(&huey, number, 2_000)));
        eprintln!("round {round}: {} errors after space came back", errors.len());
        for id in &acknowledged {
            let state = until_done(&mut errors, || huey.status(*id));
            let known = matches!(state, JobState::Queued | JobState::Running | JobState::Complete);
            assert!(known, "round {round}: the acknowledged job {id} is {state}");
        }
        drop(consumer);
    }
    huey.consumer().workers(2).run_until_idle().unwrap();
    all_are(&huey, &acknowledged, JobState::Complete);
    huey.close().unwrap();
    drop(huey);
    let huey = huey::open(&queue).unwrap();
    all_are(&huey, &acknowledged, JobState::Complete);
    println!("\nDONE");
}
