//! The watermark, the watch and the bell, each alone: many orders of few steps. The files are those of `huey-core`; only what
//! they take for locks is another, and what they carry is nothing.
//!
//! A thread that waits for ever is found, since then all do. Time does not pass here: no wait ends by itself.

#![expect(dead_code, reason = "the files have more than is attacked here")]

mod attack;
#[path = "../../huey-core/src/store/barrier.rs"]
mod barrier;
#[path = "../../huey-core/src/consumer/bell.rs"]
mod bell;
#[path = "../../huey-core/src/patience.rs"]
mod patience;
#[path = "../../huey-core/src/store/watch.rs"]
mod watch;

use std::sync::atomic::Ordering;

use shuttle::sync::atomic::{AtomicBool, AtomicUsize};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use attack::attack;
use barrier::{Announcement, Errand, Watermark, lock};
use bell::Bell;
use watch::Watch;

/// Orders of each attack.
const ORDERS: usize = 2_000;

mod sync {
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};
    pub(crate) use shuttle::thread;
}

mod time {
    pub(crate) fn monotonic() -> std::time::Instant {
        std::time::Instant::now()
    }
}

mod storage {
    pub(crate) type Done = Box<dyn FnOnce() + Send>;

    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub(crate) struct Version(pub(crate) u64);

    #[derive(Debug)]
    pub(crate) struct Roused;

    #[derive(Debug)]
    pub(crate) struct Handed;

    #[derive(Debug)]
    pub(crate) enum StorageError {
        Unknown(String),
    }

    impl StorageError {
        pub(crate) fn unknown(self) -> Self {
            self
        }
    }
}

mod transition {
    pub(crate) struct Outcome;
}

/// Somebody waits for a change while another makes one.
#[test]
fn no_order_of_steps_loses_a_change_that_is_waited_for() {
    attack(ORDERS, a_change_wakes_all_who_wait);
}

fn a_change_wakes_all_who_wait() {
    let watch = Arc::new(Watch::default());
    let since = watch.version();
    let waiters: Vec<_> = (0..2)
        .map(|_| {
            let watch = Arc::clone(&watch);
            thread::spawn(move || {
                while watch.version() <= since {
                    watch.wait(since, None);
                }
            })
        })
        .collect();
    watch.bump();
    join(waiters);
}

/// Workers look for jobs only if the bell has rung, and wait at it; each that finds one and leaves some rings for the next.
/// Callers put jobs there and ring.
#[test]
fn no_order_of_steps_lets_a_job_lie_while_workers_sleep() {
    attack(ORDERS, no_job_lies_while_workers_wait_at_the_bell);
}

fn no_job_lies_while_workers_wait_at_the_bell() {
    const JOBS: usize = 3;
    let bell = Arc::new(Bell::<()>::new(1));
    let jobs = Arc::new(AtomicUsize::new(0));
    let done = Arc::new((Mutex::new(0), Condvar::new()));
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (bell, jobs, done, over) = (Arc::clone(&bell), Arc::clone(&jobs), Arc::clone(&done), Arc::clone(&over));
            thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if !bell.take(0) {
                        bell.wait(0, None);
                        continue;
                    }
                    let taken = jobs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |jobs| jobs.checked_sub(1));
                    if let Ok(before) = taken {
                        if before > 1 {
                            bell.ring(0);
                        }
                        *lock(&done.0) += 1;
                        done.1.notify_all();
                    }
                }
            })
        })
        .collect();
    let callers: Vec<_> = (0..JOBS)
        .map(|_| {
            let (bell, jobs) = (Arc::clone(&bell), Arc::clone(&jobs));
            thread::spawn(move || {
                jobs.fetch_add(1, Ordering::SeqCst);
                bell.ring(0);
            })
        })
        .collect();
    join(callers);
    wait_for(&done, JOBS);
    over.store(true, Ordering::SeqCst);
    bell.close();
    join(workers);
}

/// Callers hand jobs to workers that sleep, take some promises back, and ring where nobody sleeps; the bell closes meanwhile.
/// Every job is with a worker, or was left where others find it.
#[test]
fn no_order_of_steps_loses_a_job_that_is_handed_over() {
    attack(ORDERS, || jobs_are_handed_to_who_sleeps(false));
    attack(ORDERS, || jobs_are_handed_to_who_sleeps(true));
    assert!(HANDED.load(Ordering::SeqCst) > 0, "nobody ever slept when a job came");
}

/// How many were handed over, in all orders.
static HANDED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

fn jobs_are_handed_to_who_sleeps(closes: bool) {
    const JOBS: usize = 3;
    let bell = Arc::new(Bell::<usize>::new(1));
    // Left for whoever looks, and done.
    let left = Arc::new(AtomicUsize::new(0));
    let done = Arc::new((Mutex::new(0), Condvar::new()));
    let over = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..2)
        .map(|_| {
            let (bell, left, done, over) = (Arc::clone(&bell), Arc::clone(&left), Arc::clone(&done), Arc::clone(&over));
            thread::spawn(move || {
                let mut handed = None;
                while !over.load(Ordering::SeqCst) || handed.is_some() {
                    let mut found = handed.take().is_some();
                    if !found && bell.take(0) {
                        let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                        found = taken.is_ok();
                        if taken.is_ok_and(|before| before > 1) {
                            bell.ring(0);
                        }
                    } else if !found {
                        handed = bell.wait(0, None);
                        continue;
                    }
                    if found {
                        *lock(&done.0) += 1;
                        done.1.notify_all();
                    }
                }
            })
        })
        .collect();
    let rests = {
        let bell = Arc::clone(&bell);
        // Until the end, whatever rings.
        thread::spawn(move || bell.rest(std::time::Duration::MAX))
    };
    let callers: Vec<_> = (0..JOBS)
        .map(|job| {
            let (bell, left) = (Arc::clone(&bell), Arc::clone(&left));
            thread::spawn(move || {
                let promised = bell.promise(0);
                // The last of them cannot be handed over after all.
                if promised && job + 1 < JOBS {
                    HANDED.fetch_add(1, Ordering::SeqCst);
                    return bell.hand(0, job);
                }
                left.fetch_add(1, Ordering::SeqCst);
                bell.ring(0);
                if promised {
                    bell.let_go(0);
                }
            })
        })
        .collect();
    if closes {
        over.store(true, Ordering::SeqCst);
        bell.close();
        join(callers);
        join(workers);
        join(vec![rests]);
        // Who wakes at the end has what was handed over.
        return assert_eq!(*lock(&done.0) + left.load(Ordering::SeqCst), JOBS);
    }
    join(callers);
    wait_for(&done, JOBS);
    over.store(true, Ordering::SeqCst);
    bell.close();
    join(workers);
    join(vec![rests]);
}

/// What is inserted, those who wait to be, and a sync of it.
#[derive(Default)]
struct Log {
    last: Mutex<u64>,
    inbox: Mutex<Vec<Arc<Mutex<Option<u64>>>>>,
}

impl Log {
    fn insert(&self) -> u64 {
        let mut last = lock(&self.last);
        *last += 1;
        *last
    }

    /// Who comes while this is locked is taken along by the next sync.
    fn sync(&self, watermark: &Watermark) {
        let mut last = lock(&self.last);
        watermark.gather(*last);
        for slot in std::mem::take(&mut *lock(&self.inbox)) {
            *last += 1;
            *lock(&slot) = Some(*last);
        }
        let upto = *last;
        drop(last);
        thread::yield_now();
        watermark.durable().fetch_max(upto, Ordering::SeqCst);
    }

    /// Inserts, or leaves it to the next sync.
    fn leave(&self, watermark: &Watermark) -> u64 {
        let slot = Arc::new(Mutex::new(None));
        lock(&self.inbox).push(Arc::clone(&slot));
        watermark.pass(|| self.sync(watermark));
        let left = *lock(&slot);
        left.unwrap_or_else(|| self.insert())
    }
}

#[test]
fn no_order_of_steps_lets_a_caller_hang_or_believe_what_is_not_durable() {
    attack(ORDERS, || all_who_wait_for_the_disk_are_told_the_truth(false, false));
}

#[test]
fn no_order_of_steps_hides_a_failure_from_those_who_wait() {
    attack(ORDERS, || all_who_wait_for_the_disk_are_told_the_truth(true, false));
}

#[test]
fn no_order_of_steps_leaves_a_caller_waiting_for_a_writer_that_has_gone() {
    attack(ORDERS, || all_who_wait_for_the_disk_are_told_the_truth(false, true));
}

/// Callers wait for the disk, others leave an announcement, one thread serves them, and the log may fail in between.
fn all_who_wait_for_the_disk_are_told_the_truth(fails: bool, closes: bool) {
    let (watermark, log) = (Arc::new(Watermark::new()), Arc::new(Log::default()));
    let told = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (watermark, log, told) = (Arc::clone(&watermark), Arc::clone(&log), Arc::clone(&told));
        thread::spawn(move || {
            loop {
                match watermark.next_errand(std::time::Duration::ZERO) {
                    Errand::Serve => {}
                    Errand::Sync => watermark.lead(|| log.sync(&watermark)),
                    Errand::Announce(all) => {
                        for one in all {
                            assert!(
                                watermark.durable().load(Ordering::SeqCst) >= one.sequence
                                    || one.life != watermark.life(),
                                "it was announced before it was durable"
                            );
                            told.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    Errand::Close => return,
                }
            }
        })
    };
    let callers: Vec<_> = (0..3)
        .map(|caller| {
            let (watermark, log) = (Arc::clone(&watermark), Arc::clone(&log));
            thread::spawn(move || {
                let life = watermark.life();
                let sequence = if caller == 1 { log.leave(&watermark) } else { log.insert() };
                if caller == 0 {
                    let (outcome, held, done) = (transition::Outcome, Vec::new(), Box::new(|| ()));
                    watermark.announce_later(Announcement { sequence, life, outcome, held, keep_held: false, done });
                }
                let waited = watermark.wait_for(sequence, life, || {
                    log.sync(&watermark);
                    Ok(())
                });
                match waited {
                    Ok(()) => assert!(watermark.durable().load(Ordering::SeqCst) >= sequence),
                    Err(_) => assert!(fails, "nothing failed"),
                }
            })
        })
        .collect();
    if fails {
        watermark.fail("as the test wants it");
    }
    if closes {
        watermark.close();
    }
    join(callers);
    watermark.close();
    join(vec![writer]);
    let left = watermark.take_announcements().len();
    assert_eq!(told.load(Ordering::SeqCst) + left, 1, "nobody is forgotten");
    assert!(closes || left == 0, "the writer closes once all are told");
}

/// Waits until so many are done.
fn wait_for(done: &(Mutex<usize>, Condvar), jobs: usize) {
    drop(done.1.wait_while(lock(&done.0), |count| *count < jobs).unwrap_or_else(std::sync::PoisonError::into_inner));
}

fn join(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
