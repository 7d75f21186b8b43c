//! Groups: jobs side by side, and what follows all of them.

use std::fmt;
use std::marker::PhantomData;

use super::chain::{Chain, Follows, Plan};
use super::registration::Registered;
use crate::error::TaskError;
use crate::job::Job;
use crate::task::Task;

/// Jobs side by side that all yield an `O`: [`group`] makes one of many alike, [`Group::new`] one to add to. `By` is their task.
///
/// Alone, its jobs are stored together, all or none. With [`then`](Group::then) it is a chord: a callback is made once all its
/// members have ended, exactly once, and takes what they yield, in the order in which they were declared.
///
/// ```no_run
/// # use huey_core::{Follows, Group, Huey, Job, Registered, Result, Step, group};
/// # fn show<count: Registered<Output = u64>, sum: Registered>(huey: &Huey, pages: Vec<Job<count>>, total: Step<sum>) -> Result<()>
/// # where sum: huey_core::__private::Continues, Step<sum>: Follows<Group<u64, count>, Vec<u64>> {
/// let total = group(pages).then(total).enqueue(huey)?;
/// println!("the callback is {}", total.id());
/// # Ok(())
/// # }
/// ```
#[must_use = "a group does nothing until it is enqueued"]
pub struct Group<O, By = Mixed> {
    members: Vec<Plan>,
    of: PhantomData<fn() -> (O, By)>,
}

/// The tasks of a [`Group`] to which members of any task are added.
#[derive(Debug)]
pub enum Mixed {}

/// What can be in a group: a [`Job`], or a [`Chain`], which may begin with a group of its own. Its last job yields an `O`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a member of a group of jobs that yield `{O}`",
    label = "expected a job or a chain whose last step yields `{O}`"
)]
pub trait Member<O> {
    /// The task of its last job.
    type Task: Registered;

    #[doc(hidden)]
    fn plan(self) -> Plan;
}

impl<O, T: Registered + Task<Output = O>> Member<O> for Job<T> {
    type Task = T;

    fn plan(self) -> Plan {
        Plan::of_job(<Self as Follows<T, O>>::planned(self))
    }
}

impl<O, T: Registered + Task<Output = O>> Member<O> for Chain<T> {
    type Task = T;

    fn plan(self) -> Plan {
        self.into_plan()
    }
}

/// Jobs side by side, of one task; see [`Group`].
pub fn group<O, M: Member<O>>(members: impl IntoIterator<Item = M>) -> Group<O, M::Task> {
    Group { members: members.into_iter().map(Member::plan).collect(), of: PhantomData }
}

impl<O> Group<O> {
    /// A group without members, to which those of any task are added that yield an `O`.
    pub fn new() -> Self {
        Self { members: Vec::new(), of: PhantomData }
    }

    /// Adds a member behind the last.
    pub fn with(mut self, member: impl Member<O>) -> Self {
        self.members.push(member.plan());
        self
    }
}

impl<O> Default for Group<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O, By> Group<O, By> {
    /// Makes `callback` follow once all members are complete. A [`Step`](crate::Step), `task::with(..)`, takes what they yield
    /// as its first argument, a `Vec<O>` in the order of declaration; a [`Job`] ignores it.
    ///
    /// A member that ends otherwise than complete cancels the callback, with the cause; those that are left run on.
    pub fn then<N: Follows<Self, Vec<O>>>(self, callback: N) -> Chain<N::Task> {
        Chain::of_group(self.members, false, callback.planned())
    }

    /// Makes `callback` follow once all members have ended, whatever became of them. A [`Step`](crate::Step) takes that as its
    /// first argument, a `Vec<Result<O, TaskError>>` in the order of declaration.
    pub fn then_settled<N: Follows<Self, Vec<Result<O, TaskError>>>>(self, callback: N) -> Chain<N::Task> {
        Chain::of_group(self.members, true, callback.planned())
    }

    pub(crate) fn into_members(self) -> Vec<Plan> {
        self.members
    }
}

impl<O, By> fmt::Debug for Group<O, By> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Group").field(&self.members).finish()
    }
}
