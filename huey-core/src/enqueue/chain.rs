//! Chains: jobs that follow one another, each with what the one before it yields.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::flight::{Flight, Passed, Unstaged, only};
use super::pipeline::Pipeline;
use super::registration::{Registered, Registration};
use super::registry::{Registry, explain_missing};
use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result, TaskError};
use crate::id::JobId;
use crate::job::{Choices, Job, Origin, Step};
use crate::store::Flow;
use crate::task::{Continues, TakesFrom, Task};

/// The version of what is stored of the steps to come.
const VERSION: u8 = 1;

/// Jobs that follow one another: [`Job::then`] begins one. `T` is the task of its last step.
///
/// Only one step is a job at a time; the next is stored in the commit that settles the one before it, and passes the hooks
/// then. If a step ends otherwise than complete, the later ones are canceled, with the cause.
///
/// ```no_run
/// # use huey_core::{Huey, __private::Continues, Job, Registered, Result, Step};
/// # fn show<fetch, count>(huey: &Huey, fetch: Job<fetch>, count: Step<count>) -> Result<()>
/// # where fetch: Registered, count: Registered + Continues, Step<count>: huey_core::Follows<fetch, fetch::Output> {
/// let chain = fetch.then(count).enqueue(huey)?;
/// println!("{:?}", chain.ids());
/// # Ok(())
/// # }
/// ```
#[must_use = "a chain does nothing until it is enqueued"]
pub struct Chain<T> {
    steps: Vec<Planned>,
    on_error: Option<Planned>,
    last: PhantomData<fn() -> T>,
}

/// A step that is not stored yet.
pub struct Planned {
    registration: &'static Registration,
    /// Whether what the step before yields stands in front of the arguments.
    takes: bool,
    args: Result<Vec<u8>>,
    choices: Choices,
}

/// What can follow a job of the task `Prev`, which yields an `Output`: a [`Step`] that takes that first, or any [`Job`], which
/// ignores it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot follow the task `{Prev}`, which yields `{Output}`",
    label = "this step takes another type first",
    note = "a step `task::with(..)` takes what the step before yields as the first argument of its task; \
            `then(task::job(..))` ignores what that yields"
)]
pub trait Follows<Prev, Output> {
    /// The task of the step.
    type Task: Registered;

    #[doc(hidden)]
    fn planned(self) -> Planned;
}

impl<Prev, Output, U: Registered + Continues + TakesFrom<Prev, Output>> Follows<Prev, Output> for Step<U> {
    type Task = U;

    fn planned(self) -> Planned {
        Planned { registration: U::REGISTRATION, takes: true, args: codec::encode(&self.rest), choices: self.choices }
    }
}

impl<Prev, Output, U: Registered> Follows<Prev, Output> for Job<U> {
    type Task = U;

    fn planned(self) -> Planned {
        Planned { registration: U::REGISTRATION, takes: false, args: codec::encode(&self.args), choices: self.choices }
    }
}

impl<T: Registered> Job<T> {
    /// Begins a chain: `next` runs once this job is complete. A [`Step`], `task::with(..)`, takes what this one yields as its
    /// first argument; a `Job` ignores it.
    pub fn then<N: Follows<T, T::Output>>(self, next: N) -> Chain<N::Task> {
        let first = <Self as Follows<T, T::Output>>::planned(self);
        Chain { steps: vec![first, next.planned()], on_error: None, last: PhantomData }
    }

    /// Makes `next` follow should this job be dead; see [`Chain::on_error`].
    pub fn on_error<N: Follows<T, TaskError>>(self, next: N) -> Chain<T> {
        let first = <Self as Follows<T, T::Output>>::planned(self);
        Chain { steps: vec![first], on_error: Some(next.planned()), last: PhantomData }
    }
}

impl<T: Registered> Chain<T> {
    /// Adds a step behind the last.
    pub fn then<N: Follows<T, T::Output>>(mut self, next: N) -> Chain<N::Task> {
        self.steps.push(next.planned());
        Chain { steps: self.steps, on_error: self.on_error, last: PhantomData }
    }

    /// Makes `next` follow should a step be dead: once, and in the commit that says so. A [`Step`], `task::with(..)`, takes the
    /// [`TaskError`] as its first argument; a [`Job`] does without. Other endings have no follow-up.
    ///
    /// It is a job of its own, with the origin [`ErrorFollowUp`](Origin::ErrorFollowUp), and passes the hooks.
    pub fn on_error<N: Follows<T, TaskError>>(mut self, next: N) -> Self {
        self.on_error = Some(next.planned());
        self
    }

    pub(crate) fn into_steps(self) -> (Vec<Planned>, Option<Planned>) {
        (self.steps, self.on_error)
    }
}

impl<T: Task> fmt::Debug for Chain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.steps.iter().map(|step| step.registration.task.name).collect();
        f.debug_tuple("Chain").field(&names).finish()
    }
}

/// The steps to come, as they are stored with the job whose turn it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tail {
    version: u8,
    /// Their ids' counters follow this one.
    at: JobId,
    steps: Vec<StoredStep>,
    on_error: Option<StoredStep>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredStep {
    task: String,
    takes: bool,
    args: Bytes,
    choices: Choices,
}

/// Where a job stands in a chain.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Its id, if that was given out before.
    pub(super) id: Option<JobId>,
    pub(super) flow: Option<Flow>,
    pub(super) rest: Bytes,
}

impl Tail {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes.first() {
            Some(&VERSION) => codec::decode(bytes),
            _ => Err(Error::new(ErrorKind::Codec, "the steps to come were stored by another version of huey")),
        }
    }

    /// What the job at `self.at` is stored with.
    fn part(&self, keep: std::time::Duration) -> Result<Part> {
        let tasks = self.steps.iter().map(|step| step.task.clone()).collect();
        let follow_up = self.on_error.is_some();
        let is_over = self.steps.is_empty() && !follow_up;
        let rest = if is_over { Bytes::default() } else { codec::encode(self)?.into() };
        Ok(Part { id: Some(self.at), flow: Some(Flow { tasks, keep, follow_up }), rest })
    }
}

impl Pipeline {
    /// Takes the first step of a chain all the way; gives the ids of all.
    pub(crate) fn enqueue_chain(
        &self,
        steps: Vec<Planned>,
        on_error: Option<Planned>,
        origin: Origin,
    ) -> Result<Vec<JobId>> {
        let now = self.storage.clock().now();
        let ids = self.next_ids(now, steps.len())?;
        let mut steps = steps.into_iter();
        let (Some(first), Some(at)) = (steps.next(), ids.first()) else { return Ok(ids) };
        let stored = |step: Planned| {
            let (task, takes) = (step.registration.task.name.to_owned(), step.takes);
            Ok(StoredStep { task, takes, args: step.args?.into(), choices: step.choices })
        };
        let on_error = on_error.map(stored).transpose()?;
        let tail = Tail { version: VERSION, at: *at, steps: steps.map(stored).collect::<Result<_>>()?, on_error };
        let part = tail.part(self.keep())?;
        let passed = (first.registration.stage)(self, &first.args?, first.choices, origin, part)?;
        if let Passed::Existing(existing) = &passed {
            return Err(duplicate(existing.id));
        }
        let enqueued = self.fly(Flight::of_one(passed)).and_then(only)?;
        if enqueued.is_new { Ok(ids) } else { Err(duplicate(enqueued.id)) }
    }

    /// How long the record of a step is kept that is canceled with its chain.
    fn keep(&self) -> std::time::Duration {
        self.defaults.retention.unwrap_or(crate::job::KEEP)
    }

    /// Takes the next step of a chain through its hooks, with what the job before it yielded.
    pub(crate) fn next_step(
        &self,
        registry: &Registry,
        parent: JobId,
        mut tail: Tail,
        output: &[u8],
    ) -> Result<Option<Passed>, Unstaged> {
        if tail.steps.is_empty() {
            return Ok(None);
        }
        let step = tail.steps.remove(0);
        tail.at = tail.at.following();
        let Some(registration) = registry.find(&step.task) else {
            return Err(Error::new(ErrorKind::Setup, explain_missing(&step.task)).into());
        };
        let mut args = if step.takes { output.to_vec() } else { Vec::new() };
        args.extend_from_slice(&step.args);
        let part = tail.part(self.keep()).map_err(Unstaged::from)?;
        (registration.open)(self, &args, step.choices, Origin::Chain { parent }, part).map(Some)
    }
}

impl Pipeline {
    /// Takes the job that follows a dead step through its hooks, with the record of that.
    pub(crate) fn follow_up(
        &self,
        registry: &Registry,
        parent: JobId,
        tail: &Tail,
        error: &TaskError,
    ) -> Result<Option<Passed>, Unstaged> {
        let Some(step) = tail.on_error.clone() else { return Ok(None) };
        let Some(registration) = registry.find(&step.task) else {
            return Err(Error::new(ErrorKind::Setup, explain_missing(&step.task)).into());
        };
        let mut args = if step.takes { codec::encode(error)? } else { Vec::new() };
        args.extend_from_slice(&step.args);
        (registration.open)(self, &args, step.choices, Origin::ErrorFollowUp { parent }, Part::default()).map(Some)
    }
}

fn duplicate(of: JobId) -> Error {
    let text = format!("the first step of the chain is a duplicate of the job {of}, and no chain was stored");
    Error::new(ErrorKind::Conflict, text)
}
