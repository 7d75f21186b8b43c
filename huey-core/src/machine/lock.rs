//! Decisions about limits: whether a job may be claimed, and what becomes of a lock that a body asks for.

use super::decide::Decided;
use super::item::{Effect, Item, Key, LimitsItem};
use super::limit::Wait;
use super::settle;
use super::state::State;
use super::work::{Work, id_of};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::store::{Lease, LimitKind, LimitedBy, Locking, Outcome};
use crate::time::Timestamp;

/// A job remembers so many locks that its body asked for; the oldest is forgotten.
const MOST_AWAITED: usize = 16;

/// Whether all is free that a job needs.
pub(super) enum Free {
    /// The claim has it, and the effects say so.
    Yes,
    /// The job waits, and this is to be told of it.
    No(Option<LimitedBy>),
}

/// Looks at what a job needs that is to be claimed.
pub(super) fn ask(state: &State, work: &Work, now: Timestamp, decided: &mut Decided) -> Free {
    let counter = work.item.counter;
    let Some(item) = state.limits.item(counter) else { return Free::Yes };
    for (key, kind) in item.all() {
        let gone = decided.so_far.gone.get(key).map_or(0, |(count, _)| *count);
        if state.limits.room(key, kind, now) <= gone {
            return Free::No(wait(state, counter, (key, kind), now, decided));
        }
    }
    for (key, kind) in item.all() {
        let id = work.item.id(state.salt);
        decided.so_far.gone.entry(key.clone()).or_insert((0, id)).0 += 1;
        if let LimitKind::Rate { most, per } = kind {
            let (slot, mark) = match decided.so_far.marks.get(key) {
                Some((slot, mark)) => (*slot, super::item::Mark { count: mark.count.saturating_add(1), ..*mark }),
                None => state.limits.marks(key).one_more(most, per, now),
            };
            decided.so_far.marks.insert(key.clone(), (slot, mark));
            decided.effects.push(Effect::Put(Item::Mark { key: key.clone(), slot, mark }));
        }
        // A body must not run under a lock, nor a claim be counted, that a failure of the log or a power cut takes back.
        decided.sync |= !matches!(kind, LimitKind::Running { .. });
    }
    Free::Yes
}

/// A job joins the line of a limit. Says what is to be told of it.
fn wait(
    state: &State,
    counter: u64,
    (key, kind): (&Bytes, LimitKind),
    now: Timestamp,
    decided: &mut Decided,
) -> Option<LimitedBy> {
    let mut told = state.limits.wait(counter).map_or((false, false), |wait| wait.told);
    let lined = decided.so_far.lined.entry(key.clone()).or_default();
    // One that had its turn and comes too late is in the line already.
    let again = state.limits.wait(counter).is_some_and(|wait| wait.key == *key);
    let before = (state.limits.in_line(key) + *lined).saturating_sub(u32::from(again));
    *lined += u32::from(!again);
    let (by, due) = match kind {
        LimitKind::Lock => {
            let gone = decided.so_far.gone.get(key).map(|(_, id)| *id);
            let holder = || state.limits.holder(key).map(|holder| id(state, holder));
            let by = gone.or_else(holder).filter(|_| !std::mem::replace(&mut told.0, true));
            (by.map(LimitedBy::Lock), None)
        }
        LimitKind::Running { .. } => (None, None),
        LimitKind::Rate { most, per } => {
            let gone = decided.so_far.gone.get(key).map_or(0, |(count, _)| *count);
            let turn = state.limits.marks(key).turn(most, per, now, before.saturating_add(gone));
            (Some(LimitedBy::Rate(turn)).filter(|_| !std::mem::replace(&mut told.1, true)), Some(turn))
        }
    };
    if by.is_some() {
        decided.touched.push(counter);
    }
    decided.waits.push((counter, Wait { key: key.clone(), due, woken: false, told }));
    by
}

/// The id of a job that holds a lock. One may be gone while its body runs on: its time is not known then.
pub(super) fn id(state: &State, holder: u64) -> JobId {
    state.work(holder).map_or_else(|| id_of(0, holder, state.salt), |work| work.item.id(state.salt))
}

/// Takes a lock for an attempt that runs.
pub(super) fn lock(state: &State, lease: Lease, key: Bytes) -> Decided {
    let mut decided = Decided { sync: true, ..Decided::default() };
    let locking = match (settle::running(state, lease), state.limits.holder(&key)) {
        (None, _) => Locking::Stale,
        (Some(work), Some(holder)) if holder == work.item.counter => {
            let declares = |item: &LimitsItem| item.declared.iter().any(|limit| limit.key == key);
            if state.limits.item(holder).is_some_and(declares) { Locking::Declared } else { Locking::Taken }
        }
        (Some(_), Some(holder)) => Locking::Held(id(state, holder)),
        (Some(work), None) => {
            decided.effects.push(Effect::Put(Item::Lock { key, holder: work.item.counter }));
            Locking::Taken
        }
    };
    decided.outcome = Some(Outcome::Locked(locking));
    decided
}

/// Frees a lock that an attempt took, or that its claim took for it.
pub(super) fn unlock(state: &State, lease: Lease, key: &Bytes) -> Decided {
    let mut decided = Decided::default();
    let owner = settle::running(state, lease).filter(|work| state.limits.holder(key) == Some(work.item.counter));
    let awaited = owner.and_then(|work| state.limits.item(work.item.counter)).filter(|item| item.awaited.contains(key));
    if let Some(item) = awaited {
        let mut item = item.clone();
        item.awaited.retain(|awaited| awaited != key);
        decided.effects.push(Effect::Put(Item::Limits(item)));
    } else if owner.is_some() && state.limits.is_taken(key) {
        decided.effects.push(Effect::Drop(Key::Lock(key.clone())));
    }
    decided.outcome = Some(Outcome::Unlocked(!decided.effects.is_empty()));
    decided
}

/// The body of a job found a lock held. The next claim takes all that it asked for until then, so that it is put back at most
/// once for each.
pub(super) fn awaits(state: &State, counter: u64, keys: Vec<Bytes>, put: &mut Vec<Effect>) -> Option<Wait> {
    let held = keys.last().cloned();
    let mut item = state.limits.item(counter).cloned().unwrap_or(LimitsItem { counter, ..LimitsItem::default() });
    for key in keys {
        if item.all().all(|(known, _)| *known != key) {
            item.awaited.push(key);
        }
    }
    let over = item.awaited.len().saturating_sub(MOST_AWAITED);
    item.awaited.drain(..over);
    put.push(Effect::Put(Item::Limits(item)));
    held.map(|key| Wait { key, due: None, woken: false, told: (true, false) })
}

/// The body of a job came to its end, and the next attempt asks anew.
pub(super) fn awaits_none(state: &State, counter: u64) -> Option<Effect> {
    let item = state.limits.item(counter).filter(|item| !item.awaited.is_empty())?;
    Some(Effect::Put(Item::Limits(LimitsItem { awaited: Vec::new(), ..item.clone() })))
}
