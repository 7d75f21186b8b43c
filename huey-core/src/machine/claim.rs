//! Claims: which jobs are given out next, and which end when it is their turn.

use std::iter::Peekable;
use std::time::Duration;

use super::decide::{Decided, Refusal};
use super::item::{Effect, Item, Key, Note, ResultItem};
use super::lock;
use super::ready::Turn;
use super::state::State;
use super::work::{Listed, Phase, Work, WorkItem};
use super::{Fetch, body, control, flow, queues};
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::state::JobState;
use crate::store::{Body, Claimed, Discarded, Ended, Lease, Limited, LimitedBy, Outcome, Revocation, Tasks};
use crate::task::Durability;
use crate::time::Timestamp;

/// A claim ends, or puts in line, at most so many jobs. It stirs, so that whoever waits claims again.
const MOST_ENDED: usize = 256;

/// What deciding a claim needs.
pub(super) struct Claim<'a> {
    pub(super) state: &'a State,
    pub(super) fetch: &'a dyn Fetch,
    pub(super) now: Timestamp,
    /// How long the record of a job is kept that ends here.
    pub(super) keep: Duration,
}

impl Claim<'_> {
    pub(super) fn decide(&self, queues: &[String], tasks: &Tasks, most: u32, many: &Tasks) -> Result<Decided, Refusal> {
        let mut decided = Decided::default();
        let (mut claimed, mut ended) = (Vec::new(), Vec::new());
        let queues = queues::open(self.state, queues);
        let (mut limited, mut more) = (Vec::new(), false);
        match self.suspicion(&queues) {
            Suspicion::Wait => {}
            Suspicion::Alone(suspects) => {
                let wanted = Wanted::new(self.state, tasks);
                let first = suspects.into_iter().filter(|work| wanted.takes(work.item.task));
                if let Some(work) = first.min_by_key(|work| Turn::of(&work.item)) {
                    self.pick_up(&work, &mut claimed, &mut ended, &mut limited, &mut decided)?;
                }
            }
            Suspicion::None => {
                let many = Wanted::new(self.state, many);
                let mut alone = false;
                for queue in queues {
                    let mut turns = Turns::new(self.state, queue, tasks);
                    while claimed.len() < most as usize && ended.len() + decided.waits.len() < MOST_ENDED && !alone {
                        let Some(work) = turns.next() else { break };
                        alone = !many.takes(work.item.task);
                        if alone && !claimed.is_empty() {
                            more = true;
                            break;
                        }
                        if !claimed.is_empty() {
                            // They are claimed together.
                            claimed.reserve((most as usize).saturating_sub(claimed.len()));
                            decided.effects.reserve(claimed.capacity() - claimed.len());
                        }
                        self.pick_up(&work, &mut claimed, &mut ended, &mut limited, &mut decided)?;
                        alone &= !claimed.is_empty();
                    }
                    more = more || turns.next().is_some();
                }
            }
        }
        decided.outcome = Some(Outcome::Claimed { claimed, ended, limited, more });
        Ok(decided)
    }

    /// A suspect, one crash short of its limit, runs with nothing beside it until its end is on the disk, so that a poison
    /// job condemns only itself.
    fn suspicion(&self, queues: &[u32]) -> Suspicion {
        let suspects = || self.state.suspects.iter().filter_map(|counter| self.state.work(*counter));
        if suspects().any(|work| work.item.phase == Phase::Running) || !self.state.parting.is_empty() {
            return Suspicion::Wait;
        }
        // One that could not start anyway, being scheduled or in a queue of others, holds nobody up.
        let able = |work: &Work| work.listed == Listed::Ready && queues.contains(&work.item.queue);
        let able: Vec<_> = suspects().filter(able).collect();
        match able.is_empty() {
            true => Suspicion::None,
            false if self.state.running > 0 => Suspicion::Wait,
            false => Suspicion::Alone(able),
        }
    }

    /// Looks at a job whose turn it is: late, condemned, or to be run.
    fn pick_up(
        &self,
        work: &Work,
        claimed: &mut Vec<Claimed>,
        ended: &mut Vec<Discarded>,
        limited: &mut Vec<Limited>,
        decided: &mut Decided,
    ) -> Result<(), Refusal> {
        let before = ended.len();
        if work.item.flags.canceled() {
            ended.push(control::end(self.state, self.fetch, work, self.keep, self.now, decided)?);
        } else if let Some(mark) = self.revocation(work, decided) {
            ended.push(self.revoke(work, mark, decided)?);
        } else if self.now > work.item.expires {
            ended.push(self.expire(work, decided)?);
        } else if work.item.flags.at_most_once() && work.item.flags.rescued() {
            ended.push(self.lose(work, decided)?);
        } else if work.item.is_condemned() && !work.item.flags.has_follow_up() {
            ended.push(self.condemn(work, decided)?);
        } else if work.item.is_condemned() {
            // It is given out to be settled, and does not run.
            claimed.push(self.start(work, decided)?);
        } else if let lock::Free::No(by) = lock::ask(self.state, work, self.now, decided) {
            limited.extend(by.map(|by| self.limited(work, by)).transpose()?);
        } else {
            claimed.push(self.start(work, decided)?);
        }
        if let Some(end) = ended.get(before) {
            // It is announced by whoever claims, who asks for nothing to be durable.
            decided.sync |= work.item.flags.synced();
            let why = flow_cause(end);
            ended.extend(flow::fail(self.state, work.item.counter, &why, self.now, decided));
        }
        Ok(())
    }

    fn limited(&self, work: &Work, by: LimitedBy) -> Result<Limited, Refusal> {
        Ok(Limited {
            id: work.item.id(self.state.salt),
            task: self.state.names.text(work.item.task),
            queue: self.state.names.text(work.item.queue),
            by,
            head: body(self.fetch, work.body)?.head,
        })
    }

    fn start(&self, work: &Work, decided: &mut Decided) -> Result<Claimed, Refusal> {
        decided.sync |= work.item.flags.at_most_once();
        let (item, claimed) = start(self.state, work.item, body(self.fetch, work.body)?, self.now);
        decided.effects.push(Effect::Put(Item::Work(item)));
        Ok(claimed)
    }

    /// The mark on the task of a job, unless an earlier job of this very claim has used it up.
    fn revocation(&self, work: &Work, decided: &Decided) -> Option<Revocation> {
        if self.state.revocations.is_empty() {
            return None;
        }
        let task = self.state.names.text(work.item.task);
        let spent = |effect: &Effect| matches!(effect, Effect::Drop(Key::Revocation(spent)) if **spent == *task);
        control::revocation(self.state, &task, self.now).filter(|_| !decided.effects.iter().any(spent))
    }

    fn revoke(&self, work: &Work, mark: Revocation, decided: &mut Decided) -> Result<Discarded, Refusal> {
        let task = self.state.names.text(work.item.task);
        let ended = Ended { cause: Some(format!("the task `{task}` is revoked")), ..Ended::default() };
        let head = body(self.fetch, work.body)?.head;
        let item = WorkItem { phase: Phase::Revoked, at: self.now, ..work.item };
        decided.effects.push(end_of(item, ended.clone(), head.clone(), self.keep, self.now));
        if mark == Revocation::Once {
            decided.effects.push(Effect::Drop(Key::Revocation(task.to_string())));
        }
        decided.touched.push(item.counter);
        Ok(at_pick_up(self.state, work, JobState::Revoked, ended, head))
    }

    fn expire(&self, work: &Work, decided: &mut Decided) -> Result<Discarded, Refusal> {
        let late = self.now.since(work.item.expires);
        let ended = Ended { cause: Some(format!("picked up {late:?} after it expired")), ..Ended::default() };
        let head = body(self.fetch, work.body)?.head;
        let item = WorkItem { phase: Phase::Expired, at: self.now, ..work.item };
        decided.effects.push(end_of(item, ended.clone(), head.clone(), self.keep, self.now));
        decided.touched.push(item.counter);
        Ok(at_pick_up(self.state, work, JobState::Expired, ended, head))
    }

    fn condemn(&self, work: &Work, decided: &mut Decided) -> Result<Discarded, Refusal> {
        let crashes = work.item.crashes;
        let mut error = TaskError::crash_limit(crashes);
        error.attempt = work.item.attempts;
        error.ended = self.now;
        self.give_up(work, JobState::Dead, Some(error), "crash limit", decided)
    }

    fn lose(&self, work: &Work, decided: &mut Decided) -> Result<Discarded, Refusal> {
        self.give_up(work, JobState::Lost, None, "its consumer died while it ran, and it may start only once", decided)
    }

    /// Ends a job that is kept with its arguments.
    fn give_up(
        &self,
        work: &Work,
        state: JobState,
        error: Option<TaskError>,
        cause: &str,
        decided: &mut Decided,
    ) -> Result<Discarded, Refusal> {
        let phase = if state == JobState::Lost { Phase::Lost } else { Phase::Dead };
        let item = WorkItem { phase, at: self.now, ..work.item };
        let note = Note { error: error.clone(), cause: Some(cause.to_owned()), progress: None };
        decided.effects.push(Effect::Put(Item::Note(item.counter, note.into())));
        decided.effects.push(Effect::Put(Item::Work(item)));
        decided.touched.push(item.counter);
        let ended = Ended { error, cause: Some(cause.to_owned()), ..Ended::default() };
        let head = body(self.fetch, work.body)?.head;
        Ok(at_pick_up(self.state, work, state, ended, head))
    }
}

/// The claim of a job: what becomes of its work, and what is given out.
pub(crate) fn start(state: &State, before: WorkItem, body: Body, now: Timestamp) -> (WorkItem, Claimed) {
    let condemned = before.is_condemned();
    let item = WorkItem {
        phase: Phase::Running,
        at: now,
        claim: before.claim.saturating_add(1).max(state.least_claim),
        attempts: before.attempts.saturating_add(u32::from(!condemned)),
        flags: before.flags.with_rescued(false),
        ..before
    };
    let claimed = Claimed {
        lease: Lease { id: item.id(state.salt), claim: item.claim },
        task: state.names.text(item.task),
        queue: state.names.text(item.queue),
        priority: item.priority,
        attempt: item.attempts,
        retried: item.retried,
        crashes: item.crashes,
        rescued: before.flags.rescued(),
        refunds: item.refunds,
        condemned,
        // The end of a suspect must not be lost with the process: the next one may end that.
        durability: if item.flags.synced() || before.is_suspect() { Durability::Synced } else { Durability::Relaxed },
        at_most_once: item.flags.at_most_once(),
        started: now,
        body,
    };
    (item, claimed)
}

/// The work of the one job that these effects, which are not true yet, put in, if no other of its queue may be claimed then, and
/// its claim would do nothing but start it.
pub(crate) fn sole<'a>(state: &State, effects: &'a mut [Effect], now: Timestamp) -> Option<&'a mut WorkItem> {
    let is_usual = state.suspects.is_empty() && state.parting.is_empty() && state.revocations.is_empty();
    if !is_usual {
        return None;
    }
    let (mut sole, mut body) = (None, None);
    for effect in effects {
        match effect {
            Effect::Put(Item::Work(_)) if sole.is_some() => return None,
            Effect::Put(Item::Work(work)) => sole = Some(work),
            Effect::Put(Item::Body(counter, _)) => body = Some(*counter),
            // A name is known once it is stored.
            Effect::Put(Item::Limits(_) | Item::Name { .. }) => return None,
            _ => {}
        }
    }
    let is_free = |work: &WorkItem| {
        let is_new = work.phase == Phase::Waiting && body == Some(work.counter);
        let is_due = work.at <= now && now <= work.expires;
        let is_first = state.ready.lanes(work.queue).next().is_none();
        is_new
            && is_due
            && is_first
            && !work.flags.at_most_once()
            && !state.paused.contains_key(&*state.names.text(work.queue))
    };
    sole.filter(|work| is_free(work))
}

/// The body that an effect puts.
pub(crate) fn body_in(effect: Effect) -> Option<Body> {
    if let Effect::Put(Item::Body(_, body)) = effect { Some(body) } else { None }
}

/// Whether suspects change what may be claimed.
enum Suspicion {
    None,
    /// Nothing may start before something ends.
    Wait,
    /// One of these may start, and nothing else.
    Alone(Vec<Work>),
}

/// Why the later steps of a job are canceled that ended so.
pub(super) fn flow_cause(end: &Discarded) -> flow::Why {
    let why = end.ended.cause.as_deref().unwrap_or_default();
    flow::Why::ended(end.id, format_args!("is {}: {why}", end.state), end.ended.error.clone())
}

/// What is left of a job that ended: its result, or nothing if none is kept.
pub(super) fn end_of(work: WorkItem, ended: Ended, head: Bytes, keep: Duration, now: Timestamp) -> Effect {
    if keep.is_zero() {
        return Effect::Drop(Key::Job(work.counter));
    }
    Effect::Put(Item::Result(ResultItem { work, keep_until: seconds(now + keep), ended, head }.into()))
}

pub(super) fn at_pick_up(state: &State, work: &Work, ending: JobState, ended: Ended, head: Bytes) -> Discarded {
    Discarded {
        id: work.item.id(state.salt),
        task: state.names.text(work.item.task),
        queue: state.names.text(work.item.queue),
        state: ending,
        rescued: work.item.flags.rescued(),
        ended,
        head,
    }
}

pub(super) fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros().div_euclid(1_000_000)).unwrap_or(0)
}

/// The jobs of a queue that may be claimed, in their order, over the lanes of the tasks asked for.
struct Turns<'a> {
    state: &'a State,
    lanes: Vec<Peekable<Box<dyn Iterator<Item = Turn> + 'a>>>,
}

/// The tasks of a claim, by number.
struct Wanted {
    numbers: Vec<u32>,
    only: bool,
}

impl Wanted {
    fn new(state: &State, tasks: &Tasks) -> Self {
        let (named, only) = match tasks {
            Tasks::Only(names) => (names, true),
            Tasks::Except(names) => (names, false),
        };
        Self { numbers: named.iter().filter_map(|task| state.names.number(task)).collect(), only }
    }

    fn takes(&self, task: u32) -> bool {
        self.numbers.contains(&task) == self.only
    }
}

impl<'a> Turns<'a> {
    fn new(state: &'a State, queue: u32, tasks: &Tasks) -> Self {
        let wanted = Wanted::new(state, tasks);
        let lanes = state
            .ready
            .lanes(queue)
            .filter(|(task, _)| wanted.takes(*task))
            .map(|(_, turns)| (Box::new(turns.iter()) as Box<dyn Iterator<Item = Turn> + 'a>).peekable())
            .collect();
        Self { state, lanes }
    }
}

impl Iterator for Turns<'_> {
    type Item = Work;

    fn next(&mut self) -> Option<Work> {
        let best = self.lanes.iter_mut().filter_map(|lane| lane.peek().copied()).min()?;
        self.lanes.iter_mut().find_map(|lane| lane.next_if_eq(&best))?;
        self.state.work(best.counter())
    }
}
