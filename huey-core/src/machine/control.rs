//! What is done to jobs and tasks by hand: canceling, moving, revoking, replaying, purging; and what a body reports.

use std::time::Duration;

use super::claim::end_of;
use super::decide::{self, Decided, Refusal};
use super::item::{Effect, Item, Key, Note};
use super::state::State;
use super::work::{Phase, Work, WorkItem};
use super::{Fetch, body, flow, query, settle};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{
    Body, Canceled, Discarded, Ended, Lease, NewJob, Outcome, Placed, Progress, Replayed, Rescheduled, Revocation,
    Settled,
};
use crate::time::Timestamp;

/// Why a job that was canceled by hand has ended.
pub(super) const BY_HAND: &str = "canceled by a caller";

/// The state of a job that is not what was asked for; none if there is no such job.
fn state_of(state: &State, fetch: &dyn Fetch, id: JobId, now: Timestamp) -> Result<Option<JobState>, Refusal> {
    Ok(query::job(state, fetch, id, now)?.ok().map(|row| row.state))
}

/// The work of a job of somebody's: one that stands for a chord goes its own way.
fn job_of(state: &State, id: JobId) -> Option<Work> {
    state.work_of(id).filter(|work| state.chords.home(work.item.counter).is_none())
}

pub(super) fn cancel(
    state: &State,
    fetch: &dyn Fetch,
    id: JobId,
    keep: Duration,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let canceled = cancel_one(state, fetch, id, keep, now, &mut decided)?;
    decided.outcome = Some(Outcome::Canceled(canceled));
    Ok(decided)
}

pub(super) fn cancel_all(
    state: &State,
    fetch: &dyn Fetch,
    ids: Vec<JobId>,
    keep: Duration,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let mut all = Vec::with_capacity(ids.len());
    for id in ids {
        all.push(if decided.so_far.ended.contains(&id.counter()) {
            Canceled::Over(JobState::Canceled)
        } else {
            cancel_one(state, fetch, id, keep, now, &mut decided)?
        });
    }
    decided.outcome = Some(Outcome::AllCanceled(all));
    Ok(decided)
}

fn cancel_one(
    state: &State,
    fetch: &dyn Fetch,
    id: JobId,
    keep: Duration,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Canceled, Refusal> {
    Ok(match job_of(state, id) {
        Some(work) if matches!(work.item.phase, Phase::Waiting | Phase::Parked) => {
            let end = end(state, fetch, &work, keep, now, decided)?;
            let why = super::claim::flow_cause(&end);
            let steps = flow::fail(state, work.item.counter, &why, now, decided);
            let ends: Vec<Discarded> = std::iter::once(end).chain(steps).collect();
            decided.so_far.ended.extend(ends.iter().map(|end| end.id.counter()));
            Canceled::Ended(ends)
        }
        Some(work) if work.item.phase == Phase::Running => {
            let item = WorkItem { flags: work.item.flags.with_canceled(), ..work.item };
            decided.effects.push(Effect::Put(Item::Work(item)));
            Canceled::Stopping(Lease { id, claim: item.claim })
        }
        _ => match state.flows.of_step(id.counter()).filter(|flow| flow.step(id.counter(), now).id(state.salt) == id) {
            // Its turn has not come, and will not.
            Some(flow) => {
                let why = flow::Why { cause: BY_HAND.into(), error: None };
                let ends = flow::cut(state, flow, id.counter(), &why, now, decided);
                decided.so_far.ended.extend(ends.iter().map(|end| end.id.counter()));
                Canceled::Ended(ends)
            }
            None => state_of(state, fetch, id, now)?.map_or(Canceled::Missing, Canceled::Over),
        },
    })
}

/// Ends a job that does not run, as canceled.
pub(super) fn end(
    state: &State,
    fetch: &dyn Fetch,
    work: &Work,
    keep: Duration,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Discarded, Refusal> {
    let ended = Ended { cause: Some(BY_HAND.into()), ..Ended::default() };
    let head = body(fetch, work.body)?.head;
    let item = WorkItem { phase: Phase::Canceled, at: now, ..work.item };
    decided.effects.push(end_of(item, ended.clone(), head.clone(), keep, now));
    decided.touched.push(item.counter);
    Ok(super::claim::at_pick_up(state, work, JobState::Canceled, ended, head))
}

pub(super) fn reschedule(
    state: &State,
    fetch: &dyn Fetch,
    id: JobId,
    at: Timestamp,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let moved = match job_of(state, id) {
        Some(work) if work.item.phase == Phase::Waiting => {
            let at = at.max(now);
            decided.effects.push(Effect::Put(Item::Work(WorkItem { at, ..work.item })));
            decided.touched.push(work.item.counter);
            let waits = if at > now { JobState::Scheduled } else { JobState::Queued };
            Rescheduled::Moved(Settled::new(waits, Some(at)))
        }
        _ => state_of(state, fetch, id, now)?.map_or(Rescheduled::Missing, Rescheduled::Not),
    };
    decided.outcome = Some(Outcome::Rescheduled(moved));
    Ok(decided)
}

/// Whether a job stands still until somebody does something about it.
fn stands_still(work: &Work) -> bool {
    matches!(work.item.phase, Phase::Dead | Phase::Lost | Phase::Parked)
}

/// The body of a job that stands still.
pub(super) fn kept_body(state: &State, fetch: &dyn Fetch, id: JobId) -> Result<Option<Body>, Refusal> {
    state.work_of(id).filter(stands_still).map(|work| body(fetch, work.body)).transpose()
}

pub(super) fn purge(state: &State, id: JobId, now: Timestamp) -> Decided {
    let mut decided = Decided::default();
    let purged = purge_one(state, id, now, &mut decided);
    decided.outcome = Some(Outcome::Purged(purged));
    decided
}

pub(super) fn purge_all(state: &State, ids: Vec<JobId>, now: Timestamp) -> Decided {
    let mut decided = Decided::default();
    let all = ids.into_iter().map(|id| purge_one(state, id, now, &mut decided)).collect();
    decided.outcome = Some(Outcome::AllPurged(all));
    decided
}

/// Drops a job that stands still. The later steps of its chain, which end with it.
fn purge_one(state: &State, id: JobId, now: Timestamp, decided: &mut Decided) -> Option<Vec<Discarded>> {
    let work = state.work_of(id).filter(stands_still)?;
    if !decided.so_far.ended.insert(work.item.counter) {
        return None;
    }
    decided.effects.push(Effect::Drop(Key::Job(work.item.counter)));
    let why = flow::Why::ended(id, "was purged", None);
    Some(flow::fail(state, work.item.counter, &why, now, decided))
}

pub(super) fn replay(
    state: &State,
    fetch: &dyn Fetch,
    of: JobId,
    job: NewJob,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let replayed = match state.work_of(of) {
        // What its body holds is not free yet.
        Some(work) if stands_still(&work) && state.lingering.holds(work.item.counter) => {
            Replayed::Not(JobState::Running)
        }
        Some(work) if stands_still(&work) => {
            let old = work.item.counter;
            decided.so_far.ended.insert(old);
            let placed = decide::place(state, fetch, vec![job], now, &mut decided)?.pop();
            let placed = placed.unwrap_or(Placed::New);
            let mut canceled = Vec::new();
            // Another job that answers for the new one does not for the old one.
            if !matches!(placed, Placed::Existing(_)) {
                decided.effects.insert(0, Effect::Drop(Key::Job(old)));
                // One that was parked held up its chain. The new one is outside of it.
                let why = flow::Why::ended(of, "was replayed", None);
                canceled = flow::fail(state, old, &why, now, &mut decided);
            }
            Replayed::Placed { placed, canceled }
        }
        // A repeated one finds the new job.
        _ if state.is_known(job.id.counter()) => Replayed::Placed { placed: Placed::New, canceled: Vec::new() },
        _ => state_of(state, fetch, of, now)?.map_or(Replayed::Missing, Replayed::Not),
    };
    decided.outcome = Some(Outcome::Replayed(replayed));
    Ok(decided)
}

pub(super) fn revoke(state: &State, task: String, mark: Option<Revocation>, now: Timestamp) -> Decided {
    let mut decided = Decided::default();
    let was = revocation(state, &task, now).is_some();
    decided.effects.extend(match mark {
        Some(mark) => Some(Effect::Put(Item::Revocation { task, mark })),
        None => state.revocations.contains_key(&task).then_some(Effect::Drop(Key::Revocation(task))),
    });
    decided.outcome = Some(Outcome::Revoked(was));
    decided
}

/// The mark on a task that holds now.
pub(super) fn revocation(state: &State, task: &str, now: Timestamp) -> Option<Revocation> {
    let (mark, _) = state.revocations.get(task)?;
    (!matches!(mark, Revocation::Until(end) if now > *end)).then_some(*mark)
}

pub(super) fn progress(state: &State, fetch: &dyn Fetch, lease: Lease, progress: Progress) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let running = settle::running(state, lease);
    if let Some(work) = running {
        let note = Note { progress: Some(progress), ..query::note(fetch, &work)? };
        decided.effects.push(Effect::Put(Item::Note(work.item.counter, note.into())));
    }
    decided.outcome = Some(Outcome::Noted(running.is_some()));
    Ok(decided)
}
