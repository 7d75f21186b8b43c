//! From a transition and the state to effects and an outcome. Looks, and changes nothing.

use super::claim;
use super::item::{Effect, Item, Key};
use super::settle;
use super::state::State;
use super::work::{Flags, Phase, WorkItem};
use super::{Fetch, query};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::store::{NewJob, Outcome, StorageError, Transition};
use crate::task::Durability;
use crate::time::Timestamp;

/// What a transition comes to.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) effects: Vec<Effect>,
    pub(crate) outcome: Option<Outcome>,
    /// The jobs whose waiters and signals speak of this transition.
    pub(crate) touched: Vec<u64>,
    /// Whether it must be on the disk before its outcome is told, whatever level was asked for.
    pub(crate) sync: bool,
}

/// Why a transition was not done.
pub(crate) type Refusal = StorageError;

pub(crate) fn decide(
    state: &State,
    fetch: &dyn Fetch,
    transition: Transition,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    match transition {
        Transition::Reserve { count } => Ok(reserve(state, count)),
        Transition::Enqueue { jobs, writes } => enqueue(state, jobs, writes),
        Transition::Claim { queues, tasks, most, many, keep } => {
            claim::Claim { state, fetch, now, keep }.decide(&queues, &tasks, most, &many)
        }
        Transition::Settle(settlements) => settle::settle(state, fetch, settlements, now),
        Transition::Heartbeat(leases) => {
            let alive = leases.iter().map(|lease| settle::running(state, *lease).is_some()).collect();
            Ok(Decided { outcome: Some(Outcome::Alive(alive)), ..Decided::default() })
        }
        // Leases end with the process: opening the store has taken back all there were.
        Transition::Reclaim => Ok(Decided { outcome: Some(Outcome::Reclaimed(0)), ..Decided::default() }),
        Transition::Unpark { tasks } => Ok(unpark(state, &tasks)),
        Transition::Take { id } => take(state, fetch, id, now),
    }
}

fn reserve(state: &State, count: u32) -> Decided {
    let first = state.reserved;
    let meta = Item::Meta { salt: state.salt, reserved: first + u64::from(count) };
    Decided {
        effects: vec![Effect::Put(meta)],
        outcome: Some(Outcome::Reserved { first, salt: state.salt }),
        ..Decided::default()
    }
}

fn enqueue(state: &State, jobs: Vec<NewJob>, writes: Vec<(String, Bytes)>) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let mut names = NewNames { state, added: Vec::new() };
    let mut known = !jobs.is_empty();
    for job in jobs {
        if job.id.salt() != state.salt || job.id.counter() >= state.reserved {
            return Err(StorageError::Refused(format!("the id {} was not made for this store", job.id)));
        }
        if state.work(job.id.counter()).is_some_and(|work| work.item.id(state.salt) != job.id) {
            return Err(StorageError::Refused(format!("the id {} has the counter of another job", job.id)));
        }
        // A repeated enqueue: the job is there, or was and is gone.
        if state.is_known(job.id.counter()) {
            continue;
        }
        known = false;
        let task = names.number(&job.task, &mut decided.effects);
        let queue = names.number(&job.queue, &mut decided.effects);
        let item = WorkItem {
            counter: job.id.counter(),
            made: u64::try_from(job.id.made_at().as_micros() / 1000).unwrap_or(0),
            task,
            queue,
            priority: job.priority,
            phase: Phase::Waiting,
            at: job.run_at,
            expires: job.expires.unwrap_or(Timestamp::MAX),
            claim: 0,
            attempts: 0,
            retried: 0,
            crashes: 0,
            crash_limit: job.crash_limit,
            refunds: 0,
            flags: Flags::new(job.at_most_once, job.durability == Durability::Synced),
        };
        decided.touched.push(item.counter);
        decided.effects.push(Effect::Put(Item::Body(item.counter, job.body)));
        decided.effects.push(Effect::Put(Item::Work(item)));
    }
    // The values belong to the commit of the jobs: with all of them there, they were written too, and may have been
    // changed since.
    if !known {
        decided.effects.extend(writes.into_iter().map(|(key, bytes)| Effect::Put(Item::Value { key, bytes })));
    }
    decided.outcome = Some(Outcome::Enqueued);
    Ok(decided)
}

/// Numbers for names, those that this very transition adds among them.
struct NewNames<'a> {
    state: &'a State,
    added: Vec<String>,
}

impl NewNames<'_> {
    fn number(&mut self, text: &str, effects: &mut Vec<Effect>) -> u32 {
        if let Some(number) = self.state.names.number(text) {
            return number;
        }
        let base = self.state.names.next();
        let added = |at: usize| base + u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(at) = self.added.iter().position(|known| known == text) {
            return added(at);
        }
        let number = added(self.added.len());
        self.added.push(text.to_owned());
        effects.push(Effect::Put(Item::Name { number, text: text.to_owned() }));
        number
    }
}

fn unpark(state: &State, tasks: &[String]) -> Decided {
    let numbers: Vec<u32> = tasks.iter().filter_map(|task| state.names.number(task)).collect();
    let mut decided = Decided::default();
    if state.tallies.values().all(|tally| tally.parked == 0) {
        decided.outcome = Some(Outcome::Unparked(0));
        return decided;
    }
    for work in state.all_work() {
        if work.item.phase == Phase::Parked && numbers.contains(&work.item.task) {
            decided.effects.push(Effect::Put(Item::Work(WorkItem { phase: Phase::Waiting, ..work.item })));
        }
    }
    decided.outcome = Some(Outcome::Unparked(u32::try_from(decided.effects.len()).unwrap_or(u32::MAX)));
    decided
}

fn take(state: &State, fetch: &dyn Fetch, id: JobId, now: Timestamp) -> Result<Decided, Refusal> {
    let row = query::job(state, fetch, id, now)?.ok();
    let mut decided = Decided::default();
    // An id that only shares its counter with a result has no row.
    if row.is_some() && state.result_of(id).is_some() && !state.is_held(id.counter()) {
        decided.effects.push(Effect::Drop(Key::Result(id.counter())));
    }
    decided.outcome = Some(Outcome::Taken(row));
    Ok(decided)
}
