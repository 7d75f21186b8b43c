//! What a program does next: transitions made up at random, over what there is.

use std::time::Duration;

use huey_core::store::{
    CHORD, Commit, Flow, Lease, NewChord, NewJob, Next, Plan, Progress, Settlement, Tasks, Tick, Transition, UniqueKey,
    Verdict,
};
use huey_core::testing::{job_id, new_job, task_error};
use huey_core::{Durability, JobState, OnConflict, Overlap, Revocation, Scope, Timestamp};

use super::{Program, QUEUES, SLACK, TASKS, body, claim};

impl Program {
    fn counter(&mut self) -> Result<Option<u64>, String> {
        if self.free.is_empty() {
            self.commit(Transition::Reserve { count: 16 })?;
        }
        // None if the reservation failed.
        Ok(if self.free.is_empty() { None } else { Some(self.free.remove(0)) })
    }

    pub(super) fn enqueue(&mut self) -> Result<(), String> {
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

    /// A job comes while somebody waits, and no other does.
    pub(super) fn one_alone(&mut self) -> Result<(), String> {
        let medium = self.medium.clone();
        for _ in 0..2 {
            self.commit(claim(&QUEUES, 64))?;
        }
        let Some(mut job) = self.jobs(1)?.pop() else { return Ok(()) };
        if self.disk.is_dead(&medium) {
            return Ok(());
        }
        job.run_at = self.now();
        self.counters.insert(job.id.counter());
        let transition = Transition::enqueue(vec![job]);
        self.sent.push(transition.clone());
        self.commit_as(transition, Commit { durability: Durability::Relaxed, hold: false }, true)
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
    pub(super) fn schedule(&mut self) -> Result<(), String> {
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
    pub(super) fn by_hand(&mut self) -> Result<(), String> {
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

    pub(super) fn claim(&mut self) -> Result<(), String> {
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

    pub(super) fn leases(&self) -> Vec<Lease> {
        let lease = |job: &crate::model::Job| Some(Lease { id: job.new.id, claim: job.claim? });
        let running = self.newest().jobs.values().filter(|job| job.state == JobState::Running);
        running.filter_map(lease).chain(self.stale.iter().copied()).collect()
    }

    pub(super) fn settle(&mut self) -> Result<(), String> {
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

    pub(super) fn take(&mut self) -> Result<(), String> {
        let all: Vec<_> = self.newest().jobs.values().map(|job| job.new.id).collect();
        if all.is_empty() {
            return Ok(());
        }
        let id = *self.random.pick(&all);
        self.commit(Transition::Take { id })
    }

    /// An enqueue that was sent before is sent again.
    pub(super) fn repeat(&mut self) -> Result<(), String> {
        let sent = self.sent.get(self.sent_before..).unwrap_or_default();
        if sent.is_empty() {
            return Ok(());
        }
        let again = self.random.pick(sent).clone();
        self.commit(again)
    }

    /// Much of what is written dies at once.
    pub(super) fn pressure(&mut self) -> Result<(), String> {
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
}
