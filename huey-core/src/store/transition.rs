//! What a storage can be asked to do: transitions that mean something, each atomic.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::control::{Canceled, Progress, Replayed, Rescheduled, Revocation};
use super::limit::{Limited, Locking};
use super::new_job::{Body, NewChord, NewJob, Next, Placed};
use super::schedule::{Plan, Tick, Ticked};
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::id::JobId;
use crate::state::JobState;
use crate::task::Durability;
use crate::time::Timestamp;

/// One change of a store. It carries all that it needs: a storage looks nothing up elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Transition {
    /// Sets counters aside for ids; they are never given out again. Repeating it after an unknown outcome wastes some.
    Reserve {
        /// How many.
        count: u32,
    },
    /// Stores jobs, all or none. A job whose id is there already is left as it is, so repeating is safe.
    Enqueue {
        /// The jobs, in order.
        jobs: Vec<NewJob>,
        /// The chords that some of them are members of, inner ones first.
        chords: Vec<NewChord>,
    },
    /// Stores values. Repeating it stores them again.
    Write {
        /// The values by their keys.
        writes: Vec<(String, Bytes)>,
    },
    /// Stores a value; see [`Put`].
    Put(Put),
    /// Drops a value, and answers with it. Repeating it may find nothing left.
    TakeValue {
        /// The key.
        key: String,
    },
    /// Adds to an [`integer`](super::integer), which is 0 if there is no value under the key; refused if there is another
    /// value, or if the sum is no `i64`. Repeating it adds again.
    Add {
        /// The key.
        key: String,
        /// How much.
        by: i64,
        /// How long the value is there, if this makes it. One that is there stays as long as it was to.
        ttl: Option<Duration>,
    },
    /// Pauses a queue, whose jobs are not given out then, or ends that. It need not hold jobs.
    Pause {
        /// Its name.
        queue: String,
        /// Whether it is paused from now on.
        paused: bool,
    },
    /// Gives out jobs to run, each under a lease; ends those whose time to run is over.
    Claim {
        /// The queues to take from; the first is looked at first. If none is named, all of them: the one whose first job is first
        /// in turn is looked at first.
        queues: Vec<String>,
        /// The tasks to take.
        tasks: Tasks,
        /// At most so many.
        most: u32,
        /// The tasks of which more than one may be given out at once: the first job that is of none of them ends the
        /// claim, or is all of it.
        many: Tasks,
        /// How long the record of a job is kept that ends here.
        keep: Duration,
    },
    /// Ends attempts, each under its lease. Repeating it finds the leases gone.
    Settle(Vec<Settlement>),
    /// Tells that the attempts under these leases are alive. Leases that end with the process need none.
    Heartbeat(Vec<Lease>),
    /// Takes back the leases of consumers that are gone. Opening does it where leases end with the process.
    Reclaim,
    /// Makes parked jobs of these tasks wait again.
    Unpark {
        /// The tasks that the caller knows.
        tasks: Vec<String>,
    },
    /// Decides ticks of a schedule, and stores their jobs; see [`Tick`].
    Tick(Tick),
    /// Sets what is chosen for a schedule; see [`Plan`].
    Plan(Plan),
    /// Ends a job: at once if it waits; when its attempt ends, whatever that comes to but a value, if it runs. Repeating it
    /// finds it ended.
    Cancel {
        /// The job.
        id: JobId,
        /// How long the record of it is kept.
        keep: Duration,
    },
    /// Ends jobs, each as [`Cancel`](Self::Cancel) does; so few that others need not wait for long.
    CancelAll {
        /// The jobs.
        ids: Vec<JobId>,
        /// How long the records of them are kept.
        keep: Duration,
    },
    /// Drops jobs, each as [`Purge`](Self::Purge) does; so few that others need not wait for long.
    PurgeAll {
        /// The jobs.
        ids: Vec<JobId>,
    },
    /// Moves a waiting job to another time. Its place among those that are due is by its enqueueing.
    Reschedule {
        /// The job.
        id: JobId,
        /// When it may run.
        at: Timestamp,
    },
    /// Drops a job that was given up or is parked. Repeating it finds nothing.
    Purge {
        /// The job.
        id: JobId,
    },
    /// Stores a job in the place of one that was given up or is parked. Repeating it finds the new one.
    Replay {
        /// The old one.
        of: JobId,
        /// The new one.
        job: Box<NewJob>,
    },
    /// Sets or takes away the mark of a task whose jobs are to be discarded.
    Revoke {
        /// The name of the task.
        task: String,
        /// The mark.
        mark: Option<Revocation>,
    },
    /// Notes how far a running body is.
    Progress {
        /// Its lease.
        lease: Lease,
        /// What it says.
        progress: Progress,
    },
    /// Drops the result of an ended job, and answers with it. Repeating it may find nothing left.
    Take {
        /// The job.
        id: JobId,
    },
    /// Ends an attempt whose body runs on: as [`Settle`](Self::Settle) does, but what the attempt holds stays held, and
    /// its job is not claimed again, until it is [let go](Self::LetGo) of or the process ends.
    Overrun(Box<Settlement>),
    /// The bodies under these leases, which had been overrun, have returned. Repeating it finds nothing held.
    LetGo(Vec<Lease>),
    /// Takes a lock for an attempt that runs, if it is free. Repeating it finds it taken.
    Lock {
        /// The attempt's lease.
        lease: Lease,
        /// The lock's key.
        key: Bytes,
    },
    /// Frees a lock that an attempt took. Repeating it finds nothing to free.
    Unlock {
        /// The attempt's lease.
        lease: Lease,
        /// The lock's key.
        key: Bytes,
    },
}

impl Transition {
    /// Stores jobs that are members of no chord.
    #[must_use]
    pub fn enqueue(jobs: Vec<NewJob>) -> Self {
        Self::Enqueue { jobs, chords: Vec::new() }
    }

    /// Whether it stores what was not there, and so is refused while space is short.
    pub(crate) fn adds(&self) -> bool {
        match self {
            Self::Enqueue { .. } | Self::Write { .. } | Self::Put(_) | Self::Add { .. } | Self::Replay { .. } => true,
            Self::Tick(tick) => !tick.jobs.is_empty(),
            Self::Plan(plan) => plan.choices.is_some(),
            _ => false,
        }
    }
}

/// What became of a transition: the variant of the same name; an overrun is answered as a settle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Outcome {
    /// The first counter set aside, and the store's salt.
    Reserved {
        /// The first of the counters.
        first: u64,
        /// The salt for ids.
        salt: u32,
    },
    /// For each job, in order, what became of it.
    Enqueued(Vec<Placed>),
    /// The values are stored.
    Written,
    /// Whether the value was stored.
    Put(bool),
    /// The value that was dropped.
    ValueTaken(Option<Bytes>),
    /// The sum.
    Added(i64),
    /// Whether the queue was paused before.
    Paused(bool),
    /// What was claimed, and what ended instead.
    Claimed {
        /// Jobs to run.
        claimed: Vec<Claimed>,
        /// Jobs that ended at pick-up.
        ended: Vec<Discarded>,
        /// Jobs that wait from now on for a lock or a rate.
        limited: Vec<Limited>,
    },
    /// For each settlement, in order, the job's state now, or `None` if its lease no longer holds.
    Settled(Vec<Option<Settled>>),
    /// For each lease, in order, whether it still holds.
    Alive(Vec<bool>),
    /// How many leases were taken back.
    Reclaimed(u32),
    /// How many jobs wait again.
    Unparked(u32),
    /// What became of the ticks.
    Ticked(Ticked),
    /// Whether the plan was set.
    Planned(bool),
    /// What became of the job to be canceled.
    Canceled(Canceled),
    /// For each job to be canceled, in order, what became of it.
    AllCanceled(Vec<Canceled>),
    /// For each job to be dropped, in order: if there was one, the later steps of its chain, which ended with it.
    AllPurged(Vec<Option<Vec<Discarded>>>),
    /// What became of the job to be moved.
    Rescheduled(Rescheduled),
    /// If there was a job to be dropped, the later steps of its chain, which ended with it.
    Purged(Option<Vec<Discarded>>),
    /// What became of the job to be made anew.
    Replayed(Replayed),
    /// Whether the task was revoked before.
    Revoked(bool),
    /// Whether the lease still holds.
    Noted(bool),
    /// The row of the job whose result was dropped.
    Taken(Option<Box<Row>>),
    /// For each lease, in order, whether its body had run on until now.
    LetGo(Vec<bool>),
    /// What became of the lock to be taken.
    Locked(Locking),
    /// Whether the lease held the lock.
    Unlocked(bool),
}

/// Stores a value for a time. Repeating it stores it again; if it was to be stored only where there is none, a repeated one
/// finds the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Its key.
    pub key: String,
    /// The value.
    pub bytes: Bytes,
    /// How long it is there: from that instant on it is not. For ever if there is none.
    pub ttl: Option<Duration>,
    /// Whether one that is there stays.
    pub if_absent: bool,
}

/// Which tasks a claim takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tasks {
    /// These alone.
    Only(Vec<String>),
    /// All but these, those that nobody knows among them.
    Except(Vec<String>),
}

impl Tasks {
    /// All tasks.
    pub const ALL: Self = Self::Except(Vec::new());
}

/// The token that entitles one attempt to settle a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The job.
    pub id: JobId,
    /// The number of the claim; no two claims of a job have the same.
    pub claim: u32,
}

/// A job given out to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// What the attempt is settled with.
    pub lease: Lease,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// Its priority.
    pub priority: i16,
    /// Which attempt this is, counted from 1; refunded ones do not count.
    pub attempt: u32,
    /// How many retries it has spent.
    pub retried: u32,
    /// How often a consumer died while it ran.
    pub crashes: u8,
    /// Whether it was taken over from a consumer that died.
    pub rescued: bool,
    /// How often it was put back with its attempt refunded.
    pub refunds: u8,
    /// Whether it has reached its crash limit: it is not to be run, but to be settled as dead.
    pub condemned: bool,
    /// The level of its settle.
    pub durability: Durability,
    /// Whether a second start is forbidden.
    pub at_most_once: bool,
    /// When it was claimed, by the storage's clock.
    pub started: Timestamp,
    /// Its envelope and arguments.
    pub body: Body,
}

/// A job that ended without an attempt: it was picked up too late, or another took its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Discarded {
    /// The job.
    pub id: JobId,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// How it ended.
    pub state: JobState,
    /// Whether it was taken over from a consumer that died.
    pub rescued: bool,
    /// Why.
    pub ended: Ended,
    /// The envelope.
    pub head: Bytes,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settlement {
    /// The attempt's lease.
    pub lease: Lease,
    /// What becomes of the job.
    pub verdict: Verdict,
}

/// What becomes of a job whose attempt has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// It is complete.
    Complete {
        /// The encoded output.
        output: Bytes,
        /// The hash of the output's type.
        signature: u32,
        /// How long the result is kept; zero keeps none.
        keep: Duration,
        /// What follows it.
        next: Option<Next>,
    },
    /// It waits for another attempt.
    Retry {
        /// For how long it waits first.
        delay: Duration,
        /// Why the attempt failed, if it did.
        error: Option<TaskError>,
        /// Whether this spends a retry.
        spend: bool,
    },
    /// It is given up, and kept.
    Dead {
        /// Why.
        error: TaskError,
        /// What follows that.
        next: Option<Next>,
    },
    /// It is canceled.
    Canceled {
        /// Why.
        cause: String,
        /// How long that is kept.
        keep: Duration,
    },
    /// No task fits it.
    Parked {
        /// Why.
        cause: String,
    },
    /// It goes back as if it had not been claimed.
    Returned {
        /// Whether it had started, so that this counts against the bound of refunds.
        started: bool,
    },
    /// At-most-once, and its attempt was cut off.
    Lost {
        /// Why.
        cause: String,
    },
    /// Its body found a lock held: it waits for that. The attempt is not counted.
    Locked {
        /// The locks that the body asked for, which the next claim takes together. The last one was held.
        keys: Vec<Bytes>,
    },
    /// It stood for a chord, and is gone now.
    Gathered {
        /// The callback, or why there is none.
        next: Next,
    },
}

/// A job after its attempt was settled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Its state.
    pub state: JobState,
    /// When it is due, if it waits.
    pub due: Option<Timestamp>,
    /// What became of the next step, if that was to be stored.
    pub next: Option<Placed>,
    /// Later steps that were canceled with it, in order.
    pub canceled: Vec<Discarded>,
}

impl Settled {
    /// A job in that state that nothing followed.
    #[must_use]
    pub fn new(state: JobState, due: Option<Timestamp>) -> Self {
        Self { state, due, next: None, canceled: Vec::new() }
    }
}

/// How a job ended, or why it stands still.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The encoded output.
    pub output: Option<Bytes>,
    /// The hash of the output's type.
    pub signature: u32,
    /// The record of the last failed attempt.
    pub error: Option<TaskError>,
    /// Why it ended so, in words.
    pub cause: Option<String>,
    /// When the last attempt was claimed.
    pub started: Option<Timestamp>,
}

/// What a store knows of a job, without decoding anything of the user's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The job.
    pub id: JobId,
    /// The name of the task.
    pub task: Arc<str>,
    /// The name of the queue.
    pub queue: Arc<str>,
    /// Its priority.
    pub priority: i16,
    /// Its state.
    pub state: JobState,
    /// Due while it waits, claimed while it runs, ended after that.
    pub at: Timestamp,
    /// When it is too late to pick it up.
    pub expires: Option<Timestamp>,
    /// How many attempts began, refunded ones not counted.
    pub attempts: u32,
    /// How often a consumer died while it ran.
    pub crashes: u8,
    /// Its envelope.
    pub head: Bytes,
    /// How it ended, or why its last attempt failed.
    pub ended: Ended,
    /// Whether it was canceled while it ran, so that it will not be attempted again.
    pub stopping: bool,
    /// How far its body said it was.
    pub progress: Option<Progress>,
}
