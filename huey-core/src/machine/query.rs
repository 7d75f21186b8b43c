//! Questions about the state. None decodes arguments.

use super::chord;
use super::claim::seconds;
use super::control;
use super::index::Target;
use super::item::{Effect, Item, Note, ResultItem};
use super::schedule;
use super::state::State;
use super::work::{Listed, Phase, Work, WorkItem};
use super::{Fetch, body, explain, queues, values};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Answer, Backlog, CHORD, Counts, Ended, List, Missing, Query, Row, Rows, StorageError};
use crate::time::Timestamp;

pub(crate) fn answer(state: &State, fetch: &dyn Fetch, query: Query, now: Timestamp) -> Result<Answer, StorageError> {
    Ok(match query {
        Query::Job(id) => Answer::Job(job(state, fetch, id, now)?),
        Query::Body(id) => Answer::Body(match job(state, fetch, id, now)? {
            Ok(row) => Ok((row, control::kept_body(state, fetch, id)?)),
            Err(missing) => Err(missing),
        }),
        Query::Counts { queues, tasks } => Answer::Counts(counts(state, &queues, &tasks)),
        Query::List(list) => Answer::List(page(state, fetch, &list, now)?),
        Query::Schedules => Answer::Schedules(schedule::rows(state)),
        Query::Arrivals { chord, from } => Answer::Arrivals(chord::arrivals(state, fetch, chord, from)?),
        Query::Revocation(task) => Answer::Revocation(control::revocation(state, &task, now)),
        Query::Backlog { queues } => Answer::Backlog(backlog(state, &queues)),
        Query::Value(key) => Answer::Value(values::value(state, fetch, &key, now)?),
        Query::Keys { prefix, after, most } => Answer::Keys(values::keys(state, &prefix, after.as_deref(), most, now)),
        Query::Reasons { id, beside } => Answer::Reasons(explain::reasons(state, id, &beside, now)),
        Query::Queues => Answer::Queues(queues::rows(state)),
    })
}

/// What is known of a job.
pub(super) fn job(
    state: &State,
    fetch: &dyn Fetch,
    id: JobId,
    now: Timestamp,
) -> Result<Result<Box<Row>, Missing>, StorageError> {
    if let Some(work) = state.work_of(id) {
        return Ok(Ok(Box::new(live(state, fetch, &work, now)?)));
    }
    if let Some(place) = state.result_of(id) {
        let result = match fetch.fetch(place)? {
            Effect::Put(Item::Result(result)) => *result,
            other => return Err(StorageError::misplaced("result", place, &other)),
        };
        return Ok(if result.work.id(state.salt) != id {
            Err(Missing::NeverExisted)
        } else if result.keep_until < seconds(now) {
            // A result past its retention is gone, whether or not it was dropped yet.
            Err(Missing::Gone)
        } else {
            Ok(Box::new(past(state, result)))
        });
    }
    if let Some(flow) = state.flows.of_step(id.counter()) {
        let step = flow.step(id.counter(), now);
        if step.id(state.salt) == id {
            return Ok(Ok(Box::new(row(state, &step, JobState::Awaiting, Ended::default(), Bytes::default()))));
        }
    }
    let existed = id.salt() == state.salt && id.counter() < state.reserved;
    Ok(Err(if existed { Missing::Gone } else { Missing::NeverExisted }))
}

fn live(state: &State, fetch: &dyn Fetch, work: &Work, now: Timestamp) -> Result<Row, StorageError> {
    let head = body(fetch, work.body)?.head;
    let note = note(fetch, work)?;
    let ended = Ended { error: note.error, cause: note.cause, ..Ended::default() };
    let is_held = state.is_held(work.item.counter);
    let room = state.limits.due(work.item.counter, now).filter(|_| work.listed == Listed::Limited);
    let shown = match work.item.phase {
        Phase::Waiting if work.listed == Listed::Due || room.is_some() => JobState::Scheduled,
        Phase::Waiting => JobState::Queued,
        // An end that is not durable and announced yet is not shown.
        Phase::Dead | Phase::Lost | Phase::Parked if is_held => JobState::Running,
        Phase::Dead => JobState::Dead,
        Phase::Lost => JobState::Lost,
        Phase::Parked => JobState::Parked,
        Phase::Awaiting => JobState::Awaiting,
        _ => JobState::Running,
    };
    Ok(Row {
        stopping: work.item.flags.canceled(),
        progress: note.progress,
        at: room.unwrap_or(work.item.at),
        ..row(state, &work.item, shown, ended, head)
    })
}

/// What is noted of a job that has not ended well.
pub(super) fn note(fetch: &dyn Fetch, work: &Work) -> Result<Note, StorageError> {
    if work.note.is_none() {
        return Ok(Note::default());
    }
    match fetch.fetch(work.note)? {
        Effect::Put(Item::Note(_, note)) => Ok(*note),
        other => Err(StorageError::misplaced("note", work.note, &other)),
    }
}

fn past(state: &State, result: ResultItem) -> Row {
    let held = state.is_held(result.work.counter);
    if held {
        return row(state, &result.work, JobState::Running, Ended::default(), result.head);
    }
    let shown = match result.work.phase {
        Phase::Canceled => JobState::Canceled,
        Phase::Expired => JobState::Expired,
        Phase::Revoked => JobState::Revoked,
        _ => JobState::Complete,
    };
    row(state, &result.work, shown, result.ended, result.head)
}

fn row(state: &State, item: &WorkItem, shown: JobState, ended: Ended, head: Bytes) -> Row {
    Row {
        id: item.id(state.salt),
        task: state.names.text(item.task),
        queue: state.names.text(item.queue),
        priority: item.priority,
        state: shown,
        at: item.at,
        expires: (item.expires != Timestamp::MAX).then_some(item.expires),
        attempts: item.attempts,
        crashes: item.crashes,
        head,
        ended,
        stopping: false,
        progress: None,
    }
}

fn counts(state: &State, queues: &[String], tasks: &[String]) -> Counts {
    let mut counts = Counts { results: state.results.count(), ..Counts::default() };
    let numbers = |names: &[String]| names.iter().filter_map(|name| state.names.number(name)).collect::<Vec<_>>();
    let (in_queues, of_tasks) = (numbers(queues), numbers(tasks));
    for ((queue, task), tally) in &state.tallies {
        let counts_here = queues.is_empty() || in_queues.contains(queue);
        if counts_here && (tasks.is_empty() || of_tasks.contains(task)) {
            tally.add_to(&mut counts);
        }
    }
    counts
}

/// Jobs looked at of each priority of a task, for the one that has waited longest.
const FIRSTS: usize = 64;

fn backlog(state: &State, queues: &[String]) -> Backlog {
    let queues: Vec<u32> = queues.iter().filter_map(|queue| state.names.number(queue)).collect();
    let firsts = queues.iter().flat_map(|queue| state.ready.firsts(*queue, FIRSTS));
    let oldest = firsts.filter_map(|counter| state.work(counter)).map(|work| work.item.at).min();
    let holds = |work: &Work| match work.item.phase {
        Phase::Running => true,
        _ => work.listed == Listed::Ready && queues.contains(&work.item.queue),
    };
    let suspects = state.suspects.iter().filter_map(|counter| state.work(*counter)).filter(holds);
    let mut suspects: Vec<JobId> = suspects.map(|work| work.item.id(state.salt)).collect();
    suspects.sort();
    Backlog { oldest, suspects }
}

/// Jobs looked at for one page. Those that have ended are read from the journal.
const LOOK: usize = 512;

/// The next rows of a listing, in the order of enqueueing.
fn page(state: &State, fetch: &dyn Fetch, list: &List, now: Timestamp) -> Result<Rows, StorageError> {
    let numbers = |names: &[String]| names.iter().filter_map(|name| state.names.number(name)).collect::<Vec<_>>();
    let (queues, tasks) = (numbers(&list.queues), numbers(&list.tasks));
    let chord = state.names.number(CHORD);
    let fits = |item: &WorkItem| {
        Some(item.task) != chord
            && (list.queues.is_empty() || queues.contains(&item.queue))
            && (list.tasks.is_empty() || tasks.contains(&item.task))
    };
    let ends = [JobState::Complete, JobState::Canceled, JobState::Expired, JobState::Revoked];
    let shows_ended = list.states.is_empty() || list.states.iter().any(|state| ends.contains(state));
    let mut rows = Rows::default();
    for (looked, (counter, target)) in state.index.from(list.from).enumerate() {
        if looked == LOOK || rows.rows.len() >= list.most as usize {
            rows.next = Some(counter);
            break;
        }
        let row = match target {
            Target::Live(_) => match state.work(counter).filter(|work| fits(&work.item)) {
                Some(work) => live(state, fetch, &work, now)?,
                None => continue,
            },
            Target::Result(_) if !shows_ended => continue,
            Target::Result(place) => match fetch.fetch(place)? {
                Effect::Put(Item::Result(result)) if result.keep_until < seconds(now) || !fits(&result.work) => {
                    continue;
                }
                Effect::Put(Item::Result(result)) => past(state, *result),
                other => return Err(StorageError::misplaced("result", place, &other)),
            },
        };
        if list.states.is_empty() || list.states.contains(&row.state) {
            rows.rows.push(row);
        }
    }
    Ok(rows)
}
