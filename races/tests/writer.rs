//! The writer's hand-off: callers leave their transitions in the inbox, whoever comes to the lock serves all that are there, and
//! each hears of its own. The whole engine runs, over the simulated disk.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod attack;

use std::sync::atomic::{AtomicU64, Ordering};

use attack::attack;
use huey_races::store::{Answer, Commit, Outcome, Query, Storage, StorageError, StorageOptions, Transition, engine};
use huey_races::testing::{Fault, SimDisk, job_id, new_job};
use huey_races::{JobId, Timestamp};
use shuttle::sync::{Arc, mpsc};
use shuttle::thread::{self, JoinHandle};

/// Orders of each attack.
const ORDERS: usize = 400;

/// What a caller asks for.
#[derive(Clone, Copy)]
enum Way {
    /// To wait until the disk has it.
    Synced,
    /// To wait until it is inserted.
    Relaxed,
    /// To be called back once the disk has it.
    Submitted,
}

/// A caller's job, and what the caller was told.
type Told = (JobId, Way, Result<Outcome, StorageError>);

fn open(disk: &SimDisk) -> Arc<dyn Storage> {
    // Without the measurement of free space, which depends on the time.
    let mut options = StorageOptions::default();
    options.min_free = 0;
    engine(disk.medium(), options).unwrap()
}

/// Each on a thread of its own stores a job.
fn call(storage: &Arc<dyn Storage>, ways: &[Way]) -> Vec<JoinHandle<Told>> {
    let reserved = storage.commit(Transition::Reserve { count: 8 }, Commit::default());
    let Ok(Outcome::Reserved { first, salt }) = reserved else { panic!("no counters") };
    let now = Timestamp::from_micros(1);
    let one = |(counter, way): (u64, &Way)| {
        let (id, way, storage) = (job_id(now, counter, salt), *way, Arc::clone(storage));
        thread::spawn(move || {
            let transition = Transition::enqueue(vec![new_job(id)]);
            let told = match way {
                Way::Synced => storage.commit(transition, Commit::default()),
                Way::Relaxed => storage.commit(transition, Commit::RELAXED),
                Way::Submitted => {
                    let (tell, told) = mpsc::channel();
                    storage.submit(transition, Commit::default(), Box::new(move |outcome| drop(tell.send(outcome))));
                    told.recv().expect("who submits is called back")
                }
            };
            (id, way, told)
        })
    };
    (first..).zip(ways).map(one).collect()
}

fn join(callers: Vec<JoinHandle<Told>>) -> Vec<Told> {
    callers.into_iter().map(|caller| caller.join().expect("no caller panics")).collect()
}

fn has(storage: &dyn Storage, id: JobId) -> bool {
    matches!(storage.read(Query::Job(id)), Ok(Answer::Job(Ok(_))))
}

#[test]
fn no_order_of_steps_leaves_a_caller_of_the_writer_without_its_own_answer() {
    // Somebody must have been served by another, or the attack shows nothing: it takes fewer calls of the disk.
    static CALLS: [AtomicU64; 2] = [AtomicU64::new(u64::MAX), AtomicU64::new(0)];
    attack(ORDERS, || {
        let disk = SimDisk::new(1);
        let storage = open(&disk);
        let before = disk.calls();
        for (id, _, told) in join(call(&storage, &[Way::Synced, Way::Relaxed, Way::Submitted, Way::Synced])) {
            assert!(matches!(told, Ok(Outcome::Enqueued(_))), "{told:?}");
            assert!(has(&*storage, id), "what was answered is there");
        }
        let calls = disk.calls() - before;
        CALLS[0].fetch_min(calls, Ordering::Relaxed);
        CALLS[1].fetch_max(calls, Ordering::Relaxed);
        storage.close().unwrap();
    });
    let [least, most] = CALLS.each_ref().map(|calls| calls.load(Ordering::Relaxed));
    assert!(least < most, "each caller was served alone: {least} calls of the disk in every order");
}

#[test]
fn no_order_of_steps_hides_a_failing_commit_from_any_of_its_callers() {
    // Failures and successes that were told of.
    static TOLD: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
    for nth in 0..6 {
        attack(ORDERS / 4, move || {
            let disk = SimDisk::new(nth);
            let storage = open(&disk);
            let callers = call(&storage, &[Way::Synced, Way::Submitted, Way::Relaxed]);
            disk.fault_at(nth, Fault::Fail);
            let told = join(callers);
            drop(storage);
            disk.power_cut();
            let again = open(&disk);
            for (id, way, told) in told {
                match told {
                    Ok(_) => {
                        assert!(matches!(way, Way::Relaxed) || has(&*again, id), "what was told to be safe is lost");
                    }
                    Err(StorageError::Unknown(_) | StorageError::Unavailable(_)) => {}
                    Err(other) => panic!("{other:?}"),
                }
                TOLD[usize::from(told.is_ok())].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    assert!(TOLD.iter().all(|told| told.load(Ordering::Relaxed) > 0), "the disk failed nobody, or everybody");
}

#[test]
fn no_order_of_steps_forgets_a_caller_while_the_writer_closes() {
    // Those who were stored, and those who were turned away.
    static TOLD: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
    attack(ORDERS, || {
        let disk = SimDisk::new(3);
        let storage = open(&disk);
        let callers = call(&storage, &[Way::Synced, Way::Relaxed, Way::Submitted]);
        let closers: Vec<_> = (0..2)
            .map(|_| {
                let storage = Arc::clone(&storage);
                thread::spawn(move || storage.close())
            })
            .collect();
        let told = join(callers);
        for closer in closers {
            closer.join().unwrap().unwrap();
        }
        drop(storage);
        disk.power_cut();
        let again = open(&disk);
        for (id, _, told) in told {
            match &told {
                Ok(_) => assert!(has(&*again, id), "a clean close keeps what was acknowledged"),
                Err(StorageError::Closed) => {}
                Err(other) => panic!("{other:?}"),
            }
            TOLD[usize::from(told.is_ok())].fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(TOLD.iter().all(|told| told.load(Ordering::Relaxed) > 0), "nobody was stored, or nobody was turned away");
}
