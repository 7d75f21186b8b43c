//! Ticks in a row that make no job.

use crate::signal::Skipped;
use crate::task::SkipReason;
use crate::time::Timestamp;

/// Ticks in a row, without the list of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    ends: Option<(Timestamp, Timestamp)>,
    count: u64,
}

impl Row {
    pub(super) fn of(ticks: impl IntoIterator<Item = Timestamp>) -> Self {
        let mut row = Self::default();
        ticks.into_iter().for_each(|tick| row.add(tick));
        row
    }

    pub(super) fn add(&mut self, tick: Timestamp) {
        let first = self.ends.map_or(tick, |(first, _)| first);
        self.ends = Some((first, tick));
        self.count += 1;
    }

    /// The last of them.
    pub(super) fn last(&self) -> Option<Timestamp> {
        self.ends.map(|(_, last)| last)
    }

    /// What is told of them, if there are any.
    pub(super) fn told(self, schedule: &str, reason: SkipReason) -> Option<Skipped> {
        let (first, last) = self.ends?;
        Some(Skipped { schedule: schedule.into(), first, last, count: self.count, reason })
    }
}
