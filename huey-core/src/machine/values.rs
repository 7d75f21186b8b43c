//! The user's own values: where each stands, and until when it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use super::Fetch;
use super::decide::{Decided, Refusal};
use super::item::{Effect, Item, Key};
use super::place::Place;
use super::state::State;
use crate::codec::Bytes;
use crate::store::{Outcome, Put, StorageError, integer, integer_of};
use crate::time::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    /// `Timestamp::MAX` for ever.
    until: Timestamp,
    home: Place,
}

/// The values by their keys.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Values {
    keys: BTreeMap<String, Kept>,
    /// Those that are there for a time, by its end.
    ends: BTreeSet<(Timestamp, String)>,
}

impl Values {
    /// Puts a value. Gives back where the one before it stood.
    pub(super) fn put(&mut self, key: &str, until: Timestamp, home: Place) -> Place {
        let old = self.remove(key).unwrap_or_default();
        if until != Timestamp::MAX {
            self.ends.insert((until, key.to_owned()));
        }
        self.keys.insert(key.to_owned(), Kept { until, home });
        old
    }

    /// Drops a value. Gives back where it stood.
    pub(super) fn remove(&mut self, key: &str) -> Option<Place> {
        let (key, kept) = self.keys.remove_entry(key)?;
        if kept.until != Timestamp::MAX {
            self.ends.remove(&(kept.until, key));
        }
        Some(kept.home)
    }

    pub(super) fn home(&self, key: &str) -> Option<Place> {
        self.keys.get(key).map(|kept| kept.home)
    }

    /// One whose time is over is not there any more, whether or not it was dropped yet.
    fn get(&self, key: &str, now: Timestamp) -> Option<Kept> {
        self.keys.get(key).copied().filter(|kept| now < kept.until)
    }

    /// Up to `most` keys whose time is over.
    pub(crate) fn late(&self, now: Timestamp, most: usize) -> Vec<String> {
        self.ends.iter().take_while(|(until, _)| *until <= now).take(most).map(|(_, key)| key.clone()).collect()
    }

    #[cfg(feature = "testing")]
    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        self.keys.values().map(|kept| kept.home)
    }

    /// Computes anew what is kept twice.
    #[cfg(feature = "testing")]
    pub(super) fn check(&self) -> Result<(), String> {
        let timed = self.keys.iter().filter(|(_, kept)| kept.until != Timestamp::MAX);
        let found: BTreeSet<_> = timed.map(|(key, kept)| (kept.until, key.clone())).collect();
        if found == self.ends { Ok(()) } else { Err(format!("values end at {found:?}, not at {:?}", self.ends)) }
    }
}

/// The effects that drop values whose time is over.
pub(crate) fn drop_late(keys: Vec<String>) -> impl Iterator<Item = Effect> {
    keys.into_iter().map(|key| Effect::Drop(Key::Value(key)))
}

pub(super) fn write(writes: Vec<(String, Bytes)>) -> impl Iterator<Item = Effect> {
    writes.into_iter().map(|(key, bytes)| Effect::Put(Item::Value { key, bytes, until: Timestamp::MAX }))
}

fn until(now: Timestamp, ttl: Option<Duration>) -> Timestamp {
    ttl.map_or(Timestamp::MAX, |ttl| now + ttl)
}

pub(super) fn put(state: &State, put: Put, now: Timestamp) -> Decided {
    let Put { key, bytes, ttl, if_absent } = put;
    let puts = !if_absent || state.values.get(&key, now).is_none();
    let effect = puts.then(|| Effect::Put(Item::Value { key, bytes, until: until(now, ttl) }));
    Decided { effects: effect.into_iter().collect(), outcome: Some(Outcome::Put(puts)), ..Decided::default() }
}

pub(super) fn take(state: &State, fetch: &dyn Fetch, key: String, now: Timestamp) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let bytes = value(state, fetch, &key, now)?;
    if bytes.is_some() {
        decided.effects.push(Effect::Drop(Key::Value(key)));
    }
    decided.outcome = Some(Outcome::ValueTaken(bytes));
    Ok(decided)
}

/// Adds to an integer, which is 0 if it is not there. One that is there stays until when it was to.
pub(super) fn add(
    state: &State,
    fetch: &dyn Fetch,
    key: String,
    by: i64,
    ttl: Option<Duration>,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let before = match value(state, fetch, &key, now)? {
        None => 0,
        Some(bytes) => integer_of(&bytes).ok_or_else(|| {
            let text = format!("the value under `{key}` is no integer, so nothing can be added to it: `put` one first");
            StorageError::Refused(text)
        })?,
    };
    let sum = before.checked_add(by.into()).and_then(|sum| i64::try_from(sum).ok()).ok_or_else(|| {
        let text = format!("the value under `{key}` is {before}, and adding {by} would pass the range of an `i64`");
        StorageError::Refused(text)
    })?;
    let until = state.values.get(&key, now).map_or_else(|| until(now, ttl), |kept| kept.until);
    let effect = Effect::Put(Item::Value { key, bytes: integer(sum.into()), until });
    Ok(Decided { effects: vec![effect], outcome: Some(Outcome::Added(sum)), ..Decided::default() })
}

pub(super) fn value(
    state: &State,
    fetch: &dyn Fetch,
    key: &str,
    now: Timestamp,
) -> Result<Option<Bytes>, StorageError> {
    let Some(Kept { home, .. }) = state.values.get(key, now) else { return Ok(None) };
    match fetch.fetch(home)? {
        Effect::Put(Item::Value { bytes, .. }) => Ok(Some(bytes)),
        other => Err(StorageError::misplaced("value", home, &other)),
    }
}

pub(super) fn keys(state: &State, prefix: &str, after: Option<&str>, most: u32, now: Timestamp) -> Vec<String> {
    let from = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    state
        .values
        .keys
        .range::<str, _>((from, Bound::Unbounded))
        .take_while(|(key, _)| key.starts_with(prefix))
        .filter(|(_, kept)| now < kept.until)
        .map(|(key, _)| key)
        .take(most as usize)
        .cloned()
        .collect()
}
