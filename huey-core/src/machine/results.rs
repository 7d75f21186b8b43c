//! When kept results go: buckets of a second each, so that a result costs eight bytes here.

use std::collections::{BTreeMap, VecDeque};

#[derive(Debug, Default)]
pub(crate) struct Results {
    buckets: BTreeMap<u64, VecDeque<u64>>,
    count: u64,
    /// Counters in the buckets, those of dropped results among them.
    mentions: usize,
}

/// Fewer mentions than this are never tidied up.
const TIDY_FROM: usize = 4_096;

impl Results {
    pub(crate) fn add(&mut self, keep_until: u64, counter: u64) {
        self.buckets.entry(keep_until).or_default().push_back(counter);
        self.count += 1;
        self.mentions += 1;
    }

    /// A result was dropped. Its mention in a bucket stays until the bucket's time comes, or most mentions are stale;
    /// `is_kept` tells which are not.
    pub(crate) fn forget(&mut self, is_kept: impl Fn(u64) -> bool) {
        self.count = self.count.saturating_sub(1);
        if self.mentions > TIDY_FROM && self.mentions as u64 > self.count.saturating_mul(2) {
            self.buckets.retain(|_, counters| {
                counters.retain(|counter| is_kept(*counter));
                counters.shrink_to_fit();
                !counters.is_empty()
            });
            self.mentions = self.buckets.values().map(VecDeque::len).sum();
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Everything that is mentioned, with the second after which it goes.
    #[cfg(feature = "testing")]
    pub(crate) fn mentioned(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets.iter().flat_map(|(keep_until, counters)| counters.iter().map(|counter| (*counter, *keep_until)))
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
            self.mentions -= take;
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

    #[test]
    fn mentions_of_results_that_were_taken_do_not_pile_up() {
        let mut results = Results::default();
        for counter in 0..100_000 {
            results.add(5_000, counter);
            results.forget(|other| other > counter);
            assert!(results.mentions <= TIDY_FROM + 1);
        }
        results.add(5_000, 100_000);
        let late = results.take_late(5_001, 10, usize::MAX);
        assert_eq!((late.last(), results.mentions), (Some(&100_000), 0));
    }
}
