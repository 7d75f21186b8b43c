//! How many jobs are claimed together, and ends settled: both pay where bodies take less than a commit.

use crate::sync::Arc;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::Tasks;

/// At most so many jobs are claimed together, and so many ends settled.
pub(crate) const MOST: usize = 256;
/// A task is quick whose median run is shorter.
pub(super) const QUICK: Duration = Duration::from_micros(50);
/// So many runs tell.
const RUNS: u32 = 16;

/// How long the tasks take that a worker runs, by their medians.
#[derive(Default)]
pub(crate) struct Paces {
    tasks: BTreeMap<Arc<str>, Pace>,
    quick: Vec<String>,
}

#[derive(Clone, Copy, Default)]
struct Pace {
    runs: u32,
    /// The estimate, in nanoseconds.
    median: u64,
}

impl Pace {
    /// Moves the estimate towards a run: it rests where as many runs are shorter as longer.
    fn note(&mut self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let step = self.median / 8 + 1;
        self.median = match self.runs {
            0 => took,
            _ if took < self.median => self.median.saturating_sub(step),
            _ => self.median.saturating_add(step),
        };
        self.runs = self.runs.saturating_add(1);
    }

    fn is_quick(self) -> bool {
        self.runs >= RUNS && u128::from(self.median) < QUICK.as_nanos()
    }
}

impl Paces {
    pub(crate) fn note(&mut self, task: &Arc<str>, took: Duration) {
        let pace = match self.tasks.get_mut(task) {
            Some(pace) => pace,
            None => self.tasks.entry(Arc::clone(task)).or_default(),
        };
        let before = pace.is_quick();
        pace.note(took);
        if pace.is_quick() != before {
            self.quick =
                self.tasks.iter().filter(|(_, pace)| pace.is_quick()).map(|(task, _)| task.to_string()).collect();
        }
    }

    /// The quick ones.
    pub(crate) fn quick(&self) -> Tasks {
        Tasks::Only(self.quick.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(runs: impl Iterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        runs.for_each(|micros| pace.note(Duration::from_micros(micros)));
        pace
    }

    #[test]
    fn a_task_is_quick_by_its_median_and_not_before_it_was_seen_a_while() {
        assert!(!after((0..15).map(|_| 1)).is_quick());
        assert!(after((0..16).map(|_| 1)).is_quick());
        assert!(after((0..400).map(|run| if run % 4 == 0 { 90_000 } else { 5 })).is_quick(), "a slow one now and then");
        assert!(!after((0..400).map(|run| if run % 4 == 0 { 5 } else { 90 })).is_quick(), "a quick one now and then");
        assert!(!after((0..400).map(|run| if run < 200 { 1 } else { 500 })).is_quick(), "it became slow");
    }

    #[test]
    fn the_quick_tasks_are_named() {
        let mut paces = Paces::default();
        let (quick, slow): (Arc<str>, Arc<str>) = ("quick".into(), "slow".into());
        for _ in 0..20 {
            paces.note(&quick, Duration::from_micros(3));
            paces.note(&slow, Duration::from_micros(300));
        }
        assert_eq!(paces.quick(), Tasks::Only(vec!["quick".into()]));
    }
}
