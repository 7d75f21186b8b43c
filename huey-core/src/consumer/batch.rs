//! Jobs that were claimed together, and ends that are settled together: both pay where bodies take less than a commit.

use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::execute::{End, Kit};
use crate::store::{Claimed, Tasks};
use crate::time::monotonic;

/// At most so many jobs are claimed together, and so many ends settled.
pub(crate) const MOST: usize = 256;
/// A task is quick whose median run is shorter.
const QUICK: Duration = Duration::from_micros(50);
/// So many runs tell.
const RUNS: u32 = 16;
/// An end is settled after so long, also while the body beside it runs on.
const LATE: Duration = Duration::from_millis(1);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Claimed jobs that no worker has begun yet. Any worker of the crew may take the next one.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<VecDeque<Claimed>>);

impl Shelf {
    pub(crate) fn put(&self, jobs: impl Iterator<Item = Claimed>) {
        lock(&self.0).extend(jobs);
    }

    pub(crate) fn next(&self) -> Option<Claimed> {
        lock(&self.0).pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    pub(crate) fn clear(&self) -> VecDeque<Claimed> {
        std::mem::take(&mut lock(&self.0))
    }
}

/// Ends of bodies that have returned, which wait for others to be settled with.
pub(crate) struct Ends<T = (Kit, End)> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

struct Inner<T> {
    all: Vec<T>,
    /// When the first of them came.
    since: Option<Instant>,
    /// How many workers may add more.
    workers: usize,
    /// Whether whoever settles late ones sleeps until one comes. If not, it looks again in time for the next.
    asleep: bool,
}

impl<T> Default for Ends<T> {
    fn default() -> Self {
        let inner = Inner { all: Vec::new(), since: None, workers: 0, asleep: false };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }
}

impl<T> Ends<T> {
    /// Adds one, and takes all of them if they are to be settled `now` or are many.
    pub(crate) fn add(&self, end: T, now: bool) -> Vec<T> {
        let mut inner = lock(&self.inner);
        if inner.all.is_empty() && !now {
            inner.all.reserve_exact(MOST);
        }
        inner.all.push(end);
        if now || inner.all.len() >= MOST {
            inner.since = None;
            return std::mem::take(&mut inner.all);
        }
        if inner.since.is_none() {
            inner.since = Some(monotonic());
            let asleep = inner.asleep;
            drop(inner);
            if asleep {
                self.changed.notify_all();
            }
        }
        Vec::new()
    }

    pub(crate) fn take(&self) -> Vec<T> {
        let mut inner = lock(&self.inner);
        inner.since = None;
        std::mem::take(&mut inner.all)
    }

    /// Waits for ends that nobody has settled in time, and takes them. `None` once no worker is left.
    pub(crate) fn late(&self) -> Option<Vec<T>> {
        let mut inner = lock(&self.inner);
        loop {
            inner = match inner.since {
                Some(since) => {
                    let left = (since + LATE).saturating_duration_since(monotonic());
                    if left.is_zero() || inner.workers == 0 {
                        inner.since = None;
                        return Some(std::mem::take(&mut inner.all));
                    }
                    self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None if inner.workers == 0 => return None,
                None => {
                    inner.asleep = true;
                    let mut inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                    inner.asleep = false;
                    inner
                }
            };
        }
    }

    /// A worker comes, and will [`leave`](Self::leave).
    pub(crate) fn join(&self) {
        lock(&self.inner).workers += 1;
    }

    pub(crate) fn leave(&self) {
        lock(&self.inner).workers -= 1;
        self.changed.notify_all();
    }
}

/// How long the tasks take that a worker runs, by their medians.
#[derive(Default)]
pub(crate) struct Paces {
    tasks: BTreeMap<Arc<str>, Pace>,
    quick: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Pace {
    runs: u32,
    /// The estimate, in nanoseconds.
    median: u64,
}

impl Pace {
    /// Moves the estimate towards a run: it rests where as many runs are shorter as longer.
    fn note(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let step = self.median / 8 + 1;
        self.median = match self.runs {
            0 => took,
            _ if took < self.median => self.median.saturating_sub(step),
            _ => self.median.saturating_add(step),
        };
        self.runs = self.runs.saturating_add(1);
    }

    fn is_quick(self) -> bool {
        self.runs >= RUNS && u128::from(self.median) < QUICK.as_nanos()
    }
}

impl Paces {
    pub(crate) fn note(&mut self, task: &Arc<str>, took: Duration) {
        let pace = match self.tasks.get_mut(task) {
            Some(pace) => pace,
            None => self.tasks.entry(Arc::clone(task)).or_default(),
        };
        let before = pace.is_quick();
        pace.note(took);
        if pace.is_quick() != before {
            self.quick =
                self.tasks.iter().filter(|(_, pace)| pace.is_quick()).map(|(task, _)| task.to_string()).collect();
        }
    }

    /// The quick ones.
    pub(crate) fn quick(&self) -> Tasks {
        Tasks::Only(self.quick.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: impl Iterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        runs.for_each(|micros| pace.note(Duration::from_micros(micros)));
        pace
    }

    #[test]
    fn a_task_is_quick_by_its_median_and_not_before_it_was_seen_a_while() {
        assert!(!after((0..15).map(|_| 1)).is_quick());
        assert!(after((0..16).map(|_| 1)).is_quick());
        assert!(after((0..400).map(|run| if run % 4 == 0 { 90_000 } else { 5 })).is_quick(), "a slow one now and then");
        assert!(!after((0..400).map(|run| if run % 4 == 0 { 5 } else { 90 })).is_quick(), "a quick one now and then");
        assert!(!after((0..400).map(|run| if run < 200 { 1 } else { 500 })).is_quick(), "it became slow");
    }

    #[test]
    fn an_end_wakes_who_settles_late_ones_whether_or_not_another_came_before() {
        let ends = Ends::default();
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
                settled += ends.add((), number % 3 == 0).len();
                while number % 20 == 0 && !lock(&ends.inner).all.is_empty() {
                    // Ends only if the settler comes.
                    std::thread::yield_now();
                }
            }
            ends.leave();
            assert_eq!(settled + settler.join().unwrap_or_default(), 200);
        });
    }

    #[test]
    fn the_quick_tasks_are_named() {
        let mut paces = Paces::default();
        let (quick, slow): (Arc<str>, Arc<str>) = ("quick".into(), "slow".into());
        for _ in 0..20 {
            paces.note(&quick, Duration::from_micros(3));
            paces.note(&slow, Duration::from_micros(300));
        }
        assert_eq!(paces.quick(), Tasks::Only(vec!["quick".into()]));
    }
}
