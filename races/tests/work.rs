//! Who is told of jobs that may be claimed: a worker that looks only when it has been told misses none. The whole engine runs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attack::attack;
use huey_races::store::{
    Claimed, Commit, HandOver, OnWork, Outcome, Roused, Storage, StorageOptions, Tasks, Transition, Version, engine,
};
use huey_races::testing::{SimDisk, job_id, new_job};
use huey_races::{Timestamp, VirtualClock};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

/// Orders of each attack.
const ORDERS: usize = 400;
const JOBS: u64 = 3;

/// A bell with one who hears it, or is handed jobs while he sleeps.
#[derive(Default)]
struct Ear(Mutex<Heard>, Condvar);

#[derive(Default)]
struct Heard {
    rung: bool,
    sleeps: bool,
    /// How many jobs were promised and have not come.
    promised: u64,
    handed: Vec<Claimed>,
}

impl Ear {
    fn change(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.0.lock().unwrap());
        self.1.notify_one();
    }

    /// Sleeps until it rings or something was handed over, and returns how much.
    fn wait(&self) -> u64 {
        let mut heard = self.0.lock().unwrap();
        heard.sleeps = true;
        while !heard.rung && heard.handed.is_empty() || heard.promised > 0 {
            heard = self.1.wait(heard).unwrap();
        }
        heard.sleeps = false;
        if heard.handed.is_empty() {
            heard.rung = false;
        }
        std::mem::take(&mut heard.handed).len() as u64
    }
}

/// A job is promised until this is dropped.
struct Promise(Arc<Ear>);

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.change(|heard| heard.promised -= 1);
    }
}

struct Listener {
    ear: Arc<Ear>,
    /// Whether jobs may be handed over.
    takes: bool,
}

impl OnWork for Listener {
    fn roused(&self, _: &Roused) {
        self.ear.change(|heard| heard.rung = true);
    }

    fn promise(&self, _: &str, _: &str) -> Option<HandOver> {
        let mut heard = self.ear.0.lock().unwrap();
        if !self.takes || !heard.sleeps {
            return None;
        }
        heard.promised += 1;
        drop(heard);
        let promise = Promise(Arc::clone(&self.ear));
        Some(Box::new(move |job| {
            HANDED.fetch_add(1, Ordering::Relaxed);
            promise.0.change(|heard| heard.handed.push(job));
        }))
    }
}

/// How many jobs were handed over, in all orders.
static HANDED: AtomicU64 = AtomicU64::new(0);

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
    let mut left = JOBS + 1;
    while left > 0 {
        let Ok(Outcome::Claimed { claimed, more, .. }) = storage.commit(claim.clone(), Commit::RELAXED) else {
            panic!("a claim gave something else");
        };
        left -= claimed.len() as u64;
        if !more && left > 0 {
            left -= ear.wait();
        }
    }
}

/// One who claims sleeps while others enqueue jobs that are due by and by, and another moves the clock.
fn race(takes: bool, due: impl Fn(u64) -> Duration + Copy + Send + 'static) {
    let now = Timestamp::from_micros(1);
    let clock = VirtualClock::starting_at(now);
    let storage = open(&clock);
    let ear = Arc::new(Ear::default());
    let listener: Arc<dyn OnWork> = Arc::new(Listener { ear: Arc::clone(&ear), takes });
    storage.on_work(Arc::downgrade(&listener));
    let Ok(Outcome::Reserved { first, salt }) = storage.commit(Transition::Reserve { count: 8 }, Commit::default())
    else {
        panic!("no counters");
    };
    // A job of a name that is new is not handed over.
    storage.commit(Transition::enqueue(vec![new_job(job_id(now, first + JOBS, salt))]), Commit::RELAXED).unwrap();
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
    attack(ORDERS, || race(false, |_| Duration::ZERO));
}

#[test]
fn no_order_of_steps_loses_a_job_that_is_handed_to_who_sleeps() {
    attack(ORDERS, || race(true, |_| Duration::ZERO));
    attack(ORDERS, || race(true, |number| Duration::from_secs(number % 2)));
    assert!(HANDED.load(Ordering::Relaxed) > 0, "nobody ever slept when a job came");
}

#[test]
fn no_order_of_steps_leaves_a_scheduled_job_that_is_due_to_those_who_sleep() {
    // The later one comes, the sooner it is due.
    attack(ORDERS, || race(false, |number| Duration::from_secs(JOBS - number)));
}
