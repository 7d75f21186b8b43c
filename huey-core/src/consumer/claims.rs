//! Which job a worker has next: one that it claimed before, one that it claims now, or one that another has claimed.

use std::time::Instant;

use super::batch::MOST;
use super::crew::Crew;
use super::desk::{Desk, Shelf};
use crate::enqueue::{tell_discarded, tell_limited};
use crate::execute::Executor;
use crate::id::JobId;
use crate::signal::SignalKind;
use crate::store::{Claimed, Commit, Outcome, StorageError, Tasks, Transition};
use crate::time::monotonic;

impl Crew {
    /// The next job for a worker: one that it claimed with others before; or one of a new claim, which takes more than one of
    /// `many`, if the bell has rung since somebody claimed last; or one that another has claimed.
    ///
    /// Whoever heard the bell or takes a job of another, and leaves some behind, rings for the next: its own body may take long.
    pub(crate) fn next_job(
        &self,
        worker: usize,
        many: impl FnOnce() -> Tasks,
    ) -> Result<Option<Claimed>, StorageError> {
        let Some(desk) = self.desks.get(worker) else { return Ok(None) };
        let now = monotonic();
        if !self.is_stuck()
            && let Some(job) = desk.shelf.next(now)
        {
            return Ok(Some(job));
        }
        let (found, more) = self.look_further(desk, now, many)?;
        if found.is_some() && (more || !self.is_last(desk)) {
            self.calls.bell.ring(desk.pool);
        }
        Ok(found)
    }

    /// A job that is not on the worker's own shelf, and whether there may be more that nobody has claimed.
    fn look_further(
        &self,
        desk: &Desk,
        now: Instant,
        many: impl FnOnce() -> Tasks,
    ) -> Result<(Option<Claimed>, bool), StorageError> {
        // In this order, so that the ring is heard by which a late body says that it has returned.
        let rung = self.calls.bell.take(desk.pool);
        if self.is_stuck() {
            if rung {
                self.clear_shelves();
            }
            return Ok((None, false));
        }
        if let Some(job) = self.shelved(desk.pool, |shelf| shelf.overdue(now)) {
            // Who heard it and does something else passes it on.
            return Ok((Some(job), rung));
        }
        let claimed = if rung { self.claim_many(desk, many()) } else { Ok((None, false)) };
        match claimed {
            Ok((Some(job), more)) => Ok((Some(job), more)),
            none => {
                // What could not be claimed is still there.
                let more = none.is_err();
                self.shelved(desk.pool, Shelf::any).map_or(none, |job| Ok((Some(job), more)))
            }
        }
    }

    /// Claims a job for a worker, and those that it runs after that, and says whether there may be more.
    fn claim_many(&self, desk: &Desk, many: Tasks) -> Result<(Option<Claimed>, bool), StorageError> {
        // A claim that names no queue takes from all of them.
        let pool = self.pools.get(desk.pool).filter(|pool| !pool.queues.is_empty());
        let Some(pool) = pool else { return Ok((None, false)) };
        let most = u32::try_from(MOST).unwrap_or(1);
        let (claimed, more) = self.claim(&pool.queues, Tasks::Except(self.async_tasks.clone()), most, many)?;
        let mut claimed = claimed.into_iter();
        let first = claimed.next();
        if claimed.len() > 0 {
            desk.shelf.put(claimed, monotonic());
        }
        Ok((first, more))
    }

    /// A job that a worker of the pool has claimed.
    fn shelved(&self, pool: usize, take: impl Fn(&Shelf) -> Option<Claimed>) -> Option<Claimed> {
        self.desks.iter().filter(|desk| desk.pool == pool).find_map(|desk| take(&desk.shelf))
    }

    /// Whether nothing that was claimed for the pool is left to begin.
    fn is_last(&self, desk: &Desk) -> bool {
        desk.shelf.is_empty()
            && self.desks.iter().filter(|other| other.pool == desk.pool).all(|other| other.shelf.is_empty())
    }

    /// Whether a worker has run the last of what was claimed for its pool.
    pub(crate) fn has_run_last(&self, worker: usize) -> bool {
        self.desks.get(worker).is_none_or(|desk| self.is_last(desk))
    }

    /// Takes up to `most` jobs, one of them unless they are of `many`, and says whether there may be more. What ended at
    /// pick-up has been told of when this returns.
    pub(crate) fn claim(
        &self,
        queues: &[String],
        tasks: Tasks,
        most: u32,
        many: Tasks,
    ) -> Result<(Vec<Claimed>, bool), StorageError> {
        self.change(|attempts| {
            attempts.claiming += 1;
            attempts.claims += 1;
        });
        let claimed = self.claim_now(queues, tasks, most, many);
        match &claimed {
            Ok(_) => self.executor.trouble.over(),
            Err(error) => {
                self.executor.note_trouble(error);
                // Whoever waits for the end of all jobs waits for nothing if they cannot be read.
                self.executor.storage.wake();
            }
        }
        self.change(|attempts| attempts.claiming -= 1);
        claimed
    }

    fn claim_now(
        &self,
        queues: &[String],
        tasks: Tasks,
        most: u32,
        many: Tasks,
    ) -> Result<(Vec<Claimed>, bool), StorageError> {
        let keep = self.executor.defaults.retention.unwrap_or(crate::job::KEEP);
        let transition = Transition::Claim { queues: queues.to_vec(), tasks, most, many, keep };
        let Executor { storage, signals, waiters, .. } = &*self.executor;
        let hears = |kind| signals.hears(kind);
        let hold = hears(SignalKind::Locked) || hears(SignalKind::RateLimited) || hears(SignalKind::Scheduled);
        match storage.commit(transition, Commit { hold, ..Commit::RELAXED })? {
            Outcome::Claimed { claimed, ended, limited, more } => {
                let told: Vec<JobId> = ended.iter().map(|end| end.id).chain(limited.iter().map(|one| one.id)).collect();
                for end in ended {
                    tell_discarded(signals, waiters, end, storage.clock().now());
                }
                if hold && !told.is_empty() {
                    for one in &limited {
                        tell_limited(signals, one, storage.clock().now());
                    }
                    storage.release(&told);
                }
                Ok((claimed, more))
            }
            other => Err(StorageError::Damaged(format!("the storage answered a claim with {other:?}"))),
        }
    }

    /// A job was handed to a worker that slept.
    pub(crate) fn was_handed(&self) {
        self.lock().claims += 1;
    }

    /// Gives back what was claimed and not begun.
    pub(crate) fn clear_shelves(&self) {
        self.clear(&self.desks);
    }

    /// Gives back what a worker has claimed and not begun.
    pub(crate) fn clear_shelf(&self, worker: usize) {
        self.clear(self.desks.get(worker..=worker).unwrap_or_default());
    }

    fn clear(&self, desks: &[Desk]) {
        let left: Vec<Claimed> = desks.iter().flat_map(|desk| desk.shelf.clear()).collect();
        if !left.is_empty() {
            self.executor.give_back(left.iter().map(|job| job.lease));
        }
    }

    /// How many claims were begun so far, those of what was handed over among them.
    pub(crate) fn claims(&self) -> u64 {
        self.lock().claims
    }
}

#[cfg(all(test, feature = "testing", not(huey_races)))]
pub(super) mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::super::config::Consumer;
    use super::super::desk::Pool;
    use super::*;
    use crate::id::JobId;
    use crate::store::{Body, Lease, OpenStorage, Storage, StorageOptions};
    use crate::sync::Arc;
    use crate::testing::{Fault, SimDisk, inspected};
    use crate::{Durability, Huey, Timestamp};

    pub(in super::super) fn claimed(counter: u64) -> Claimed {
        Claimed {
            lease: Lease { id: JobId::new(Timestamp::from_micros(0), counter, 0), claim: 1 },
            task: "now".into(),
            queue: "default".into(),
            priority: 0,
            attempt: 1,
            retried: 0,
            crashes: 0,
            rescued: false,
            refunds: 0,
            condemned: false,
            durability: Durability::Relaxed,
            at_most_once: false,
            started: Timestamp::from_micros(0),
            body: Body::default(),
        }
    }

    struct Open(Arc<dyn Storage>);

    impl OpenStorage for Open {
        fn open_storage(self, _: StorageOptions) -> crate::Result<Arc<dyn Storage>> {
            Ok(self.0)
        }
    }

    /// Two workers without their threads, whose bell has not rung.
    fn crew(disk: &SimDisk) -> crate::Result<Crew> {
        let (storage, _) = inspected(disk.medium(), StorageOptions::default())?;
        let huey = Huey::builder().open(Open(storage))?;
        let Consumer { executor, owner, ticker, .. } = huey.consumer();
        let desks = ["first", "second"].map(|name| Desk::new(name.into(), 0)).into();
        let pools = vec![Pool { queues: vec!["default".into()], workers: 2 }];
        let crew = Crew::new(executor, owner, ticker, pools, Vec::new(), desks, false);
        assert!(crew.calls.bell.take(0));
        Ok(crew)
    }

    /// A job on the shelf of the second, who took one then.
    fn lay(crew: &Crew, taken: Instant) {
        if let Some(desk) = crew.desks.last() {
            desk.shelf.put(std::iter::once(claimed(7)), taken);
        }
    }

    #[test]
    fn a_ring_is_passed_on_by_who_hears_it_and_takes_what_another_has_claimed() -> crate::Result<()> {
        let crew = crew(&SimDisk::new(1))?;
        let (tell, told) = channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crew.calls.bell.wait(0, None);
                drop(tell);
            });
            while crew.calls.bell.asleep(0) < 1 {
                std::thread::yield_now();
            }
            if let Some(taken) = monotonic().checked_sub(Duration::from_secs(1)) {
                lay(&crew, taken);
            }
            crew.calls.bell.ring_unheard(0);
            assert_eq!(crew.next_job(0, || Tasks::ALL), Ok(Some(claimed(7))));
            let woken = told.recv_timeout(Duration::from_secs(30));
            // So that a failure ends, too.
            crew.calls.bell.close();
            assert_eq!(woken, Err(std::sync::mpsc::RecvTimeoutError::Disconnected), "who sleeps has not heard it");
        });
        Ok(())
    }

    #[test]
    fn a_claim_that_failed_is_tried_again_after_what_another_had_claimed() -> crate::Result<()> {
        let disk = SimDisk::new(1);
        let crew = crew(&disk)?;
        lay(&crew, monotonic() + Duration::from_hours(1));
        disk.fail_opens(1_000_000);
        disk.fault_at(0, Fault::Fail);
        let synced = Commit { durability: Durability::Synced, hold: false };
        assert!(crew.executor.storage.commit(Transition::Reserve { count: 1 }, synced).is_err());
        crew.calls.bell.ring(0);
        assert_eq!(crew.next_job(0, || Tasks::ALL), Ok(Some(claimed(7))));
        assert!(crew.calls.bell.take(0), "nobody will try again");
        Ok(())
    }
}
