//! Killed at any instant, the queue opens again with everything that was acknowledged.
//!
//! `HUEY_KILLS` sets the number of rounds, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::unused_async, reason = "what an async task does is not the point")]

mod child;

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use child::{Folder, Lines, Random, child, has_strace, role, setting};
use huey::{Context, Durability, Huey, JobId, JobState, Signal, SignalKind, Sled, task};

const LONG: Duration = Duration::from_mins(1);

#[task(retention = "1d")]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[task]
fn poison() {
    std::process::abort();
}

/// Takes so long that a poison job dies beside it.
#[task]
fn slow() {
    std::thread::sleep(Duration::from_millis(300));
}

#[task]
async fn good(n: u64) -> u64 {
    n
}

/// Tells that it runs, and does not end by itself.
#[task]
fn endless(#[ctx] ctx: &Context) -> Result<(), huey::BoxError> {
    println!("\nRUNS {}", ctx.id());
    loop {
        ctx.checkpoint()?;
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[task(delivery = at_most_once)]
fn endless_once(#[ctx] ctx: &Context) -> Result<(), huey::BoxError> {
    endless(ctx)
}

#[test]
fn nothing_acknowledged_is_lost_to_kills_at_random_instants() {
    if let Some(folder) = role("enqueue") {
        let huey = huey::open(folder).unwrap();
        println!("\nOPEN");
        let consumer = huey.consumer().workers(1).start().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let huey = &huey;
                scope.spawn(move || {
                    for n in 0.. {
                        // Relaxed traffic between the synced jobs shares their journal.
                        let _ = add::job(thread, n).durability(Durability::Relaxed).enqueue(huey).unwrap();
                        let handle = add::enqueue(huey, thread, n).unwrap();
                        println!("\nID {}", handle.id());
                    }
                });
            }
        });
        drop(consumer);
    }
    let mut random = Random::seeded();
    let folder = Folder::new();
    let queue = folder.join("queue");
    let mut acknowledged: HashSet<JobId> = HashSet::new();
    let rounds = setting("HUEY_KILLS", 12);
    for round in 0..rounds {
        let test = "nothing_acknowledged_is_lost_to_kills_at_random_instants";
        let mut running = child(&[], test, "enqueue", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        // Some die while they open, most a random number of acknowledgements later.
        if random.below(4) == 0 {
            for _ in 0..random.below(200_000) {
                std::hint::spin_loop();
            }
        } else {
            said.next("OPEN").unwrap();
            for _ in 0..random.below(200) {
                acknowledged.insert(said.next("ID ").unwrap().parse().unwrap());
            }
        }
        running.kill().unwrap();
        // What it had said before it died was acknowledged too.
        while let Some(id) = said.next("ID ") {
            acknowledged.insert(id.parse().unwrap());
        }
        running.wait().unwrap();
        let huey = huey::open(&queue).unwrap_or_else(|error| panic!("round {round}: {error}"));
        for id in &acknowledged {
            let state = huey.status(*id).unwrap();
            let known = matches!(state, JobState::Queued | JobState::Complete);
            assert!(known, "round {round}: the acknowledged job {id} is {state}");
        }
    }
    let huey = huey::open(&queue).unwrap();
    huey.consumer().workers(2).run_until_idle().unwrap();
    for id in &acknowledged {
        assert_eq!(huey.status(*id).unwrap(), JobState::Complete, "{id}");
    }
    println!("{rounds} kills, {} acknowledged jobs, none lost", acknowledged.len());
    assert!(!acknowledged.is_empty());
}

/// Opens the queue, to be killed on the way, and leaves without closing it.
fn open_and_leave(folder: PathBuf) -> ! {
    let _huey = huey::open(folder).unwrap();
    println!("\nOPEN");
    std::process::exit(0);
}

/// Copies a folder as it is on the disk; if there is none, there is none at the target either.
fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let Ok(entries) = fs::read_dir(from) else { return };
    fs::create_dir(to).unwrap();
    for entry in entries.map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Kills processes that open a copy of `found`, two in a row at each of its calls, before that call is made. Each time
/// the copy must open with all of `ids`. Returns the number of kills.
fn kill_at_every_call_of_open(found: &Path, ids: &[JobId], queue: &Path) -> u32 {
    // Those that change something. Those on `db` apart, since strace counts the calls of each thread.
    let calls = ["mkdir", "ftruncate", "write", "fsync", "fdatasync", "rename", "unlink", "chmod"];
    let db = queue.join("volume.00000000000000000001/db");
    let on_db = ["pwrite64", "fsync", "fdatasync", "sync_file_range", "ftruncate"];
    let wanted = calls.into_iter().chain(["pwrite64"]).map(|call| (call, false)).chain(on_db.map(|call| (call, true)));
    let mut kills = 0;
    for (call, only_db) in wanted {
        for number in 1.. {
            copy(found, queue);
            let (trace, inject) = (format!("trace={call}"), format!("inject={call}:signal=SIGKILL:when={number}"));
            let mut strace = vec!["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            if only_db {
                strace.extend(["-P", db.to_str().unwrap()]);
            }
            let mut opened = false;
            for _ in 0..2 {
                let mut running = child(&strace, OPEN_TEST, "open", queue).stderr(Stdio::null()).spawn().unwrap();
                let done = Lines::of(&mut running).next("OPEN").is_some();
                let status = running.wait().unwrap();
                // Neither opened nor killed: it refused to open what the first kill left.
                assert!(done || status.signal() == Some(9), "{call} {number} of {}: {status}", found.display());
                opened |= done;
                kills += u32::from(!done);
            }
            let huey =
                huey::open(queue).unwrap_or_else(|error| panic!("{call} {number} of {}: {error}", found.display()));
            for id in ids {
                assert_eq!(huey.status(*id).unwrap(), JobState::Queued, "{call} {number} of {}", found.display());
            }
            if opened {
                break;
            }
        }
    }
    kills
}

const OPEN_TEST: &str = "a_kill_at_any_call_of_open_leaves_a_queue_that_opens";

#[test]
fn a_kill_at_any_call_of_open_leaves_a_queue_that_opens() {
    if let Some(folder) = role("open") {
        open_and_leave(folder);
    }
    if let Some(folder) = role("fill") {
        let huey = huey::open(folder).unwrap();
        let consumer = huey.consumer().workers(2).queues(["endless"]).start().unwrap();
        let _ = endless::job().queue("endless").enqueue(&huey).unwrap();
        for n in 0.. {
            let _ = add::job(1, n).durability(Durability::Relaxed).enqueue(&huey).unwrap();
            println!("\nID {}", add::enqueue(&huey, 2, n).unwrap().id());
        }
        drop(consumer);
    }
    if !has_strace() {
        return;
    }
    let folder = Folder::new();
    let (none, closed, killed) = (folder.join("none"), folder.join("closed"), folder.join("killed"));
    // Its next open writes a snapshot of what was enqueued.
    let id = add::enqueue(&huey::open(&closed).unwrap(), 1, 2).unwrap().id();
    let mut running = child(&[], OPEN_TEST, "fill", &killed).spawn().unwrap();
    let mut said = Lines::of(&mut running);
    let mut ids: Vec<JobId> = (0..60).map(|_| said.next("ID ").unwrap().parse().unwrap()).collect();
    running.kill().unwrap();
    while let Some(id) = said.next("ID ") {
        ids.push(id.parse().unwrap());
    }
    running.wait().unwrap();
    for (found, ids) in [(&none, &[][..]), (&closed, &[id]), (&killed, &ids)] {
        let kills = kill_at_every_call_of_open(found, ids, &folder.join("queue"));
        println!("{kills} kills at calls of open, {} jobs acknowledged before", ids.len());
        assert!(kills >= 30, "only {kills} kills");
    }
}

/// A queue whose signals are written down as `kind task`.
fn listening(folder: &std::path::Path) -> (Huey, Arc<Mutex<Vec<String>>>) {
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hear = Arc::clone(&heard);
    let note = move |signal: &Signal| hear.lock().unwrap().push(signal.kind.to_string());
    (Huey::builder().on_any(note).open(Sled::at(folder)).unwrap(), heard)
}

/// Runs one job in a child until it says that it runs, then kills the child.
fn kill_while_it_runs(test: &str, queue: &std::path::Path) -> JobId {
    let mut running = child(&[], test, "run", queue).spawn().unwrap();
    let id = Lines::of(&mut running).next("RUNS ").unwrap().parse().unwrap();
    running.kill().unwrap();
    running.wait().unwrap();
    id
}

fn run_for_ever(folder: std::path::PathBuf) -> ! {
    let huey = huey::open(folder).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    drop(consumer);
    std::process::exit(0);
}

#[test]
fn a_job_whose_consumer_was_killed_is_rescued_and_at_its_limit_dead() {
    const TEST: &str = "a_job_whose_consumer_was_killed_is_rescued_and_at_its_limit_dead";
    if let Some(folder) = role("run") {
        run_for_ever(folder);
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    let id = endless::enqueue(&huey::open(&queue).unwrap()).unwrap().id();
    for crash in 1..=3 {
        assert_eq!(kill_while_it_runs(TEST, &queue), id, "crash {crash}");
    }
    let (huey, heard) = listening(&queue);
    huey.consumer().workers(1).run_until_idle().unwrap();
    assert_eq!(*heard.lock().unwrap(), ["rescued", "dead"]);
    let error = huey.handle::<endless>(id).unwrap().wait(LONG).unwrap_err();
    assert!(error.to_string().contains("3 lives of a consumer"), "{error}");
}

#[test]
fn a_job_that_may_start_only_once_is_lost_with_its_consumer() {
    const TEST: &str = "a_job_that_may_start_only_once_is_lost_with_its_consumer";
    if let Some(folder) = role("run") {
        run_for_ever(folder);
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    let id = endless_once::enqueue(&huey::open(&queue).unwrap()).unwrap().id();
    assert_eq!(kill_while_it_runs(TEST, &queue), id);
    let (huey, heard) = listening(&queue);
    huey.consumer().workers(1).run_until_idle().unwrap();
    assert_eq!(*heard.lock().unwrap(), ["interrupted"]);
    assert_eq!(huey.status(id).unwrap(), JobState::Lost);
}

#[task(delivery = at_most_once, durability = relaxed)]
fn tells(n: u64) {
    println!("\nRAN {n}");
}

#[test]
fn a_kill_makes_no_job_start_twice_that_may_start_only_once() {
    const TEST: &str = "a_kill_makes_no_job_start_twice_that_may_start_only_once";
    if let Some(folder) = role("run") {
        let huey = huey::open(folder).unwrap();
        huey.consumer().workers(2).run_until_idle().unwrap();
        println!("\nIDLE");
        std::process::exit(0);
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    {
        let huey = huey::open(&queue).unwrap();
        for n in 0..40 {
            let _ = tells::enqueue(&huey, n).unwrap();
        }
    }
    let mut ran: HashSet<String> = HashSet::new();
    for round in 0.. {
        let mut running = child(&[], TEST, "run", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        let (mut heard, mut idle) = (0, false);
        while let Some(line) = said.next("") {
            if let Some(n) = line.strip_prefix("RAN ") {
                assert!(ran.insert(n.to_owned()), "the job {n} was started again in round {round}");
                heard += 1;
                if heard == 5 {
                    running.kill().unwrap();
                }
            }
            idle |= line == "IDLE";
        }
        running.wait().unwrap();
        if idle {
            break;
        }
    }
    assert!(ran.len() >= 20, "only {} ran", ran.len());
}

#[test]
fn a_task_that_aborts_condemns_only_itself() {
    const TEST: &str = "a_task_that_aborts_condemns_only_itself";
    if let Some(folder) = role("run") {
        let huey = huey::open(folder).unwrap();
        huey.consumer().workers(8).run_until_idle().unwrap();
        // Ends of relaxed jobs are no more durable than they are.
        huey.close().unwrap();
        println!("\nIDLE");
        std::process::exit(0);
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    let (bad, rest) = {
        let huey = huey::open(&queue).unwrap();
        // They run whenever the poison job dies, until each runs alone.
        let slow = (0..3).map(|_| slow::job().priority(9).enqueue(&huey).unwrap().id());
        let mut rest: Vec<JobId> = slow.collect();
        let mut bad = None;
        for n in 0..1_000 {
            let good = if n % 2 == 0 {
                add::job(n, n).durability(Durability::Relaxed).enqueue(&huey)
            } else {
                good::job(n).durability(Durability::Relaxed).enqueue(&huey)
            };
            rest.push(good.unwrap().id());
            if n == 200 {
                bad = Some(poison::job().priority(8).enqueue(&huey).unwrap().id());
            }
        }
        (bad.unwrap(), rest)
    };
    let mut lives = 0;
    loop {
        let mut running = child(&[], TEST, "run", &queue).stderr(std::process::Stdio::null()).spawn().unwrap();
        let idle = Lines::of(&mut running).next("IDLE").is_some();
        running.wait().unwrap();
        if idle {
            break;
        }
        lives += 1;
        assert!(lives <= 10, "the poison job is started again and again");
    }
    let huey = huey::open(&queue).unwrap();
    assert_eq!(huey.status(bad).unwrap(), JobState::Dead);
    for id in rest {
        assert_eq!(huey.status(id).unwrap(), JobState::Complete, "{id}");
    }
    println!("the poison job ended {lives} lives of its consumer");
}

#[test]
fn after_one_kill_nothing_waits_for_suspects() {
    const TEST: &str = "after_one_kill_nothing_waits_for_suspects";
    if let Some(folder) = role("run") {
        run_for_ever(folder);
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    let id = endless::enqueue(&huey::open(&queue).unwrap()).unwrap().id();
    assert_eq!(kill_while_it_runs(TEST, &queue), id);
    let (huey, heard) = listening(&queue);
    let consumer = huey.consumer().workers(2).grace(Duration::ZERO).start().unwrap();
    // The rescued job runs again, and does not end; another one runs beside it.
    assert_eq!(add::enqueue(&huey, 1, 2).unwrap().wait(LONG).unwrap(), 3);
    consumer.shutdown().wait().unwrap();
    assert!(heard.lock().unwrap().contains(&SignalKind::Rescued.to_string()));
}

#[test]
fn a_second_opener_is_told_who_has_the_queue() {
    const TEST: &str = "a_second_opener_is_told_who_has_the_queue";
    if let Some(folder) = role("hold") {
        let huey = huey::open(folder).unwrap();
        println!("\nOPEN");
        let _ = std::io::stdin().read(&mut [0]);
        drop(huey);
        return;
    }
    let folder = Folder::new();
    let queue = folder.join("queue");
    let mut holder = child(&[], TEST, "hold", &queue).spawn().unwrap();
    let mut said = Lines::of(&mut holder);
    said.next("OPEN").unwrap();
    let asked = std::time::Instant::now();
    let error = huey::open(&queue).unwrap_err();
    println!("told within {:?}: {error}", asked.elapsed());
    assert!(error.is_in_use());
    let text = error.to_string();
    assert!(text.contains(queue.to_str().unwrap()) && text.contains(&format!("process {}", holder.id())), "{text}");
    drop(holder.stdin.take());
    holder.wait().unwrap();

    let _first = huey::open(&queue).unwrap();
    let error = huey::open(&queue).unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains(queue.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("already open in this process"), "{error}");
}
