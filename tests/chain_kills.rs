//! Chains that are enqueued and run while the process is killed at random instants: each that was acknowledged goes on where
//! it was cut off, and every step yields what it must.
//!
//! `HUEY_KILLS` sets the number of kills, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::path::PathBuf;

use child::{Folder, Lines, Random, child, role, setting};
use huey::{Huey, JobId, JobState, Sled, task};

#[task(retention = "1d")]
fn first(number: u64) -> u64 {
    number
}

#[task(retention = "1d", durability = relaxed)]
fn second(number: u64, add: u64) -> u64 {
    number + add
}

#[task(retention = "1d")]
fn last(sum: u64) -> String {
    sum.to_string()
}

fn open(folder: PathBuf) -> Huey {
    // Killed again and again, a job may be running at many kills.
    Huey::builder().crash_limit(0).open(Sled::at(folder)).unwrap()
}

fn until_killed(folder: PathBuf) {
    let huey = open(folder);
    println!("\nOPEN");
    let consumer = huey.consumer().workers(2).start().unwrap();
    for number in 0.. {
        let chain = first::job(number).then(second::with(7)).then(last::with()).enqueue(&huey).unwrap();
        let ids: Vec<String> = chain.ids().iter().map(ToString::to_string).collect();
        println!("\nCHAIN {number} {}", ids.join(" "));
    }
    drop(consumer);
}

#[test]
fn a_chain_goes_on_where_a_kill_cut_it_off() {
    if let Some(folder) = role("chains") {
        return until_killed(folder);
    }
    let mut random = Random::seeded();
    let folder = Folder::new();
    let queue = folder.join("queue");
    let mut chains: Vec<(u64, Vec<JobId>)> = Vec::new();
    let kills = setting("HUEY_KILLS", 8);
    for _ in 0..kills {
        let mut running = child(&[], "a_chain_goes_on_where_a_kill_cut_it_off", "chains", &queue).spawn().unwrap();
        let mut said = Lines::of(&mut running);
        let (mut left, mut killed) = (random.below(60), false);
        while let Some(line) = said.next("") {
            let Some(text) = line.strip_prefix("CHAIN ") else { continue };
            let mut words = text.split(' ');
            let number = words.next().unwrap().parse().unwrap();
            chains.push((number, words.map(|id| id.parse().unwrap()).collect()));
            left = left.saturating_sub(1);
            if left == 0 && !killed {
                running.kill().unwrap();
                killed = true;
            }
        }
        running.wait().unwrap();
    }
    let huey = open(queue);
    huey.consumer().workers(2).run_until_idle().unwrap();
    for (number, ids) in &chains {
        let states: Vec<JobState> = ids.iter().map(|id| huey.status(*id).unwrap()).collect();
        assert_eq!(states, [JobState::Complete; 3], "{ids:?}");
        let end = huey.handle::<last>(*ids.last().unwrap()).unwrap().get().unwrap();
        assert_eq!(end, Some((number + 7).to_string()));
    }
    println!("{kills} kills, {} chains, each went on", chains.len());
    assert!(!chains.is_empty());
}
