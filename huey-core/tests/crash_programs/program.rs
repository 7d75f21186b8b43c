//! One random program over one simulated disk.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use huey_core::store::{
    Answer, Body, CHORD, Commit, Flow, Lease, Missing, NewChord, NewJob, Next, Outcome, Plan, Progress, Query,
    Settlement, Storage, StorageError, StorageOptions, Tasks, Tick, Transition, UniqueKey, Verdict, Version,
};
use huey_core::testing::{Fault, Inspector, Random, SimDisk, SimMedium, inspected, job_id, new_job, task_error};
use huey_core::{Durability, JobState, OnConflict, Overlap, Revocation, Scope, Timestamp, VirtualClock};

use crate::model::{Expected, Model};

/// Not compacted below this, one barrier's worth not yet durable and so not removed, and one large body on its way.
const SLACK: u64 = 64 * 1024 + 2 * 256 * 1024 + 600 * 1024;
const QUEUES: [&str; 2] = ["default", "mail"];
const TASKS: [&str; 3] = ["send", "resize", "poison"];

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
        self.storage = Some(opened);
        Ok(())
    }

    fn step(&mut self) -> Result<(), String> {
        let tick = Duration::from_millis(1 + self.random.below(50) as u64);
        self.clock.advance(tick);
        match self.random.below(100) {
            0..24 => self.enqueue(),
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

    // --- steps ---

    fn counter(&mut self) -> Result<Option<u64>, String> {
        if self.free.is_empty() {
            self.commit(Transition::Reserve { count: 16 })?;
        }
        // None if the reservation failed.
        Ok(if self.free.is_empty() { None } else { Some(self.free.remove(0)) })
    }

    fn enqueue(&mut self) -> Result<(), String> {
        let count = match self.random.below(40) {
            0 => 150,
            1..4 => 20,
            _ => 1 + self.random.below(3),
        };
        let medium = self.medium.clone();
        let mut jobs = self.jobs(count)?;
        let mut writes = Vec::new();
        for _ in 0..self.random.below(3) {
            writes.push(self.value(self.now().as_micros().unsigned_abs()));
        }
        let died = self.disk.is_dead(&medium);
        if died || (jobs.is_empty() && writes.is_empty()) {
            // Counters of a process that died while it set them aside go with it.
            return Ok(());
        }
        self.counters.extend(jobs.iter().map(|job| job.id.counter()));
        if let Some(last) = jobs.last_mut()
            && self.random.one_in(4)
        {
            // The counters that follow are those of its later steps.
            let many = self.random.below(4).min(self.free.len());
            let later: Vec<u64> = self.free.drain(..many).collect();
            let follows = |(at, counter): (usize, &u64)| *counter == last.id.counter() + 1 + at as u64;
            let tasks = later.iter().enumerate().take_while(|one| follows(*one)).zip(TASKS.iter().cycle());
            last.flow = Some(Flow {
                tasks: tasks.map(|(_, task)| (*task).to_owned()).collect(),
                keep: Duration::from_secs(100),
                follow_up: false,
            });
            self.counters.extend(later);
        }
        let chords = if self.random.one_in(5) { self.chords(&mut jobs) } else { Vec::new() };
        let transition = match jobs.first_mut() {
            Some(first) => {
                first.writes = writes;
                Transition::Enqueue { jobs, chords }
            }
            None => Transition::Write { writes },
        };
        self.sent.push(transition.clone());
        self.commit(transition)
    }

    /// Chords of these jobs: one of some of them, and perhaps one of its callback and the others.
    fn chords(&mut self, jobs: &mut [NewJob]) -> Vec<NewChord> {
        let mut ends: Vec<u64> = Vec::new();
        let keep = Duration::from_secs(100);
        for job in jobs.iter_mut() {
            let flow = job.flow.get_or_insert_with(|| Flow { keep, ..Flow::default() });
            ends.push(job.id.counter() + flow.tasks.len() as u64);
        }
        let mut chords = Vec::new();
        let first = self.random.below(ends.len() + 1);
        let mut members: Vec<u64> = ends.drain(..first).collect();
        for _ in 0..=self.random.below(2) {
            let many = 2 + self.random.below(2);
            let counters: Vec<u64> = self.free.drain(..many.min(self.free.len())).collect();
            let follow = counters.windows(2).all(|two| matches!(two, [one, next] if next - one == 1));
            let (Some((id, steps)), true) = (counters.split_first(), follow) else { break };
            let tasks: Vec<String> = steps.iter().zip(TASKS.iter().cycle()).map(|(_, task)| (*task).into()).collect();
            if tasks.is_empty() {
                break;
            }
            let last = id + tasks.len() as u64;
            chords.push(NewChord {
                id: job_id(self.now(), *id, self.salt),
                members: std::mem::take(&mut members),
                settled: self.random.one_in(3),
                queue: (*self.random.pick(&QUEUES)).into(),
                durability: *self.random.pick(&[Durability::Synced, Durability::Relaxed]),
                crash_limit: *self.random.pick(&[0, 1, 3]),
                flow: Flow { tasks, keep, follow_up: false },
                rest: body(*id, 40).args,
            });
            self.counters.extend(counters);
            members = std::mem::take(&mut ends);
            members.push(last);
        }
        chords
    }

    /// Decides ticks, or chooses something for their schedule; now and then by what somebody saw before.
    fn schedule(&mut self) -> Result<(), String> {
        let medium = self.medium.clone();
        let name = format!("schedule {}", self.random.below(2));
        let known = self.newest().schedules.get(&name).map(|schedule| schedule.row.clone());
        let now = self.now();
        let transition = match known {
            Some(row) if !self.random.one_in(4) => {
                let Some(counter) = self.counter()? else { return Ok(()) };
                let count = *self.random.pick(&[0, 1, 1, 1, 3]);
                let jobs = self.jobs(count)?;
                let stale = self.random.one_in(8);
                let seen = if stale { Timestamp::from_micros(row.upto.as_micros() - 1) } else { row.upto };
                Transition::Tick(Tick {
                    schedule: name,
                    by: self.random.below(3) as u64,
                    id: job_id(now, counter, self.salt),
                    seen,
                    upto: now.max(row.upto) + Duration::from_micros(1),
                    newest: self.random.one_in(2).then_some(now),
                    tasks: vec![(*self.random.pick(&TASKS)).into()],
                    overlap: *self.random.pick(&[Overlap::Skip, Overlap::QueueOne, Overlap::Allow, Overlap::Allow]),
                    jobs,
                })
            }
            known => {
                let seen = known.map_or(0, |row| row.revision) + u64::from(self.random.one_in(8));
                let choices = (!self.random.one_in(5)).then(|| self.value(9).1);
                let from = self.random.one_in(2).then_some(now);
                Transition::Plan(Plan { schedule: name, seen, choices, from })
            }
        };
        if self.disk.is_dead(&medium) {
            return Ok(());
        }
        if let Transition::Tick(tick) = &transition {
            self.counters.extend(tick.jobs.iter().map(|job| job.id.counter()));
            self.sent.push(transition.clone());
        }
        self.commit(transition)
    }

    /// Somebody cancels, moves, replays, purges or revokes, or a body reports.
    fn by_hand(&mut self) -> Result<(), String> {
        let medium = self.medium.clone();
        let all: Vec<_> = self.newest().jobs.values().map(|job| (job.new.id, job.state)).collect();
        if all.is_empty() {
            return Ok(());
        }
        let steps: Vec<_> = self.newest().awaiting.values().map(|one| one.id).collect();
        let (mut id, _) = *self.random.pick(&all);
        if !steps.is_empty() && self.random.one_in(4) {
            id = *self.random.pick(&steps);
        }
        let still: Vec<_> = all
            .iter()
            .filter(|(_, state)| matches!(state, JobState::Dead | JobState::Lost | JobState::Parked))
            .collect();
        let given_up = if still.is_empty() { id } else { self.random.pick(&still).0 };
        let now = self.now();
        let transition = match self.random.below(12) {
            0..4 => Transition::Cancel { id, keep: Duration::from_secs(*self.random.pick(&[0, 100])) },
            4..6 => Transition::Reschedule { id, at: now + Duration::from_millis(*self.random.pick(&[0, 30, 3_000])) },
            6 => Transition::Purge { id: given_up },
            7 => match self.jobs(1)?.pop() {
                Some(job) if !self.disk.is_dead(&medium) => {
                    self.counters.insert(job.id.counter());
                    Transition::Replay { of: given_up, job: Box::new(job) }
                }
                _ => return Ok(()),
            },
            8 | 9 => {
                let soon = now + Duration::from_millis(100);
                let marks =
                    [None, None, Some(Revocation::Once), Some(Revocation::Until(soon)), Some(Revocation::Always)];
                let (task, mark) = (self.random.pick(&TASKS).to_string(), *self.random.pick(&marks));
                Transition::Revoke { task, mark }
            }
            _ => match self.leases().first() {
                Some(lease) => Transition::Progress { lease: *lease, progress: Progress::new(1, 2, "half") },
                None => return Ok(()),
            },
        };
        if matches!(transition, Transition::Replay { .. }) {
            self.sent.push(transition.clone());
        }
        self.commit(transition)
    }

    fn jobs(&mut self, count: usize) -> Result<Vec<NewJob>, String> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            let Some(counter) = self.counter()? else { break };
            let now = self.now();
            let bytes = match self.random.below(60) {
                0 => 300_000,
                1..5 => 30_000,
                _ => self.random.below(400),
            };
            jobs.push(NewJob {
                id: job_id(now, counter, self.salt),
                task: (*self.random.pick(&TASKS)).into(),
                queue: (*self.random.pick(&QUEUES)).into(),
                priority: *self.random.pick(&[0, 0, 0, 5, -3, i16::MIN, i16::MAX]),
                run_at: now + Duration::from_millis(*self.random.pick(&[0, 0, 0, 20, 5_000])),
                expires: self.random.one_in(8).then(|| now + Duration::from_millis(60)),
                durability: *self.random.pick(&[Durability::Synced, Durability::Relaxed]),
                at_most_once: self.random.one_in(8),
                crash_limit: *self.random.pick(&[0, 1, 2, 3]),
                limits: Vec::new(),
                unique: self.unique(),
                flow: None,
                writes: Vec::new(),
                body: body(counter, bytes),
            });
        }
        Ok(jobs)
    }

    fn unique(&mut self) -> Option<UniqueKey> {
        let window = Duration::from_millis(50);
        self.random.one_in(3).then(|| UniqueKey {
            key: vec![u8::try_from(self.random.below(3)).unwrap()].into(),
            scope: *self.random.pick(&[Scope::Active, Scope::Active, Scope::Pending, Scope::Window(window)]),
            on_conflict: *self.random.pick(&[OnConflict::Existing, OnConflict::Replace, OnConflict::Reject]),
            keep: Duration::from_secs(self.random.below(2) as u64),
        })
    }

    fn value(&mut self, seed: u64) -> (String, huey_core::testing::Bytes) {
        let key = format!("key {}", self.random.below(6));
        self.keys.insert(key.clone());
        let bytes = self.random.below(3_000);
        (key, body(seed, bytes).args)
    }

    fn claim(&mut self) -> Result<(), String> {
        let queues = match self.random.below(4) {
            0 => vec![QUEUES[1].to_owned()],
            1 => vec![QUEUES[1].to_owned(), QUEUES[0].to_owned(), "nobody's".to_owned()],
            _ => vec![QUEUES[0].to_owned(), QUEUES[1].to_owned()],
        };
        let tasks = match self.random.below(6) {
            0 => Tasks::Only(vec![TASKS[0].into(), TASKS[2].into()]),
            1 => Tasks::Except(vec![TASKS[1].into(), "never heard of".into()]),
            _ => Tasks::Except(Vec::new()),
        };
        let most = *self.random.pick(&[1, 2, 8, 64]);
        let keep = Duration::from_secs(*self.random.pick(&[0, 100]));
        self.commit(Transition::Claim { queues, tasks, most, many: Tasks::ALL, keep })
    }

    fn leases(&self) -> Vec<Lease> {
        let lease = |job: &crate::model::Job| Some(Lease { id: job.new.id, claim: job.claim? });
        let running = self.newest().jobs.values().filter(|job| job.state == JobState::Running);
        running.filter_map(lease).chain(self.stale.iter().copied()).collect()
    }

    fn settle(&mut self) -> Result<(), String> {
        let leases = self.leases();
        if leases.is_empty() {
            return Ok(());
        }
        let mut all = Vec::new();
        for _ in 0..=self.random.below(6) {
            let lease = *self.random.pick(&leases);
            if all.iter().any(|one: &Settlement| one.lease == lease) {
                continue;
            }
            let keep = Duration::from_secs(*self.random.pick(&[0, 10, 1_000]));
            let verdict = match self.random.below(16) {
                kind if self.is_chord(lease) => match kind {
                    0 => Verdict::Returned { started: false },
                    1..3 => Verdict::Gathered {
                        next: Next::Failed {
                            cause: "a member is dead".into(),
                            error: Some(task_error("gave up")),
                            follow_up: self.follow_up()?,
                        },
                    },
                    _ => match self.next(lease) {
                        Some(next) => Verdict::Gathered { next },
                        None => continue,
                    },
                },
                0..6 => {
                    let bytes = if self.random.one_in(20) { 20_000 } else { self.random.below(200) };
                    let output = body(lease.id.counter() ^ u64::from(lease.claim) << 32, bytes).args;
                    let next = self.next(lease);
                    Verdict::Complete { output, signature: 7, keep, next }
                }
                6..9 => Verdict::Retry {
                    delay: Duration::from_millis(*self.random.pick(&[0, 30, 3_000])),
                    error: self.random.one_in(2).then(|| task_error("no route")),
                    spend: self.random.one_in(2),
                },
                9..11 => Verdict::Returned { started: self.random.one_in(2) },
                11 => Verdict::Dead { error: task_error("gave up"), next: None },
                12 => Verdict::Canceled { cause: "not wanted".into(), keep },
                13..15 => Verdict::Parked { cause: "unknown".into() },
                _ => Verdict::Lost { cause: "cut off".into() },
            };
            all.push(Settlement { lease, verdict });
        }
        let settled: Vec<Lease> = all.iter().map(|one| one.lease).collect();
        self.commit(Transition::Settle(all))?;
        self.stale.extend(settled);
        let excess = self.stale.len().saturating_sub(8);
        self.stale.drain(..excess);
        Ok(())
    }

    fn is_chord(&self, lease: Lease) -> bool {
        let job = self.newest().jobs.get(&lease.id.counter());
        job.is_some_and(|job| job.new.id == lease.id && job.new.task == CHORD)
    }

    /// The job that follows one that is dead, if one does.
    fn follow_up(&mut self) -> Result<Option<Box<NewJob>>, String> {
        let medium = self.medium.clone();
        let job = if self.random.one_in(2) { self.jobs(1)?.pop() } else { None };
        let job = job.filter(|_| !self.disk.is_dead(&medium));
        if let Some(job) = &job {
            self.counters.insert(job.id.counter());
            self.steps_sent.insert(job.id.counter(), job.clone());
        }
        Ok(job.map(Box::new))
    }

    /// The next step of the chain that a job is in, as its worker made it.
    fn next(&mut self, lease: Lease) -> Option<Next> {
        let counter = lease.id.counter() + 1;
        let flow = self.newest().jobs.get(&lease.id.counter())?.new.flow.clone()?;
        if flow.tasks.is_empty() {
            return None;
        }
        // It may have been canceled before its turn, which its worker does not know.
        let next = job_id(lease.id.made_at(), counter, self.salt);
        if self.random.one_in(5) {
            return Some(Next::Refused { cause: "a hook said no".into() });
        }
        let now = self.now();
        let job = NewJob {
            task: flow.tasks.first()?.clone().into(),
            run_at: now + Duration::from_millis(*self.random.pick(&[0, 0, 20])),
            unique: self.unique(),
            flow: Some(Flow { tasks: flow.tasks.get(1..).unwrap_or_default().to_vec(), ..flow }),
            body: body(counter, 50),
            ..new_job(next)
        };
        self.steps_sent.insert(counter, job.clone());
        Some(Next::Job(Box::new(job)))
    }

    fn take(&mut self) -> Result<(), String> {
        let all: Vec<_> = self.newest().jobs.values().map(|job| job.new.id).collect();
        if all.is_empty() {
            return Ok(());
        }
        let id = *self.random.pick(&all);
        self.commit(Transition::Take { id })
    }

    /// An enqueue that was sent before is sent again.
    fn repeat(&mut self) -> Result<(), String> {
        let sent = self.sent.get(self.sent_before..).unwrap_or_default();
        if sent.is_empty() {
            return Ok(());
        }
        let again = self.random.pick(sent).clone();
        self.commit(again)
    }

    /// Much of what is written dies at once.
    fn pressure(&mut self) -> Result<(), String> {
        for _ in 0..60 {
            let writes = vec![self.value(1), self.value(2), self.value(3)];
            self.commit(Transition::Write { writes })?;
        }
        let sizes = self.storage.as_ref().expect("the storage is open").1.sizes();
        match sizes {
            Ok(sizes) if sizes.total > 3 * sizes.live + SLACK => {
                Err(format!("the journal outgrew its bound: {sizes:?}"))
            }
            _ => Ok(()),
        }
    }

    // --- judging ---

    fn commit(&mut self, transition: Transition) -> Result<(), String> {
        let now = self.now();
        let synced = self.random.one_in(3);
        let durability = if synced { Durability::Synced } else { Durability::Relaxed };
        let how = Commit { durability, hold: self.random.one_in(6) };
        let hold = if how.hold { ", held" } else { "" };
        self.steps.push(format!("{} {durability:?}{hold}", tell(&transition)));
        let mut after = self.newest().clone();
        let expected = after.apply(&transition, now);
        let told = transition.clone();
        let (outcome, later) = self.do_commit(transition, how);
        match outcome {
            Ok(outcome) => {
                after.learn(&expected, &outcome, now)?;
                let ended = self.told(&outcome)?;
                if synced
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
                if matches!(error, StorageError::Unknown(_)) {
                    self.states.push(after);
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
