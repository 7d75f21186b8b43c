//! What a hook writes through the request is there if and only if its job is, whenever the process is killed.
//!
//! `HUEY_KILLS` sets the number of kills, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::collections::BTreeSet;
use std::path::PathBuf;

use child::{Folder, Lines, Random, child, role, setting};
use huey::{Decision, Durability, EnqueueRequest, HookResult, Huey, Sled, task};

/// An audit record for each job, under the job's id.
fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.put(&format!("audit/{}", request.id()), &request.task())?;
    Ok(Decision::Go)
}

#[task(hooks(audit), retention = "1d")]
fn pay(amount: u64) -> u64 {
    amount
}

#[task(hooks(audit), retention = "1d", durability = relaxed, unique(by(user)))]
fn remind(user: u64) -> u64 {
    user
}

fn open(folder: PathBuf) -> Huey {
    Huey::builder().durability(Durability::Synced).open(Sled::at(folder)).unwrap()
}

fn until_killed(folder: PathBuf) {
    let huey = open(folder);
    println!("\nOPEN");
    let consumer = huey.consumer().workers(2).start().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let huey = &huey;
            scope.spawn(move || {
                for number in 0.. {
                    let _ = match number % 3 {
                        0 => pay::enqueue(huey, number).map(drop),
                        1 => pay::map(huey, number..number + 5).map(drop),
                        _ => remind::enqueue(huey, thread).map(drop),
                    };
                    println!("\nDONE");
                }
            });
        }
    });
    drop(consumer);
}

#[test]
fn records_of_a_hook_and_jobs_match_one_to_one_through_kills() {
    if let Some(folder) = role("audit") {
        return until_killed(folder);
    }
    let mut random = Random::seeded();
    let folder = Folder::new();
    let queue = folder.join("queue");
    let (kills, mut most) = (setting("HUEY_KILLS", 12), 0);
    for kill in 0..kills {
        let test = "records_of_a_hook_and_jobs_match_one_to_one_through_kills";
        let mut running = child(&[], test, "audit", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        said.next("OPEN").unwrap();
        for _ in 0..random.below(60) {
            said.next("DONE").unwrap();
        }
        running.kill().unwrap();
        while said.next("DONE").is_some() {}
        running.wait().unwrap();
        let huey = open(queue.clone());
        let jobs: BTreeSet<String> = huey.jobs().map(|job| format!("audit/{}", job.unwrap().id)).collect();
        let records: BTreeSet<String> = huey.keys("audit/").unwrap().into_iter().collect();
        let lone: Vec<_> = jobs.symmetric_difference(&records).collect();
        assert!(lone.is_empty(), "kill {kill}: without the other half: {lone:?}");
        most = most.max(jobs.len());
    }
    println!("{kills} kills, {most} jobs and as many records at the end");
    assert!(most > 0);
}
