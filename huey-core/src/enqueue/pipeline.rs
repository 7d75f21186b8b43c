//! The way of every job into the queue: hooks, one commit, what follows it.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::hook::{Decision, EnqueueHook};
use super::registration::{Registered, Registration};
use super::request::{Callback, EnqueueOutcome, EnqueueRequest};
use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Head, Job, Origin, Terms};
use crate::signal::{Signal, SignalKind, Signals, Waiters, WorkerMark};
use crate::store::{Answer, Body, Commit, Missing, NewJob, Outcome, Query, Storage, StorageError, Transition};
use crate::task::{Delivery, Durability, Options, Task};
use crate::time::Timestamp;

/// How many counters are set aside at a time.
const IDS: u32 = 1024;

/// What jobs pass on their way in. One for each open queue.
pub(crate) struct Pipeline {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) signals: Arc<Signals>,
    waiters: Waiters,
    hooks: Vec<Box<dyn EnqueueHook>>,
    /// What holds where nothing nearer says otherwise.
    pub(crate) defaults: Options,
    ids: Mutex<Ids>,
    /// Tasks whose arguments have been decoded back once.
    proven: Mutex<HashSet<&'static str>>,
}

#[derive(Default)]
struct Ids {
    next: u64,
    end: u64,
    salt: u32,
}

/// A job that passed the hooks.
pub(crate) struct Staged {
    job: NewJob,
    writes: Vec<(String, Bytes)>,
    after: After,
}

/// What is owed once the outcome is known.
struct After {
    callbacks: Vec<Callback>,
    notice: Notice,
}

/// What the signals of an enqueue tell.
struct Notice {
    id: JobId,
    task: &'static str,
    queue: Cow<'static, str>,
    origin: Origin,
    headers: Vec<(String, String)>,
    run_at: Timestamp,
    delayed: bool,
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

/// The id that a caller gets, and whether its job is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enqueued {
    pub(crate) id: JobId,
    pub(crate) is_new: bool,
}

impl Pipeline {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        signals: Arc<Signals>,
        waiters: Waiters,
        hooks: Vec<Box<dyn EnqueueHook>>,
        defaults: Options,
    ) -> Self {
        Self { storage, signals, waiters, hooks, defaults, ids: Mutex::default(), proven: Mutex::default() }
    }

    /// Takes one job all the way: returns once it is stored at its level and announced.
    pub(crate) fn enqueue<T: Registered>(&self, job: Job<T>, origin: Origin) -> Result<Enqueued> {
        match self.stage(job, origin)? {
            Passed::Existing(enqueued) => Ok(enqueued),
            Passed::Staged(staged) => {
                let (transition, how, after) = self.commit_of(*staged);
                let outcome = self.storage.commit(transition, how);
                self.finish(after, outcome, how)
            }
        }
    }

    /// As [`enqueue`](Self::enqueue), but calls `done` from another thread; staging happens here.
    pub(crate) fn submit<T: Registered>(
        self: &Arc<Self>,
        job: Job<T>,
        origin: Origin,
        done: impl FnOnce(Result<Enqueued>) + Send + 'static,
    ) {
        match self.stage(job, origin) {
            Err(error) => done(Err(error)),
            Ok(Passed::Existing(enqueued)) => done(Ok(enqueued)),
            Ok(Passed::Staged(staged)) => {
                let (transition, how, after) = self.commit_of(*staged);
                let pipeline = Arc::clone(self);
                let told = move |outcome| {
                    // Receivers run on the thread that settles come from.
                    let _mark = WorkerMark::new(pipeline.waiters.key());
                    done(pipeline.finish(after, outcome, how));
                };
                self.storage.submit(transition, how, Box::new(told));
            }
        }
    }

    /// Runs the hooks. A refusal and an existing job end here, with all that is owed.
    fn stage<T: Registered>(&self, job: Job<T>, origin: Origin) -> Result<Passed> {
        let registration = T::REGISTRATION;
        let Job { mut args, choices } = job;
        let now = self.storage.clock().now();
        let id = self.next_id(now)?;
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
            Verdict::Go => Ok(Ok(self.pack(&args, id, origin, &terms)?)),
            Verdict::Existing { id, hook } => {
                self.check_existing(id, hook, registration.task.name)?;
                self.await_level(terms.durability)?;
                Ok(Err(id))
            }
        });
        match verdict {
            Ok(Ok(job)) => Ok(Passed::Staged(Box::new(Staged { job, writes, after }))),
            Ok(Err(existing)) => {
                let notice = after.settle(&EnqueueOutcome::Existing(existing));
                self.announce(&notice, SignalKind::Deduplicated, existing, None);
                Ok(Passed::Existing(Enqueued { id: existing, is_new: false }))
            }
            Err(error) => {
                self.refuse(after, &error);
                Err(error)
            }
        }
    }

    fn refuse(&self, after: After, error: &Error) {
        match error.refused_by() {
            Some((hook, reason)) => {
                let outcome = EnqueueOutcome::Refused { hook: hook.to_owned(), reason: reason.to_owned() };
                let notice = after.settle(&outcome);
                let cause = format!("rejected by {hook}: {reason}");
                self.announce(&notice, SignalKind::Rejected, notice.id, Some(cause.into()));
            }
            None => drop(after.settle(&EnqueueOutcome::Failed(error.to_string()))),
        }
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
    fn pack<T: Task>(&self, args: &T, id: JobId, origin: Origin, terms: &Terms) -> Result<NewJob> {
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
        let head = Head::new(task.signature, origin, terms.retries, terms.timeout, terms.headers.clone());
        Ok(NewJob {
            id,
            task: task.name.to_owned(),
            queue: terms.queue.clone().into_owned(),
            priority: terms.priority,
            run_at: terms.run_at,
            expires: terms.expires,
            durability: terms.durability,
            at_most_once: terms.delivery == Delivery::AtMostOnce,
            crash_limit: terms.crash_limit,
            body: Body { head: head.encode()?.into(), args: bytes.into() },
        })
    }

    /// A hook that points to a job which cannot stand for this one has refused it.
    fn check_existing(&self, id: JobId, hook: &str, task: &str) -> Result<()> {
        let reason = match self.storage.read(Query::Job(id))? {
            Answer::Job(Ok(row)) if *row.task == *task => return Ok(()),
            Answer::Job(Ok(row)) => format!("it pointed to {id}, which is a job of `{}`", row.task),
            Answer::Job(Err(Missing::Gone)) => format!("it pointed to {id}, which is gone"),
            _ => format!("it pointed to {id}, which never existed"),
        };
        Err(refusal(hook, task, reason))
    }

    /// Waits until what is already there is as durable as asked.
    fn await_level(&self, durability: Durability) -> Result<()> {
        self.storage.commit(Transition::Heartbeat(Vec::new()), Commit { durability, hold: false })?;
        Ok(())
    }

    fn commit_of(&self, staged: Staged) -> (Transition, Commit, After) {
        let hold = self.signals.hears(SignalKind::Enqueued) || self.signals.hears(SignalKind::Scheduled);
        let how = Commit { durability: staged.job.durability, hold: hold || !staged.after.callbacks.is_empty() };
        (Transition::Enqueue { jobs: vec![staged.job], writes: staged.writes }, how, staged.after)
    }

    /// Tells everybody what came of a commit, and lets the job go.
    fn finish(&self, after: After, outcome: Result<Outcome, StorageError>, how: Commit) -> Result<Enqueued> {
        let id = after.notice.id;
        let told = match outcome {
            Ok(_) => EnqueueOutcome::Stored(id),
            Err(error) => {
                let error = Error::from(error);
                after.settle(&EnqueueOutcome::Failed(error.to_string()));
                return Err(error);
            }
        };
        let released = Release { storage: &*self.storage, id: how.hold.then_some(id) };
        let notice = after.settle(&told);
        self.announce(&notice, SignalKind::Enqueued, id, None);
        if notice.delayed {
            self.announce(&notice, SignalKind::Scheduled, id, None);
        }
        drop(released);
        Ok(Enqueued { id, is_new: true })
    }

    fn announce(&self, notice: &Notice, kind: SignalKind, id: JobId, cause: Option<Arc<str>>) {
        if !self.signals.hears(kind) {
            return;
        }
        self.signals.emit(Signal {
            kind,
            sequence: 0,
            id,
            task: notice.task.into(),
            queue: notice.queue.as_ref().into(),
            at: self.storage.clock().now(),
            origin: notice.origin,
            headers: notice.headers.clone().into(),
            run_at: Some(notice.run_at),
            attempt: 0,
            error: None,
            cause,
        });
    }

    fn next_id(&self, now: Timestamp) -> Result<JobId> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.next == ids.end {
            // Durable with the first job that carries one of them: the journal keeps the order.
            let how = Commit { durability: Durability::Relaxed, hold: false };
            match self.storage.commit(Transition::Reserve { count: IDS }, how)? {
                Outcome::Reserved { first, salt } => *ids = Ids { next: first, end: first + u64::from(IDS), salt },
                other => return Err(Error::damaged(format!("the storage answered a reservation with {other:?}"))),
            }
        }
        let id = JobId::new(now, ids.next, ids.salt);
        ids.next += 1;
        Ok(id)
    }
}

/// What staging came to.
enum Passed {
    Staged(Box<Staged>),
    Existing(Enqueued),
}

impl Notice {
    fn new(id: JobId, task: &'static str, origin: Origin, terms: &Terms, now: Timestamp) -> Self {
        Self {
            id,
            task,
            queue: terms.queue.clone(),
            origin,
            headers: terms.headers.clone(),
            run_at: terms.run_at,
            delayed: terms.run_at > now,
        }
    }
}

impl After {
    /// Runs the callbacks, the last one left first.
    fn settle(mut self, outcome: &EnqueueOutcome) -> Notice {
        for callback in std::mem::take(&mut self.callbacks).into_iter().rev() {
            if catch_unwind(AssertUnwindSafe(|| callback(outcome))).is_err() {
                tracing::error!(job = %self.notice.id, task = self.notice.task, "an after_commit callback panicked");
            }
        }
        self.notice
    }
}

fn refusal(hook: &str, task: &str, reason: String) -> Error {
    let text = format!("the hook `{hook}` refused to enqueue `{task}`: {reason}");
    Error::new(ErrorKind::Refused { hook: hook.to_owned(), reason }, text)
}

/// Lets a job go, however what follows its commit ends.
struct Release<'a> {
    storage: &'a dyn Storage,
    id: Option<JobId>,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.storage.release(&[id]);
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value that is no text".into())
}
