//! From a transition and the state to effects and an outcome. Looks, and changes nothing.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::chord;
use super::claim;
use super::item::{Effect, Item, Key, LimitsItem, Mark};
use super::limit::Wait;
use super::schedule;
use super::settle;
use super::state::State;
use super::unique::Gate;
use super::work::{Flags, Phase, WorkItem};
use super::{Fetch, query};
use super::{control, flow, linger, lock, queues, values};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::store::{NewChord, NewJob, Outcome, Placed, StorageError, Transition};
use crate::task::Durability;
use crate::time::Timestamp;

/// What a transition comes to.
#[derive(Debug, Default)]
pub(crate) struct Decided {
    pub(crate) effects: Vec<Effect>,
    pub(crate) outcome: Option<Outcome>,
    /// The jobs whose waiters and signals speak of this transition.
    pub(crate) touched: Vec<u64>,
    /// Jobs whose time has come with the end of another, the first of each pair.
    pub(crate) behind: Vec<(u64, u64)>,
    /// Jobs that wait for a limit from now on.
    pub(crate) waits: Vec<(u64, Wait)>,
    /// Whether it must be on the disk before its outcome is told, whatever level was asked for.
    pub(crate) sync: bool,
    /// What earlier parts of the transition did, which the state does not show yet.
    pub(super) so_far: SoFar,
}

/// What a transition has done so far.
#[derive(Debug, Default)]
pub(crate) struct SoFar {
    /// Unique keys that its jobs took.
    pub(super) taken: HashMap<Bytes, JobId>,
    /// Jobs that ended, and hold no key any more but for a time.
    pub(super) ended: BTreeSet<u64>,
    /// Jobs whose bodies run on, and which hold their keys therefore.
    pub(super) lingering: HashSet<u64>,
    /// How many members have arrived at a chord.
    pub(super) arrived: HashMap<u64, usize>,
    /// Chords whose time has come.
    pub(super) due: HashSet<u64>,
    /// Limits that its claims took: how many did, and one of them; the marks that it made under rates.
    pub(super) gone: HashMap<Bytes, (u32, JobId)>,
    pub(super) marks: HashMap<Bytes, (u32, Mark)>,
    /// How many it put in the line of a limit.
    pub(super) lined: HashMap<Bytes, u32>,
    /// Names that it added, in the order of their numbers.
    names: Vec<String>,
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
        Transition::Enqueue { jobs, chords } => enqueue(state, fetch, jobs, chords, now),
        Transition::Write { writes } => {
            let effects = values::write(writes).collect();
            Ok(Decided { effects, outcome: Some(Outcome::Written), ..Decided::default() })
        }
        Transition::Put(put) => Ok(values::put(state, put, now)),
        Transition::TakeValue { key } => values::take(state, fetch, key, now),
        Transition::Add { key, by, ttl } => values::add(state, fetch, key, by, ttl, now),
        Transition::Pause { queue, paused } => Ok(queues::pause(state, queue, paused)),
        Transition::Claim { queues, tasks, most, many, keep } => {
            claim::Claim { state, fetch, now, keep }.decide(&queues, &tasks, most, &many)
        }
        Transition::Settle(settlements) => settle::settle(state, fetch, settlements, false, now),
        Transition::Heartbeat(leases) => {
            let alive = leases.iter().map(|lease| settle::running(state, *lease).is_some()).collect();
            Ok(Decided { outcome: Some(Outcome::Alive(alive)), ..Decided::default() })
        }
        // Leases end with the process: opening the store has taken back all there were.
        Transition::Reclaim => Ok(Decided { outcome: Some(Outcome::Reclaimed(0)), ..Decided::default() }),
        Transition::Unpark { tasks } => Ok(unpark(state, &tasks)),
        Transition::Tick(tick) => schedule::tick(state, fetch, tick, now),
        Transition::Plan(plan) => Ok(schedule::plan(state, plan, now)),
        Transition::Cancel { id, keep } => control::cancel(state, fetch, id, keep, now),
        Transition::CancelAll { ids, keep } => control::cancel_all(state, fetch, ids, keep, now),
        Transition::PurgeAll { ids } => Ok(control::purge_all(state, ids, now)),
        Transition::Reschedule { id, at } => control::reschedule(state, fetch, id, at, now),
        Transition::Purge { id } => Ok(control::purge(state, id, now)),
        Transition::Replay { of, job } => control::replay(state, fetch, of, *job, now),
        Transition::Revoke { task, mark } => Ok(control::revoke(state, task, mark, now)),
        Transition::Progress { lease, progress } => control::progress(state, fetch, lease, progress),
        Transition::Overrun(settlement) => settle::settle(state, fetch, vec![*settlement], true, now),
        Transition::LetGo(leases) => Ok(linger::let_go(state, &leases)),
        Transition::Take { id } => take(state, fetch, id, now),
        Transition::Lock { lease, key } => Ok(lock::lock(state, lease, key)),
        Transition::Unlock { lease, key } => Ok(lock::unlock(state, lease, &key)),
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

fn enqueue(
    state: &State,
    fetch: &dyn Fetch,
    jobs: Vec<NewJob>,
    chords: Vec<NewChord>,
    now: Timestamp,
) -> Result<Decided, Refusal> {
    let mut decided = Decided::default();
    let placed = place(state, fetch, jobs, now, &mut decided)?;
    for chord in chords {
        chord::begin(state, chord, now, &mut decided)?;
    }
    decided.outcome = Some(Outcome::Enqueued(placed));
    Ok(decided)
}

/// What becomes of jobs that are to be stored together, and the effects of that.
pub(super) fn place(
    state: &State,
    fetch: &dyn Fetch,
    jobs: Vec<NewJob>,
    now: Timestamp,
    decided: &mut Decided,
) -> Result<Vec<Placed>, Refusal> {
    let gate = Gate { state, fetch, now };
    let mut placed = Vec::with_capacity(jobs.len());
    decided.touched.reserve(jobs.len());
    decided.effects.reserve(2 * jobs.len());
    for (index, job) in jobs.into_iter().enumerate() {
        let counter = job.id.counter();
        if job.id.salt() != state.salt || counter >= state.reserved {
            return Err(StorageError::Refused(format!("the id {} was not made for this store", job.id)));
        }
        if state.is_known(counter) {
            if state.work(counter).is_some_and(|work| work.item.id(state.salt) != job.id) {
                return Err(StorageError::Refused(format!("the id {} has the counter of another job", job.id)));
            }
            // A repeated enqueue: the job is there, or was and is gone. Its values were written too, and may have been
            // changed since.
            if let Some(unique) = job.unique {
                // What came behind it with its key gets it again.
                decided.so_far.taken.entry(unique.key).or_insert(job.id);
            }
            placed.push(Placed::New);
            continue;
        }
        let became = match &job.unique {
            Some(unique) => gate.pass(index, &job, unique, decided)?,
            None => Placed::New,
        };
        let stored = !matches!(became, Placed::Existing(_));
        placed.push(became);
        if stored {
            store(state, job, decided);
        }
    }
    Ok(placed)
}

fn store(state: &State, job: NewJob, decided: &mut Decided) {
    let task = decided.number(state, &job.task);
    let queue = decided.number(state, &job.queue);
    let item = WorkItem {
        counter: job.id.counter(),
        made: made(job.id),
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
        flags: Flags::new(job.at_most_once, job.durability == Durability::Synced, job.flow.is_some())
            .with_follow_up(job.flow.as_ref().is_some_and(|flow| flow.follow_up)),
    };
    if let Some(flow) = &job.flow {
        flow::begin(state, job.id, queue, flow, decided);
    }
    decided.touched.push(item.counter);
    if !job.limits.is_empty() {
        let limits = LimitsItem { counter: item.counter, declared: job.limits, awaited: Vec::new() };
        decided.effects.push(Effect::Put(Item::Limits(limits)));
    }
    decided.effects.push(Effect::Put(Item::Body(item.counter, job.body)));
    decided.effects.push(Effect::Put(Item::Work(item)));
    decided.effects.extend(values::write(job.writes));
}

/// When a job was made, as its id says, in milliseconds.
pub(super) fn made(id: JobId) -> u64 {
    u64::try_from(id.made_at().as_micros() / 1000).unwrap_or(0)
}

impl Decided {
    /// The number of a name, which this very transition may add.
    pub(super) fn number(&mut self, state: &State, text: &str) -> u32 {
        if let Some(number) = state.names.number(text) {
            return number;
        }
        let base = state.names.next();
        let added = |at: usize| base.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        let names = &mut self.so_far.names;
        if let Some(at) = names.iter().position(|known| known == text) {
            return added(at);
        }
        let number = added(names.len());
        names.push(text.to_owned());
        self.effects.push(Effect::Put(Item::Name { number, text: text.to_owned() }));
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
