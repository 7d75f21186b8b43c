//! Jobs that left no trace, remembered for a while, so that a repeated enqueue does not bring one back.

use std::collections::BTreeMap;

const BITS: u64 = 1024;
/// How many blocks of counters are remembered: about the last million of jobs, in 150 KB.
const BLOCKS: usize = 1024;

/// A bit for each counter whose job or result was dropped, of the newest blocks. Known to memory only: who could
/// repeat an enqueue dies with the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    blocks: BTreeMap<u64, Box<[u64; 16]>>,
}

fn split(counter: u64) -> (u64, usize, u64) {
    let word = usize::try_from(counter % BITS / 64).unwrap_or(0);
    (counter / BITS, word, 1 << (counter % 64))
}

impl Past {
    pub(crate) fn add(&mut self, counter: u64) {
        let (block, word, bit) = split(counter);
        if let Some(word) = self.blocks.entry(block).or_default().get_mut(word) {
            *word |= bit;
        }
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_first();
        }
    }

    pub(crate) fn contains(&self, counter: u64) -> bool {
        let (block, word, bit) = split(counter);
        self.blocks.get(&block).and_then(|words| words.get(word)).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_the_oldest_forgotten() {
        let mut past = Past::default();
        let far = BITS * BLOCKS as u64;
        for counter in [0, 63, 64, 1_023, 1_024, far] {
            past.add(counter);
        }
        assert!(past.contains(63) && past.contains(64) && past.contains(1_024) && past.contains(far));
        assert!(!past.contains(1) && !past.contains(far + 1));
        for block in 0..=BLOCKS as u64 {
            past.add(block * BITS);
        }
        assert!(!past.contains(63) && past.contains(far) && past.blocks.len() == BLOCKS);
    }
}
