//! What the disk is asked to do, and when, as the system sees it.
//!
//! A child process, which is this very program, runs under `strace`. Without `strace` the tests say so and pass;
//! `.ci/run` installs it.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use child::{Folder, Lines, child, has_strace, role, setting};
use huey::{Durability, Huey, SignalKind, Sled, task};

#[task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// A child under strace, if there is one.
fn trace(test: &str, as_role: &str, folder: &Folder, log: &Path, calls: &str) -> Option<Child> {
    let log = log.to_str().unwrap();
    let strace = ["strace", "-f", "-y", "--decode-pids=comm", "-e", calls, "-o", log];
    has_strace().then(|| child(&strace, test, as_role, &folder.join("queue")).spawn().unwrap())
}

fn is_on_db(line: &str) -> bool {
    line.contains("/db>")
}

fn is_sync(line: &str) -> bool {
    (line.contains("fsync(") || line.contains("fdatasync(")) && is_on_db(line)
}

#[test]
fn a_synced_enqueue_returns_after_a_sync_that_follows_its_last_write() {
    if let Some(folder) = role("one") {
        let huey = huey::open(folder).unwrap();
        let handle = add::enqueue(&huey, 1, 2).unwrap();
        println!("\nID {}", handle.id());
        // What closing would sync is not what is asked about here.
        std::process::exit(0);
    }
    let folder = Folder::new();
    let log = folder.join("strace.log");
    let calls = "trace=pwrite64,fsync,fdatasync,write";
    let test = "a_synced_enqueue_returns_after_a_sync_that_follows_its_last_write";
    let Some(mut child) = trace(test, "one", &folder, &log, calls) else { return };
    assert!(child.wait().unwrap().success());
    let traced = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = traced.lines().collect();
    let told = lines.iter().position(|line| line.contains("\"ID ") || line.contains("\\nID ")).unwrap();
    let before = lines.get(..told).unwrap();
    let write = before.iter().rposition(|line| line.contains("pwrite64(") && is_on_db(line)).unwrap();
    // A call that another thread's line interrupts is written in two lines, and has returned at the second.
    let synced = before.iter().enumerate().skip(write + 1).find(|(_, line)| {
        (is_sync(line) && line.ends_with("= 0")) || (line.contains("sync resumed") && line.ends_with("= 0"))
    });
    let shown = before.get(write..).unwrap().join("\n");
    assert!(synced.is_some(), "no sync between the last write to db and the answer:\n{shown}");
}

#[test]
fn callers_that_arrive_together_share_a_sync() {
    const THREADS: u64 = 64;
    const EACH: u64 = 25;
    if let Some(folder) = role("many") {
        let huey = huey::open(folder).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let huey = &huey;
                scope.spawn(move || (0..EACH).for_each(|n| drop(add::enqueue(huey, thread, n).unwrap())));
            }
        });
        assert_eq!(huey.counts().unwrap().queued, THREADS * EACH);
        std::process::exit(0);
    }
    let folder = Folder::new();
    let log = folder.join("strace.log");
    let test = "callers_that_arrive_together_share_a_sync";
    let Some(mut child) = trace(test, "many", &folder, &log, "trace=fsync,fdatasync") else { return };
    assert!(child.wait().unwrap().success());
    let traced = std::fs::read_to_string(&log).unwrap();
    let syncs = traced.lines().filter(|line| is_sync(line)).count();
    let jobs = THREADS * EACH;
    println!("{jobs} synced jobs by {THREADS} threads took {syncs} syncs");
    assert!(syncs > 0 && (syncs as u64) < jobs / 4, "{syncs} syncs for {jobs} jobs");
}

#[task]
fn keep(bytes: Vec<u8>) -> usize {
    bytes.len()
}

#[test]
fn a_volume_is_synced_before_the_next_is_begun() {
    const MIB: usize = 1024 * 1024;
    if let Some(folder) = role("volumes") {
        let huey = Huey::builder().durability(Durability::Relaxed).open(Sled::at(folder)).unwrap();
        for _ in 0..32 {
            let _ = keep::enqueue(&huey, vec![7; MIB / 2]).unwrap();
        }
        std::process::exit(0);
    }
    let folder = Folder::new();
    let log = folder.join("strace.log");
    let test = "a_volume_is_synced_before_the_next_is_begun";
    let Some(mut child) = trace(test, "volumes", &folder, &log, "trace=pwrite64,fsync,fdatasync,mkdir") else { return };
    assert!(child.wait().unwrap().success());
    let traced = std::fs::read_to_string(&log).unwrap();
    let (mut begun, mut written) = (0, false);
    for line in traced.lines() {
        if line.contains("mkdir(") && line.contains("/volume.") && !line.contains("/blobs") {
            assert!(!written, "written and not synced when the next began: {line}");
            begun += 1;
        } else if line.contains("pwrite64(") && is_on_db(line) {
            written = true;
        } else if is_sync(line) {
            written = false;
        }
    }
    assert!(begun >= 3, "only {begun} volumes");
}

/// `HUEY_IDLE_SECONDS` sets how long it looks.
#[test]
fn an_idle_consumer_makes_no_system_calls() {
    if let Some(folder) = role("idle") {
        let huey = Huey::builder().durability(Durability::Relaxed).open(Sled::at(folder)).unwrap();
        let consumer = huey.consumer().workers(4).start().unwrap();
        let handle = add::enqueue(&huey, 1, 2).unwrap();
        assert_eq!(handle.wait(Duration::from_mins(1)).unwrap(), 3);
        pause_for_a_look();
        consumer.shutdown().wait().unwrap();
        return;
    }
    look_while_idle("an_idle_consumer_makes_no_system_calls", "idle");
}

#[task(lock = "ledger")]
fn holds() {
    loop {
        std::thread::park();
    }
}

#[task(max_running = 1)]
fn alone() {
    loop {
        std::thread::park();
    }
}

#[task(rate(1, "1h"))]
fn rarely() {}

#[test]
fn jobs_that_wait_for_a_lock_a_bound_or_a_rate_make_no_system_calls() {
    if let Some(folder) = role("limited") {
        let (sender, told) = std::sync::mpsc::channel();
        let builder = Huey::builder().durability(Durability::Relaxed).on_any(move |signal| sender.send(signal.kind));
        let huey = builder.open(Sled::at(folder)).unwrap();
        let _consumer = huey.consumer().workers(4).start().unwrap();
        let two = || [(), ()];
        let _ =
            (holds::map(&huey, two()).unwrap(), alone::map(&huey, two()).unwrap(), rarely::map(&huey, two()).unwrap());
        let mut wanted = vec![SignalKind::Locked, SignalKind::RateLimited, SignalKind::Complete];
        wanted.extend([SignalKind::Executing; 3]);
        while !wanted.is_empty() {
            let kind = told.recv().unwrap();
            if let Some(at) = wanted.iter().position(|wanted| *wanted == kind) {
                wanted.remove(at);
            }
        }
        pause_for_a_look();
        std::process::exit(0);
    }
    look_while_idle("jobs_that_wait_for_a_lock_a_bound_or_a_rate_make_no_system_calls", "limited");
}

/// In the child: says when its parent may look, and until when it does.
fn pause_for_a_look() {
    for word in ["READY", "BEGIN", "END"] {
        println!("\n{word}");
        std::io::stdin().read_exact(&mut [0]).unwrap();
    }
}

/// Looks at the child of a role while it has nothing to do.
fn look_while_idle(test: &str, role: &str) {
    let seconds = setting("HUEY_IDLE_SECONDS", 2);
    let folder = Folder::new();
    let log = folder.join("strace.log");
    let Some(mut child) = trace(test, role, &folder, &log, "trace=all") else { return };
    let (mut stdin, mut said) = (child.stdin.take().unwrap(), Lines::of(&mut child));
    said.next("READY").unwrap();
    // The last relaxed write is synced within its interval; what comes after that is what is looked at.
    std::thread::sleep(Duration::from_secs(1));
    stdin.write_all(b"b").unwrap();
    said.next("BEGIN").unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    stdin.write_all(b"e").unwrap();
    said.next("END").unwrap();
    stdin.write_all(b"x").unwrap();
    while said.next("").is_some() {}
    assert!(child.wait().unwrap().success());
    let traced = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = traced.lines().collect();
    let at = |word: &str| lines.iter().position(|line| line.contains("write(1") && line.contains(word)).unwrap();
    let window = lines.get(at("BEGIN") + 1..at("END")).unwrap();
    // The thread that talks to the parent is this test's own.
    let thread = format!("<{}", test.get(..15).unwrap());
    let test = |line: &str| line.contains(&thread) || line.contains("read(0") || line.contains("read resumed");
    let others: Vec<_> = window.iter().filter(|line| !line.contains("<sled-io-") && !test(line)).collect();
    println!("{seconds} s idle: {} lines of sled's threads, {} of others", window.len() - others.len(), others.len());
    assert!(others.is_empty(), "an idle consumer did something:\n{others:#?}");
}
