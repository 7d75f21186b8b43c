//! Bodies that run on though their attempt is settled: what they hold stays held until they return.

use std::collections::BTreeMap;

use super::decide::Decided;
use super::item::{Effect, Item, Key};
use super::place::Place;
use super::state::State;
use super::work::WorkItem;
use crate::store::{Lease, Outcome};

/// The claims whose bodies run on, by the counter of the job. A job has at most one: while it has, it is not claimed.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Lingering(BTreeMap<u64, (u32, Place)>);

impl Lingering {
    pub(super) fn put(&mut self, counter: u64, claim: u32, home: Place) -> Place {
        self.0.insert(counter, (claim, home)).map(|(_, home)| home).unwrap_or_default()
    }

    pub(super) fn remove(&mut self, counter: u64) -> Option<Place> {
        self.0.remove(&counter).map(|(_, home)| home)
    }

    pub(crate) fn home(&self, counter: u64) -> Option<Place> {
        self.0.get(&counter).map(|(_, home)| *home)
    }

    /// The claim of a job whose body runs on.
    pub(crate) fn claim(&self, counter: u64) -> Option<u32> {
        self.0.get(&counter).map(|(claim, _)| *claim)
    }

    pub(crate) fn holds(&self, counter: u64) -> bool {
        self.0.contains_key(&counter)
    }

    pub(crate) fn counters(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    #[cfg(feature = "testing")]
    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.values().map(|(_, home)| *home)
    }
}

/// The effect of a body's running on.
pub(super) fn begin(work: &WorkItem) -> Effect {
    Effect::Put(Item::Lingering { counter: work.counter, claim: work.claim })
}

/// The effects of its return: its job may be claimed again, or lets go of its key if it has ended.
pub(crate) fn let_go_of(state: &State, counter: u64) -> impl Iterator<Item = Effect> {
    let ended = state.work(counter).is_none_or(|work| !work.item.phase.is_open());
    let key = state.uniques.key_of(counter).filter(|_| ended);
    let key = key.map(|key| Effect::Drop(Key::Unique(key.to_vec().into())));
    std::iter::once(Effect::Drop(Key::Lingering(counter))).chain(key)
}

pub(super) fn let_go(state: &State, leases: &[Lease]) -> Decided {
    let mut decided = Decided::default();
    let mut held = Vec::with_capacity(leases.len());
    for lease in leases {
        let counter = lease.id.counter();
        let holds = lease.id.salt() == state.salt && state.lingering.claim(counter) == Some(lease.claim);
        if holds {
            decided.effects.extend(let_go_of(state, counter));
        }
        held.push(holds);
    }
    decided.outcome = Some(Outcome::LetGo(held));
    decided
}
