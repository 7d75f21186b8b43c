//! Chains and chords that are enqueued and run while the process is killed at random instants: each that was acknowledged goes
//! on where it was cut off, every job yields what it must, and each callback is made once.
//!
//! `HUEY_KILLS` sets the number of kills, `HUEY_SEED` repeats a run.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod child;

use std::path::PathBuf;

use child::{Folder, Lines, Random, child, role, setting};
use huey::{Group, Huey, JobId, JobState, Origin, Sled, group, task};

#[task(retention = "1d")]
fn first(number: u64) -> u64 {
    number
}

#[task(retention = "1d", durability = relaxed)]
fn second(number: u64, add: u64) -> u64 {
    number + add
}

#[task(retention = "1d")]
fn total(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
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
        let chain = if number % 2 == 0 {
            first::job(number).then(second::with(7)).then(last::with()).enqueue(&huey).unwrap()
        } else {
            let inner = group([first::job(3), first::job(4)]).then(total::with());
            let members = Group::new().with(first::job(number).then(second::with(0))).with(inner);
            members.then(total::with()).then(last::with()).enqueue(&huey).unwrap()
        };
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
        assert!(states.iter().all(|state| *state == JobState::Complete), "{ids:?}: {states:?}");
        let end = huey.handle::<last>(*ids.last().unwrap()).unwrap().get().unwrap();
        assert_eq!(end, Some((number + 7).to_string()));
    }
    // The callbacks made, by their origin: no more of them than there are chords, though hooks may have run again.
    let is_callback = |job: &huey::JobInfo| job.origin == Some(Origin::ChordCallback);
    let made = huey.jobs().map(Result::unwrap).filter(is_callback).count() as u64;
    let known = 2 * chains.iter().filter(|(number, _)| number % 2 == 1).count() as u64;
    // A chord may have been stored whose acknowledgement was cut off by a kill.
    assert!(made >= known && made <= known + 2 * kills, "{made} callbacks of {known}");
    println!("{kills} kills, {} flows, each went on", chains.len());
    assert!(!chains.is_empty());
}
