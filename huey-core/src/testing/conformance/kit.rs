//! What the checks have in common: a store, a clock, and callers that do not give up.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::Subject;
use crate::codec::Bytes;
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{
    Answer, Body, Claimed, Commit, Counts, Discarded, Lease, Missing, NewJob, Outcome, Query, Row, Settlement, Storage,
    StorageError, StorageOptions, Tasks, Transition, Verdict,
};
use crate::task::Durability;
use crate::testing::{job_id, new_job, task_error};
use crate::time::{Timestamp, VirtualClock};

/// How often a call is repeated whose outcome is unknown.
const PATIENCE: usize = 200;

pub(super) const SYNCED: Commit = Commit { durability: Durability::Synced, hold: false };
pub(super) const RELAXED: Commit = Commit { durability: Durability::Relaxed, hold: false };
pub(super) const KEEP: Duration = Duration::from_secs(100);

pub(super) struct Kit<'a> {
    pub(super) subject: &'a dyn Subject,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) clock: Arc<VirtualClock>,
    options: StorageOptions,
    salt: u32,
    next: Cell<u64>,
    end: Cell<u64>,
    /// Whether every answer was heard.
    sure: Cell<bool>,
}

impl<'a> Kit<'a> {
    pub(super) fn new(subject: &'a dyn Subject) -> Self {
        Self::with(subject, |_| ())
    }

    pub(super) fn with(subject: &'a dyn Subject, set: impl FnOnce(&mut StorageOptions)) -> Self {
        let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000_000_000));
        let mut options = StorageOptions { clock: clock.clock(), ..StorageOptions::default() };
        set(&mut options);
        let storage = subject.open(options.clone()).expect("a new store opens");
        let mut kit = Self {
            subject,
            storage,
            clock,
            options,
            salt: 0,
            next: Cell::new(0),
            end: Cell::new(0),
            sure: Cell::new(true),
        };
        kit.salt = kit.reserve();
        kit
    }

    fn reserve(&self) -> u32 {
        let count = 64;
        match self.commit(Transition::Reserve { count }, SYNCED) {
            Outcome::Reserved { first, salt } => {
                self.next.set(first);
                self.end.set(first + u64::from(count));
                salt
            }
            other => panic!("reserving gave {other:?}"),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.storage.clock().now()
    }

    pub(super) fn salt(&self) -> u32 {
        self.salt
    }

    // --- callers that do not give up ---

    pub(super) fn commit(&self, transition: Transition, how: Commit) -> Outcome {
        self.commit_at(&*self.storage, transition, how).expect("the transition is done")
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that the checks need not write `&` everywhere")]
    /// Repeats what is unknown or could not be reached. Leases of claims that were not heard of are taken back first.
    pub(super) fn commit_at(
        &self,
        storage: &dyn Storage,
        transition: Transition,
        how: Commit,
    ) -> Result<Outcome, StorageError> {
        for _ in 0..PATIENCE {
            match storage.commit(transition.clone(), how) {
                Err(StorageError::Unknown(_) | StorageError::Unavailable(_)) => {
                    self.sure.set(false);
                    if matches!(transition, Transition::Claim { .. }) {
                        storage.commit(Transition::Reclaim, SYNCED)?;
                    }
                }
                answer => return answer,
            }
        }
        panic!("nothing arrives: {transition:?}");
    }

    #[expect(clippy::needless_pass_by_value, reason = "so that the checks need not write `&` everywhere")]
    pub(super) fn read(&self, query: Query) -> Answer {
        for _ in 0..PATIENCE {
            match self.storage.read(query.clone()) {
                Err(StorageError::Unavailable(_)) => {}
                answer => return answer.expect("the question is answered"),
            }
        }
        panic!("nothing is answered: {query:?}");
    }

    // --- words ---

    pub(super) fn id(&self) -> JobId {
        if self.next.get() == self.end.get() {
            self.reserve();
        }
        let counter = self.next.get();
        self.next.set(counter + 1);
        job_id(self.now(), counter, self.salt)
    }

    /// A job that may run at once, in the queue `default`, of the task `send`.
    pub(super) fn job(&self) -> NewJob {
        let id = self.id();
        let args = id.counter().to_le_bytes().to_vec();
        NewJob {
            run_at: self.now(),
            crash_limit: 3,
            body: Body { head: b"head".to_vec().into(), args: args.into(), ..Body::default() },
            ..new_job(id)
        }
    }

    pub(super) fn enqueue(&self, jobs: Vec<NewJob>) {
        let transition = Transition::enqueue(jobs);
        let outcome = self.commit(transition, SYNCED);
        assert!(matches!(outcome, Outcome::Enqueued(_)), "an enqueue gave {outcome:?}");
    }

    /// Enqueues a job as [`job`](Self::job) makes it, changed.
    pub(super) fn add(&self, change: impl FnOnce(&mut NewJob)) -> JobId {
        let mut job = self.job();
        change(&mut job);
        let id = job.id;
        self.enqueue(vec![job]);
        id
    }

    pub(super) fn claim_from(&self, queues: &[&str], tasks: Tasks, most: u32) -> (Vec<Claimed>, Vec<Discarded>) {
        self.claim_many(queues, tasks, most, Tasks::ALL)
    }

    pub(super) fn claim_many(
        &self,
        queues: &[&str],
        tasks: Tasks,
        most: u32,
        many: Tasks,
    ) -> (Vec<Claimed>, Vec<Discarded>) {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let outcome = self.commit(Transition::Claim { queues, tasks, most, many, keep: KEEP }, SYNCED);
        // What was claimed for an answer that nobody heard goes back.
        self.commit(Transition::Reclaim, SYNCED);
        match outcome {
            Outcome::Claimed { claimed, ended, .. } => (claimed, ended),
            other => panic!("a claim gave {other:?}"),
        }
    }

    /// Whether every answer was heard until now, so that nothing was asked for twice.
    pub(super) fn is_sure(&self) -> bool {
        self.sure.get()
    }

    pub(super) fn claim(&self, most: u32) -> Vec<Claimed> {
        self.claim_from(&["default"], Tasks::Except(Vec::new()), most).0
    }

    /// Claims the one job that can be claimed.
    pub(super) fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim(64);
        assert_eq!(claimed.len(), 1, "one job can be claimed: {claimed:?}");
        claimed.remove(0)
    }

    /// Settles, and gives the state that came of it. A repeated settle finds its own work done.
    pub(super) fn settle(&self, lease: Lease, verdict: Verdict) -> JobState {
        match self.commit(Transition::Settle(vec![Settlement { lease, verdict }]), SYNCED) {
            Outcome::Settled(all) => match all.as_slice() {
                [Some(settled)] => settled.state,
                [None] => self.state(lease.id),
                other => panic!("one settlement gave {other:?}"),
            },
            other => panic!("a settle gave {other:?}"),
        }
    }

    /// Whether a settle under this lease is refused.
    pub(super) fn is_stale(&self, lease: Lease) -> bool {
        let verdict = Verdict::Dead { error: task_error("stale"), next: None };
        let settled = self.commit(Transition::Settle(vec![Settlement { lease, verdict }]), SYNCED);
        settled == Outcome::Settled(vec![None])
    }

    pub(super) fn find(&self, id: JobId) -> Result<Box<Row>, Missing> {
        match self.read(Query::Job(id)) {
            Answer::Job(row) => row,
            other => panic!("asked for a job, got {other:?}"),
        }
    }

    pub(super) fn row(&self, id: JobId) -> Box<Row> {
        self.find(id).expect("the job is there")
    }

    pub(super) fn state(&self, id: JobId) -> JobState {
        match self.find(id) {
            Ok(row) => row.state,
            Err(Missing::Gone) => JobState::Gone,
            Err(Missing::NeverExisted) => JobState::NeverExisted,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        match self.read(Query::all_counts()) {
            Answer::Counts(counts) => counts,
            other => panic!("asked for counts, got {other:?}"),
        }
    }

    pub(super) fn value(&self, key: &str) -> Option<Vec<u8>> {
        match self.read(Query::Value(key.into())) {
            Answer::Value(value) => value.map(|bytes| bytes.0),
            other => panic!("asked for a value, got {other:?}"),
        }
    }

    pub(super) fn write(&self, key: &str, bytes: &[u8]) {
        let writes = vec![(key.to_owned(), Bytes(bytes.to_vec()))];
        self.commit(Transition::Write { writes }, SYNCED);
    }

    pub(super) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Opens the store again, after a clean close or a kill; `None` if the subject cannot.
    pub(super) fn again(self, kill: bool) -> Option<Self> {
        let Self { subject, storage, clock, options, salt, next, end, sure } = self;
        let opened = if kill { Subject::kill } else { Subject::reopen };
        let storage = opened(subject, storage, options.clone())?;
        // Counters of the last life are not used any more.
        next.set(end.get());
        let storage = storage.expect("the store opens again");
        Some(Self { subject, storage, clock, options, salt, next, end, sure })
    }
}

pub(super) fn complete(output: &[u8]) -> Verdict {
    Verdict::Complete { output: output.to_vec().into(), signature: 1, keep: KEEP, next: None }
}

pub(super) fn retry(seconds: u64) -> Verdict {
    Verdict::Retry { delay: Duration::from_secs(seconds), error: Some(task_error("no route")), spend: true }
}

pub(super) fn ids(claimed: &[Claimed]) -> Vec<JobId> {
    claimed.iter().map(|one| one.lease.id).collect()
}
