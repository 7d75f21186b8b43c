//! A storage in memory that remembers what was enqueued, and fails when it is told to.

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Result;
use crate::id::JobId;
use crate::store::{
    Answer, Commit, Done, Findings, Lease, Memory, NewJob, Next, OnWork, OpenStorage, Outcome, Query, Storage,
    StorageError, StorageOptions, Transition, Verdict, Version,
};
use crate::task::Durability;
use crate::time::{Clock, Timestamp};

#[derive(Default)]
pub(super) struct Recorded {
    /// The jobs that were stored, in that order.
    pub(super) jobs: Vec<NewJob>,
    /// Their ids, and those of jobs that were forgotten.
    known: HashSet<JobId>,
    /// How many calls are still to fail, and how.
    pub(super) failing: Option<(usize, StorageError)>,
}

/// Opens a storage that records.
#[derive(Default)]
pub(super) struct Recording(pub(super) Arc<Mutex<Recorded>>);

struct Recorder {
    storage: Arc<dyn Storage>,
    recorded: Arc<Mutex<Recorded>>,
}

impl OpenStorage for Recording {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(Recorder { storage: Memory::new().open_storage(options)?, recorded: self.0 }))
    }
}

/// Whether a caller asked for it, and not what runs jobs.
fn is_a_callers(transition: &Transition) -> bool {
    !matches!(
        transition,
        Transition::Reserve { .. }
            | Transition::Claim { .. }
            | Transition::Settle(_)
            | Transition::Heartbeat(_)
            | Transition::Reclaim
            | Transition::Unpark { .. }
            | Transition::Tick(_)
            | Transition::Progress { .. }
    )
}

/// The jobs that a transition is to store.
fn jobs_of(transition: &Transition) -> Vec<NewJob> {
    let following = |next: &Next| match next {
        Next::Job(job) | Next::Failed { follow_up: Some(job), .. } => Some((**job).clone()),
        _ => None,
    };
    match transition {
        Transition::Enqueue { jobs, .. } => jobs.clone(),
        Transition::Tick(tick) => tick.jobs.clone(),
        Transition::Replay { job, .. } => vec![(**job).clone()],
        Transition::Settle(all) => {
            let next = all.iter().filter_map(|settlement| match &settlement.verdict {
                Verdict::Complete { next, .. } | Verdict::Dead { next, .. } => next.as_ref(),
                Verdict::Gathered { next } => Some(next),
                _ => None,
            });
            next.filter_map(following).collect()
        }
        _ => Vec::new(),
    }
}

/// Keeps those jobs that are in the storage now, and were not before: others hold the keys of the rest, or a tick was decided before.
fn note(storage: &dyn Storage, recorded: &Mutex<Recorded>, jobs: Vec<NewJob>) {
    for job in jobs {
        let is_there = matches!(storage.read(Query::Job(job.id)), Ok(Answer::Job(Ok(_))));
        let mut recorded = recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if is_there && recorded.known.insert(job.id) {
            recorded.jobs.push(job);
        }
    }
}

impl Recorder {
    /// The failure that is due for a call.
    fn failure(&self, transition: &Transition) -> Option<StorageError> {
        if !is_a_callers(transition) {
            return None;
        }
        let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, error) = recorded.failing.as_mut().filter(|(left, _)| *left > 0)?;
        *left -= 1;
        Some(error.clone())
    }
}

impl Storage for Recorder {
    fn commit(&self, transition: Transition, how: Commit) -> Result<Outcome, StorageError> {
        let failure = self.failure(&transition);
        if let Some(error) = failure.as_ref().filter(|error| !matches!(error, StorageError::Unknown(_))) {
            return Err(error.clone());
        }
        let jobs = jobs_of(&transition);
        // Nobody will let go of what the caller does not know to be stored.
        let how = if failure.is_some() { Commit { hold: false, ..how } } else { how };
        let outcome = self.storage.commit(transition, how);
        if outcome.is_ok() {
            note(&*self.storage, &self.recorded, jobs);
        }
        failure.map_or(outcome, Err)
    }

    fn submit(&self, transition: Transition, how: Commit, done: Done) {
        let failure = self.failure(&transition);
        if let Some(error) = failure.as_ref().filter(|error| !matches!(error, StorageError::Unknown(_))) {
            return done(Err(error.clone()));
        }
        let how = if failure.is_some() { Commit { hold: false, ..how } } else { how };
        let (jobs, storage, recorded) = (jobs_of(&transition), Arc::clone(&self.storage), Arc::clone(&self.recorded));
        let told = move |outcome: Result<Outcome, StorageError>| {
            if outcome.is_ok() {
                note(&*storage, &recorded, jobs);
            }
            done(failure.map_or(outcome, Err));
        };
        self.storage.submit(transition, how, Box::new(told));
    }

    fn release(&self, jobs: &[JobId]) {
        self.storage.release(jobs);
    }

    fn read(&self, query: Query) -> Result<Answer, StorageError> {
        self.storage.read(query)
    }

    fn wait(&self, since: Version, until: Timestamp) -> Version {
        self.storage.wait(since, until)
    }

    fn wait_due(&self, since: Version, until: Timestamp) -> Option<Version> {
        self.storage.wait_due(since, until)
    }

    fn on_work(&self, listener: Weak<dyn OnWork>) {
        self.storage.on_work(listener);
    }

    fn wake(&self) {
        self.storage.wake();
    }

    fn begin(&self, slot: usize, lease: Lease, durability: Durability) -> Result<(), StorageError> {
        self.storage.begin(slot, lease, durability)
    }

    fn end(&self, slot: usize) {
        self.storage.end(slot);
    }

    fn clock(&self) -> Clock {
        self.storage.clock()
    }

    fn offers(&self) -> &[Durability] {
        self.storage.offers()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.storage.close()
    }

    fn export(&self, out: &mut dyn Write) -> Result<Findings, StorageError> {
        self.storage.export(out)
    }

    fn name(&self) -> String {
        self.storage.name()
    }
}
