//! Settling: the end of an attempt, whatever the end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::claim::end_of;
use super::decide::{Decided, Refusal};
use super::item::{Effect, Item, Note};
use super::state::State;
use super::work::{Phase, Work, WorkItem};
use super::{Fetch, body, chord, flow, linger, lock};
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::state::JobState;
use crate::store::{Arrival, Ended, Lease, Next, Outcome, Settled, Settlement, Verdict};
use crate::time::Timestamp;

/// After so many refunds an interrupted attempt counts, so that a job that never gets to its end does not run for ever.
const MAX_REFUNDS: u8 = 10;

/// The work that `lease` entitles to settle.
pub(super) fn running(state: &State, lease: Lease) -> Option<Work> {
    state.work_of(lease.id).filter(|work| work.item.phase == Phase::Running && work.item.claim == lease.claim)
}

/// Ends attempts. The bodies of those that are `late` run on.
pub(super) fn settle(
    state: &State,
    fetch: &dyn Fetch,
    settlements: Vec<Settlement>,
    late: bool,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let mut all = Vec::with_capacity(settlements.len());
    let mut seen = BTreeSet::new();
    decided.touched.reserve(settlements.len());
    decided.effects.reserve(settlements.len());
    for Settlement { lease, verdict } in settlements {
        // Two settlements of one lease in one transition: the first counts.
        let work = running(state, lease).filter(|work| seen.insert(work.item.counter));
        let Some(work) = work else {
            all.push(None);
            continue;
        };
        decided.touched.push(work.item.counter);
        if late {
            decided.effects.push(linger::begin(&work.item));
            decided.so_far.lingering.insert(work.item.counter);
        }
        all.push(Some(settle_one(state, fetch, &work, verdict, now, &mut decided)?));
    }
    decided.outcome = Some(Outcome::Settled(all));
    Ok(decided)
}

fn settle_one(
    state: &State,
    fetch: &dyn Fetch,
    work: &Work,
    verdict: Verdict,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Settled, Refusal> {
    let before = work.item;
    if let Verdict::Gathered { next } = verdict {
        return chord::gathered(state, fetch, work, next, now, decided);
    }
    let waits = |item: WorkItem| {
        Settled::new(if item.at > now { JobState::Scheduled } else { JobState::Queued }, Some(item.at))
    };
    let (verdict, next) = match verdict {
        Verdict::Complete { output, signature, keep, next } => {
            (Verdict::Complete { output, signature, keep, next: None }, next)
        }
        Verdict::Dead { error, next } => (Verdict::Dead { error, next: None }, next),
        verdict => (verdict, None),
    };
    let arrival = match &verdict {
        Verdict::Complete { output, .. } if state.chords.has_member(before.counter) => {
            Some(Arrival::Complete { output: output.clone() })
        }
        _ => None,
    };
    let error = if let Verdict::Dead { error, .. } = &verdict { Some(error.clone()) } else { None };
    let mut settled = settle_job(state, fetch, work, verdict, now, decided, &waits)?;
    if settled.state.is_ended() && !decided.so_far.lingering.contains(&before.counter) {
        decided.so_far.ended.insert(before.counter);
    }
    match (settled.state, next) {
        (JobState::Complete, Some(next)) => {
            (settled.next, settled.canceled) = flow::follow(state, fetch, before.counter, next, now, decided)?;
        }
        (ended, next) if ended.is_ended() && ended != JobState::Complete => {
            if let Some(Next::Job(job)) = next {
                settled.next = flow::follow_up(state, fetch, *job, now, decided)?;
            }
            let why = flow::Why::ended(before.id(state.salt), format_args!("is {ended}"), error);
            settled.canceled = flow::fail(state, before.counter, &why, now, decided);
        }
        _ => {}
    }
    if let Some(arrival) = arrival {
        chord::arrive(state, before.counter, arrival, now, decided);
    }
    Ok(settled)
}

/// What becomes of the job itself.
fn settle_job(
    state: &State,
    fetch: &dyn Fetch,
    work: &Work,
    verdict: Verdict,
    now: Timestamp,
    decided: &mut Decided,
    waits: &dyn Fn(WorkItem) -> Settled,
) -> Result<Settled, Refusal> {
    let before = work.item;
    let started = Some(before.at);
    let put = &mut decided.effects;
    let ended = |state| Settled::new(state, None);
    Ok(match verdict {
        Verdict::Complete { output, signature, keep, .. } => {
            let end = Ended { output: Some(output), signature, started, ..Ended::default() };
            put.push(result(fetch, work, Phase::Complete, end, keep, now)?);
            ended(JobState::Complete)
        }
        Verdict::Canceled { cause, keep } => {
            let end = Ended { cause: Some(cause), started, ..Ended::default() };
            put.push(result(fetch, work, Phase::Canceled, end, keep, now)?);
            ended(JobState::Canceled)
        }
        Verdict::Retry { delay, error, spend } => {
            if !decided.so_far.lingering.contains(&before.counter) {
                put.extend(lock::awaits_none(state, before.counter));
            }
            let retried = before.retried + u32::from(spend);
            // One that was canceled meanwhile ends when it is picked up.
            let at = if before.flags.canceled() { now } else { now + delay };
            let item = WorkItem { phase: Phase::Waiting, at, retried, ..before };
            keep_note(put, item, error, None);
            waits(item)
        }
        Verdict::Locked { keys } => {
            let attempts = before.attempts_before();
            let item = WorkItem { phase: Phase::Waiting, at: now, attempts, ..before };
            let wait = lock::awaits(state, before.counter, keys, put);
            put.push(Effect::Put(Item::Work(item)));
            // One that was canceled meanwhile ends when it is picked up.
            let wait = wait.filter(|_| !before.flags.canceled());
            decided.waits.extend(wait.map(|wait| (before.counter, wait)));
            waits(item)
        }
        Verdict::Returned { started } => {
            let refund = before.refunds < MAX_REFUNDS;
            let item = WorkItem {
                phase: Phase::Waiting,
                at: now,
                attempts: if refund || !started { before.attempts_before() } else { before.attempts },
                refunds: before.refunds + u8::from(refund && started),
                ..before
            };
            put.push(Effect::Put(Item::Work(item)));
            waits(item)
        }
        Verdict::Dead { error, .. } => {
            keep_note(put, WorkItem { phase: Phase::Dead, at: now, ..before }, Some(error), None);
            ended(JobState::Dead)
        }
        Verdict::Lost { cause } => {
            keep_note(put, WorkItem { phase: Phase::Lost, at: now, ..before }, None, Some(cause));
            ended(JobState::Lost)
        }
        // Settled before.
        Verdict::Gathered { .. } => ended(JobState::Complete),
        Verdict::Parked { cause } => {
            // No attempt was made, so none is counted.
            let attempts = before.attempts_before();
            keep_note(put, WorkItem { phase: Phase::Parked, at: now, attempts, ..before }, None, Some(cause));
            ended(JobState::Parked)
        }
    })
}

fn keep_note(put: &mut Vec<Effect>, item: WorkItem, error: Option<TaskError>, cause: Option<String>) {
    if error.is_some() || cause.is_some() {
        put.push(Effect::Put(Item::Note(item.counter, Note { error, cause, progress: None }.into())));
    }
    put.push(Effect::Put(Item::Work(item)));
}

fn result(
    fetch: &dyn Fetch,
    work: &Work,
    phase: Phase,
    ended: Ended,
    keep: Duration,
    now: Timestamp,
) -> Result<Effect, Refusal> {
    let head = if keep.is_zero() { Bytes::default() } else { body(fetch, work.body)?.head };
    Ok(end_of(WorkItem { phase, at: now, ..work.item }, ended, head, keep, now))
}
