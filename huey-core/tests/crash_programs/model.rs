//! What a store should say, kept as plainly as possible.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use huey_core::store::{CHORD, Claimed, Lease, NewJob, Outcome, Placed, Settlement, Tasks, Transition, Verdict};
use huey_core::testing::job_id;
use huey_core::{Durability, JobId, JobState, OnConflict, Revocation, Scope, Timestamp};

use crate::controls::{self, Done};
use crate::flows::{Awaiting, Chord, Followed};
use crate::schedules::{self, Decided, Schedule};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) new: NewJob,
    pub(crate) state: JobState,
    pub(crate) at: Timestamp,
    /// `None` while it runs under a lease that nobody was told.
    pub(crate) claim: Option<u32>,
    /// How often it was claimed.
    pub(crate) claims: u32,
    pub(crate) attempts: u32,
    pub(crate) retried: u32,
    pub(crate) crashes: u8,
    pub(crate) refunds: u8,
    pub(crate) rescued: bool,
    /// While it ran.
    pub(crate) canceled: bool,
    /// The output, and until which second it is kept, once it ended so.
    pub(crate) kept: Option<(Vec<u8>, u64)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) jobs: BTreeMap<u64, Job>,
    pub(crate) values: BTreeMap<String, Vec<u8>>,
    pub(crate) reserved: u64,
    pub(crate) schedules: BTreeMap<String, Schedule>,
    pub(crate) revoked: BTreeMap<String, Revocation>,
    /// Steps of chains whose turn has not come, by their counters.
    pub(crate) awaiting: BTreeMap<u64, Awaiting>,
    /// Chords by the counters of the jobs that stand for them.
    pub(crate) chords: BTreeMap<u64, Chord>,
    /// Jobs that ran when the transition began: one that comes back in it takes no key from a step that comes with it.
    ran: HashSet<u64>,
    /// Who took each unique key last, and until when.
    keys: BTreeMap<Vec<u8>, (u64, Scope, Timestamp)>,
}

/// What the model expects of a transition.
#[derive(Debug, PartialEq)]
pub(crate) enum Expected {
    Done,
    /// For each job the one that stands for it, or the one that it replaced.
    Placed(Vec<(Option<u64>, Option<u64>)>),
    /// The counter of the job that holds a key.
    Conflict(u64),
    Reserved(u64),
    /// Jobs given out, and jobs ended, each in order.
    Claimed(Vec<u64>, Vec<(u64, JobState)>),
    Settled(Vec<Option<(JobState, Followed)>>),
    Alive(Vec<bool>),
    Unparked(u32),
    Taken(Option<JobState>),
    Ticked(Decided),
    Planned(bool),
    ByHand(Done),
}

/// What a store said of jobs to be stored.
pub(crate) fn placed(all: &[Placed]) -> Expected {
    let one = |placed: &Placed| match placed {
        Placed::New => (None, None),
        Placed::Existing(id) => (Some(id.counter()), None),
        Placed::Replaced(old) => (None, Some(old.id.counter())),
    };
    Expected::Placed(all.iter().map(one).collect())
}

/// The salt of the store that an id is of: what is left of it without the rest.
pub(crate) fn self_salt(id: JobId) -> u32 {
    let text = id.to_string().replace('-', "");
    let low = u64::from_str_radix(&text[16..], 16).unwrap();
    u32::try_from(low & 0x3ff_ffff).unwrap()
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros() / 1_000_000).unwrap()
}

impl Job {
    pub(crate) fn waiting(new: &NewJob) -> Self {
        Self {
            new: new.clone(),
            state: JobState::Queued,
            at: new.run_at,
            claim: None,
            claims: 0,
            attempts: 0,
            retried: 0,
            crashes: 0,
            refunds: 0,
            rescued: false,
            canceled: false,
            kept: None,
        }
    }

    /// The state as a caller is shown it.
    pub(crate) fn shown(&self, now: Timestamp) -> JobState {
        match (self.state, &self.kept) {
            (JobState::Queued, _) if self.at > now => JobState::Scheduled,
            (_, Some((_, until))) if *until < seconds(now) => JobState::Gone,
            (state, _) => state,
        }
    }

    fn is_suspect(&self) -> bool {
        self.crashes > 0
            && self.crashes + 1 == self.new.crash_limit
            && matches!(self.state, JobState::Queued | JobState::Running)
    }

    pub(crate) fn end(&mut self, state: JobState, output: Vec<u8>, keep: Duration, now: Timestamp) {
        self.at = now;
        if keep.is_zero() {
            self.state = JobState::Gone;
        } else {
            self.state = state;
            self.kept = Some((output, seconds(now + keep)));
        }
    }
}

impl Model {
    pub(crate) fn apply(&mut self, transition: &Transition, now: Timestamp) -> Expected {
        match transition {
            Transition::Reserve { count } => {
                let first = self.reserved;
                self.reserved += u64::from(*count);
                Expected::Reserved(first)
            }
            Transition::Enqueue { jobs, chords } => {
                let before = self.clone();
                match self.place(jobs, now) {
                    Ok(placed) => {
                        for chord in chords {
                            self.begin_chord(chord, now);
                        }
                        placed
                    }
                    Err(holder) => {
                        *self = before;
                        Expected::Conflict(holder)
                    }
                }
            }
            Transition::Write { writes } => {
                self.write(writes);
                Expected::Done
            }
            Transition::Claim { queues, tasks, most, keep, .. } => {
                self.claim(queues, tasks, *most as usize, *keep, now)
            }
            Transition::Settle(all) => {
                let runs = |(counter, job): (&u64, &Job)| (job.state == JobState::Running).then_some(*counter);
                self.ran = self.jobs.iter().filter_map(runs).collect();
                let settled = all.iter().map(|settlement| self.settle(settlement, now)).collect();
                self.ran.clear();
                Expected::Settled(settled)
            }
            Transition::Heartbeat(leases) => {
                Expected::Alive(leases.iter().map(|lease| self.running(*lease).is_some()).collect())
            }
            Transition::Unpark { tasks } => {
                let parked =
                    |job: &&mut Job| job.state == JobState::Parked && tasks.contains(&job.new.task.to_string());
                let count = self.jobs.values_mut().filter(parked).map(|job| job.state = JobState::Queued).count();
                Expected::Unparked(u32::try_from(count).unwrap())
            }
            Transition::Take { id } => {
                let Some(job) = self.jobs.get_mut(&id.counter()) else { return Expected::Taken(None) };
                let shown = job.shown(now);
                if job.kept.take().is_some() {
                    job.state = JobState::Gone;
                }
                Expected::Taken((shown != JobState::Gone).then_some(shown))
            }
            Transition::Tick(tick) => self.tick(tick, now),
            Transition::Plan(plan) => self.plan(plan, now),
            Transition::Cancel { id, keep } => Expected::ByHand(self.cancel(*id, *keep, now)),
            Transition::Reschedule { id, at } => Expected::ByHand(self.reschedule(*id, *at, now)),
            Transition::Purge { id } => Expected::ByHand(self.purge(*id, now)),
            Transition::Replay { of, job } => self.replay(*of, job, now),
            Transition::Revoke { task, mark } => Expected::ByHand(self.revoke(task, *mark, now)),
            Transition::Progress { lease, .. } => Expected::ByHand(Done::Was(self.running(*lease).is_some())),
            other => panic!("the programs do not use {other:?}"),
        }
    }

    /// Stores jobs, or says who holds a key that may not be taken.
    pub(crate) fn place(&mut self, jobs: &[NewJob], now: Timestamp) -> Result<Expected, u64> {
        let (mut placed, mut taken) = (Vec::new(), BTreeMap::new());
        for job in jobs {
            let counter = job.id.counter();
            if self.jobs.contains_key(&counter) {
                if let Some(unique) = &job.unique {
                    taken.entry(unique.key.to_vec()).or_insert(counter);
                }
                placed.push((None, None));
                continue;
            }
            let mut replaced = None;
            if let Some(unique) = &job.unique {
                let first = taken.get(unique.key.as_ref() as &[u8]).copied();
                if let Some(holder) = first.or_else(|| self.holder(&unique.key, now)) {
                    let waits = matches!(self.jobs.get(&holder).unwrap().state, JobState::Queued | JobState::Parked)
                        && !self.ran.contains(&holder);
                    match unique.on_conflict {
                        OnConflict::Reject => return Err(holder),
                        OnConflict::Replace
                            if waits && first.is_none() && self.jobs.get(&holder).unwrap().new.flow.is_none() =>
                        {
                            let old = self.jobs.get_mut(&holder).unwrap();
                            old.end(JobState::Canceled, Vec::new(), unique.keep, now);
                            replaced = Some(holder);
                        }
                        _ if job.flow.is_some() => return Err(holder),
                        _ => {
                            placed.push((Some(holder), None));
                            continue;
                        }
                    }
                }
                let end = if let Scope::Window(window) = unique.scope { now + window } else { now };
                taken.insert(unique.key.to_vec(), counter);
                self.keys.insert(unique.key.to_vec(), (counter, unique.scope, end));
            }
            placed.push((None, replaced));
            self.jobs.insert(counter, Job::waiting(job));
            self.await_turns(job, |counter| job_id(job.id.made_at(), counter, self_salt(job.id)));
            self.write(&job.writes);
        }
        Ok(Expected::Placed(placed))
    }

    /// Who holds a key now.
    fn holder(&self, key: &[u8], now: Timestamp) -> Option<u64> {
        let (holder, scope, end) = *self.keys.get(key)?;
        let job = self.jobs.get(&holder)?;
        // A power cut may have taken all that the holder was, and its counter is another's then.
        job.new.unique.as_ref().filter(|unique| *unique.key == *key)?;
        let state = job.state;
        let holds = match scope {
            Scope::Pending => matches!(state, JobState::Queued | JobState::Parked) && !self.ran.contains(&holder),
            Scope::Active => matches!(state, JobState::Queued | JobState::Parked | JobState::Running),
            Scope::Window(_) => now <= end,
        };
        holds.then_some(holder)
    }

    fn write(&mut self, writes: &[(String, huey_core::testing::Bytes)]) {
        self.values.extend(writes.iter().map(|(key, bytes)| (key.clone(), bytes.to_vec())));
    }

    pub(crate) fn running(&mut self, lease: Lease) -> Option<&mut Job> {
        let job = self.jobs.get_mut(&lease.id.counter())?;
        // A power cut may take a counter back, which another job gets: a lease of the first is not the second's.
        let holds = job.new.id == lease.id && job.claim == Some(lease.claim);
        (job.state == JobState::Running && holds).then_some(job)
    }

    fn claim(&mut self, queues: &[String], tasks: &Tasks, most: usize, keep: Duration, now: Timestamp) -> Expected {
        let wanted = |job: &Job| match tasks {
            Tasks::Only(names) => names.contains(&job.new.task.to_string()),
            Tasks::Except(names) => !names.contains(&job.new.task.to_string()),
        };
        let (mut claimed, mut ended) = (Vec::new(), Vec::new());
        let ready = |job: &Job| job.state == JobState::Queued && job.at <= now;
        let turn = |job: &Job| (-i32::from(job.new.priority), job.new.id.counter());
        let running = self.jobs.values().filter(|job| job.state == JobState::Running).count();
        let suspects: Vec<&Job> = self.jobs.values().filter(|job| job.is_suspect()).collect();
        let able: Vec<&&Job> =
            suspects.iter().filter(|job| ready(job) && queues.contains(&job.new.queue.to_string())).collect();
        let mut turns: Vec<u64> = Vec::new();
        if suspects.iter().any(|job| job.state == JobState::Running) || (!able.is_empty() && running > 0) {
            // Nothing may start.
        } else if !able.is_empty() {
            let alone = able.into_iter().filter(|job| wanted(job)).min_by_key(|job| turn(job));
            turns.extend(alone.map(|job| job.new.id.counter()));
        } else {
            for queue in queues {
                let mut lane: Vec<&Job> =
                    self.jobs.values().filter(|job| job.new.queue == *queue && ready(job) && wanted(job)).collect();
                lane.sort_by_key(|job| turn(job));
                turns.extend(lane.iter().map(|job| job.new.id.counter()));
            }
        }
        for counter in turns {
            if claimed.len() == most {
                break;
            }
            let before = ended.len();
            let revocation = self.revocation(&self.jobs.get(&counter).unwrap().new.task, now);
            let job = self.jobs.get_mut(&counter).unwrap();
            if job.canceled {
                job.end(JobState::Canceled, Vec::new(), keep, now);
                ended.push((counter, JobState::Canceled));
            } else if let Some(mark) = revocation {
                job.end(JobState::Revoked, Vec::new(), keep, now);
                ended.push((counter, JobState::Revoked));
                if mark == Revocation::Once {
                    let task = job.new.task.clone();
                    self.revoked.remove(&*task);
                }
            } else if job.new.expires.is_some_and(|expires| now > expires) {
                job.end(JobState::Expired, Vec::new(), keep, now);
                ended.push((counter, JobState::Expired));
            } else if job.new.at_most_once && job.rescued {
                (job.state, job.at) = (JobState::Lost, now);
                ended.push((counter, JobState::Lost));
            } else if job.new.task == CHORD && job.new.crash_limit > 0 && job.crashes >= job.new.crash_limit {
                // Given out once more, to be settled.
                (job.state, job.at, job.claim, job.rescued) = (JobState::Running, now, None, false);
                job.claims += 1;
                claimed.push(counter);
            } else if job.new.crash_limit > 0 && job.crashes >= job.new.crash_limit {
                (job.state, job.at) = (JobState::Dead, now);
                ended.push((counter, JobState::Dead));
            } else {
                (job.state, job.at, job.claim, job.rescued) = (JobState::Running, now, None, false);
                job.claims += 1;
                job.attempts += 1;
                claimed.push(counter);
            }
            if ended.len() > before {
                ended.extend(self.fail_chain(counter, now).into_iter().map(|step| (step, JobState::Canceled)));
            }
        }
        Expected::Claimed(claimed, ended)
    }

    /// The state of a job after its attempt was settled, and what that did to its chain.
    fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Option<(JobState, Followed)> {
        if let Verdict::Gathered { next } = &settlement.verdict {
            return self.gathered(settlement.lease, next, now);
        }
        let state = self.settle_job(settlement, now)?;
        let owner = settlement.lease.id.counter();
        let followed = match (&settlement.verdict, state) {
            (Verdict::Complete { next: Some(next), .. }, _) => self.follow(owner, next, now),
            (_, state) if state.is_ended() && state != JobState::Complete => {
                Followed { next: None, canceled: self.fail_chain(owner, now) }
            }
            _ => Followed::default(),
        };
        if state == JobState::Complete {
            self.arrive(owner, false, now);
        }
        Some((state, followed))
    }

    fn settle_job(&mut self, Settlement { lease, verdict }: &Settlement, now: Timestamp) -> Option<JobState> {
        let job = self.running(*lease)?;
        match verdict {
            Verdict::Complete { output, keep, .. } => {
                job.end(JobState::Complete, output.to_vec(), *keep, now);
                return Some(JobState::Complete);
            }
            Verdict::Canceled { keep, .. } => {
                job.end(JobState::Canceled, Vec::new(), *keep, now);
                return Some(JobState::Canceled);
            }
            Verdict::Retry { delay, spend, .. } => {
                (job.state, job.at) = (JobState::Queued, if job.canceled { now } else { now + *delay });
                job.retried += u32::from(*spend);
            }
            Verdict::Returned { started } => {
                (job.state, job.at) = (JobState::Queued, now);
                if !started {
                    job.unattempt();
                } else if job.refunds < 10 {
                    job.unattempt();
                    job.refunds += 1;
                }
            }
            Verdict::Dead { .. } => (job.state, job.at) = (JobState::Dead, now),
            Verdict::Lost { .. } => (job.state, job.at) = (JobState::Lost, now),
            Verdict::Parked { .. } => {
                (job.state, job.at) = (JobState::Parked, now);
                job.unattempt();
            }
            other => panic!("the programs do not use {other:?}"),
        }
        Some(job.shown(now))
    }

    /// Compares an outcome with what was expected, and learns the leases that it tells.
    pub(crate) fn learn(&mut self, expected: &Expected, outcome: &Outcome, now: Timestamp) -> Result<(), String> {
        if let (Expected::Reserved(first), Outcome::Reserved { first: got, .. }) = (expected, outcome) {
            // A reservation that a crash took back cannot be seen otherwise, nor a job with it that had left no trace.
            self.jobs.retain(|counter, job| counter < got || job.state != JobState::Gone);
            let used = self.jobs.last_key_value().map_or(0, |(counter, _)| counter + 1);
            self.reserved -= first - got.min(first);
            return if (used..=*first).contains(got) { Ok(()) } else { Err(format!("counters from {got} again")) };
        }
        let got = match outcome {
            Outcome::Written => Expected::Done,
            Outcome::Enqueued(all) => placed(all),
            Outcome::Ticked(ticked) => Expected::Ticked(schedules::said(ticked)),
            Outcome::Planned(planned) => Expected::Planned(*planned),
            Outcome::Claimed { claimed, ended, .. } => {
                for one in claimed {
                    self.learn_claim(one, now)?;
                }
                let counter = |id: JobId| id.counter();
                Expected::Claimed(
                    claimed.iter().map(|one| counter(one.lease.id)).collect(),
                    ended.iter().map(|one| (counter(one.id), one.state)).collect(),
                )
            }
            Outcome::Settled(all) => Expected::Settled(
                all.iter()
                    .map(|one| {
                        let one = one.as_ref()?;
                        let next = one.next.as_ref().map(|next| Box::new(placed(std::slice::from_ref(next))));
                        let canceled = one.canceled.iter().map(|step| step.id.counter()).collect();
                        Some((one.state, Followed { next, canceled }))
                    })
                    .collect(),
            ),
            Outcome::Alive(all) => Expected::Alive(all.clone()),
            Outcome::Unparked(count) => Expected::Unparked(*count),
            Outcome::Taken(row) => Expected::Taken(row.as_ref().map(|row| row.state)),
            other => match controls::said(other) {
                Some(done) => Expected::ByHand(done),
                None => return Err(format!("an outcome that nothing asked for: {other:?}")),
            },
        };
        if got == *expected { Ok(()) } else { Err(format!("expected {expected:?}, got {got:?}")) }
    }

    fn learn_claim(&mut self, claimed: &Claimed, now: Timestamp) -> Result<(), String> {
        let counter = claimed.lease.id.counter();
        let job = self.jobs.get_mut(&counter).ok_or_else(|| format!("job {counter} never existed"))?;
        job.claim = Some(claimed.lease.claim);
        // A store that lost claims skips their numbers.
        job.claims = claimed.lease.claim;
        // The end of a suspect is on the disk before another runs.
        let synced = job.new.durability == Durability::Synced || job.is_suspect();
        let told = (claimed.attempt, claimed.retried, claimed.crashes, claimed.refunds, claimed.started);
        let kept = (job.attempts, job.retried, job.crashes, job.refunds, now);
        if claimed.body != job.new.body || told != kept || (claimed.durability == Durability::Synced) != synced {
            return Err(format!("job {counter} was given out as {told:?} and not {kept:?}, or with other arguments"));
        }
        Ok(())
    }

    /// What is true when a new process opens the store: `begun` holds the attempts in the running table.
    pub(crate) fn new_life(&mut self, begun: &HashSet<(u64, u32)>, now: Timestamp) {
        for (counter, job) in &mut self.jobs {
            // A claim that was lost with the process is known from the table, if its attempt had begun.
            let last = begun.iter().filter(|(begun, _)| begun == counter).map(|(_, claim)| *claim).max();
            let crashed = match job.state {
                // What was claimed for nobody to hear of it did not begin.
                JobState::Running => last.filter(|claim| job.claim.is_some() && *claim >= job.claims),
                JobState::Queued => last.filter(|claim| *claim > job.claims),
                _ => continue,
            };
            if let Some(claim) = crashed {
                job.attempts += u32::from(claim > job.claims);
                job.claims = claim;
            }
            if crashed.is_some() || job.state == JobState::Running {
                job.come_back(crashed.is_some(), now);
            }
        }
    }

    /// What is true when the same process has opened the store again: `live` holds the attempts that run.
    pub(crate) fn resumed(&mut self, live: &HashSet<(u64, u32)>, now: Timestamp) {
        for (counter, job) in &mut self.jobs {
            // A lease that nobody was told has not begun, whatever number it carries.
            let begun = job.claim.is_some() && live.contains(&(*counter, job.claims));
            if job.state == JobState::Running && !begun {
                job.come_back(false, now);
            }
        }
    }
}

impl Job {
    pub(crate) fn come_back(&mut self, crashed: bool, now: Timestamp) {
        (self.state, self.at, self.claim) = (JobState::Queued, self.at.min(now), None);
        if crashed {
            (self.crashes, self.rescued) = (self.crashes + 1, true);
        } else {
            self.unattempt();
        }
    }

    /// What was claimed was not attempted. One at its crash limit is given out to be settled, which is no attempt.
    fn unattempt(&mut self) {
        if self.new.crash_limit == 0 || self.crashes < self.new.crash_limit {
            self.attempts -= 1;
        }
    }
}
