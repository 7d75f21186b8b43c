//! The jobs that wait: by the instant at which they are due, and those that may be claimed, by queue and task.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::Lane;
use super::work::WorkItem;
use crate::time::Timestamp;

/// A place in a lane: higher priority first, then the order of enqueueing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

impl Turn {
    pub(crate) fn of(item: &WorkItem) -> Self {
        let urgency = (i32::from(i16::MAX) - i32::from(item.priority)).unsigned_abs();
        Self(u64::from(urgency) << 48 | item.counter & ((1 << 48) - 1))
    }

    pub(super) fn to_bits(self) -> u64 {
        self.0
    }

    pub(super) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn counter(self) -> u64 {
        self.0 & ((1 << 48) - 1)
    }
}

/// Waiting jobs. A lane holds the jobs of one task in one queue, so that a task whose jobs may not run now costs
/// nothing to pass over.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ready {
    lanes: BTreeMap<(u32, u32), Lane>,
    due: BTreeSet<(Timestamp, u64)>,
}

impl Ready {
    pub(crate) fn add_ready(&mut self, item: &WorkItem) {
        self.lanes.entry((item.queue, item.task)).or_default().insert(Turn::of(item));
    }

    pub(crate) fn remove_ready(&mut self, item: &WorkItem) {
        let lane = (item.queue, item.task);
        if let Some(turns) = self.lanes.get_mut(&lane) {
            turns.remove(Turn::of(item));
            if turns.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    pub(crate) fn add_due(&mut self, item: &WorkItem) {
        self.due.insert((item.at, item.counter));
    }

    pub(crate) fn remove_due(&mut self, item: &WorkItem) {
        self.due.remove(&(item.at, item.counter));
    }

    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The first job that is due at `now`.
    pub(crate) fn first_due(&self, now: Timestamp) -> Option<u64> {
        self.due.first().filter(|(at, _)| *at <= now).map(|(_, counter)| *counter)
    }

    /// The lanes of a queue that hold a job.
    pub(crate) fn lanes(&self, queue: u32) -> impl Iterator<Item = (u32, &Lane)> {
        self.lanes.range((queue, 0)..=(queue, u32::MAX)).map(|((_, task), turns)| (*task, turns))
    }

    /// The queues that hold a job.
    pub(crate) fn queues(&self) -> Vec<u32> {
        let mut queues: Vec<u32> = self.lanes.keys().map(|(queue, _)| *queue).collect();
        queues.dedup();
        queues
    }

    /// The first jobs of each priority in the lanes of a queue.
    pub(crate) fn firsts(&self, queue: u32, most: usize) -> Vec<u64> {
        let mut firsts = Vec::new();
        for (_, turns) in self.lanes(queue) {
            let mut from = Turn(0);
            while let Some(first) = turns.from(from).next() {
                let end = Turn((first.0 >> 48).saturating_add(1) << 48);
                firsts.extend(turns.from(first).take_while(|turn| *turn < end).take(most).map(Turn::counter));
                from = end;
            }
        }
        firsts
    }

    /// Every job in a lane: queue, task, counter.
    #[cfg(feature = "testing")]
    pub(crate) fn all_ready(&self) -> impl Iterator<Item = (u32, u32, u64)> + '_ {
        self.lanes
            .iter()
            .flat_map(|(&(queue, task), turns)| turns.iter().map(move |turn| (queue, task, turn.counter())))
    }

    /// Every job that waits for its time.
    #[cfg(feature = "testing")]
    pub(crate) fn all_due(&self) -> impl Iterator<Item = (Timestamp, u64)> + '_ {
        self.due.iter().copied()
    }
}
