//! Ends that are settled together.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::MOST;
use crate::execute::{End, Kit};
use crate::time::monotonic;

/// A worker settles what it has put off once the first of it is so old.
const SOON: Duration = Duration::from_millis(1);
/// It is settled by another after so long, also while the body beside it runs on. Later than a worker whose bodies are quick
/// would: memory that another thread frees has the two wait for each other.
const LATE: Duration = Duration::from_millis(2);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends of bodies that have returned, which wait for others of the same worker to be settled with.
pub(crate) struct Ends<T = (Kit, End)> {
    by_worker: Vec<Put<T>>,
    /// How many workers may add more.
    workers: Mutex<usize>,
    /// Rung for whoever settles late ones.
    changed: Condvar,
    /// Whether that one sleeps until an end comes. If not, it looks again in time for the next.
    asleep: AtomicBool,
}

/// What a worker has put off. A cache line of its own: each worker takes its lock for each job.
#[repr(align(128))]
struct Put<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    all: Vec<T>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl<T> Waiting<T> {
    fn take(&mut self) -> Vec<T> {
        self.since = None;
        std::mem::take(&mut self.all)
    }
}

impl<T> Ends<T> {
    pub(crate) fn new(workers: usize) -> Self {
        let none = || Put(Mutex::new(Waiting { all: Vec::new(), since: None }));
        Self {
            by_worker: std::iter::repeat_with(none).take(workers).collect(),
            workers: Mutex::new(0),
            changed: Condvar::new(),
            asleep: AtomicBool::new(false),
        }
    }

    /// Adds one of a worker's that came at `now`, and takes all of that worker's if they are to be settled at once, are many, or
    /// have waited.
    pub(crate) fn add(&self, worker: usize, end: T, now: Instant, at_once: bool) -> Vec<T> {
        let Some(put) = self.by_worker.get(worker) else { return vec![end] };
        let mut waiting = lock(&put.0);
        if waiting.all.is_empty() && !at_once {
            waiting.all.reserve_exact(MOST);
        }
        waiting.all.push(end);
        let have_waited = waiting.since.is_some_and(|since| now.saturating_duration_since(since) >= SOON);
        if at_once || have_waited || waiting.all.len() >= MOST {
            return waiting.take();
        }
        if waiting.since.is_none() {
            waiting.since = Some(now);
            drop(waiting);
            // Whoever settles late ones said that it sleeps before it looked here.
            if self.asleep.load(Ordering::SeqCst) {
                drop(lock(&self.workers));
                self.changed.notify_all();
            }
        }
        Vec::new()
    }

    /// What a worker has put off.
    pub(crate) fn take(&self, worker: usize) -> Vec<T> {
        self.by_worker.get(worker).map(|put| lock(&put.0).take()).unwrap_or_default()
    }

    /// Waits for ends that nobody has settled in time, and takes those of one worker. `None` once no worker is left.
    pub(crate) fn late(&self) -> Option<Vec<T>> {
        let mut workers = lock(&self.workers);
        loop {
            self.asleep.store(true, Ordering::SeqCst);
            let now = monotonic();
            let mut next: Option<Instant> = None;
            for put in &self.by_worker {
                let mut waiting = lock(&put.0);
                let Some(late) = waiting.since.map(|since| since + LATE) else { continue };
                if late <= now || *workers == 0 {
                    self.asleep.store(false, Ordering::SeqCst);
                    return Some(waiting.take());
                }
                next = Some(next.map_or(late, |next| next.min(late)));
            }
            workers = match next {
                Some(late) => {
                    self.asleep.store(false, Ordering::SeqCst);
                    let left = late.saturating_duration_since(now);
                    self.changed.wait_timeout(workers, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None if *workers == 0 => return None,
                None => self.changed.wait(workers).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// A worker comes, and will [`leave`](Self::leave).
    pub(crate) fn join(&self) {
        *lock(&self.workers) += 1;
    }

    pub(crate) fn leave(&self) {
        *lock(&self.workers) -= 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_wakes_who_settles_late_ones_whether_or_not_another_came_before() {
        let ends = Ends::new(2);
        ends.join();
        std::thread::scope(|scope| {
            let settler = scope.spawn(|| {
                let mut settled = 0;
                while let Some(late) = ends.late() {
                    settled += late.len();
                }
                settled
            });
            // Some are settled by the one who adds them, before or while the settler waits for them.
            let mut settled = 0;
            for number in 0..200 {
                settled += ends.add(number % 2, (), monotonic(), number % 3 == 0).len();
                while number % 20 == 0 && ends.by_worker.iter().any(|put| !lock(&put.0).all.is_empty()) {
                    // Ends only if the settler comes.
                    std::thread::yield_now();
                }
            }
            ends.leave();
            assert_eq!(settled + settler.join().unwrap_or_default(), 200);
        });
    }
}
