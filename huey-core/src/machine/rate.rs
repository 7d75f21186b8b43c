//! What is noted of the claims under a rate: marks, each of a few claims, of which those within the window count.

use std::collections::BTreeMap;
use std::time::Duration;

use super::item::Mark;
use super::place::Place;
use crate::time::Timestamp;

/// A rate of at most so many claims has a mark for each. A larger one has that many marks in a window, so that it costs no
/// more, and a claim may count for that part of a window longer than it should: 0.8 %.
const MARKS: u32 = 128;

/// The marks of one rate, by slot. The slot of one that counts no more is used again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<u32, (Mark, Place)>);

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a mark. Returns where the one before it in its slot stood.
    pub(super) fn put(&mut self, slot: u32, mark: Mark, home: Place) -> Place {
        self.0.insert(slot, (mark, home)).map_or(Place::NONE, |(_, home)| home)
    }

    pub(super) fn home(&self, slot: u32) -> Option<Place> {
        self.0.get(&slot).map(|(_, home)| *home)
    }

    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.values().map(|(_, home)| *home)
    }

    /// When none counts any more.
    pub(super) fn end(&self) -> Timestamp {
        self.0.values().map(|(mark, _)| mark.until).max().unwrap_or_default()
    }

    /// The marks that count at `now`: until when, and for how many claims. One that is further ahead of the clock than the
    /// window is long was made before the clock went back.
    fn counting(&self, per: Duration, now: Timestamp) -> impl Iterator<Item = (Timestamp, u32)> + '_ {
        let ahead = now + per;
        self.0
            .values()
            .filter(move |(mark, _)| mark.count > 0 && mark.last <= ahead && mark.last + per > now)
            .map(move |(mark, _)| (mark.last + per, mark.count))
    }

    /// How many more claims may be made at `now`.
    pub(super) fn room(&self, most: u32, per: Duration, now: Timestamp) -> u32 {
        let counted = self.counting(per, now).fold(0_u32, |sum, (_, count)| sum.saturating_add(count));
        most.saturating_sub(counted)
    }

    /// When the claim may be made before which `before` others are to be made, when all that has room is used.
    pub(super) fn turn(&self, most: u32, per: Duration, now: Timestamp, before: u32) -> Timestamp {
        let most = most.max(1);
        let missing = before.saturating_add(1).saturating_sub(self.room(most, per, now));
        let Some(missing) = missing.checked_sub(1) else { return now };
        let (windows, within) = (missing / most, missing % most);
        let mut ends: Vec<_> = self.counting(per, now).collect();
        ends.sort_unstable();
        let mut freed = 0_u32;
        let end = ends.into_iter().find(|(_, count)| {
            freed = freed.saturating_add(*count);
            freed > within
        });
        end.map_or(now, |(at, _)| at) + per.saturating_mul(windows)
    }

    /// When the first of those that count stops to.
    pub(super) fn next(&self, per: Duration, now: Timestamp) -> Option<Timestamp> {
        self.counting(per, now).map(|(end, _)| end).min()
    }

    /// One more claim at `now`: the mark that is to be put, and its slot.
    pub(super) fn one_more(&self, most: u32, per: Duration, now: Timestamp) -> (u32, Mark) {
        let grain = if most <= MARKS { Duration::ZERO } else { per / MARKS };
        let newest = self.0.iter().max_by_key(|(_, (mark, _))| mark.last);
        if let Some((slot, (mark, _))) = newest
            && mark.count > 0
            && mark.first <= now
            && now <= mark.first + grain
        {
            let mark = Mark { last: now.max(mark.last), count: mark.count.saturating_add(1), ..*mark };
            return (*slot, Mark { until: mark.until.max(mark.last + per), ..mark });
        }
        let over = |mark: &Mark| mark.until <= now || mark.last > now + per;
        let unused = |slot: &u32| self.0.get(slot).is_none_or(|(mark, _)| over(mark));
        let slot = (0..u32::MAX).find(unused).unwrap_or(u32::MAX);
        (slot, Mark { first: now, last: now, count: 1, until: now + per })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Claims whenever there is room, asked every `step` microseconds: the instants of the claims, and the most marks.
    fn claims(most: u32, per: Duration, step: i64, steps: i64) -> (Vec<i64>, usize) {
        let (mut marks, mut claims) = (Marks::default(), Vec::new());
        for now in (0..steps).map(|at| at * step) {
            let now_at = Timestamp::from_micros(now);
            if marks.room(most, per, now_at) > 0 {
                let (slot, mark) = marks.one_more(most, per, now_at);
                marks.put(slot, mark, Place::NONE);
                claims.push(now);
            }
        }
        let many = marks.0.len();
        (claims, many)
    }

    #[test]
    fn no_span_holds_more_claims_than_the_rate_and_hardly_fewer_are_made() {
        for (most, step) in [(1, 700), (7, 1_300), (100, 900), (129, 500), (1_000, 90), (5_000, 50)] {
            let per = Duration::from_secs(1);
            let (claims, marks) = claims(most, per, step, 5_000_000 / step);
            for (at, first) in claims.iter().enumerate() {
                let next = claims.get(at + most as usize);
                assert!(next.is_none_or(|next| next - first >= 1_000_000), "{most}: {first} and {next:?}");
            }
            let least = u64::from(most) * 5 * 98 / 100;
            assert!(claims.len() as u64 >= least, "{most}: {} claims, {least} at least", claims.len());
            assert!(marks <= MARKS as usize + 2, "{most}: {marks} marks");
        }
    }

    #[test]
    fn a_mark_costs_no_more_than_itself_whatever_slot_it_was_read_with() {
        let (mut marks, per, now) = (Marks::default(), Duration::from_secs(10), Timestamp::from_micros(5));
        let mark = marks.one_more(2, per, now).1;
        marks.put(u32::MAX, mark, Place::NONE);
        assert_eq!((marks.room(2, per, now), marks.0.len()), (1, 1));
        assert_eq!(marks.one_more(2, per, Timestamp::from_micros(9)).0, 0, "the first slot is free");
    }

    #[test]
    fn a_turn_is_told_from_what_is_in_front_and_a_claim_far_ahead_of_the_clock_does_not_count() {
        let (per, at) = (Duration::from_secs(10), |second: i64| Timestamp::from_micros(second * 1_000_000));
        let mut marks = Marks::default();
        for second in [100, 103] {
            let (slot, mark) = marks.one_more(2, per, at(second));
            marks.put(slot, mark, Place::NONE);
        }
        assert_eq!(marks.room(2, per, at(104)), 0);
        let turns: Vec<_> = (0..4).map(|before| marks.turn(2, per, at(104), before)).collect();
        assert_eq!(turns, [at(110), at(113), at(120), at(123)]);
        assert_eq!(
            (marks.room(2, per, at(110)), marks.next(per, at(110))),
            (1, Some(at(113))),
            "equality counts as due"
        );
        assert_eq!(marks.room(2, per, at(50)), 2, "the clock went back");
    }
}
