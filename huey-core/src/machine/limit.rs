//! Locks, bounds and rates: who holds what, who waits for it, and whose turn it is.
//!
//! What an attempt holds follows from its job: one that runs holds what its item says. Only the locks that bodies take, and
//! what rates have counted, are items of their own. A job that cannot be claimed for a limit stands in the line of that
//! limit, by its turn, and not in its lane, so that claims do not meet it again. Where there is room, as many as may start
//! stand in their lane. Lines are known to memory only: where every lease is void, nobody waits for one.

use std::collections::{BTreeMap, BTreeSet};

use super::item::{LimitsItem, Mark};
use super::place::Place;
use super::rate::Marks;
use super::ready::Turn;
use super::work::WorkItem;
use crate::codec::Bytes;
use crate::store::{Limit, LimitKind};
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// The jobs that have limits.
    jobs: BTreeMap<u64, Job>,
    /// The limits that somebody holds or waits for, and those that have counted.
    gates: BTreeMap<Bytes, Gate>,
    /// What jobs hold that are gone while their body runs on.
    kept: BTreeMap<u64, Vec<Bytes>>,
    /// The locks that a job's body has taken.
    taken: BTreeMap<u64, Vec<Bytes>>,
    /// When the last claim that a rate has counted counts no more.
    ends: BTreeSet<(Timestamp, Bytes)>,
    /// When there is room again under a rate that somebody waits for.
    timers: BTreeSet<(Timestamp, Bytes)>,
    /// Limits where somebody's turn may have come.
    dirty: Vec<Bytes>,
}

#[derive(Debug)]
struct Job {
    item: LimitsItem,
    home: Place,
    /// Whether it runs, and holds them.
    holds: bool,
    wait: Option<Wait>,
}

/// A job's wait for a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(super) key: Bytes,
    /// When its turn comes, under a rate.
    pub(super) due: Option<Timestamp>,
    /// Its turn has come, and it stands in its lane.
    pub(super) woken: bool,
    /// What it was told of: that it is locked, that it is over its rate.
    pub(super) told: (bool, bool),
}

#[derive(Debug, Default)]
struct Gate {
    holders: BTreeSet<u64>,
    /// The lock stands there as an item: a body took it.
    home: Place,
    marks: Marks,
    /// By queue and task.
    lines: BTreeMap<(u32, u32), Line>,
    end: Option<Timestamp>,
    timer: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct Line {
    waiting: BTreeSet<Turn>,
    woken: BTreeSet<Turn>,
}

impl Gate {
    fn room(&self, kind: LimitKind, now: Timestamp) -> u32 {
        let held = u32::try_from(self.holders.len()).unwrap_or(u32::MAX);
        match kind {
            LimitKind::Lock => 1_u32.saturating_sub(held),
            LimitKind::Running { most } => most.saturating_sub(held),
            LimitKind::Rate { most, per } => self.marks.room(most, per, now),
        }
    }

    fn is_idle(&self) -> bool {
        self.holders.is_empty() && self.lines.is_empty() && self.marks.is_empty()
    }
}

impl LimitsItem {
    /// All that must be free, those locks among it that its body waits for.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Bytes, LimitKind)> {
        let declared = self.declared.iter().map(|Limit { key, kind }| (key, *kind));
        declared.chain(self.awaited.iter().map(|key| (key, LimitKind::Lock)))
    }

    fn kind(&self, key: &Bytes) -> Option<LimitKind> {
        self.all().find(|(known, _)| *known == key).map(|(_, kind)| kind)
    }

    /// Those that are held while the job runs.
    fn held(&self) -> impl Iterator<Item = &Bytes> {
        self.all().filter(|(_, kind)| !matches!(kind, LimitKind::Rate { .. })).map(|(key, _)| key)
    }
}

impl Limits {
    pub(super) fn item(&self, counter: u64) -> Option<&LimitsItem> {
        self.jobs.get(&counter).map(|job| &job.item)
    }

    pub(super) fn wait(&self, counter: u64) -> Option<&Wait> {
        self.jobs.get(&counter)?.wait.as_ref()
    }

    pub(super) fn room(&self, key: &Bytes, kind: LimitKind, now: Timestamp) -> u32 {
        self.gates.get(key).map_or_else(|| Gate::default().room(kind, now), |gate| gate.room(kind, now))
    }

    /// When a job's turn comes that stands in the line of a rate: as it was seen when it joined, or when there is room next, if
    /// others went first.
    pub(super) fn due(&self, counter: u64, now: Timestamp) -> Option<Timestamp> {
        let job = self.jobs.get(&counter)?;
        let wait = job.wait.as_ref()?;
        let due = wait.due?;
        match job.item.kind(&wait.key) {
            Some(LimitKind::Rate { most, per }) if due <= now => {
                let marks = self.marks(&wait.key);
                let full = marks.room(most, per, now) == 0;
                Some(marks.next(per, now).filter(|_| full).unwrap_or(due))
            }
            _ => Some(due),
        }
    }

    /// The job that holds a lock.
    pub(super) fn holder(&self, key: &Bytes) -> Option<u64> {
        self.gates.get(key)?.holders.first().copied()
    }

    /// The lock is held for it was taken by a body, and not as a part of a claim.
    pub(super) fn is_taken(&self, key: &Bytes) -> bool {
        self.gates.get(key).is_some_and(|gate| !gate.home.is_none())
    }

    /// The marks of a rate.
    pub(super) fn marks(&self, key: &Bytes) -> Marks {
        self.gates.get(key).map(|gate| gate.marks.clone()).unwrap_or_default()
    }

    /// How many stand in the lines of a limit.
    pub(super) fn in_line(&self, key: &Bytes) -> u32 {
        let lines = self.gates.get(key).into_iter().flat_map(|gate| gate.lines.values());
        u32::try_from(lines.map(|line| line.waiting.len() + line.woken.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    // --- items ---

    /// Puts the limits of a job. Returns where they stood before.
    pub(super) fn put(&mut self, item: &LimitsItem, home: Place, runs: bool) -> Place {
        self.hold(item.counter, false);
        let wait = self.jobs.get_mut(&item.counter).and_then(|job| job.wait.take());
        let job = Job { item: item.clone(), home, holds: false, wait };
        let old = self.jobs.insert(item.counter, job).map_or(Place::NONE, |job| job.home);
        self.hold(item.counter, runs);
        old
    }

    /// A job runs, or no more: it holds its limits, or lets go of them.
    pub(super) fn hold(&mut self, counter: u64, holds: bool) {
        let Some(job) = self.jobs.get_mut(&counter).filter(|job| job.holds != holds) else { return };
        job.holds = holds;
        for key in job.item.held() {
            if holds {
                self.gates.entry(key.clone()).or_default().holders.insert(counter);
            } else if let Some(gate) = self.gates.get_mut(key) {
                gate.holders.remove(&counter);
                self.dirty.push(key.clone());
            }
        }
    }

    /// Puts a lock that a body took. Returns where it stood before.
    pub(super) fn take(&mut self, key: &Bytes, holder: u64, home: Place) -> Place {
        let old = self.free(key);
        let gate = self.gates.entry(key.clone()).or_default();
        gate.holders.insert(holder);
        gate.home = home;
        self.taken.entry(holder).or_default().push(key.clone());
        old
    }

    /// Frees a lock that a body took. Returns where it stood.
    pub(super) fn free(&mut self, key: &Bytes) -> Place {
        let Some(gate) = self.gates.get_mut(key).filter(|gate| !gate.home.is_none()) else { return Place::NONE };
        for holder in std::mem::take(&mut gate.holders) {
            if let Some(taken) = self.taken.get_mut(&holder) {
                taken.retain(|taken| taken != key);
                if taken.is_empty() {
                    self.taken.remove(&holder);
                }
            }
        }
        self.dirty.push(key.clone());
        std::mem::take(&mut gate.home)
    }

    /// The lease of a job is over: all that it held is free. Returns where the locks stood that its body took.
    pub(super) fn release(&mut self, counter: u64) -> Vec<Place> {
        if self.jobs.is_empty() && self.taken.is_empty() && self.kept.is_empty() {
            return Vec::new();
        }
        self.hold(counter, false);
        let taken = self.taken.remove(&counter).unwrap_or_default();
        let kept = self.kept.remove(&counter).unwrap_or_default();
        kept.iter().chain(&taken).map(|key| self.free_of(key, counter)).collect()
    }

    fn free_of(&mut self, key: &Bytes, holder: u64) -> Place {
        let Some(gate) = self.gates.get_mut(key) else { return Place::NONE };
        gate.holders.remove(&holder);
        self.dirty.push(key.clone());
        std::mem::take(&mut gate.home)
    }

    /// A job is gone. Returns where its limits stood.
    pub(super) fn forget(&mut self, counter: u64) -> Place {
        let Some(job) = self.jobs.remove(&counter) else { return Place::NONE };
        if job.holds {
            self.kept.insert(counter, job.item.held().cloned().collect());
        }
        job.home
    }

    /// Puts a mark of a rate. Returns where the one before it stood.
    pub(super) fn mark(&mut self, key: &Bytes, slot: u32, mark: Mark, home: Place) -> Place {
        let gate = self.gates.entry(key.clone()).or_default();
        let old = gate.marks.put(slot, mark, home);
        let end = gate.marks.end();
        if let Some(before) = gate.end.replace(end) {
            self.ends.remove(&(before, key.clone()));
        }
        self.ends.insert((end, key.clone()));
        old
    }

    /// Drops the marks of a rate. Returns where they stood.
    pub(super) fn unmark(&mut self, key: &Bytes) -> Vec<Place> {
        let Some(gate) = self.gates.get_mut(key) else { return Vec::new() };
        if let Some(end) = gate.end.take() {
            self.ends.remove(&(end, key.clone()));
        }
        self.dirty.push(key.clone());
        std::mem::take(&mut gate.marks).homes().collect()
    }

    /// Up to `most` rates that have counted nothing for a window.
    pub(crate) fn late(&self, now: Timestamp, most: usize) -> Vec<Bytes> {
        self.ends.iter().take_while(|(end, _)| *end <= now).take(most).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn home(&self, counter: u64) -> Option<Place> {
        self.jobs.get(&counter).map(|job| job.home)
    }

    pub(super) fn lock_home(&self, key: &Bytes) -> Option<Place> {
        self.gates.get(key).map(|gate| gate.home)
    }

    pub(super) fn mark_home(&self, key: &Bytes, slot: u32) -> Option<Place> {
        self.gates.get(key)?.marks.home(slot)
    }

    // --- lines ---

    /// A job waits from now on, once it is listed.
    pub(super) fn begin_wait(&mut self, counter: u64, wait: Wait) {
        if let Some(job) = self.jobs.get_mut(&counter) {
            job.wait = Some(wait);
        }
    }

    /// A job has nothing to wait for any more, or something else.
    pub(super) fn end_wait(&mut self, counter: u64) {
        if let Some(job) = self.jobs.get_mut(&counter) {
            job.wait = None;
        }
    }

    /// Puts a job in the line that it waits in, if it does.
    pub(super) fn join(&mut self, item: &WorkItem) -> bool {
        let Some(wait) = self.jobs.get_mut(&item.counter).and_then(|job| job.wait.as_mut()) else { return false };
        wait.woken = false;
        let gate = self.gates.entry(wait.key.clone()).or_default();
        gate.lines.entry((item.queue, item.task)).or_default().waiting.insert(Turn::of(item));
        self.dirty.push(wait.key.clone());
        true
    }

    /// Takes a job out of its line.
    pub(super) fn leave(&mut self, item: &WorkItem) {
        let Some(wait) = self.jobs.get(&item.counter).and_then(|job| job.wait.as_ref()) else { return };
        let Some(gate) = self.gates.get_mut(&wait.key) else { return };
        let lane = (item.queue, item.task);
        if let Some(line) = gate.lines.get_mut(&lane) {
            line.waiting.remove(&Turn::of(item));
            line.woken.remove(&Turn::of(item));
            if line.waiting.is_empty() && line.woken.is_empty() {
                gate.lines.remove(&lane);
            }
        }
        self.dirty.push(wait.key.clone());
    }

    /// Whether nobody's turn can have come.
    pub(super) fn is_quiet(&self) -> bool {
        self.dirty.is_empty()
    }

    /// The next job whose turn has come, to be put into its lane.
    pub(super) fn wake(&mut self, now: Timestamp) -> Option<u64> {
        while let Some(key) = self.dirty.last() {
            let Some(gate) = self.gates.get_mut(key) else {
                self.dirty.pop();
                continue;
            };
            let jobs = &self.jobs;
            let kind = |turn: &Turn| jobs.get(&turn.counter()).and_then(|job| job.item.kind(key));
            let room = |turn: &Turn| kind(turn).map_or(u32::MAX, |kind| gate.room(kind, now)) as usize;
            let able = |line: &Line| line.waiting.first().is_some_and(|turn| line.woken.len() < room(turn));
            let lane = gate.lines.iter().find(|(_, line)| able(line)).map(|(lane, _)| *lane);
            if let Some(turn) = lane.and_then(|lane| gate.lines.get_mut(&lane)).and_then(|line| {
                let turn = line.waiting.pop_first()?;
                line.woken.insert(turn);
                Some(turn)
            }) {
                let wait = self.jobs.get_mut(&turn.counter()).and_then(|job| job.wait.as_mut());
                if let Some(wait) = wait {
                    wait.woken = true;
                }
                return Some(turn.counter());
            }
            let next =
                gate.lines.values().filter_map(|line| line.waiting.first()).filter_map(|turn| match kind(turn)? {
                    LimitKind::Rate { per, .. } => gate.marks.next(per, now),
                    _ => None,
                });
            let timer = next.min();
            if let Some(before) = std::mem::replace(&mut gate.timer, timer) {
                self.timers.remove(&(before, key.clone()));
            }
            let idle = gate.is_idle();
            if let (Some(at), false) = (timer, idle) {
                self.timers.insert((at, key.clone()));
            }
            if idle {
                self.gates.remove(key);
            }
            self.dirty.pop();
        }
        None
    }

    /// Rates under which there may be room at `now`, and was none before.
    pub(super) fn ring(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            let Some((_, key)) = self.timers.pop_first() else { break };
            if let Some(gate) = self.gates.get_mut(&key) {
                gate.timer = None;
            }
            self.dirty.push(key);
        }
    }

    /// When there is room again for one who waits.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    // --- for tests ---

    #[cfg(feature = "testing")]
    pub(super) fn homes(&self) -> impl Iterator<Item = Place> + '_ {
        let gates = self.gates.values().flat_map(|gate| std::iter::once(gate.home).chain(gate.marks.homes()));
        self.jobs.values().map(|job| job.home).chain(gates)
    }

    /// What is stored, and what follows from it.
    #[cfg(feature = "testing")]
    pub(super) fn stored(&self) -> impl PartialEq + std::fmt::Debug {
        let jobs: BTreeMap<_, _> =
            self.jobs.iter().map(|(counter, job)| (*counter, (job.item.clone(), job.home, job.holds))).collect();
        let held = |gate: &Gate| (gate.holders.clone(), gate.home, gate.marks.clone());
        let gates: BTreeMap<_, _> = self.gates.iter().map(|(key, gate)| (key.clone(), held(gate))).collect();
        let gates: Vec<_> =
            gates.into_iter().filter(|(_, (holders, _, marks))| !holders.is_empty() || !marks.is_empty()).collect();
        (jobs, gates)
    }

    /// Computes anew what is kept twice. `runs` says whether a job runs under a lease that holds; `lined` names those that
    /// are listed in a line, `ready` tells whether one stands in its lane.
    #[cfg(feature = "testing")]
    pub(super) fn check(
        &self,
        runs: impl Fn(u64) -> bool,
        lined: &BTreeSet<u64>,
        ready: impl Fn(u64) -> bool,
        now: Timestamp,
    ) -> Result<(), String> {
        if !self.dirty.is_empty() {
            return Err(format!("limits were not looked at: {:?}", self.dirty));
        }
        let mut holders: BTreeMap<&Bytes, BTreeSet<u64>> = BTreeMap::new();
        for (counter, job) in &self.jobs {
            if job.holds != runs(*counter) {
                return Err(format!("job {counter} holds its limits: {}, and runs: {}", job.holds, runs(*counter)));
            }
            for key in job.item.held().filter(|_| job.holds) {
                holders.entry(key).or_default().insert(*counter);
            }
        }
        for (counter, keys) in &self.taken {
            for key in keys {
                if !runs(*counter) || !self.is_taken(key) {
                    return Err(format!(
                        "job {counter} has taken the lock {key:?} and does not run, or it is not taken"
                    ));
                }
                holders.entry(key).or_default().insert(*counter);
            }
        }
        for (counter, keys) in &self.kept {
            for key in keys {
                holders.entry(key).or_default().insert(*counter);
            }
        }
        let mut waiting = BTreeSet::new();
        for (key, gate) in &self.gates {
            if gate.holders != holders.remove(key).unwrap_or_default() || gate.is_idle() {
                return Err(format!("the limit {key:?} is {gate:?}"));
            }
            if gate.timer.is_some_and(|at| !self.timers.contains(&(at, key.clone()))) {
                return Err(format!("the limit {key:?} has lost its timer"));
            }
            for line in gate.lines.values() {
                waiting.extend(line.waiting.iter().map(|turn| turn.counter()));
                let stray = line.woken.iter().find(|turn| !ready(turn.counter()));
                let kind = |turn: &Turn| self.jobs.get(&turn.counter()).and_then(|job| job.item.kind(key));
                let first = line.waiting.first();
                let idle = first.and_then(kind).is_none_or(|kind| line.woken.len() < gate.room(kind, now) as usize);
                if stray.is_some() || (idle && first.is_some()) || (first.is_none() && line.woken.is_empty()) {
                    return Err(format!("the line of {key:?} is {line:?}"));
                }
            }
        }
        if &waiting != lined || !holders.is_empty() {
            return Err(format!("in line {waiting:?}, but listed so {lined:?}; holders without a limit: {holders:?}"));
        }
        Ok(())
    }
}
