//! Chains and chords, as the model knows them.

use std::collections::BTreeSet;

use huey_core::store::{Body, CHORD, Flow, Lease, NewChord, NewJob, Next};
use huey_core::testing::{job_id, new_job};
use huey_core::{JobId, JobState, Timestamp};

use crate::model::{Expected, Job, Model, self_salt};

/// The steps of a chain that are no jobs yet: the id of each, and how long its record is kept should it be canceled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Awaiting {
    pub(crate) id: JobId,
    /// The job whose turn it is.
    pub(crate) owner: u64,
    keep: std::time::Duration,
}

/// A group with a callback.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chord {
    /// The counter of the last job of each member.
    members: Vec<u64>,
    settled: bool,
    arrived: BTreeSet<u64>,
}

/// What a settle did to the rest of a chain.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Followed {
    /// What became of the next step.
    pub(crate) next: Option<Box<Expected>>,
    /// The counters of steps that were canceled.
    pub(crate) canceled: Vec<u64>,
}

impl Model {
    /// The steps that come after a new job.
    pub(crate) fn await_turns(&mut self, job: &NewJob, id_at: impl Fn(u64) -> JobId) {
        let owner = job.id.counter();
        self.awaiting.remove(&owner);
        let Some(Flow { tasks, keep, .. }) = &job.flow else { return };
        for counter in owner + 1..=owner + tasks.len() as u64 {
            self.awaiting.insert(counter, Awaiting { id: id_at(counter), owner, keep: *keep });
        }
    }

    /// A job ended otherwise than well.
    pub(crate) fn fail_chain(&mut self, owner: u64, now: Timestamp) -> Vec<u64> {
        self.cut_chain(owner, owner + 1, now)
    }

    /// The steps of a chain from one of them on are not to be.
    pub(crate) fn cut_chain(&mut self, owner: u64, from: u64, now: Timestamp) -> Vec<u64> {
        let later = self.awaiting.range(from..).filter(|(_, one)| one.owner == owner).map(|(one, _)| *one);
        let later: Vec<u64> = later.collect();
        for counter in &later {
            let one = self.awaiting.remove(counter).unwrap();
            let mut job = Job::waiting(&new_job(one.id));
            job.end(JobState::Canceled, Vec::new(), one.keep, now);
            self.jobs.insert(*counter, job);
        }
        self.arrive(later.last().copied().unwrap_or(owner), true, now);
        later
    }

    /// A job is complete, and this follows.
    pub(crate) fn follow(&mut self, owner: u64, next: &Next, now: Timestamp) -> Followed {
        let Next::Job(job) = next else {
            return Followed { next: None, canceled: self.fail_chain(owner, now) };
        };
        let left = self.awaiting.values().filter(|one| one.owner == owner).count();
        if left == 0 {
            // It was canceled before its turn.
            return Followed::default();
        }
        let mut job = NewJob::clone(job);
        if let Some(flow) = &mut job.flow {
            flow.tasks.truncate(left - 1);
        }
        let before = self.clone();
        match self.place(std::slice::from_ref(&job), now) {
            Ok(Expected::Placed(placed)) if placed.iter().all(|(existing, _)| existing.is_none()) => {
                Followed { next: Some(Box::new(Expected::Placed(placed))), canceled: Vec::new() }
            }
            _ => {
                *self = before;
                Followed { next: None, canceled: self.fail_chain(owner, now) }
            }
        }
    }

    pub(crate) fn begin_chord(&mut self, chord: &NewChord, now: Timestamp) {
        let counter = chord.id.counter();
        if self.jobs.contains_key(&counter) {
            return;
        }
        let new = NewJob {
            task: CHORD.into(),
            queue: chord.queue.clone().into(),
            priority: i16::MAX,
            run_at: now,
            durability: chord.durability,
            crash_limit: chord.crash_limit,
            flow: Some(chord.flow.clone()),
            body: Body { rest: chord.rest.clone(), ..Body::default() },
            ..new_job(chord.id)
        };
        self.await_turns(&new, |counter| job_id(chord.id.made_at(), counter, self_salt(chord.id)));
        let state = if chord.members.is_empty() { JobState::Queued } else { JobState::Awaiting };
        self.jobs.insert(counter, Job { state, ..Job::waiting(&new) });
        let (members, settled) = (chord.members.clone(), chord.settled);
        self.chords.insert(counter, Chord { members, settled, arrived: BTreeSet::new() });
    }

    /// The last job of a flow ended.
    pub(crate) fn arrive(&mut self, last: u64, failed: bool, now: Timestamp) {
        let Some((counter, chord)) = self.chords.iter_mut().find(|(_, chord)| chord.members.contains(&last)) else {
            return;
        };
        let job = self.jobs.get_mut(counter).unwrap();
        if job.state != JobState::Awaiting {
            return;
        }
        chord.arrived.insert(last);
        if (failed && !chord.settled) || chord.arrived.len() == chord.members.len() {
            (job.state, job.at) = (JobState::Queued, now);
        }
    }

    /// A chord was claimed, and this came of it.
    pub(crate) fn gathered(&mut self, lease: Lease, next: &Next, now: Timestamp) -> Option<(JobState, Followed)> {
        self.running(lease)?.end(JobState::Complete, Vec::new(), std::time::Duration::ZERO, now);
        let counter = lease.id.counter();
        self.chords.remove(&counter);
        let Next::Failed { follow_up, .. } = next else {
            return Some((JobState::Complete, self.follow(counter, next, now)));
        };
        let mut followed = Followed::default();
        if let Some(job) = follow_up {
            let before = self.clone();
            let placed = self.place(std::slice::from_ref(&**job), now).unwrap_or_else(|holder| {
                *self = before;
                Expected::Placed(vec![(Some(holder), None)])
            });
            followed.next = Some(Box::new(placed));
        }
        followed.canceled = self.fail_chain(counter, now);
        Some((JobState::Canceled, followed))
    }
}

impl Job {
    /// Whether it is a step whose turn never came: nobody has made a job of it.
    pub(crate) fn is_step_canceled(&self) -> bool {
        self.state == JobState::Canceled && self.claims == 0 && self.new.body == huey_core::store::Body::default()
    }
}
