//! The way of every job into the queue: hooks, one commit, what follows it.

use crate::sync::{Arc, Mutex, OnceLock, Weak};

use super::discard::{emit_discarded, tell_waiters};
use super::flight::{After, Enqueued, Flight, Notice, Passed, Release, Unstaged, only};
use super::hook::EnqueueHook;
use super::ids::Ids;
use super::immediate::{RunNow, run_now};
use super::registration::Registered;
use super::request::EnqueueOutcome;
use super::stage::Staging;
use super::tail::Part;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Job, Origin};
use crate::signal::{Signal, SignalKind, Signals, Waiters, WorkerMark};
use crate::store::{Commit, Discarded, Outcome, Placed, Storage, StorageError};
use crate::task::Options;

/// What jobs pass on their way in. One for each open queue.
pub(crate) struct Pipeline {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) waiters: Waiters,
    pub(super) hooks: Vec<Box<dyn EnqueueHook>>,
    /// What holds where nothing nearer says otherwise.
    pub(crate) defaults: Options,
    pub(super) ids: Mutex<Ids>,
    /// In immediate mode, who runs what was stored.
    pub(crate) run_now: OnceLock<Weak<dyn RunNow>>,
}

impl Pipeline {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        signals: Arc<Signals>,
        waiters: Waiters,
        hooks: Vec<Box<dyn EnqueueHook>>,
        defaults: Options,
    ) -> Self {
        Self { storage, signals, waiters, hooks, defaults, ids: Mutex::default(), run_now: OnceLock::new() }
    }

    /// Takes one job all the way: returns once it is stored at its level and announced.
    pub(crate) fn enqueue<T: Registered>(&self, job: Job<T>, origin: Origin) -> Result<Enqueued> {
        let outermost = self.outermost();
        let flight = self.stage(job, origin, Part::default()).map(Flight::of_one)?;
        let landed = self.fly(flight)?;
        run_now(outermost.as_ref(), &landed);
        only(landed)
    }

    /// Takes jobs all the way together: all or none, in one commit.
    pub(crate) fn enqueue_many<T: Registered>(&self, jobs: impl IntoIterator<Item = Job<T>>) -> Result<Vec<Enqueued>> {
        let outermost = self.outermost();
        let flight = self.stage_many(jobs)?;
        let landed = self.fly(flight)?;
        run_now(outermost.as_ref(), &landed);
        Ok(landed)
    }

    pub(super) fn fly(&self, mut flight: Flight) -> Result<Vec<Enqueued>> {
        let how = flight.how(&self.signals);
        match flight.transition() {
            Some(transition) => {
                let outcome = self.storage.commit(transition, how);
                self.land(flight, outcome, how)
            }
            None => Ok(flight.landed()),
        }
    }

    /// As [`enqueue`](Self::enqueue), but calls `done` from another thread; staging happens here.
    pub(crate) fn submit<T: Registered>(
        self: &Arc<Self>,
        job: Job<T>,
        origin: Origin,
        done: impl FnOnce(Result<Enqueued>) + Send + 'static,
    ) {
        let outermost = self.outermost();
        let staged = self.stage(job, origin, Part::default()).map(Flight::of_one);
        drop(outermost);
        self.send(staged, move |landed| done(landed.and_then(only)));
    }

    /// As [`enqueue_many`](Self::enqueue_many), but calls `done` from another thread; staging happens here.
    pub(crate) fn submit_many<T: Registered>(
        self: &Arc<Self>,
        jobs: impl IntoIterator<Item = Job<T>>,
        done: impl FnOnce(Result<Vec<Enqueued>>) + Send + 'static,
    ) {
        let outermost = self.outermost();
        let staged = self.stage_many(jobs);
        drop(outermost);
        self.send(staged, done);
    }

    fn send(self: &Arc<Self>, staged: Result<Flight>, done: impl FnOnce(Result<Vec<Enqueued>>) + Send + 'static) {
        let mut flight = match staged {
            Ok(flight) => flight,
            Err(error) => return done(Err(error)),
        };
        let how = flight.how(&self.signals);
        let Some(transition) = flight.transition() else { return done(Ok(flight.landed())) };
        let (pipeline, runner) = (Arc::clone(self), self.runner());
        let told = move |outcome| {
            // Receivers run on the thread that settles come from.
            let _mark = WorkerMark::new(pipeline.waiters.key());
            let landed = pipeline.land(flight, outcome, how);
            match (runner, &landed) {
                (Some(runner), Ok(jobs)) => {
                    let ids = jobs.iter().map(|enqueued| enqueued.id).collect();
                    runner.run_elsewhere(ids, Box::new(move || done(landed)));
                }
                _ => done(landed),
            }
        };
        self.storage.submit(transition, how, Box::new(told));
    }

    /// Stages jobs that are to be stored together. The first refusal refuses all.
    fn stage_many<T: Registered>(&self, jobs: impl IntoIterator<Item = Job<T>>) -> Result<Flight> {
        let jobs = jobs.into_iter();
        let mut flight = Flight::with_room(jobs.size_hint().0);
        let mut staging = Staging::of::<T>(self, Origin::Bulk);
        for (index, job) in jobs.enumerate() {
            match self.pass(staging.open(job, Part::default())) {
                Ok(passed) => flight.add(passed),
                Err(error) => {
                    let error = error.of_job(index);
                    flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                    return Err(error);
                }
            }
        }
        Ok(flight)
    }

    /// Runs the hooks. A refusal and an existing job end here, with all that is owed.
    pub(super) fn stage<T: Registered>(&self, job: Job<T>, origin: Origin, part: Part) -> Result<Passed> {
        self.pass(self.open(job, origin, part))
    }

    /// Does what is owed for a refusal or an existing job.
    fn pass(&self, opened: Result<Passed, Unstaged>) -> Result<Passed> {
        match opened {
            Ok(Passed::Found(existing, mut after)) => Ok(Passed::Existing(self.deduplicated(&mut after, existing))),
            Ok(passed) => Ok(passed),
            Err(Unstaged { error, after }) => {
                if let Some(after) = after {
                    self.refuse(*after, &error);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn refuse(&self, mut after: After, error: &Error) {
        match error.refused_by() {
            Some((hook, reason)) => self.rejected(after, hook, reason),
            None => after.settle(&EnqueueOutcome::Failed(error.to_string())),
        }
    }

    fn rejected(&self, mut after: After, by: &str, reason: &str) {
        let outcome = EnqueueOutcome::Refused { hook: by.to_owned(), reason: reason.to_owned() };
        after.settle(&outcome);
        let notice = &after.notice;
        self.announce(notice, SignalKind::Rejected, notice.id, Some(format!("rejected by {by}: {reason}").into()));
    }

    fn deduplicated(&self, after: &mut After, existing: JobId) -> Enqueued {
        after.settle(&EnqueueOutcome::Existing(existing));
        self.announce(&after.notice, SignalKind::Deduplicated, existing, None);
        Enqueued { id: existing, is_new: false }
    }

    /// Tells everybody what came of a commit, and lets the jobs go.
    pub(super) fn land(
        &self,
        mut flight: Flight,
        outcome: Result<Outcome, StorageError>,
        how: Commit,
    ) -> Result<Vec<Enqueued>> {
        let placed = match outcome {
            Ok(Outcome::Enqueued(placed)) if placed.len() == flight.afters.len() => placed,
            Ok(other) => {
                let error = Error::damaged(format!("the storage answered an enqueue with {other:?}"));
                flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                return Err(error);
            }
            Err(StorageError::Conflict { index, holder }) => return Err(self.conflict(flight, index as usize, holder)),
            Err(error) => {
                let error = Error::from(error);
                flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                return Err(error);
            }
        };
        let released =
            Release { storage: &*self.storage, ids: if how.hold { flight.held(&placed) } else { Vec::new() } };
        let mut replaced = Vec::new();
        let mut afters = std::mem::take(&mut flight.afters);
        for ((index, after), placed) in afters.iter_mut().zip(placed) {
            let id = after.notice.id;
            let enqueued = match placed {
                Placed::Existing(existing) => self.deduplicated(after, existing),
                placed => {
                    replaced.extend(self.stored(after, placed));
                    Enqueued { id, is_new: true }
                }
            };
            flight.land(*index, enqueued);
        }
        // Before the waiters are told: who registers too late for that must find the end in the store.
        drop(released);
        for old in replaced {
            tell_waiters(&self.waiters, old);
        }
        Ok(flight.landed())
    }

    /// Another job holds the unique key of one of these, and nothing was stored.
    fn conflict(&self, mut flight: Flight, index: usize, holder: JobId) -> Error {
        let error = self.reject_one(&mut flight, index, holder);
        flight.fail(&EnqueueOutcome::Failed(error.to_string()));
        error
    }

    /// Takes one of these out, whose unique key another job holds.
    pub(super) fn reject_one(&self, flight: &mut Flight, index: usize, holder: JobId) -> Error {
        let reason = format!("its unique key is held by the job {holder}");
        let many = flight.afters.len() > 1;
        let Some((place, after)) = flight.take_after(index) else {
            return Error::damaged("the storage answered an enqueue with a conflict of a job that was not in it");
        };
        let text = format!("another job of `{}` is in the queue: {reason}", after.notice.task);
        let error = Error::new(ErrorKind::Conflict, text);
        self.rejected(after, "unique", &reason);
        if many { error.of_job(place) } else { error }
    }

    /// Tells the receivers that a job was stored, and of the one whose place it took, whose waiters are left to the caller.
    pub(crate) fn stored(&self, after: &mut After, placed: Placed) -> Option<Discarded> {
        after.settle(&EnqueueOutcome::Stored(after.notice.id));
        let replaced = if let Placed::Replaced(old) = placed { Some(*old) } else { None };
        if let Some(old) = &replaced {
            emit_discarded(&self.signals, old, self.storage.clock().now());
        }
        self.tell_stored(&after.notice);
        replaced
    }

    fn tell_stored(&self, notice: &Notice) {
        self.announce(notice, SignalKind::Enqueued, notice.id, None);
        if notice.delayed {
            self.announce(notice, SignalKind::Scheduled, notice.id, None);
        }
    }

    fn announce(&self, notice: &Notice, kind: SignalKind, id: JobId, cause: Option<Arc<str>>) {
        if !self.signals.hears(kind) {
            return;
        }
        self.signals.emit(Signal {
            kind,
            sequence: 0,
            id,
            task: notice.task.as_ref().into(),
            queue: notice.queue.as_ref().into(),
            at: self.storage.clock().now(),
            origin: notice.origin,
            headers: notice.headers.clone().into(),
            run_at: Some(notice.run_at),
            attempt: 0,
            error: None,
            cause,
            skipped: None,
            progress: None,
        });
    }
}
