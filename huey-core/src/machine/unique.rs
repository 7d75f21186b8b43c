//! Unique keys: who holds one, and what becomes of a job whose key is held.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::claim::end_of;
use super::decide::{Decided, Refusal};
use super::item::{Effect, Hold, Item, Key, UniqueItem};
use super::place::Place;
use super::state::State;
use super::work::{Phase, WorkItem};
use super::{Fetch, body};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Discarded, Ended, NewJob, Placed, StorageError, UniqueKey};
use crate::task::{OnConflict, Scope};
use crate::time::Timestamp;

/// The keys that are held, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Uniques {
    keys: BTreeMap<Vec<u8>, Held>,
    /// The key of each job that holds one until it ends.
    holders: HashMap<u64, Vec<u8>>,
    /// The keys that are held for a time, by its end.
    ends: BTreeSet<(Timestamp, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) holder: u64,
    pub(crate) made: u64,
    pub(crate) hold: Hold,
    pub(crate) home: Place,
}

impl Uniques {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Held> {
        self.keys.get(key)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn all(&self) -> impl Iterator<Item = (&Vec<u8>, &Held)> {
        self.keys.iter()
    }

    /// Gives a key to a holder. Returns where it stood before.
    pub(super) fn put(&mut self, item: &UniqueItem, home: Place) -> Place {
        let old = self.remove(&item.key).unwrap_or_default();
        match item.hold {
            Hold::Until(end) => drop(self.ends.insert((end, item.key.to_vec()))),
            Hold::Pending | Hold::Active => drop(self.holders.insert(item.holder, item.key.to_vec())),
        }
        let held = Held { holder: item.holder, made: item.made, hold: item.hold, home };
        self.keys.insert(item.key.to_vec(), held);
        old
    }

    /// Frees a key. Returns where it stood.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Place> {
        let held = self.keys.remove(key)?;
        match held.hold {
            Hold::Until(end) => drop(self.ends.remove(&(end, key.to_vec()))),
            Hold::Pending | Hold::Active => drop(self.holders.remove(&held.holder)),
        }
        Some(held.home)
    }

    /// A job ended. Returns where the key stood that it held until then.
    pub(super) fn end(&mut self, holder: u64) -> Option<Place> {
        let key = self.holders.get(&holder)?.clone();
        self.remove(&key)
    }

    /// The key that a job holds until it ends.
    pub(super) fn key_of(&self, holder: u64) -> Option<&[u8]> {
        self.holders.get(&holder).map(Vec::as_slice)
    }

    /// Up to `most` keys whose time is over.
    pub(crate) fn late(&self, now: Timestamp, most: usize) -> Vec<Vec<u8>> {
        self.ends.iter().take_while(|(end, _)| *end < now).take(most).map(|(_, key)| key.clone()).collect()
    }

    /// Computes anew what is kept twice.
    #[cfg(feature = "testing")]
    pub(super) fn check(
        &self,
        phase: impl Fn(u64) -> Option<Phase>,
        lingers: impl Fn(u64) -> bool,
    ) -> Result<(), String> {
        for (key, held) in &self.keys {
            let (listed, runs) = (self.holders.get(&held.holder) == Some(key), phase(held.holder));
            let sound = match held.hold {
                Hold::Until(end) => self.ends.contains(&(end, key.clone())),
                Hold::Pending | Hold::Active => listed && (runs.is_some_and(Phase::is_open) || lingers(held.holder)),
            };
            if !sound {
                return Err(format!("the unique key {key:?} is {held:?}, its holder {runs:?}"));
            }
        }
        let (timed, others) = (self.ends.len(), self.holders.len());
        if timed + others == self.keys.len() {
            Ok(())
        } else {
            Err(format!("{} unique keys, but {timed} for a time and {others} until an end", self.keys.len()))
        }
    }
}

/// Decides about the keys of the jobs of one transition.
pub(super) struct Gate<'a> {
    pub(super) state: &'a State,
    pub(super) fetch: &'a dyn Fetch,
    pub(super) now: Timestamp,
}

impl Gate<'_> {
    /// What becomes of a job with this key, and the effects of that. The job's own are not among them.
    pub(super) fn pass(
        &self,
        index: usize,
        job: &NewJob,
        wanted: &UniqueKey,
        decided: &mut Decided,
    ) -> Result<Placed, Refusal> {
        let reject = |holder| {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            Err(StorageError::Conflict { index, holder })
        };
        if let Some(first) = decided.so_far.taken.get(&wanted.key) {
            return match wanted.on_conflict {
                // No other job stands for one of a flow.
                _ if job.flow.is_some() => reject(*first),
                OnConflict::Reject => reject(*first),
                OnConflict::Existing | OnConflict::Replace => Ok(Placed::Existing(*first)),
            };
        }
        let mut placed = Placed::New;
        if let Some((id, work)) = self.holder(&wanted.key, decided) {
            match (wanted.on_conflict, work) {
                (OnConflict::Reject, _) => return reject(id),
                (OnConflict::Replace, Some(work)) if !self.state.is_held(work.counter) => {
                    placed = Placed::Replaced(Box::new(self.replace(work, job.id, wanted, decided)?));
                }
                _ if job.flow.is_some() => return reject(id),
                (OnConflict::Existing | OnConflict::Replace, _) => return Ok(Placed::Existing(id)),
            }
        }
        decided.so_far.taken.insert(wanted.key.clone(), job.id);
        let hold = match wanted.scope {
            Scope::Pending => Hold::Pending,
            Scope::Active => Hold::Active,
            Scope::Window(window) => Hold::Until(self.now + window),
        };
        let (holder, made) = (job.id.counter(), super::decide::made(job.id));
        decided.effects.push(Effect::Put(Item::Unique(UniqueItem { key: wanted.key.clone(), holder, made, hold })));
        Ok(placed)
    }

    /// The job that holds a key now, with its work if it waits and could be replaced.
    fn holder(&self, key: &[u8], decided: &Decided) -> Option<(JobId, Option<WorkItem>)> {
        let held = self.state.uniques.get(key)?;
        let lingers = self.state.lingering.holds(held.holder) || decided.so_far.lingering.contains(&held.holder);
        if decided.so_far.ended.contains(&held.holder) && !matches!(held.hold, Hold::Until(_)) {
            return None;
        }
        let id = super::work::id_of(held.made, held.holder, self.state.salt);
        let work = self.state.work(held.holder).map(|work| work.item);
        let waits = work.filter(|work| matches!(work.phase, Phase::Waiting | Phase::Parked));
        let replaceable = waits.filter(|work| !work.flags.in_flow() && !lingers);
        let holds = match held.hold {
            Hold::Pending => waits.is_some(),
            Hold::Active => work.is_some() || lingers,
            Hold::Until(end) => self.now <= end,
        };
        holds.then_some((id, replaceable))
    }

    fn replace(
        &self,
        work: WorkItem,
        by: JobId,
        wanted: &UniqueKey,
        decided: &mut Decided,
    ) -> Result<Discarded, Refusal> {
        let place = self.state.work(work.counter).map_or(Place::NONE, |work| work.body);
        let head = body(self.fetch, place)?.head;
        let ended = Ended { cause: Some(format!("replaced by {by}")), ..Ended::default() };
        let item = WorkItem { phase: Phase::Canceled, at: self.now, ..work };
        decided.effects.push(end_of(item, ended.clone(), head.clone(), wanted.keep, self.now));
        decided.touched.push(work.counter);
        Ok(Discarded {
            id: work.id(self.state.salt),
            task: self.state.names.text(work.task),
            queue: self.state.names.text(work.queue),
            state: JobState::Canceled,
            rescued: false,
            ended,
            head,
        })
    }
}

/// The effects that free keys whose time is over.
pub(crate) fn free(keys: Vec<Vec<u8>>) -> impl Iterator<Item = Effect> {
    keys.into_iter().map(|key| Effect::Drop(Key::Unique(key.into())))
}
