//! Calls of the system that fail underneath a queue that runs: the same process goes on, and nothing acknowledged is lost.
//!
//! strace makes them fail. Without it the tests say so and pass; `.ci/run` installs it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use child::{Folder, Lines, child, has_strace, role, setting};
use huey::{Durability, JobId, JobState, task};

#[task(retention = "1d")]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// Enqueues beside a consumer, telling of each job and of each error, and goes on until everything has run.
fn work(folder: std::path::PathBuf) -> ! {
    let huey = huey::open(folder).unwrap();
    let watched = huey.clone();
    // What hangs is to fail.
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_mins(1));
        println!("\nHANGS with {:?}", watched.counts());
        std::process::abort();
    });
    let consumer = huey.consumer().workers(2).start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let huey = &huey;
            scope.spawn(move || {
                for n in 0..setting("HUEY_JOBS", 60) {
                    let _ = add::job(thread, n).durability(Durability::Relaxed).enqueue(huey);
                    match add::enqueue(huey, thread, n) {
                        Ok(handle) => println!("\nID {}", handle.id()),
                        Err(error) => {
                            println!("\nERROR {error}");
                            assert!(error.is_unknown() || error.is_unavailable(), "{error}");
                            std::thread::sleep(Duration::from_millis(5));
                        }
                    }
                }
            });
        }
    });
    drop(consumer);
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        match huey.consumer().workers(2).run_until_idle() {
            Ok(()) => break,
            Err(error) => {
                println!("\nERROR {error}");
                assert!(Instant::now() < until, "{error}");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
    println!("\nIDLE");
    std::process::exit(0);
}

/// Runs [`work`] with the calls `call` on sled's files failing as `fault` says, and looks at what is left.
fn survives(test: &str, fault: &str) {
    if !has_strace() {
        return;
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    // Created without faults.
    drop(huey::open(&queue).unwrap());
    let (call, _) = fault.split_once(':').unwrap();
    let (trace, inject) = (format!("trace={call}"), format!("inject={fault}"));
    // A volume that something was written anew in is followed by another, of whatever number.
    let volumes: Vec<String> =
        (1..400).map(|first| queue.join(format!("volume.{first:020}/db")).to_str().unwrap().to_owned()).collect();
    let mut strace = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    strace.extend(volumes.iter().flat_map(|volume| ["-P", volume]));
    let mut running = child(&strace, test, "work", &queue).spawn().unwrap();
    let mut said = Lines::of(&mut running);
    let (mut acknowledged, mut errors, mut idle) = (HashSet::<JobId>::new(), Vec::new(), false);
    while let Some(line) = said.next("") {
        if let Some(id) = line.strip_prefix("ID ") {
            acknowledged.insert(id.parse().unwrap());
        } else if let Some(error) = line.strip_prefix("ERROR ") {
            errors.push(error.to_owned());
        } else {
            assert!(!line.starts_with("HANGS"), "{fault}: it {line}");
            idle |= line == "IDLE";
        }
    }
    let status = running.wait().unwrap();
    assert!(status.success() && idle, "{fault}: {status}, {errors:#?}");
    println!("{fault}: {} acknowledged, {} errors", acknowledged.len(), errors.len());
    assert!(!errors.is_empty(), "{fault}: nothing failed");
    let huey = huey::open(&queue).unwrap();
    for id in &acknowledged {
        assert_eq!(huey.status(*id).unwrap(), JobState::Complete, "{fault}: the acknowledged job {id}");
    }
    assert!(!acknowledged.is_empty());
}

#[test]
fn nothing_is_lost_or_stuck_where_syncs_fail() {
    const TEST: &str = "nothing_is_lost_or_stuck_where_syncs_fail";
    if let Some(folder) = role("work") {
        work(folder);
    }
    for fault in ["fdatasync:error=EIO:when=2+9", "fdatasync:error=ENOSPC:when=3+7"] {
        survives(TEST, fault);
    }
}

#[test]
fn nothing_is_lost_or_stuck_where_writes_fail() {
    const TEST: &str = "nothing_is_lost_or_stuck_where_writes_fail";
    if let Some(folder) = role("work") {
        work(folder);
    }
    for fault in ["pwrite64:error=ENOSPC:when=2+5", "pwrite64:error=EIO:when=3+3", "sync_file_range:error=EIO:when=3+4"]
    {
        survives(TEST, fault);
    }
}
