//! Who is told of jobs that may be claimed: a worker that looks only when it has been told misses none. The whole engine runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;

use std::time::Duration;

use attack::attack;
use huey_races::store::{Commit, OnWork, Outcome, Storage, StorageOptions, Tasks, Transition, Version, engine};
use huey_races::testing::{SimDisk, job_id, new_job};
use huey_races::{Timestamp, VirtualClock};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// Orders of each attack.
const ORDERS: usize = 400;
const JOBS: u64 = 3;

/// A bell with one who hears it.
#[derive(Default)]
struct Ear(Mutex<bool>, Condvar);

impl Ear {
    fn ring(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.0.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = self.1.wait(rung).unwrap();
        }
    }
}

fn open(clock: &Arc<VirtualClock>) -> Arc<dyn Storage> {
    let mut options = StorageOptions::default();
    options.clock = clock.clock();
    // Without the measurement of free space, which depends on the time.
    options.min_free = 0;
    engine(SimDisk::new(1).medium(), options).unwrap()
}

/// Claims one job after another, and sleeps until it is told of more where there is none, until it had as many as there are.
fn claim_all(storage: &dyn Storage, ear: &Ear) {
    let (queues, tasks, many) = (vec!["default".to_owned()], Tasks::ALL, Tasks::Only(Vec::new()));
    let claim = Transition::Claim { queues, tasks, most: 1, many, keep: Duration::ZERO };
    let mut left = JOBS;
    while left > 0 {
        let Ok(Outcome::Claimed { claimed, more, .. }) = storage.commit(claim.clone(), Commit::RELAXED) else {
            panic!("a claim gave something else");
        };
        left -= claimed.len() as u64;
        if !more && left > 0 {
            ear.wait();
        }
    }
}

/// One who claims sleeps while others enqueue jobs that are due by and by, and another moves the clock.
fn race(due: impl Fn(u64) -> Duration + Copy + Send + 'static) {
    let now = Timestamp::from_micros(1);
    let clock = VirtualClock::starting_at(now);
    let storage = open(&clock);
    let ear = Arc::new(Ear::default());
    let listener: Arc<OnWork> = {
        let ear = Arc::clone(&ear);
        Arc::new(move |_| ear.ring())
    };
    storage.on_work(Arc::downgrade(&listener));
    let Ok(Outcome::Reserved { first, salt }) = storage.commit(Transition::Reserve { count: 8 }, Commit::default())
    else {
        panic!("no counters");
    };
    let keeper = {
        let storage = Arc::clone(&storage);
        thread::spawn(move || {
            let mut seen = Version::default();
            while let Some(now) = storage.wait_due(seen, Timestamp::MAX) {
                seen = now;
            }
        })
    };
    let worker = {
        let (storage, ear) = (Arc::clone(&storage), Arc::clone(&ear));
        thread::spawn(move || claim_all(&*storage, &ear))
    };
    let mut callers: Vec<_> = (0..JOBS)
        .map(|number| {
            let storage = Arc::clone(&storage);
            thread::spawn(move || {
                let mut job = new_job(job_id(now, first + number, salt));
                job.run_at = now + due(number);
                storage.commit(Transition::enqueue(vec![job]), Commit::RELAXED).unwrap();
            })
        })
        .collect();
    // By then all are due.
    callers.push(thread::spawn(move || clock.set(now + Duration::from_secs(JOBS))));
    for caller in callers {
        caller.join().unwrap();
    }
    worker.join().unwrap();
    storage.close().unwrap();
    keeper.join().unwrap();
}

#[test]
fn no_order_of_steps_leaves_a_job_that_nobody_was_told_of() {
    attack(ORDERS, || race(|_| Duration::ZERO));
}

#[test]
fn no_order_of_steps_leaves_a_scheduled_job_that_is_due_to_those_who_sleep() {
    // The later one comes, the sooner it is due.
    attack(ORDERS, || race(|number| Duration::from_secs(JOBS - number)));
}
