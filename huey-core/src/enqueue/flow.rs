//! Flows on their way in: the jobs that they begin with, stored in one commit together with what is to follow.

use super::chain::{DEPTH, First, Plan, Planned};
use super::flight::{Enqueued, Flight, Passed};
use super::pipeline::Pipeline;
use super::request::EnqueueOutcome;
use super::tail::{Part, Tail};
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Origin, Terms};
use crate::store::NewChord;
use crate::task::Definition;
use crate::time::Timestamp;

/// A flow that is stored: the ids of its jobs.
#[derive(Debug)]
pub(crate) struct Stored {
    /// All of them, in the order of declaration.
    pub(crate) ids: Vec<JobId>,
    /// If it begins with a group, the last job of each member.
    pub(crate) members: Vec<JobId>,
    pub(crate) last: Enqueued,
    /// The task of the last.
    pub(crate) task: &'static Definition,
    /// The place of the last among those that are stored together, if it is.
    place: Option<usize>,
}

/// What the parts of one flow share on their way in.
struct Laying<'a> {
    pipeline: &'a Pipeline,
    now: Timestamp,
    ids: std::vec::IntoIter<JobId>,
    flight: Flight,
}

impl Pipeline {
    /// Takes the first jobs of a flow all the way.
    pub(crate) fn enqueue_flow(&self, plan: Plan, origin: Origin) -> Result<Stored> {
        self.lay_all(vec![plan], origin, true)?.pop().ok_or_else(|| Error::damaged("a flow has no jobs"))
    }

    /// Takes the members of a group without a callback all the way.
    pub(crate) fn enqueue_group(&self, members: Vec<Plan>) -> Result<Vec<Stored>> {
        self.lay_all(members, Origin::GroupMember, false)
    }

    fn lay_all(&self, plans: Vec<Plan>, origin: Origin, in_flow: bool) -> Result<Vec<Stored>> {
        if plans.iter().any(|plan| plan.depth > DEPTH) {
            let text =
                format!("groups stand in groups more than {DEPTH} deep: let some of them follow one another instead");
            return Err(Error::new(ErrorKind::BadInput, text));
        }
        let outermost = self.outermost();
        let now = self.storage.clock().now();
        let ids = self.next_ids(now, plans.iter().map(Plan::ids).sum())?.into_iter();
        let mut laying = Laying { pipeline: self, now, ids, flight: Flight::default() };
        let mut all = Vec::with_capacity(plans.len());
        for (index, plan) in plans.into_iter().enumerate() {
            match laying.lay(plan, origin, in_flow) {
                Ok(stored) => all.push(stored),
                Err(error) => {
                    let error = if in_flow { error } else { error.of_member(index) };
                    laying.flight.fail(&EnqueueOutcome::Failed(error.to_string()));
                    return Err(error);
                }
            }
        }
        let landed = self.fly(laying.flight)?;
        for stored in &mut all {
            // One that is in no flow may have been answered with another.
            if let Some(answer) = stored.place.and_then(|place| landed.get(place)) {
                stored.last = *answer;
            }
        }
        if let Some(outermost) = outermost {
            let ids: Vec<JobId> = all.iter().flat_map(|stored| &stored.ids).copied().collect();
            outermost.run(&ids);
        }
        Ok(all)
    }
}

impl Laying<'_> {
    fn next_id(&mut self) -> Result<JobId> {
        self.ids.next().ok_or_else(|| Error::damaged("too few ids were set aside for a flow"))
    }

    /// Takes the jobs that a flow begins with through their hooks.
    fn lay(&mut self, plan: Plan, origin: Origin, in_flow: bool) -> Result<Stored> {
        let Plan { first, steps, on_error, .. } = plan;
        match first {
            First::Job(job) => self.lay_job(job, steps, on_error, origin, in_flow),
            First::Group { members, settled } => self.lay_chord(members, settled, steps, on_error),
        }
    }

    fn lay_job(
        &mut self,
        job: Planned,
        steps: Vec<Planned>,
        on_error: Option<Planned>,
        origin: Origin,
        in_flow: bool,
    ) -> Result<Stored> {
        let at = self.next_id()?;
        let mut ids = vec![at];
        for _ in &steps {
            ids.push(self.next_id()?);
        }
        let task = steps.last().map_or(job.registration.task, |step| step.registration.task);
        let place = steps.is_empty().then(|| self.flight.len());
        let in_flow = in_flow || !steps.is_empty() || on_error.is_some();
        let part = if in_flow {
            Tail::new(at, steps, on_error)?.part(self.pipeline.keep())?
        } else {
            Part { id: Some(at), ..Part::default() }
        };
        let passed = (job.registration.stage)(self.pipeline, &job.args?, job.choices, origin, part)?;
        if let Passed::Existing(existing) = &passed
            && in_flow
        {
            let text =
                format!("a job that the flow begins with is a duplicate of {}, and nothing was stored", existing.id);
            return Err(Error::new(ErrorKind::Conflict, text));
        }
        self.flight.add(passed);
        let last = ids.last().copied().unwrap_or(at);
        Ok(Stored { ids, members: Vec::new(), last: Enqueued { id: last, is_new: true }, task, place })
    }

    fn lay_chord(
        &mut self,
        members: Vec<Plan>,
        settled: bool,
        steps: Vec<Planned>,
        on_error: Option<Planned>,
    ) -> Result<Stored> {
        let (mut ids, mut ends) = (Vec::new(), Vec::with_capacity(members.len()));
        for (index, member) in members.into_iter().enumerate() {
            let stored = self.lay(member, Origin::GroupMember, true).map_err(|error| error.of_member(index))?;
            ids.extend(stored.ids);
            ends.push(stored.last.id);
        }
        let id = self.next_id()?;
        let (Some(callback), Some(last)) = (steps.first(), steps.last()) else {
            return Err(Error::damaged("a chord has no callback"));
        };
        let task = last.registration.task;
        let options = callback.registration.options().or(self.pipeline.defaults);
        let terms = Terms::settle(callback.choices.clone(), &options, self.now);
        for _ in &steps {
            ids.push(self.next_id()?);
        }
        let Part { flow, rest, .. } = Tail::new(id, steps, on_error)?.part(self.pipeline.keep())?;
        self.flight.add_chord(NewChord {
            id,
            members: ends.iter().map(|end| end.counter()).collect(),
            settled,
            queue: terms.queue.into_owned(),
            durability: terms.durability,
            crash_limit: terms.crash_limit,
            flow: flow.unwrap_or_default(),
            rest,
        });
        let last = ids.last().copied().unwrap_or(id);
        Ok(Stored { ids, members: ends, last: Enqueued { id: last, is_new: true }, task, place: None })
    }
}
