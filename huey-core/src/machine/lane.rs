//! A set of turns: a bit for each, since the jobs of a lane were mostly enqueued one behind the other.

use std::collections::BTreeMap;

use super::ready::Turn;

/// Turns in their order: 64 of them to a word, and no word without one. A job that stands between its like takes a bit or
/// two more than a bit; in a tree of turns it would take 18 bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lane(BTreeMap<u64, u64>);

fn split(turn: Turn) -> (u64, u64) {
    (turn.to_bits() / 64, 1 << (turn.to_bits() % 64))
}

/// The turns of a word, in order.
fn turns(at: u64, mut word: u64) -> impl Iterator<Item = Turn> {
    std::iter::from_fn(move || {
        let bit = u64::from(word.checked_ilog2().map(|_| word.trailing_zeros())?);
        word &= word - 1;
        Some(Turn::from_bits(at * 64 + bit))
    })
}

impl Lane {
    pub(crate) fn insert(&mut self, turn: Turn) {
        let (at, bit) = split(turn);
        *self.0.entry(at).or_default() |= bit;
    }

    pub(crate) fn remove(&mut self, turn: Turn) {
        let (at, bit) = split(turn);
        if let Some(word) = self.0.get_mut(&at) {
            *word &= !bit;
            if *word == 0 {
                self.0.remove(&at);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<Turn> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Turn> + '_ {
        self.0.iter().flat_map(|(at, word)| turns(*at, *word))
    }

    /// Those from a turn on.
    pub(crate) fn from(&self, turn: Turn) -> impl Iterator<Item = Turn> + '_ {
        let (first, bit) = split(turn);
        self.0.range(first..).flat_map(move |(at, word)| {
            let left = if *at == first { *word & !(bit - 1) } else { *word };
            turns(*at, left)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_lane_holds_what_a_set_of_turns_holds() {
        let (mut lane, mut set) = (Lane::default(), BTreeSet::new());
        let mut number = 7_u64;
        for step in 0..4_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let turn = Turn::from_bits((number >> 20) % 700 + (number >> 60) * (1 << 48));
            if step % 3 == 2 {
                lane.remove(turn);
                set.remove(&turn);
            } else {
                lane.insert(turn);
                set.insert(turn);
            }
            assert_eq!(lane.first(), set.first().copied());
            assert!(lane.from(turn).take(70).eq(set.range(turn..).copied().take(70)));
        }
        assert!(lane.iter().eq(set.iter().copied()) && !lane.is_empty());
        for turn in set {
            lane.remove(turn);
        }
        assert_eq!((lane.is_empty(), lane.first()), (true, None));
    }
}
