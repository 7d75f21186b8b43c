//! Queues as a whole: which are paused, and what they hold.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::Decided;
use super::item::{Effect, Item, Key};
use super::state::{State, Tally};
use crate::store::{Counts, Outcome, QueueInfo};

pub(super) fn pause(state: &State, queue: String, paused: bool) -> Decided {
    let was = state.paused.contains_key(&queue);
    let effect = match (was, paused) {
        (false, true) => Some(Effect::Put(Item::Pause { queue })),
        (true, false) => Some(Effect::Drop(Key::Pause(queue))),
        _ => None,
    };
    Decided { effects: effect.into_iter().collect(), outcome: Some(Outcome::Paused(was)), ..Decided::default() }
}

/// The numbers of the queues of a claim that give out jobs.
pub(super) fn open(state: &State, queues: &[String]) -> Vec<u32> {
    if queues.is_empty() {
        return every_open(state);
    }
    let open = queues.iter().filter(|queue| !state.paused.contains_key(*queue));
    open.filter_map(|queue| state.names.number(queue)).collect()
}

/// All that hold a job which may be claimed, that of the first such job first.
fn every_open(state: &State) -> Vec<u32> {
    let first = |queue: &u32| state.ready.lanes(*queue).filter_map(|(_, turns)| turns.first()).min();
    let mut queues = state.ready.queues();
    queues.retain(|queue| !state.paused.contains_key(&*state.names.text(*queue)));
    queues.sort_by_key(first);
    queues
}

pub(super) fn rows(state: &State) -> Vec<QueueInfo> {
    let mut queues: BTreeMap<Arc<str>, Counts> = BTreeMap::new();
    for ((queue, _), tally) in state.tallies.iter().filter(|(_, tally)| **tally != Tally::default()) {
        tally.add_to(queues.entry(state.names.text(*queue)).or_default());
    }
    for queue in state.paused.keys() {
        queues.entry(Arc::from(queue.as_str())).or_default();
    }
    let row = |(name, counts): (Arc<str>, _)| QueueInfo { paused: state.paused.contains_key(&*name), name, counts };
    queues.into_iter().map(row).collect()
}
