//! Whether a state is consistent in itself, and whether two are the same. For tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use super::{Listed, Phase, State, Tally, Target, Work};
use crate::machine::place::Place;

fn same<T: PartialEq + Debug>(what: &str, kept: &T, found: &T) -> Result<(), String> {
    if kept == found { Ok(()) } else { Err(format!("{what}: kept {kept:?}, but found {found:?}")) }
}

impl State {
    /// Computes anew what the state keeps sums and indexes of, and names the first difference.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_homes()?;
        self.check_works()?;
        self.check_waiting()?;
        let phase = |counter| self.work(counter).map(|work| work.item.phase);
        self.uniques.check(phase, |counter| self.lingering.holds(counter))?;
        self.chords.check(phase)?;
        self.values.check()?;
        let work = |counter| self.work(counter);
        let lined = self.all_work().filter(|work| work.listed == Listed::Limited);
        self.limits.check(
            |counter| {
                let runs = |work: Work| work.item.phase == Phase::Running && !work.item.is_condemned();
                work(counter).is_some_and(runs) || self.lingering.holds(counter)
            },
            &lined.map(|work| work.item.counter).collect(),
            |counter| work(counter).is_some_and(|work| work.listed == Listed::Ready),
            self.horizon,
        )?;
        self.check_results()
    }

    fn places(&self) -> Vec<Place> {
        let mut places = vec![self.meta];
        places.extend(self.names.all().values().map(|(_, place)| *place));
        places.extend(self.all_work().flat_map(|work| [work.home, work.body, work.note]));
        places.extend(self.index.from(0).filter_map(|(_, target)| match target {
            Target::Result(place) => Some(place),
            Target::Live(_) => None,
        }));
        places.extend(self.values.homes());
        places.extend(self.paused.values().copied());
        places.extend(self.schedules.values().map(|(_, home)| *home));
        places.extend(self.revocations.values().map(|(_, home)| *home));
        places.extend(self.flows.homes());
        places.extend(self.chords.homes());
        places.extend(self.lingering.homes());
        places.extend(self.limits.homes());
        places.extend(self.uniques.all().map(|(_, held)| held.home));
        places.retain(|place| !place.is_none());
        places
    }

    fn check_homes(&self) -> Result<(), String> {
        let places = self.places();
        same("live bytes", &self.homes.live(), &places.iter().map(|place| place.weight()).sum())?;
        let mut found = BTreeMap::<u64, u32>::new();
        for place in &places {
            *found.entry(place.sequence()).or_default() += 1;
        }
        let kept = self.homes.lives().map(|(sequence, live, _)| (sequence, live)).filter(|(_, live)| *live > 0);
        same("items per entry", &kept.collect(), &found)?;
        same("bytes", &self.homes.total(), &self.homes.lives().map(|(.., bytes)| u64::from(bytes)).sum())
    }

    fn check_works(&self) -> Result<(), String> {
        let live = self.index.from(0).filter(|(_, target)| matches!(target, Target::Live(_))).count();
        same("works found by a counter", &self.all_work().count(), &live)?;
        same("works in use", &self.works.used(), &live)?;
        match self.half_a_job() {
            Some(counter) => Err(format!("job {counter} has no body or no work")),
            None => Ok(()),
        }
    }

    fn check_waiting(&self) -> Result<(), String> {
        let (mut ready, mut due) = (BTreeSet::new(), BTreeSet::new());
        let (mut tallies, mut running) = (BTreeMap::<(u32, u32), Tally>::new(), 0);
        let mut suspects = BTreeSet::new();
        for work in self.all_work() {
            let item = &work.item;
            if item.phase == Phase::Awaiting {
                continue;
            }
            let tally = tallies.entry((item.queue, item.task)).or_default();
            match item.phase {
                Phase::Waiting => tally.waiting += 1,
                Phase::Running => (tally.running, running) = (tally.running + 1, running + 1),
                Phase::Parked => tally.parked += 1,
                Phase::Dead | Phase::Lost => tally.given_up += 1,
                other => return Err(format!("job {} is {other:?}, which no work can be", item.counter)),
            }
            if item.is_suspect() && matches!(item.phase, Phase::Waiting | Phase::Running) {
                suspects.insert(item.counter);
            }
            let held = self.is_held(item.counter) || self.lingering.holds(item.counter);
            let listed = match work.listed {
                Listed::Ready => ready.insert((item.queue, item.task, item.counter)) && !held,
                Listed::Due => {
                    tally.scheduled += 1;
                    tally.retrying += u64::from(item.attempts > 0);
                    due.insert((item.at, item.counter)) && item.at > self.horizon
                }
                Listed::Limited => {
                    tally.limited += u64::from(self.is_rate_limited(item.counter));
                    !held
                }
                Listed::Nowhere => item.phase != Phase::Waiting || held,
            };
            if !listed || (work.listed != Listed::Nowhere && item.phase != Phase::Waiting) {
                return Err(format!("job {} is {:?}, held {held}, and listed {:?}", item.counter, item, work.listed));
            }
        }
        let kept = self.tallies.iter().filter(|(_, tally)| **tally != Tally::default());
        same("tallies", &kept.map(|(lane, tally)| (*lane, *tally)).collect(), &tallies)?;
        same("running", &self.running, &running)?;
        same("suspects", &self.suspects, &suspects)?;
        same("ready", &self.ready.all_ready().collect(), &ready)?;
        same("due", &self.ready.all_due().collect(), &due)
    }

    fn check_results(&self) -> Result<(), String> {
        let kept: BTreeSet<u64> = self.results_by_counter().into_keys().collect();
        same("results", &self.results.count(), &(kept.len() as u64))?;
        let mentioned: BTreeSet<u64> = self.results.mentioned().map(|(counter, _)| counter).collect();
        match kept.difference(&mentioned).next() {
            Some(counter) => Err(format!("the result of job {counter} stands in no bucket")),
            None => Ok(()),
        }
    }

    fn results_by_counter(&self) -> BTreeMap<u64, Place> {
        let result = |(counter, target)| match target {
            Target::Result(place) => Some((counter, place)),
            Target::Live(_) => None,
        };
        self.index.from(0).filter_map(result).collect()
    }

    /// Whether `other`, read back from the same journal, says the same. What only memory knows is left out: what is
    /// held, and which jobs were due once.
    pub(crate) fn same_as(&self, other: &Self) -> Result<(), String> {
        same("salt", &self.salt, &other.salt)?;
        same("reserved", &self.reserved, &other.reserved)?;
        same("place of the salt", &self.meta, &other.meta)?;
        same("names", self.names.all(), other.names.all())?;
        let works = |state: &Self| -> BTreeMap<_, _> {
            state.all_work().map(|work| (work.item.counter, (work.item, work.home, work.body, work.note))).collect()
        };
        same("works", &works(self), &works(other))?;
        same("results", &self.results_by_counter(), &other.results_by_counter())?;
        let kept_until = |state: &Self| -> BTreeMap<u64, u64> {
            let results = state.results_by_counter();
            state.results.mentioned().filter(|(counter, _)| results.contains_key(counter)).collect()
        };
        same("retention", &kept_until(self), &kept_until(other))?;
        same("values", &self.values, &other.values)?;
        same("paused queues", &self.paused, &other.paused)?;
        same("revocations", &self.revocations, &other.revocations)?;
        same("given up", &self.given_up, &other.given_up)?;
        same("flows", &self.flows, &other.flows)?;
        same("chords", &self.chords, &other.chords)?;
        same("lingering", &self.lingering, &other.lingering)?;
        same("limits", &self.limits.stored(), &other.limits.stored())?;
        same("schedules", &self.schedules, &other.schedules)?;
        let uniques = |state: &Self| state.uniques.all().map(|(key, held)| (key.clone(), *held)).collect::<Vec<_>>();
        same("unique keys", &uniques(self), &uniques(other))?;
        same("homes", &self.homes, &other.homes)
    }
}
