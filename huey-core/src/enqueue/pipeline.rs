//! The way of every job into the queue: hooks, one commit, what follows it.

use crate::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::discard::{emit_discarded, tell_waiters};
use super::flight::{After, Enqueued, Flight, Notice, Passed, Release, Staged, Unstaged, only, panic_text};
use super::hook::{Decision, EnqueueHook};
use super::ids::Ids;
use super::immediate::{RunNow, run_now};
use super::keys::{limits, unique_key};
use super::registration::{Registered, Registration};
use super::request::{EnqueueOutcome, EnqueueRequest};
use super::tail::Part;
use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Choices, Head, Job, Origin, Terms};
use crate::signal::{Signal, SignalKind, Signals, Waiters, WorkerMark};
use crate::store::{
    Answer, Body, Commit, Discarded, Limit, LimitKind, Missing, NewJob, Outcome, Placed, Query, Storage, StorageError,
    Transition, UniqueKey,
};
use crate::task::{Definition, Delivery, Durability, Options, StoredArgs, Task};

/// What jobs pass on their way in. One for each open queue.
pub(crate) struct Pipeline {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) waiters: Waiters,
    hooks: Vec<Box<dyn EnqueueHook>>,
    /// What holds where nothing nearer says otherwise.
    pub(crate) defaults: Options,
    pub(super) ids: Mutex<Ids>,
    /// In immediate mode, who runs what was stored.
    pub(crate) run_now: OnceLock<Weak<dyn RunNow>>,
    /// Tasks whose arguments have been decoded back once.
    proven: Mutex<HashSet<&'static str>>,
}

/// What became of a request at the hooks.
enum Verdict {
    Go,
    Existing {
        id: JobId,
        /// The hook that pointed to it.
        hook: &'static str,
    },
}

impl Pipeline {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        signals: Arc<Signals>,
        waiters: Waiters,
        hooks: Vec<Box<dyn EnqueueHook>>,
        defaults: Options,
    ) -> Self {
        Self {
            storage,
            signals,
            waiters,
            hooks,
            defaults,
            ids: Mutex::default(),
            run_now: OnceLock::new(),
            proven: Mutex::default(),
        }
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
        let mut flight = Flight::default();
        for (index, job) in jobs.into_iter().enumerate() {
            match self.stage(job, Origin::Bulk, Part::default()) {
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
        let passed = self.open(job, origin, part).map_err(|Unstaged { error, after }| {
            if let Some(after) = after {
                self.refuse(*after, &error);
            }
            error
        })?;
        Ok(match passed {
            Passed::Found(existing, after) => Passed::Existing(self.deduplicated(*after, existing)),
            passed => passed,
        })
    }

    /// Runs the hooks. What is owed for a refusal or an existing job is left to the caller.
    pub(super) fn open<T: Registered>(&self, job: Job<T>, origin: Origin, part: Part) -> Result<Passed, Unstaged> {
        let registration = T::REGISTRATION;
        let Job { mut args, choices } = job;
        let now = self.storage.clock().now();
        let id = match part.id {
            Some(id) => id,
            None => self.next_id(now).map_err(Unstaged::from)?,
        };
        let mut terms = Terms::settle(choices, &registration.options().or(self.defaults), now);
        let (mut writes, mut callbacks) = (Vec::new(), Vec::new());
        let verdict = {
            let mut request = EnqueueRequest {
                id,
                origin,
                task: registration.task,
                args: Some(&mut args as &mut dyn Any),
                terms: &mut terms,
                now,
                writes: &mut writes,
                callbacks: &mut callbacks,
            };
            self.run_hooks(registration, &mut request)
        };
        let after = After { callbacks, notice: Notice::new(id, registration.task.name, origin, &terms, now) };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Go => Ok(Ok(self.pack(&args, (id, origin), &terms, writes, part)?)),
            Verdict::Existing { id, hook } => {
                self.check_existing(id, hook, registration.task)?;
                self.await_level(terms.durability)?;
                Ok(Err(id))
            }
        });
        match verdict {
            Ok(Ok(job)) => Ok(Passed::Staged(Box::new(Staged { job, after }))),
            Ok(Err(existing)) => Ok(Passed::Found(existing, Box::new(after))),
            Err(error) => Err(Unstaged { error, after: Some(Box::new(after)) }),
        }
    }

    pub(crate) fn refuse(&self, after: After, error: &Error) {
        match error.refused_by() {
            Some((hook, reason)) => self.rejected(after, hook, reason),
            None => drop(after.settle(&EnqueueOutcome::Failed(error.to_string()))),
        }
    }

    fn rejected(&self, after: After, by: &str, reason: &str) {
        let outcome = EnqueueOutcome::Refused { hook: by.to_owned(), reason: reason.to_owned() };
        let notice = after.settle(&outcome);
        self.announce(&notice, SignalKind::Rejected, notice.id, Some(format!("rejected by {by}: {reason}").into()));
    }

    fn deduplicated(&self, after: After, existing: JobId) -> Enqueued {
        let notice = after.settle(&EnqueueOutcome::Existing(existing));
        self.announce(&notice, SignalKind::Deduplicated, existing, None);
        Enqueued { id: existing, is_new: false }
    }

    fn run_hooks(&self, registration: &'static Registration, request: &mut EnqueueRequest<'_>) -> Result<Verdict> {
        let mut hooks: Vec<&dyn EnqueueHook> = self.hooks.iter().map(|hook| &**hook).collect();
        if let Some(decorator) = registration.decorator {
            decorator.each_hook(&mut |hook| hooks.push(hook));
        }
        hooks.extend(registration.hooks);
        for hook in hooks {
            let decided = catch_unwind(AssertUnwindSafe(|| hook.on_enqueue(request)));
            let reason = match decided {
                Ok(Ok(Decision::Go)) => continue,
                Ok(Ok(Decision::Existing(id))) => return Ok(Verdict::Existing { id, hook: hook.name() }),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
            };
            return Err(refusal(hook.name(), registration.task.name, reason));
        }
        Ok(Verdict::Go)
    }

    /// What is stored. The first job of each task is decoded back: what serde writes, bincode cannot always read.
    fn pack<T: Task>(
        &self,
        args: &T,
        (id, origin): (JobId, Origin),
        terms: &Terms,
        writes: Vec<(String, Bytes)>,
        part: Part,
    ) -> Result<NewJob> {
        let task = T::DEFINITION;
        let bytes = codec::encode(args)?;
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner).contains(task.name);
        if !proven {
            codec::decode::<T>(&bytes).map_err(|error| {
                let text = format!(
                    "the arguments of `{}` can be written but not read back: {error}; a type whose form is only known \
                     while it is read, such as `serde_json::Value` or an untagged enum, cannot be stored: pass it as a \
                     `String`",
                    task.name
                );
                Error::new(ErrorKind::Codec, text)
            })?;
            self.proven.lock().unwrap_or_else(PoisonError::into_inner).insert(task.name);
        }
        let unique = unique_key(terms, |rule| rule.of(args), task.lasting_name())?;
        let mut limits = limits(terms, args, task.lasting_name())?;
        // No time passes there in which so many may begin.
        limits.retain(|limit| !(self.is_immediate() && matches!(limit.kind, LimitKind::Rate { .. })));
        let stored = StoredArgs { task: task.name, form: task.form(), bytes: &bytes };
        new_job(stored, (id, origin), terms, (unique, limits), writes, part)
    }

    /// What is stored of a step that fits no task of this program: as it is, past all hooks, to be parked when it is picked
    /// up.
    pub(super) fn pack_unfit(
        &self,
        stored: StoredArgs<'_>,
        choices: Choices,
        origin: Origin,
        part: Part,
    ) -> Result<Staged> {
        let now = self.storage.clock().now();
        let id = match part.id {
            Some(id) => id,
            None => self.next_id(now)?,
        };
        let terms = Terms::settle(choices, &self.defaults, now);
        let notice = Notice::new(id, stored.task.to_owned(), origin, &terms, now);
        let unique = unique_key(&terms, |_| None, stored.task)?;
        let job = new_job(stored, (id, origin), &terms, (unique, Vec::new()), Vec::new(), part)?;
        Ok(Staged { job, after: After { callbacks: Vec::new(), notice } })
    }

    /// A hook that points to a job which cannot stand for this one has refused it.
    fn check_existing(&self, id: JobId, hook: &str, task: &Definition) -> Result<()> {
        let reason = match self.storage.read(Query::Job(id))? {
            Answer::Job(Ok(row)) if task.is_named(&row.task) => return Ok(()),
            Answer::Job(Ok(row)) => format!("it pointed to {id}, which is a job of `{}`", row.task),
            Answer::Job(Err(Missing::Gone)) => format!("it pointed to {id}, which is gone"),
            _ => format!("it pointed to {id}, which never existed"),
        };
        Err(refusal(hook, task.name, reason))
    }

    /// Waits until what is already there is as durable as asked.
    fn await_level(&self, durability: Durability) -> Result<()> {
        self.storage.commit(Transition::Heartbeat(Vec::new()), Commit { durability, hold: false })?;
        Ok(())
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
        for ((index, after), placed) in std::mem::take(&mut flight.afters).into_iter().zip(placed) {
            let id = after.notice.id;
            let enqueued = match placed {
                Placed::Existing(existing) => self.deduplicated(after, existing),
                placed => {
                    replaced.extend(self.stored(after, placed));
                    Enqueued { id, is_new: true }
                }
            };
            flight.land(index, enqueued);
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
    pub(crate) fn stored(&self, after: After, placed: Placed) -> Option<Discarded> {
        let id = after.notice.id;
        let notice = after.settle(&EnqueueOutcome::Stored(id));
        let replaced = if let Placed::Replaced(old) = placed { Some(*old) } else { None };
        if let Some(old) = &replaced {
            emit_discarded(&self.signals, old, self.storage.clock().now());
        }
        self.tell_stored(&notice);
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

fn refusal(hook: &str, task: &str, reason: String) -> Error {
    let text = format!("the hook `{hook}` refused to enqueue `{task}`: {reason}");
    Error::new(ErrorKind::Refused { hook: hook.to_owned(), reason }, text)
}

/// The job as it is stored.
fn new_job(
    stored: StoredArgs<'_>,
    (id, origin): (JobId, Origin),
    terms: &Terms,
    (unique, limits): (Option<UniqueKey>, Vec<Limit>),
    writes: Vec<(String, Bytes)>,
    part: Part,
) -> Result<NewJob> {
    let head = Head::new(stored.form, origin, terms.retries, terms.timeout, terms.headers.clone());
    Ok(NewJob {
        id,
        task: stored.task.to_owned(),
        queue: terms.queue.clone().into_owned(),
        priority: terms.priority,
        run_at: terms.run_at,
        expires: terms.expires,
        durability: terms.durability,
        at_most_once: terms.delivery == Delivery::AtMostOnce,
        crash_limit: terms.crash_limit,
        unique,
        limits,
        writes,
        flow: part.flow,
        body: Body { head: head.encode()?.into(), args: stored.bytes.to_vec().into(), rest: part.rest },
    })
}
