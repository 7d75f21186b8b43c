//! What a storage can be asked to do: transitions that mean something, each atomic.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claimed::{Claimed, Discarded, Lease, Row, Tasks};
use super::control::{Canceled, Progress, Replayed, Rescheduled, Revocation};
use super::limit::{Limited, Locking};
use super::new_job::{NewChord, NewJob, Placed};
use super::schedule::{Plan, Tick, Ticked};
use super::settlement::{Settled, Settlement};
use crate::codec::Bytes;
use crate::id::JobId;
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
        /// Whether there may be more to claim. If nothing was claimed, nobody needs to know.
        more: bool,
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
