//! What the state knows of why a job does not run.

use super::item::LimitsItem;
use super::state::State;
use super::work::{Listed, Phase, Work};
use super::{control, lock};
use crate::id::JobId;
use crate::store::{LimitKind, Reason};
use crate::task::name_of;
use crate::time::Timestamp;

/// What keeps a job from being given out, beside its time. Jobs of the queues `beside` are claimed together with it.
pub(super) fn reasons(state: &State, id: JobId, beside: &[String], now: Timestamp) -> Vec<Reason> {
    match state.work_of(id) {
        Some(work) if work.item.phase == Phase::Waiting => waiting(state, &work, beside, now),
        Some(_) => Vec::new(),
        None => awaited(state, id, now).into_iter().collect(),
    }
}

fn waiting(state: &State, work: &Work, beside: &[String], now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let queue = state.names.text(work.item.queue);
    if state.paused.contains_key(&*queue) {
        reasons.push(Reason::Paused);
    }
    if control::revocation(state, &state.names.text(work.item.task), now).is_some() {
        reasons.push(Reason::Revoked);
    }
    if work.listed == Listed::Due {
        return reasons;
    }
    if state.is_held(work.item.counter) {
        reasons.push(Reason::Unannounced);
    }
    if state.lingering.holds(work.item.counter) {
        reasons.push(Reason::RunsOn);
    }
    reasons.extend(limits(state, work.item.counter, now));
    reasons.extend(suspect(state, work, &queue, beside));
    if reasons.is_empty() {
        let tallies = state.tallies.iter().filter(|((queue, _), _)| *queue == work.item.queue);
        let (queued, running) = tallies.fold((0, 0), |(queued, running), (_, tally)| {
            (queued + tally.waiting.saturating_sub(tally.scheduled), running + tally.running)
        });
        reasons.push(Reason::InLine { queued, running });
    }
    reasons
}

/// What a job needs and cannot have now, in the order in which a claim looks at it.
fn limits(state: &State, counter: u64, now: Timestamp) -> impl Iterator<Item = Reason> {
    let item = state.limits.item(counter).into_iter();
    let full = item.flat_map(LimitsItem::all).filter(move |(key, kind)| state.limits.room(key, *kind, now) == 0);
    full.filter_map(move |(key, kind)| match kind {
        LimitKind::Lock => {
            let holder = state.limits.holder(key).filter(|holder| *holder != counter)?;
            Some(Reason::Locked { lock: name_of(key), holder: lock::id(state, holder) })
        }
        LimitKind::Running { most } => Some(Reason::Bound { most }),
        LimitKind::Rate { most, per } => {
            let next = state.limits.marks(key).next(per, now)?;
            Some(Reason::Rate { rate: name_of(key), most, per, next })
        }
    })
}

/// A job one crash short of its limit that holds this one up.
fn suspect(state: &State, work: &Work, queue: &str, beside: &[String]) -> Option<Reason> {
    let is_claimed_with = |other: &Work| {
        let other = state.names.text(other.item.queue);
        !state.paused.contains_key(&*other) && (*other == *queue || beside.iter().any(|beside| **beside == *other))
    };
    let others = state.suspects.iter().filter(|counter| **counter != work.item.counter);
    let mut others: Vec<Work> = others.filter_map(|counter| state.work(*counter)).collect();
    others.sort_by_key(|other| other.item.counter);
    if let Some(runs) = others.iter().find(|other| other.item.phase == Phase::Running) {
        return Some(Reason::Suspect(runs.item.id(state.salt)));
    }
    if state.suspects.contains(&work.item.counter) {
        return (state.running > 0).then_some(Reason::RunsAlone { running: state.running });
    }
    let able = others.iter().find(|other| other.listed == Listed::Ready && is_claimed_with(other))?;
    Some(Reason::Suspect(able.item.id(state.salt)))
}

/// What a later step of a chain, or a callback, waits for.
fn awaited(state: &State, id: JobId, now: Timestamp) -> Option<Reason> {
    let flow = state.flows.of_step(id.counter()).filter(|flow| flow.step(id.counter(), now).id(state.salt) == id)?;
    let turn = flow.turn();
    if let Some((ended, of)) = state.chords.progress(turn) {
        return Some(Reason::Members { ended, of });
    }
    state.work(turn).map(|work| Reason::Step(work.item.id(state.salt)))
}
