//! Chains: the later steps of a job, which are no jobs yet. Their ids follow that of the job whose turn it is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Fetch;
use super::chord;
use super::claim::end_of;
use super::decide::{self, Decided, Refusal};
use super::item::{Effect, FlowItem, Item, Key};
use super::place::Place;
use super::state::State;
use super::work::{Phase, WorkItem};
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Arrival, Discarded, Ended, Flow, NewJob, Next, Placed, StorageError};
use crate::time::Timestamp;

/// The chains whose last step has not been reached, by the counter of that.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Flows(BTreeMap<u64, (FlowItem, Place)>);

impl Flows {
    pub(super) fn put(&mut self, item: &FlowItem, home: Place) -> Place {
        let old = self.0.insert(item.last, (item.clone(), home));
        old.map(|(_, place)| place).unwrap_or_default()
    }

    pub(super) fn remove(&mut self, last: u64) -> Option<Place> {
        self.0.remove(&last).map(|(_, place)| place)
    }

    pub(super) fn home(&self, last: u64) -> Option<Place> {
        self.0.get(&last).map(|(_, place)| *place)
    }

    #[cfg(feature = "testing")]
    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.values().map(|(_, place)| *place)
    }

    /// The chain in which a counter waits for its turn.
    pub(super) fn of_step(&self, counter: u64) -> Option<&FlowItem> {
        let (_, (flow, _)) = self.0.range(counter..).next()?;
        (flow.first() <= counter).then_some(flow)
    }

    /// The chain whose turn it is at a job.
    pub(super) fn of_job(&self, counter: u64) -> Option<&FlowItem> {
        self.of_step(counter + 1).filter(|flow| flow.first() == counter + 1)
    }
}

impl FlowItem {
    /// The counter of the next step.
    fn first(&self) -> u64 {
        (self.last + 1).saturating_sub(self.tasks.len() as u64)
    }

    /// The counter of the job whose turn it is.
    pub(super) fn turn(&self) -> u64 {
        self.first().saturating_sub(1)
    }

    fn keep(&self) -> Duration {
        Duration::from_secs(self.keep)
    }

    /// The step of a counter, as it would be a job.
    pub(super) fn step(&self, counter: u64, now: Timestamp) -> WorkItem {
        let at = usize::try_from(counter.saturating_sub(self.first())).unwrap_or(usize::MAX);
        let task = self.tasks.get(at).copied().unwrap_or_default();
        WorkItem { made: self.made, task, queue: self.queue, at: now, ..WorkItem::unknown(counter) }
    }
}

/// The effects of storing a job that later steps wait for, or of its being the last one.
pub(super) fn begin(state: &State, job: JobId, queue: u32, flow: &Flow, decided: &mut Decided) {
    let last = job.counter() + flow.tasks.len() as u64;
    if flow.tasks.is_empty() {
        if state.flows.home(last).is_some() {
            decided.effects.push(Effect::Drop(Key::Flow(last)));
        }
        return;
    }
    let tasks = flow.tasks.iter().map(|task| decided.number(state, task)).collect();
    let (made, keep) = (decide::made(job), flow.keep.as_secs());
    decided.effects.push(Effect::Put(Item::Flow(FlowItem { last, made, queue, keep, tasks })));
}

/// What a step comes to whose turn has come: a job, or the end of the chain, and why.
pub(super) fn follow(
    state: &State,
    fetch: &dyn Fetch,
    parent: u64,
    next: Next,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<(Option<Placed>, Vec<Discarded>), Refusal> {
    let refused = match next {
        Next::Refused { cause } | Next::Failed { cause, .. } => cause,
        Next::Job(job) => {
            let mut job: NewJob = *job;
            let Some(flow) = state.flows.of_job(parent).filter(|flow| flow.first() == job.id.counter()) else {
                // It was canceled before its turn came.
                return Ok((None, Vec::new()));
            };
            if let Some(rest) = &mut job.flow {
                // Later ones may have been.
                rest.tasks.truncate(flow.tasks.len() - 1);
            }
            let before = decided.effects.len();
            match decide::place(state, fetch, vec![job], now, decided) {
                Ok(placed) => match placed.into_iter().next() {
                    Some(Placed::Existing(id)) => format!("duplicate of {id}"),
                    placed => return Ok((placed, Vec::new())),
                },
                Err(StorageError::Conflict { holder, .. }) => {
                    decided.effects.truncate(before);
                    format!("duplicate of {holder}")
                }
                Err(other) => return Err(other),
            }
        }
    };
    let why = Why { cause: refused, error: None };
    Ok((None, fail(state, parent, &why, now, decided)))
}

/// The job that follows one that is dead. If another holds its unique key, that stands for it.
pub(super) fn follow_up(
    state: &State,
    fetch: &dyn Fetch,
    job: NewJob,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Option<Placed>, Refusal> {
    let before = decided.effects.len();
    match decide::place(state, fetch, vec![job], now, decided) {
        Ok(placed) => Ok(placed.into_iter().next()),
        Err(StorageError::Conflict { holder, .. }) => {
            decided.effects.truncate(before);
            Ok(Some(Placed::Existing(holder)))
        }
        Err(other) => Err(other),
    }
}

/// Why the later steps of a job are not to be.
#[derive(Debug, Default)]
pub(super) struct Why {
    /// In words.
    pub(super) cause: String,
    /// The record of one that is dead.
    pub(super) error: Option<TaskError>,
}

impl Why {
    /// The job before them ended so.
    pub(super) fn ended(id: JobId, how: impl fmt::Display, error: Option<TaskError>) -> Self {
        Self { cause: format!("the step before, {id}, {how}"), error }
    }
}

/// A job ended otherwise than well: the later steps are canceled, and with them a member of a chord.
pub(super) fn fail(state: &State, counter: u64, why: &Why, now: Timestamp, decided: &mut Decided) -> Vec<Discarded> {
    let Some(flow) = state.flows.of_job(counter) else {
        arrive(state, counter, why, now, decided);
        return Vec::new();
    };
    decided.effects.push(Effect::Drop(Key::Flow(flow.last)));
    cancel_steps(state, flow, counter + 1, why, now, decided)
}

/// Cancels the steps of a chain from one of them on, before its turn has come. The steps before that go on.
pub(super) fn cut(
    state: &State,
    flow: &FlowItem,
    from: u64,
    why: &Why,
    now: Timestamp,
    decided: &mut Decided,
) -> Vec<Discarded> {
    decided.effects.push(Effect::Drop(Key::Flow(flow.last)));
    let left = usize::try_from(from.saturating_sub(flow.first())).unwrap_or(0);
    if let Some(tasks) = flow.tasks.get(..left).filter(|tasks| !tasks.is_empty()) {
        let left = FlowItem { last: from - 1, tasks: tasks.to_vec(), ..flow.clone() };
        decided.effects.push(Effect::Put(Item::Flow(left)));
    }
    cancel_steps(state, flow, from, why, now, decided)
}

fn cancel_steps(
    state: &State,
    flow: &FlowItem,
    from: u64,
    why: &Why,
    now: Timestamp,
    decided: &mut Decided,
) -> Vec<Discarded> {
    let ends = (from..=flow.last)
        .map(|step| {
            let item = WorkItem { phase: Phase::Canceled, ..flow.step(step, now) };
            let ended = Ended { cause: Some(why.cause.clone()), ..Ended::default() };
            decided.effects.push(end_of(item, ended.clone(), Bytes::default(), flow.keep(), now));
            decided.touched.push(step);
            Discarded {
                id: item.id(state.salt),
                task: state.names.text(item.task),
                queue: state.names.text(item.queue),
                state: JobState::Canceled,
                rescued: false,
                ended,
                head: Bytes::default(),
            }
        })
        .collect();
    arrive(state, flow.last, why, now, decided);
    ends
}

fn arrive(state: &State, last: u64, why: &Why, now: Timestamp, decided: &mut Decided) {
    let arrival = Arrival::Failed { cause: why.cause.clone(), error: why.error.clone() };
    chord::arrive(state, last, arrival, now, decided);
}
