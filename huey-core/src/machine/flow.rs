//! Chains: the later steps of a job, which are no jobs yet. Their ids follow that of the job whose turn it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Fetch;
use super::claim::end_of;
use super::decide::{self, Decided, Refusal};
use super::item::{Effect, FlowItem, Item, Key};
use super::place::Place;
use super::state::State;
use super::work::{Phase, WorkItem};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Discarded, Ended, Flow, NewJob, Next, Placed, StorageError};
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
        Next::Refused { cause } => cause,
        Next::Job(job) => {
            let job: NewJob = *job;
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
    Ok((None, fail(state, parent, &refused, now, decided)))
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

/// A job ended otherwise than well: the later steps are canceled.
pub(super) fn fail(state: &State, counter: u64, cause: &str, now: Timestamp, decided: &mut Decided) -> Vec<Discarded> {
    let Some(flow) = state.flows.of_job(counter) else { return Vec::new() };
    decided.effects.push(Effect::Drop(Key::Flow(flow.last)));
    (counter + 1..=flow.last)
        .map(|step| {
            let item = WorkItem { phase: Phase::Canceled, ..flow.step(step, now) };
            let ended = Ended { cause: Some(cause.to_owned()), ..Ended::default() };
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
        .collect()
}
