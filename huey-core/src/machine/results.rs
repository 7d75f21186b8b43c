//! When kept results go: buckets of a second each, so that a result costs eight bytes here.

use std::collections::{BTreeMap, VecDeque};

#[derive(Debug, Default)]
pub(crate) struct Results {
    buckets: BTreeMap<u64, VecDeque<u64>>,
    count: u64,
}

impl Results {
    pub(crate) fn add(&mut self, keep_until: u64, counter: u64) {
        self.buckets.entry(keep_until).or_default().push_back(counter);
        self.count += 1;
    }

    /// A result was dropped. Its mention in a bucket stays until the bucket's time comes.
    pub(crate) fn forget(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes up to `most` counters whose time has come at `now`, in seconds, or that stand above the bound `keep`,
    /// those that would go first leading. Some may be gone already.
    pub(crate) fn take_late(&mut self, now: u64, keep: u64, most: usize) -> Vec<u64> {
        let mut late = Vec::new();
        let mut over = usize::try_from(self.count.saturating_sub(keep)).unwrap_or(usize::MAX);
        while late.len() < most {
            let Some(mut bucket) = self.buckets.first_entry() else { break };
            let due = *bucket.key() < now;
            let room = if due { most - late.len() } else { over.min(most - late.len()) };
            if room == 0 {
                break;
            }
            let counters = bucket.get_mut();
            let take = room.min(counters.len());
            late.extend(counters.drain(..take));
            over = over.saturating_sub(take);
            if bucket.get().is_empty() {
                bucket.remove();
            }
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_go_when_their_second_is_over_or_their_number_passes_the_bound() {
        let mut results = Results::default();
        for counter in 0..10 {
            results.add(100 + counter / 5, counter);
        }
        assert_eq!(results.take_late(100, 10, 64), [] as [u64; 0]);
        assert_eq!(results.take_late(101, 10, 3), [0, 1, 2]);
        assert_eq!(results.take_late(101, 10, 64), [3, 4]);
        assert_eq!(results.take_late(101, 8, 64), [5, 6]);
    }
}
