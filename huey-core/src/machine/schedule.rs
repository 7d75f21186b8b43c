//! Schedules: each tick is decided once, by whoever finds the schedule where it saw it.

use super::Fetch;
use super::decide::{self, Decided, Refusal};
use super::item::{Decision, Effect, Item, Key, ScheduleItem};
use super::state::State;
use crate::store::{Outcome, Plan, ScheduleRow, Tick, Ticked};
use crate::task::Overlap;
use crate::time::Timestamp;

/// The decisions of so many consumers are remembered.
const REMEMBERED: usize = 8;

pub(super) fn tick(state: &State, fetch: &dyn Fetch, tick: Tick, now: Timestamp) -> Result<Decided, Refusal> {
    let Tick { schedule, by, id, seen, upto, newest, tasks, overlap, jobs } = tick;
    let mut decided = Decided { sync: true, ..Decided::default() };
    let item = state.schedules.get(&schedule).map(|(item, _)| item);
    let before = item.and_then(|item| item.decided.iter().find(|decision| decision.id == id));
    let Some(item) = item.filter(|item| before.is_some() || item.upto == seen) else {
        decided.outcome = Some(Outcome::Ticked(Ticked::Overtaken));
        return Ok(decided);
    };
    let overlapped = match before {
        Some(before) => before.overlapped,
        None => !jobs.is_empty() && is_active(state, &tasks, overlap),
    };
    decided.outcome = Some(Outcome::Ticked(if overlapped {
        Ticked::Overlapped
    } else {
        Ticked::Decided(decide::place(state, fetch, jobs, now, &mut decided)?)
    }));
    if before.is_none() {
        let mut item = item.clone();
        item.upto = upto;
        item.newest = newest.or(item.newest);
        item.decided.retain(|decision| decision.by != by);
        item.decided.push(Decision { by, id, overlapped });
        let over = item.decided.len().saturating_sub(REMEMBERED);
        item.decided.drain(..over);
        decided.effects.push(Effect::Put(Item::Schedule(item.into())));
    }
    Ok(decided)
}

/// Whether jobs of the task stand in the way of another. One that is scheduled for later does not, until it is due; one
/// that waits for another attempt does.
fn is_active(state: &State, tasks: &[String], overlap: Overlap) -> bool {
    let numbers: Vec<u32> = tasks.iter().filter_map(|task| state.names.number(task)).collect();
    let tallies = state.tallies.iter().filter(|((_, task), _)| numbers.contains(task)).map(|(_, tally)| tally);
    let (mut waiting, mut running) = (0, 0);
    for tally in tallies {
        waiting += tally.waiting.saturating_sub(tally.scheduled) + tally.retrying;
        running += tally.running;
    }
    match overlap {
        Overlap::Skip => waiting + running > 0,
        Overlap::QueueOne => waiting > 0,
        Overlap::Allow => false,
    }
}

pub(super) fn plan(state: &State, plan: Plan, now: Timestamp) -> Decided {
    let Plan { schedule, seen, choices, from } = plan;
    let item = state.schedules.get(&schedule).map(|(item, _)| item);
    let stands = item.map_or(0, |item| item.revision) == seen;
    let mut decided = Decided { outcome: Some(Outcome::Planned(stands)), ..Decided::default() };
    if !stands {
        return decided;
    }
    match choices {
        Some(choices) => {
            let new = || ScheduleItem { name: schedule, upto: now, ..ScheduleItem::default() };
            let mut item = item.cloned().unwrap_or_else(new);
            item.upto = from.unwrap_or(item.upto);
            item.revision = seen + 1;
            item.choices = choices;
            decided.effects.push(Effect::Put(Item::Schedule(item.into())));
        }
        None if item.is_some() => decided.effects.push(Effect::Drop(Key::Schedule(schedule))),
        None => {}
    }
    decided
}

pub(super) fn rows(state: &State) -> Vec<ScheduleRow> {
    let row = |item: &ScheduleItem| ScheduleRow {
        name: item.name.clone(),
        upto: item.upto,
        newest: item.newest,
        revision: item.revision,
        choices: item.choices.clone(),
    };
    state.schedules.values().map(|(item, _)| row(item)).collect()
}
