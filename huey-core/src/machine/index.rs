//! From a job's counter to its work or its result: dense blocks, eight bytes a job.

use std::collections::BTreeMap;

use super::place::Place;

const BLOCK: usize = 1024;
const LIVE: u64 = 1 << 63;

/// What a counter leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The number of the job's work.
    Live(u32),
    Result(Place),
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    blocks: BTreeMap<u64, Block>,
}

#[derive(Debug)]
struct Block {
    used: usize,
    slots: Box<[u64; BLOCK]>,
}

fn split(counter: u64) -> (u64, usize) {
    (counter / BLOCK as u64, usize::try_from(counter % BLOCK as u64).unwrap_or(0))
}

fn target(slot: u64) -> Option<Target> {
    match slot {
        0 => None,
        live if live & LIVE != 0 => u32::try_from(live & !LIVE).ok().map(Target::Live),
        place => Some(Target::Result(Place::from_bits(place))),
    }
}

impl Index {
    pub(crate) fn get(&self, counter: u64) -> Option<Target> {
        let (block, at) = split(counter);
        target(*self.blocks.get(&block)?.slots.get(at)?)
    }

    pub(crate) fn set(&mut self, counter: u64, target: Target) {
        let (block, at) = split(counter);
        let block = self.blocks.entry(block).or_insert_with(|| Block { used: 0, slots: Box::new([0; BLOCK]) });
        if let Some(slot) = block.slots.get_mut(at) {
            block.used += usize::from(*slot == 0);
            *slot = match target {
                Target::Live(number) => LIVE | u64::from(number),
                Target::Result(place) => place.to_bits(),
            };
        }
    }

    pub(crate) fn remove(&mut self, counter: u64) {
        let (number, at) = split(counter);
        let Some(block) = self.blocks.get_mut(&number) else { return };
        if let Some(slot) = block.slots.get_mut(at)
            && *slot != 0
        {
            *slot = 0;
            block.used -= 1;
        }
        if block.used == 0 {
            self.blocks.remove(&number);
        }
    }

    /// Counters in use at or above `from`, in order.
    pub(crate) fn from(&self, from: u64) -> impl Iterator<Item = (u64, Target)> + '_ {
        let (first, _) = split(from);
        self.blocks.range(first..).flat_map(move |(number, block)| {
            let counters = number * BLOCK as u64..;
            let slots = counters.zip(block.slots.iter()).filter(move |(counter, _)| *counter >= from);
            slots.filter_map(|(counter, slot)| target(*slot).map(|target| (counter, target)))
        })
    }

    #[cfg(test)]
    fn blocks(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_goes_when_nothing_in_it_lives() {
        let mut index = Index::default();
        for counter in 0..3_000 {
            index.set(counter, Target::Live(u32::try_from(counter).unwrap()));
        }
        index.set(5, Target::Result(Place::new(9, 3, 40)));
        assert_eq!(index.get(5), Some(Target::Result(Place::new(9, 3, 40))));
        assert_eq!(index.get(2_999), Some(Target::Live(2_999)));
        assert_eq!(index.blocks(), 3);
        assert_eq!(index.from(2_998).map(|(counter, _)| counter).collect::<Vec<_>>(), [2_998, 2_999]);
        for counter in 0..3_000 {
            index.remove(counter);
            index.remove(counter);
        }
        assert_eq!(index.blocks(), 0);
        assert_eq!(index.get(5), None);
    }
}
