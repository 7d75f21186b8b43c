//! One random program over one simulated disk.

mod steps;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use huey_core::store::{
    Answer, Body, Commit, Lease, Missing, NewChord, NewJob, Next, Outcome, Query, Settlement, Storage, StorageError,
    StorageOptions, Tasks, Tick, Transition, Verdict, Version,
};
use huey_core::testing::{Fault, Inspector, Random, SimDisk, SimMedium, Sleeper, inspected};
use huey_core::{Durability, JobState, Timestamp, VirtualClock};

use crate::model::{Expected, Model};

/// Not compacted below this, one barrier's worth not yet durable and so not removed, and one large body on its way.
const SLACK: u64 = 64 * 1024 + 2 * 256 * 1024 + 600 * 1024;
const QUEUES: [&str; 2] = ["default", "mail"];
const TASKS: [&str; 3] = ["send", "resize", "poison"];

/// How many jobs were handed to who waited.
pub(crate) static HANDED: AtomicU64 = AtomicU64::new(0);

/// So many attempts to open a log are not made.
const NEVER: u32 = 1_000_000;

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Closed,
    Killed,
    PowerCut,
    /// It goes on; only the log was opened again.
    Lives,
}

pub(crate) struct Program {
    random: Random,
    disk: SimDisk,
    medium: SimMedium,
    clock: Arc<VirtualClock>,
    storage: Option<(Arc<dyn Storage>, Inspector)>,
    /// Who waits for jobs now and then.
    sleeper: Arc<Sleeper>,
    salt: u32,
    /// The states after each transition since the last that is known to be durable, which comes first.
    states: Vec<Model>,
    /// Every counter that was put in an enqueue, and every value's key.
    counters: BTreeSet<u64>,
    keys: BTreeSet<String>,
    free: Vec<u64>,
    /// Counters below were told in this life of the process.
    least: u64,
    sent: Vec<Transition>,
    /// Steps of chains that were sent with the end of the one before.
    steps_sent: HashMap<u64, NewJob>,
    /// How many of them were sent in earlier lives: who could repeat those died with them.
    sent_before: usize,
    /// Leases that were told in this life of the process, and those that are over.
    minted: HashSet<(u64, u32)>,
    stale: Vec<Lease>,
    slots: HashMap<usize, (u64, u32)>,
    /// How often the log had failed when the store was judged last.
    failures: u64,
    pub(crate) steps: Vec<String>,
}

fn body(seed: u64, bytes: usize) -> Body {
    let mut random = Random::new(seed);
    let args: Vec<u8> = (0..bytes).map(|_| random.number().to_le_bytes()[0]).collect();
    Body { head: seed.to_le_bytes().to_vec().into(), args: args.into(), ..Body::default() }
}

impl Program {
    /// Runs `steps` steps of the program of this seed.
    pub(crate) fn run(seed: u64, steps: usize) -> (Result<(), String>, Vec<String>) {
        let disk = SimDisk::new(seed);
        let mut program = Self {
            random: Random::new(seed ^ 0xface),
            medium: disk.medium(),
            disk,
            clock: VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000_000_000)),
            storage: None,
            sleeper: Arc::default(),
            salt: 0,
            states: vec![Model::default()],
            counters: BTreeSet::new(),
            keys: BTreeSet::new(),
            free: Vec::new(),
            least: 0,
            sent: Vec::new(),
            steps_sent: HashMap::new(),
            sent_before: 0,
            minted: HashSet::new(),
            stale: Vec::new(),
            slots: HashMap::new(),
            failures: 0,
            steps: Vec::new(),
        };
        let result = program.play(steps);
        (result, std::mem::take(&mut program.steps))
    }

    fn play(&mut self, steps: usize) -> Result<(), String> {
        self.open()?;
        for _ in 0..steps {
            self.step()?;
        }
        self.disk.no_fault();
        self.disk.fail_opens(0);
        let end = *self.random.pick(&[End::Killed, End::PowerCut, End::Closed]);
        self.end(end)?;
        self.check()
    }

    fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage.as_ref().expect("the storage is open").0)
    }

    fn now(&self) -> Timestamp {
        self.clock.clock().now()
    }

    fn newest(&self) -> &Model {
        self.states.last().expect("at least one state")
    }

    fn open(&mut self) -> Result<(), String> {
        self.medium = self.disk.medium();
        let mut options = StorageOptions::default();
        options.clock = self.clock.clock();
        // Nothing happens but what the program does.
        options.flush_interval = Duration::from_secs(1_000_000);
        let opened =
            inspected(self.medium.clone(), options).map_err(|error| format!("it cannot be opened: {error}"))?;
        self.sleeper = Sleeper::of(&*opened.0);
        self.storage = Some(opened);
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let tick = Duration::from_millis(1 + self.random.below(50) as u64);
        self.clock.advance(tick);
        match self.random.below(100) {
            0..18 => self.enqueue(),
            18..24 => self.one_alone(),
            24..27 => self.by_hand(),
            27..30 => self.schedule(),
            30..50 => self.claim(),
            50..70 => self.settle(),
            70..74 => self.pressure(),
            74..77 => self.repeat(),
            77..80 => self.take(),
            80..82 => {
                let far = *self.random.pick(&[2, 30, 400]);
                self.steps.push(format!("advance {far} s"));
                self.clock.advance(Duration::from_secs(far));
                Ok(())
            }
            82..83 => self.commit(Transition::Unpark { tasks: vec![TASKS[0].into(), TASKS[1].into()] }),
            83..84 => {
                let leases = self.leases();
                self.commit(Transition::Heartbeat(leases))
            }
            84..86 => self.end(End::Killed),
            86..88 => self.end(End::PowerCut),
            88..89 => self.end(End::Closed),
            89..91 => self.check(),
            _ => {
                let (nth, fault) = (self.random.below(40) as u64, self.random.below(12));
                let fault = match fault {
                    0..6 => Fault::Fail,
                    6..8 => Fault::Kill,
                    8..11 => Fault::PowerCut,
                    _ => Fault::Panic,
                };
                if fault == Fault::Fail {
                    // At once, after a while, or in the next life alone.
                    self.disk.fail_opens(*self.random.pick(&[0, 0, 2, NEVER]));
                }
                self.steps.push(format!("{fault:?} at call {nth}"));
                self.disk.fault_at(nth, fault);
                Ok(())
            }
        }
    }

    fn commit(&mut self, transition: Transition) -> Result<(), String> {
        let durability = if self.random.one_in(3) { Durability::Synced } else { Durability::Relaxed };
        let how = Commit { durability, hold: self.random.one_in(6) };
        let waits = matches!(transition, Transition::Enqueue { .. }) && self.random.one_in(2);
        self.commit_as(transition, how, waits)
    }

    /// Commits while somebody waits for a job, or while nobody does.
    fn commit_as(&mut self, transition: Transition, how: Commit, waits: bool) -> Result<(), String> {
        let (now, durability) = (self.now(), how.durability);
        let hold = if how.hold { ", held" } else { "" };
        self.steps.push(format!("{} {durability:?}{hold}", tell(&transition)));
        let mut after = self.newest().clone();
        let expected = after.apply(&transition, now);
        let told = transition.clone();
        if waits {
            self.sleeper.sleep();
        }
        let (outcome, later) = self.do_commit(transition, how);
        let handed = self.sleeper.wake();
        match outcome {
            Ok(outcome) => {
                after.learn(&expected, &outcome, now)?;
                let mut ended = self.told(&outcome)?;
                if let Some(job) = handed {
                    HANDED.fetch_add(1, Ordering::Relaxed);
                    self.steps.push(format!("  -> handed {:?}", job.lease));
                    // As if he had claimed it then.
                    let expected = after.apply(&claim(&[&job.queue], 1), now);
                    let claimed = Outcome::Claimed { claimed: vec![job], ended: vec![], limited: vec![], more: false };
                    after.learn(&expected, &claimed, now)?;
                    ended = ended.or(self.told(&claimed)?);
                }
                if durability == Durability::Synced
                    || matches!(&outcome, Outcome::Claimed { claimed, .. } if claimed.iter().any(|c| c.at_most_once))
                    || matches!(outcome, Outcome::Ticked(_))
                {
                    self.states.clear();
                }
                self.states.push(after);
                // A log that failed after all was told has taken back what nobody had begun.
                let silent = || StorageError::Unavailable("the log failed on the way".into());
                let failed = later.or(ended).or_else(|| (self.failures_now() != self.failures).then(silent));
                failed.map_or(Ok(()), |error| self.recover(&error))
            }
            Err(StorageError::Conflict { .. }) if self.failures_now() != self.failures => {
                self.recover(&StorageError::Unavailable("the log failed on the way".into()))
            }
            // Nothing happened, and nothing is wrong.
            Err(StorageError::Conflict { holder, .. }) => match expected {
                Expected::Conflict(counter) if counter == holder.counter() => {
                    later.map_or(Ok(()), |error| self.recover(&error))
                }
                other => Err(format!("expected {other:?}, but job {} holds a key", holder.counter())),
            },
            Err(error) => {
                self.steps.push(format!("  -> {error:?}"));
                if let Some(job) = handed {
                    return Err(format!("{:?} was handed over, but not stored", job.lease));
                }
                if matches!(error, StorageError::Unknown(_)) {
                    self.states.push(after.clone());
                    let relaxed = durability == Durability::Relaxed && !how.hold;
                    if let Transition::Enqueue { jobs, .. } = &told
                        && let [job] = &jobs[..]
                        && waits
                        && relaxed
                        && matches!(after.apply(&claim(&[&job.queue], 1), now), Expected::Claimed(one, _) if one.len() == 1)
                    {
                        // It may have been claimed for who waited, and not handed over.
                        self.states.push(after);
                    }
                }
                if matches!(error, StorageError::Refused(_)) {
                    // Its ids were set aside by a process that died, and are given out again: it is never sent again.
                    self.sent.pop_if(|sent| *sent == told);
                }
                self.recover(&error)
            }
        }
    }

    /// The outcome, and an error that came up once it was there.
    fn do_commit(
        &mut self,
        transition: Transition,
        how: Commit,
    ) -> (Result<Outcome, StorageError>, Option<StorageError>) {
        let mut later = None;
        let storage = self.storage();
        let mut held: Vec<_> = match &transition {
            Transition::Enqueue { jobs, chords } => {
                jobs.iter().map(|job| job.id).chain(chords.iter().map(|chord| chord.id)).collect()
            }
            Transition::Tick(Tick { jobs, .. }) => jobs.iter().map(|job| job.id).collect(),
            Transition::Settle(all) => {
                let follow_up = |one: &Settlement| match &one.verdict {
                    Verdict::Gathered { next: Next::Failed { follow_up: Some(job), .. } } => Some(job.id),
                    _ => None,
                };
                all.iter().map(|one| one.lease.id).chain(all.iter().filter_map(follow_up)).collect()
            }
            Transition::Replay { job, .. } => vec![job.id],
            _ => self.newest().jobs.values().map(|job| job.new.id).collect(),
        };
        // Steps of chains whose turn may come or be over with it.
        held.extend(self.newest().awaiting.values().map(|one| one.id));
        let outcome = if self.random.one_in(4) {
            let (tell, told) = channel();
            storage.submit(transition, how, Box::new(move |outcome| drop(tell.send(outcome))));
            let outcome = told.recv().expect("a submitted transition is always answered");
            // The announcer lets go of held jobs after it called back; this waits for it.
            later = settled(&*storage);
            outcome
        } else {
            storage.commit(transition, how)
        };
        storage.release(&held);
        (outcome, later)
    }

    /// Does what follows from an outcome, and returns the error that came of that.
    fn told(&mut self, outcome: &Outcome) -> Result<Option<StorageError>, String> {
        match outcome {
            Outcome::Reserved { first, salt } => {
                if *first < self.least {
                    return Err(format!("counters from {first} were told before"));
                }
                self.least = first + 16;
                self.salt = *salt;
                self.free = (*first..first + 16).collect();
            }
            Outcome::Claimed { claimed, .. } => {
                for one in claimed {
                    let key = (one.lease.id.counter(), one.lease.claim);
                    if !self.minted.insert(key) {
                        return Err(format!("the lease {key:?} was given out twice"));
                    }
                    if self.random.one_in(2) {
                        let slot = self.random.below(4);
                        match self.storage().begin(slot, one.lease, Durability::Relaxed) {
                            Ok(()) => drop(self.slots.insert(slot, key)),
                            // It died after the outcome was told.
                            Err(_) if self.disk.is_dead(&self.medium) => {}
                            // So did the log, and the claim was taken back.
                            Err(_) if self.failures_now() != self.failures => {}
                            Err(error) => return Err(format!("begin: {error}")),
                        }
                    }
                }
            }
            Outcome::Settled(_) if self.random.one_in(2) => {
                let slot = self.random.below(4);
                let live: Vec<_> = self.leases().iter().map(|lease| (lease.id.counter(), lease.claim)).collect();
                let over = self.slots.get(&slot).is_none_or(|key| !live.contains(key));
                if over && !self.disk.is_dead(&self.medium) {
                    self.slots.remove(&slot);
                    let storage = self.storage();
                    storage.end(slot);
                    // It may write.
                    return Ok(settled(&*storage));
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn failures_now(&self) -> u64 {
        self.storage.as_ref().expect("the storage is open").1.failures()
    }

    /// After an error: the process died, or the log is opened again in it.
    fn recover(&mut self, error: &StorageError) -> Result<(), String> {
        if self.disk.failing_opens() > 2 {
            let end = *self.random.pick(&[End::Killed, End::PowerCut]);
            return self.end(end);
        }
        if self.disk.is_dead(&self.medium) {
            return self.end(End::Killed);
        }
        let storage = self.storage();
        loop {
            let version = storage.wait(Version(0), Timestamp::from_micros(0));
            match storage.read(Query::all_counts()) {
                Ok(_) => {
                    self.disk.no_fault();
                    return self.judge(End::Lives, None);
                }
                Err(StorageError::Damaged(_)) => {
                    self.steps.push("  the process ends".into());
                    return self.end(End::Killed);
                }
                Err(StorageError::Unavailable(_)) if self.disk.is_dead(&self.medium) => return self.recover(error),
                Err(StorageError::Unavailable(_)) => drop(storage.wait(version, Timestamp::MAX)),
                Err(other) => return Err(format!("after {error:?}: {other:?}")),
            }
        }
    }

    fn how_it_died(&self) -> End {
        if self.disk.power_failed() { End::PowerCut } else { End::Killed }
    }

    fn end(&mut self, end: End) -> Result<(), String> {
        self.steps.push(format!("{end:?}"));
        let mut end = end;
        let dead = self.disk.is_dead(&self.medium);
        if dead {
            // It died after the last outcome was told.
            end = self.how_it_died();
        }
        match end {
            End::Closed if !dead => {
                if let Err(error) = self.storage().close() {
                    self.steps.push(format!("  -> {error:?}"));
                    if !self.disk.is_dead(&self.medium) {
                        self.disk.kill();
                    }
                    end = self.how_it_died();
                } else {
                    let newest = self.newest().clone();
                    self.states = vec![newest];
                    self.disk.kill();
                }
            }
            End::Killed if !dead => self.disk.kill(),
            End::PowerCut if !dead => self.disk.power_cut(),
            _ => {}
        }
        self.disk.no_fault();
        self.disk.fail_opens(0);
        self.storage = None;
        self.open()?;
        let begun: HashSet<_> = self.slots.drain().map(|(_, key)| key).collect();
        self.sent_before = self.sent.len();
        self.minted.clear();
        self.stale.clear();
        self.judge(end, Some(&begun))
    }

    /// Finds which of the states that may have survived the store is in.
    fn judge(&mut self, end: End, begun: Option<&HashSet<(u64, u32)>>) -> Result<(), String> {
        let now = self.now();
        self.failures = self.failures_now();
        let mut why = Vec::new();
        let candidates: Vec<Model> = self.states.iter().rev().cloned().collect();
        for (back, mut candidate) in candidates.into_iter().enumerate() {
            match begun {
                Some(_) if end == End::PowerCut => self.adopt_crashes(&mut candidate, now)?,
                Some(begun) => candidate.new_life(begun, now),
                None => candidate.resumed(&self.slots.values().copied().collect(), now),
            }
            match self.compare(&candidate)? {
                None => {
                    if begun.is_none() {
                        // Counters that were told are not told again.
                        candidate.reserved = self.states.iter().map(|state| state.reserved).max().unwrap_or(0);
                        // Nor is a job that left no trace made again, also if all of it was lost since.
                        for (counter, job) in self.states.iter().flat_map(|state| &state.jobs) {
                            if job.state == JobState::Gone {
                                candidate.jobs.entry(*counter).or_insert_with(|| job.clone());
                            }
                        }
                        let lost = self.leases();
                        self.stale.extend(lost);
                    } else {
                        self.free.clear();
                        self.least = 0;
                    }
                    self.states = vec![candidate];
                    return self.check_inside();
                }
                Some(fault) => why.push(format!("{back} transitions back: {fault}")),
            }
        }
        Err(format!("after {end:?} the store is in no state that it may be in:\n  {}", why.join("\n  ")))
    }

    /// A power cut may have taken notes of begun attempts back, or back to older ones.
    fn adopt_crashes(&self, candidate: &mut Model, now: Timestamp) -> Result<(), String> {
        for job in candidate.jobs.values_mut() {
            if !matches!(job.state, JobState::Running | JobState::Queued) {
                continue;
            }
            let row = self.row(job.new.id)?.ok();
            let crashed = row.as_ref().is_some_and(|row| row.crashes == job.crashes + 1);
            if crashed && row.is_some_and(|row| row.attempts == job.attempts + 1) {
                // The note of an attempt whose claim was lost.
                job.attempts += 1;
            }
            if crashed || job.state == JobState::Running {
                job.come_back(crashed, now);
            }
        }
        Ok(())
    }

    fn row(&self, id: huey_core::JobId) -> Result<Result<Box<huey_core::store::Row>, Missing>, String> {
        match self.storage().read(Query::Job(id)) {
            Ok(Answer::Job(row)) => Ok(row),
            other => Err(format!("reading {id} gave {other:?}")),
        }
    }

    /// The first difference between the store and `model`.
    fn compare(&self, model: &Model) -> Result<Option<String>, String> {
        let now = self.now();
        for counter in &self.counters {
            let sent = self.sent.iter().rev().find_map(|transition| match transition {
                Transition::Enqueue { jobs, .. } | Transition::Tick(Tick { jobs, .. }) => {
                    jobs.iter().find(|job| job.id.counter() == *counter)
                }
                Transition::Replay { job, .. } => Some(&**job).filter(|job| job.id.counter() == *counter),
                _ => None,
            });
            if let Some(one) = model.awaiting.get(counter) {
                let row = self.row(one.id)?;
                if !matches!(&row, Ok(row) if row.state == JobState::Awaiting) {
                    return Ok(Some(format!("step {counter} is {row:?} and not awaiting")));
                }
                continue;
            }
            let kept = model.jobs.get(counter);
            // A counter may have been given out again after a crash: the model knows to whom.
            let known = kept.map(|job| job.new.id);
            let chord = self.sent.iter().rev().find_map(|transition| match transition {
                Transition::Enqueue { chords, .. } => chords.iter().find(|chord| chord.id.counter() == *counter),
                _ => None,
            });
            let sent = known
                .or(sent.map(|job| job.id))
                .or(chord.map(|chord| chord.id))
                .or(self.steps_sent.get(counter).map(|job| job.id));
            let Some(id) = sent else { continue };
            let row = self.row(id)?;
            let same = match (&row, kept) {
                // Of a job that is not there, a counter that was set aside tells no more than this.
                (Err(Missing::NeverExisted | Missing::Gone), None) => true,
                (Err(_), Some(job)) => job.shown(now) == JobState::Gone,
                (Ok(_), None) => false,
                (Ok(row), Some(job)) => {
                    let output = job.kept.as_ref().map(|kept| kept.0.as_slice()).unwrap_or_default();
                    row.state == job.shown(now)
                        && (job.kept.is_some() || row.stopping == job.canceled)
                        && (row.at, row.attempts, row.crashes) == (job.at, job.attempts, job.crashes)
                        && (job.is_step_canceled()
                            || (row.priority, &*row.queue, &*row.task)
                                == (job.new.priority, &job.new.queue, &job.new.task)
                                && row.head == job.new.body.head)
                        && row.ended.output.as_deref().unwrap_or_default() == output
                }
            };
            if !same {
                let brief = kept.map(|job| (job.shown(now), job.at, job.attempts, job.crashes));
                let row = row.map(|row| (row.state, row.at, row.attempts, row.crashes));
                return Ok(Some(format!("job {counter} is {row:?} and not {brief:?}")));
            }
        }
        for key in &self.keys {
            let Ok(Answer::Value(value)) = self.storage().read(Query::Value(key.clone())) else {
                return Err(format!("the value of {key} cannot be read"));
            };
            if value.as_deref() != model.values.get(key).map(Vec::as_slice) {
                return Ok(Some(format!("{key} differs")));
            }
        }
        let Ok(Answer::Schedules(rows)) = self.storage().read(Query::Schedules) else {
            return Err("the schedules cannot be read".into());
        };
        for task in TASKS {
            let Ok(Answer::Revocation(mark)) = self.storage().read(Query::Revocation(task.into())) else {
                return Err("the revocations cannot be read".into());
            };
            if mark != model.revocation(task, now) {
                return Ok(Some(format!("{task} is revoked {mark:?}")));
            }
        }
        let kept: Vec<_> = model.schedules.values().map(|schedule| schedule.row.clone()).collect();
        if rows != kept {
            return Ok(Some(format!("the schedules are {rows:?} and not {kept:?}")));
        }
        Ok(None)
    }

    /// Without a failure the store is in the newest state.
    fn check(&mut self) -> Result<(), String> {
        self.steps.push("check".into());
        if self.disk.is_dead(&self.medium) {
            return self.end(End::Killed);
        }
        self.disk.no_fault();
        self.disk.fail_opens(0);
        if let Err(StorageError::Damaged(_)) = self.storage().read(Query::all_counts()) {
            // It panicked after the last outcome was told.
            return self.end(End::Killed);
        }
        match self.compare(self.newest())? {
            None => self.check_inside(),
            Some(fault) => Err(format!("without a failure, {fault}")),
        }
    }

    fn check_inside(&mut self) -> Result<(), String> {
        let inspector = &self.storage.as_ref().expect("the storage is open").1;
        inspector.check().map_err(|fault| format!("inside: {fault}"))?;
        let Ok(Answer::Counts(counts)) = self.storage().read(Query::all_counts()) else {
            return Err("the counts cannot be read".into());
        };
        let now = self.now();
        let count = |states: &[JobState]| {
            self.newest().jobs.values().filter(|job| states.contains(&job.shown(now))).count() as u64
        };
        let got = [counts.queued, counts.scheduled, counts.running, counts.parked, counts.given_up];
        let expected = [
            count(&[JobState::Queued]),
            count(&[JobState::Scheduled]),
            count(&[JobState::Running]),
            count(&[JobState::Parked]),
            count(&[JobState::Dead, JobState::Lost]),
        ];
        if got == expected { Ok(()) } else { Err(format!("the counts are {got:?} and not {expected:?}")) }
    }
}

/// A claim of the first jobs of these queues.
fn claim(queues: &[&str], most: u32) -> Transition {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    Transition::Claim { queues, tasks: Tasks::ALL, most, many: Tasks::ALL, keep: Duration::ZERO }
}

/// Waits until everything submitted before was answered, and returns the error if it was one.
fn settled(storage: &dyn Storage) -> Option<StorageError> {
    let (tell, told) = channel();
    let done = move |outcome: Result<Outcome, _>| tell.send(outcome.err()).expect("somebody waits");
    storage.submit(Transition::Reclaim, Commit { durability: Durability::Relaxed, hold: false }, Box::new(done));
    told.recv().expect("a submitted transition is always answered")
}

fn tell(transition: &Transition) -> String {
    match transition {
        Transition::Enqueue { jobs, chords } => {
            let jobs: Vec<_> = jobs.iter().map(|job| (job.id.counter(), job.writes.len())).collect();
            let of = |chord: &NewChord| (chord.id.counter(), chord.members.clone(), chord.flow.tasks.len());
            let chords: Vec<_> = chords.iter().map(of).collect();
            format!("enqueue {jobs:?}, each with so many values, and the chords {chords:?}")
        }
        Transition::Settle(all) => {
            let all: Vec<_> = all
                .iter()
                .map(|one| {
                    let mut verdict = format!("{:?}", one.verdict);
                    verdict.truncate(24);
                    (one.lease.id.counter(), one.lease.claim, verdict)
                })
                .collect();
            format!("settle {all:?}")
        }
        other => format!("{other:?}"),
    }
}
