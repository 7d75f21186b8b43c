//! The way of a job until it is to be stored: its terms, its hooks, and its stored form.

use crate::sync::atomic::Ordering;
use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::flight::{After, Notice, Passed, Staged, Unstaged, panic_text};
use super::hook::{Decision, EnqueueHook};
use super::keys::{limits, unique_key};
use super::pipeline::Pipeline;
use super::registration::{Registered, Registration};
use super::request::EnqueueRequest;
use super::tail::Part;
use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Choices, Head, Job, Origin, Terms};
use crate::store::{Answer, Body, Commit, Limit, LimitKind, Missing, NewJob, Query, Transition, UniqueKey};
use crate::task::{Definition, Delivery, Durability, Form, Options, StoredArgs, Task};
use crate::time::Timestamp;

/// What is the same for all jobs of a task that are staged in one call.
pub(super) struct Staging<'a> {
    pipeline: &'a Pipeline,
    registration: &'static Registration,
    origin: Origin,
    /// When they are made.
    now: Timestamp,
    /// What holds where their caller does not choose.
    options: Options,
    hooks: Vec<&'a dyn EnqueueHook>,
    envelope: Envelope,
}

/// The envelope that was encoded last: of jobs that are staged together most have the same.
#[derive(Default)]
struct Envelope(Option<(Head, Vec<u8>)>);

impl Envelope {
    fn encode(&mut self, head: Head) -> Result<Vec<u8>> {
        match &self.0 {
            Some((last, bytes)) if *last == head => Ok(bytes.clone()),
            _ => {
                let bytes = head.encode()?;
                Ok(self.0.insert((head, bytes)).1.clone())
            }
        }
    }
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

impl<'a> Staging<'a> {
    pub(super) fn of<T: Registered>(pipeline: &'a Pipeline, origin: Origin) -> Self {
        let registration = T::REGISTRATION;
        let mut hooks: Vec<&dyn EnqueueHook> = pipeline.hooks.iter().map(|hook| &**hook).collect();
        if let Some(decorator) = registration.decorator {
            decorator.each_hook(&mut |hook| hooks.push(hook));
        }
        hooks.extend(registration.hooks);
        Self {
            pipeline,
            registration,
            origin,
            now: pipeline.storage.clock().now(),
            options: registration.options().or(pipeline.defaults),
            hooks,
            envelope: Envelope::default(),
        }
    }

    /// Runs the hooks. What is owed for a refusal or an existing job is left to the caller.
    pub(super) fn open<T: Registered>(&mut self, job: Job<T>, part: Part) -> Result<Passed, Unstaged> {
        let Job { mut args, choices } = job;
        let id = match part.id {
            Some(id) => id,
            None => self.pipeline.next_id(self.now).map_err(Unstaged::from)?,
        };
        let mut terms = Terms::settle(choices, &self.options, self.now);
        let (mut writes, mut callbacks) = (Vec::new(), Vec::new());
        let verdict = self.run_hooks(&mut EnqueueRequest {
            id,
            origin: self.origin,
            task: self.registration.task,
            args: Some(&mut args as &mut dyn Any),
            terms: &mut terms,
            now: self.now,
            writes: &mut writes,
            callbacks: &mut callbacks,
        });
        let notice = Notice::new(id, self.registration.task.name, self.origin, &terms, self.now);
        let after = After { callbacks, notice };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Go => Ok(Ok(self.pack(&args, id, terms, writes, part)?)),
            Verdict::Existing { id, hook } => {
                self.pipeline.check_existing(id, hook, self.registration.task)?;
                self.pipeline.await_level(terms.durability)?;
                Ok(Err(id))
            }
        });
        match verdict {
            Ok(Ok(job)) => Ok(Passed::Staged(Staged { job, after })),
            Ok(Err(existing)) => Ok(Passed::Found(existing, Box::new(after))),
            Err(error) => Err(Unstaged { error, after: Some(Box::new(after)) }),
        }
    }

    fn run_hooks(&self, request: &mut EnqueueRequest<'_>) -> Result<Verdict> {
        for hook in &self.hooks {
            let decided = catch_unwind(AssertUnwindSafe(|| hook.on_enqueue(request)));
            let reason = match decided {
                Ok(Ok(Decision::Go)) => continue,
                Ok(Ok(Decision::Existing(id))) => return Ok(Verdict::Existing { id, hook: hook.name() }),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => format!("it panicked: {}", panic_text(&*panic)),
            };
            return Err(refusal(hook.name(), self.registration.task.name, reason));
        }
        Ok(Verdict::Go)
    }

    /// What is stored. The first job of each task is decoded back: what serde writes, bincode cannot always read.
    fn pack<T: Task>(
        &mut self,
        args: &T,
        id: JobId,
        terms: Terms,
        writes: Vec<(String, Bytes)>,
        part: Part,
    ) -> Result<NewJob> {
        let task = T::DEFINITION;
        let bytes = codec::encode(args)?;
        let is_proven = &self.registration.is_proven;
        if !is_proven.load(Ordering::Relaxed) {
            codec::decode::<T>(&bytes).map_err(|error| {
                let text = format!(
                    "the arguments of `{}` can be written but not read back: {error}; a type whose form is only known \
                     while it is read, such as `serde_json::Value` or an untagged enum, cannot be stored: pass it as a \
                     `String`",
                    task.name
                );
                Error::new(ErrorKind::Codec, text)
            })?;
            is_proven.store(true, Ordering::Relaxed);
        }
        let unique = unique_key(&terms, |rule| rule.of(args), task.lasting_name())?;
        let mut limits = limits(&terms, args, task.lasting_name())?;
        // No time passes there in which so many may begin.
        limits.retain(|limit| !(self.pipeline.is_immediate() && matches!(limit.kind, LimitKind::Rate { .. })));
        let stored = Stored { task: Cow::Borrowed(task.name), form: task.form(), args: bytes };
        new_job(stored, (id, self.origin), &mut self.envelope, terms, (unique, limits), writes, part)
    }
}

impl Pipeline {
    /// As [`Staging::open`], of a job by itself.
    pub(super) fn open<T: Registered>(&self, job: Job<T>, origin: Origin, part: Part) -> Result<Passed, Unstaged> {
        Staging::of::<T>(self, origin).open(job, part)
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
        let stored =
            Stored { task: Cow::Owned(stored.task.to_owned()), form: stored.form, args: stored.bytes.to_vec() };
        let keys = (unique, Vec::new());
        let job = new_job(stored, (id, origin), &mut Envelope::default(), terms, keys, Vec::new(), part)?;
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
}

fn refusal(hook: &str, task: &str, reason: String) -> Error {
    let text = format!("the hook `{hook}` refused to enqueue `{task}`: {reason}");
    Error::new(ErrorKind::Refused { hook: hook.to_owned(), reason }, text)
}

/// Encoded arguments and what they are those of.
struct Stored {
    task: Cow<'static, str>,
    form: Form,
    args: Vec<u8>,
}

/// The job as it is stored.
fn new_job(
    stored: Stored,
    (id, origin): (JobId, Origin),
    envelope: &mut Envelope,
    terms: Terms,
    (unique, limits): (Option<UniqueKey>, Vec<Limit>),
    writes: Vec<(String, Bytes)>,
    part: Part,
) -> Result<NewJob> {
    let head = Head::new(stored.form, origin, terms.retries, terms.timeout, terms.headers);
    Ok(NewJob {
        id,
        task: stored.task,
        queue: terms.queue,
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
        body: Body { head: envelope.encode(head)?.into(), args: stored.args.into(), rest: part.rest },
    })
}
