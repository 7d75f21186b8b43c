//! Chains: jobs that follow one another, each with what comes before it.

use std::fmt;
use std::marker::PhantomData;

use super::registration::{Registered, Registration};
use crate::codec;
use crate::error::{Result, TaskError};
use crate::job::{Choices, Job, Step};
use crate::task::{Continues, TakesFrom, Task};

/// Jobs that follow one another: [`Job::then`] begins one, and so does [`Group::then`](super::Group::then). `T` is the task of
/// its last step.
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
    plan: Plan,
    last: PhantomData<fn() -> T>,
}

/// A flow that is not stored yet.
pub struct Plan {
    pub(super) first: First,
    pub(super) steps: Vec<Planned>,
    pub(super) on_error: Option<Planned>,
    /// How deep groups stand in groups.
    pub(super) depth: usize,
}

/// So deep may groups stand in groups.
pub(super) const DEPTH: usize = 64;

/// What a flow begins with.
pub(super) enum First {
    Job(Planned),
    Group {
        members: Vec<Plan>,
        /// Whether the callback is to be whatever becomes of them.
        settled: bool,
    },
}

/// A step that is not stored yet.
pub struct Planned {
    pub(super) registration: &'static Registration,
    /// Whether what comes before it stands in front of the arguments.
    pub(super) takes: bool,
    pub(super) args: Result<Vec<u8>>,
    pub(super) choices: Choices,
}

impl Plan {
    pub(super) fn of_job(job: Planned) -> Self {
        Self { first: First::Job(job), steps: Vec::new(), on_error: None, depth: 0 }
    }

    /// How many ids it takes: one for each job, and one for each chord.
    pub(super) fn ids(&self) -> usize {
        let first = match &self.first {
            First::Job(_) => 1,
            First::Group { members, .. } => members.iter().map(Self::ids).sum::<usize>() + 1,
        };
        first + self.steps.len()
    }
}

/// What can follow a job of the task `Prev`, which yields an `Output`: a [`Step`] that takes that first, or any [`Job`], which
/// ignores it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot follow `{Prev}`, which yields `{Output}`",
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
        Chain::of(self).then(next)
    }

    /// Makes `next` follow should this job be dead; see [`Chain::on_error`].
    pub fn on_error<N: Follows<T, TaskError>>(self, next: N) -> Chain<T> {
        Chain::of(self).on_error(next)
    }
}

impl<T: Registered> Chain<T> {
    fn of(job: Job<T>) -> Self {
        let plan = Plan::of_job(<Job<T> as Follows<T, T::Output>>::planned(job));
        Self { plan, last: PhantomData }
    }

    /// Begins with a group; `next` is its callback.
    pub(super) fn of_group(members: Vec<Plan>, settled: bool, next: Planned) -> Self {
        let depth = 1 + members.iter().map(|member| member.depth).max().unwrap_or(0);
        // One that is too deep is refused when it is enqueued, and must not fill the stack until then.
        let members = if depth > DEPTH { Vec::new() } else { members };
        let plan = Plan { first: First::Group { members, settled }, steps: vec![next], on_error: None, depth };
        Self { plan, last: PhantomData }
    }

    /// Adds a step behind the last.
    pub fn then<N: Follows<T, T::Output>>(mut self, next: N) -> Chain<N::Task> {
        self.plan.steps.push(next.planned());
        Chain { plan: self.plan, last: PhantomData }
    }

    /// Makes `next` follow should a step be dead, or a member of the group that the chain begins with: once, and in the commit
    /// that says so. A [`Step`], `task::with(..)`, takes the [`TaskError`] as its first argument; a [`Job`] does without.
    /// Other endings have no follow-up.
    ///
    /// It is a job of its own, with the origin [`ErrorFollowUp`](crate::Origin::ErrorFollowUp), and passes the hooks.
    pub fn on_error<N: Follows<T, TaskError>>(mut self, next: N) -> Self {
        self.plan.on_error = Some(next.planned());
        self
    }

    pub(crate) fn into_plan(self) -> Plan {
        self.plan
    }
}

impl<T: Task> fmt::Debug for Chain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.plan).finish()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        match &self.first {
            First::Job(job) => list.entry(&job.registration.task.name),
            First::Group { members, .. } => list.entry(members),
        };
        list.entries(self.steps.iter().map(|step| step.registration.task.name)).finish()
    }
}
