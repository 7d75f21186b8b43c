//! Somebody who waits for a job, as a worker does that sleeps.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Claimed, Hand, OnWork, Roused, Storage};

/// Waits for jobs as a worker does that sleeps: a storage may hand it one instead of telling of it.
///
/// ```
/// use huey_core::store::{Commit, OpenStorage, Memory, Outcome, StorageOptions, Transition};
/// use huey_core::testing::{Sleeper, job_id, new_job};
///
/// let storage = Memory::new().open_storage(StorageOptions::default())?;
/// let Ok(Outcome::Reserved { first, salt }) = storage.commit(Transition::Reserve { count: 2 }, Commit::RELAXED) else {
///     panic!("no counters");
/// };
/// let sleeper = Sleeper::of(&*storage);
/// let mut handed = Vec::new();
/// for counter in first..first + 2 {
///     let job = new_job(job_id(storage.clock().now(), counter, salt));
///     sleeper.sleep();
///     storage.commit(Transition::enqueue(vec![job]), Commit::RELAXED).unwrap();
///     handed.push(sleeper.wake().is_some());
/// }
/// // Whoever is to run a job of a name that the storage does not know yet claims it.
/// assert_eq!(handed, [false, true]);
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Default)]
pub struct Sleeper(Mutex<Stance>);

#[derive(Default)]
enum Stance {
    #[default]
    Awake,
    Asleep,
    /// The storage keeps it, until it says what for.
    Kept(Receiver<Claimed>),
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

    /// It waits for one job.
    pub fn sleep(&self) {
        self.change(|_| Stance::Asleep);
    }

    /// It waits no more. The job that it was handed, for which it waits if the storage has begun to hand one over.
    pub fn wake(&self) -> Option<Claimed> {
        match self.change(|_| Stance::Awake) {
            // Ends with the sender.
            Stance::Kept(handed) => handed.recv().ok(),
            Stance::Awake | Stance::Asleep => None,
        }
    }
}

impl OnWork for Sleeper {
    fn roused(&self, _: &Roused) {}

    fn keep(&self, _queue: &str, _task: &str) -> Option<Hand> {
        let mut way: Option<Sender<Claimed>> = None;
        self.change(|stance| match std::mem::take(stance) {
            Stance::Asleep => {
                let (hand, handed) = channel();
                way = Some(hand);
                Stance::Kept(handed)
            }
            other => other,
        });
        way.map(|way| Box::new(move |job| drop(way.send(job))) as Hand)
    }
}
