//! Somebody who waits for a job, as a worker does that sleeps.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Claimed, HandOver, OnWork, Roused, Storage};

/// Waits for jobs as a worker does that sleeps: a storage may hand it one instead of telling of it.
///
/// ```
/// use std::time::Duration;
///
/// use huey_core::store::{Commit, Memory, OpenStorage, Outcome, StorageOptions, Tasks, Transition};
/// use huey_core::testing::{Sleeper, job_id, new_job};
///
/// let storage = Memory::new().open_storage(StorageOptions::default())?;
/// let commit = |transition| storage.commit(transition, Commit::RELAXED).unwrap();
/// let Outcome::Reserved { first, salt } = commit(Transition::Reserve { count: 2 }) else { panic!("no counters") };
/// let enqueue = |counter| Transition::enqueue(vec![new_job(job_id(storage.clock().now(), counter, salt))]);
///
/// // The first job of a task is claimed by who runs it, as one is that comes while nobody sleeps.
/// commit(enqueue(first));
/// let (queues, tasks, keep) = (vec!["default".to_owned()], Tasks::ALL, Duration::ZERO);
/// commit(Transition::Claim { queues, tasks, most: 1, many: Tasks::ALL, keep });
///
/// let sleeper = Sleeper::of(&*storage);
/// sleeper.sleep();
/// commit(enqueue(first + 1));
/// assert_eq!(sleeper.wake().map(|job| job.attempt), Some(1));
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sleeper(Mutex<Stance>);

#[derive(Default)]
enum Stance {
    #[default]
    Awake,
    Asleep,
    /// The storage has begun to hand it one.
    Promised(Receiver<Claimed>),
}

impl Sleeper {
    /// One who claims the jobs of a storage, awake for now. It is told nothing once it is dropped.
    #[must_use]
    pub fn of(storage: &dyn Storage) -> Arc<Self> {
        let sleeper = Arc::new(Self::default());
        let listener: Arc<dyn OnWork> = sleeper.clone();
        storage.on_work(Arc::downgrade(&listener));
        sleeper
    }

    fn change(&self, to: impl FnOnce(&mut Stance) -> Stance) -> Stance {
        let mut stance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = to(&mut stance);
        std::mem::replace(&mut *stance, next)
    }

    /// It waits for one job, until it [wakes](Self::wake).
    pub fn sleep(&self) {
        self.change(|stance| match std::mem::take(stance) {
            Stance::Awake | Stance::Asleep => Stance::Asleep,
            promised @ Stance::Promised(_) => promised,
        });
    }

    /// It waits no more. The job that it was handed, for which it waits if the storage has begun to hand one over.
    pub fn wake(&self) -> Option<Claimed> {
        match self.change(|_| Stance::Awake) {
            // Ends with the sender.
            Stance::Promised(handed) => handed.recv().ok(),
            Stance::Awake | Stance::Asleep => None,
        }
    }
}

impl OnWork for Sleeper {
    fn roused(&self, _: &Roused) {}

    fn promise(&self, _queue: &str, _task: &str) -> Option<HandOver> {
        let mut way: Option<Sender<Claimed>> = None;
        self.change(|stance| match std::mem::take(stance) {
            Stance::Asleep => {
                let (tell, handed) = channel();
                way = Some(tell);
                Stance::Promised(handed)
            }
            other => other,
        });
        way.map(|way| Box::new(move |job| drop(way.send(job))) as HandOver)
    }
}
