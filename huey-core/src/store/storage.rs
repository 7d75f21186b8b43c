//! The trait of storages.

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claimed::{Claimed, Lease, Row};
use super::control::Revocation;
use super::findings::Findings;
use super::new_job::{Arrivals, Body};
use super::reason::Reason;
use super::schedule::ScheduleRow;
use super::transition::{Outcome, Transition};
use crate::codec::Bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::state::JobState;
use crate::task::Durability;
use crate::time::{Clock, Timestamp};

/// Why a storage did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StorageError {
    /// The transition does not fit the state; nothing happened.
    Refused(String),
    /// Another job holds a unique key that was to be rejected then; nothing happened.
    Conflict {
        /// Which of the jobs to be stored, counted from 0.
        index: u32,
        /// The job that holds the key.
        holder: JobId,
    },
    /// Too little space for new jobs; nothing happened.
    Full(String),
    /// The storage cannot be reached; nothing happened.
    Unavailable(String),
    /// It may or may not have happened. Repeating the transition is safe.
    Unknown(String),
    /// What is stored is not what was written.
    Damaged(String),
    /// The storage was closed.
    Closed,
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text) | Self::Full(text) | Self::Unavailable(text) | Self::Damaged(text) => f.write_str(text),
            Self::Unknown(text) => {
                write!(f, "not confirmed, it may or may not have happened, and repeating it is safe: {text}")
            }
            Self::Conflict { holder, .. } => write!(f, "its unique key is held by the job {holder}"),
            Self::Closed => f.write_str("the queue is closed"),
        }
    }
}

impl std::error::Error for StorageError {}

impl StorageError {
    /// The same failure, of something that had been inserted before.
    pub(crate) fn unknown(self) -> Self {
        match self {
            Self::Unknown(text) => Self::Unknown(text),
            other => Self::Unknown(other.to_string()),
        }
    }

    pub(crate) fn misplaced(what: &str, at: impl fmt::Debug, found: &impl fmt::Debug) -> Self {
        let mut found = format!("{found:?}");
        found.truncate(80);
        Self::Damaged(format!("no {what} at {at:?} of the journal, but {found}"))
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = match &error {
            StorageError::Refused(_) => ErrorKind::BadInput,
            StorageError::Conflict { .. } => ErrorKind::Conflict,
            StorageError::Full(_) => ErrorKind::Full,
            StorageError::Unavailable(_) => ErrorKind::Unavailable,
            StorageError::Unknown(_) => ErrorKind::Unknown,
            StorageError::Damaged(_) => ErrorKind::Damaged,
            StorageError::Closed => ErrorKind::Closed,
        };
        Error::new(kind, error.to_string())
    }
}

/// What a caller may ask about a store. No answer decodes arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Query {
    /// One job.
    Job(JobId),
    /// One job, with its body if it was given up or is parked.
    Body(JobId),
    /// How many jobs do what.
    Counts {
        /// Of these queues; of all if none is named.
        queues: Vec<String>,
        /// Of these tasks; of all if none is named.
        tasks: Vec<String>,
    },
    /// Jobs in the order of enqueueing.
    List(List),
    /// All schedules, by name.
    Schedules,
    /// How members of a chord ended, from one of them on.
    Arrivals {
        /// The chord.
        chord: JobId,
        /// The place of the first member.
        from: u32,
    },
    /// The mark of a task whose jobs are to be discarded.
    Revocation(String),
    /// The value under a key.
    Value(String),
    /// The keys that begin so, in order, up to a number of them, after a given one.
    Keys {
        /// How they begin.
        prefix: String,
        /// The key to go on after.
        after: Option<String>,
        /// At most so many.
        most: u32,
    },
    /// The queues that hold jobs or are paused, by name.
    Queues,
    /// How long jobs of these queues have waited, and what holds them up.
    Backlog {
        /// The queues.
        queues: Vec<String>,
    },
    /// What keeps a job that waits from being given out, as far as the store knows, beside its time.
    Reasons {
        /// The job.
        id: JobId,
        /// The queues that are claimed from together with its own.
        beside: Vec<String>,
    },
}

impl Query {
    /// How many jobs do what, over all queues and tasks.
    #[must_use]
    pub fn all_counts() -> Self {
        Self::Counts { queues: Vec::new(), tasks: Vec::new() }
    }
}

/// The answer to a [`Query`]: the variant of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// The job, or why there is none: `state` of the error says gone or never existed.
    Job(Result<Box<Row>, Missing>),
    /// The job and its body, or why there is none.
    Body(Result<(Box<Row>, Option<Body>), Missing>),
    /// The numbers.
    Counts(Counts),
    /// The rows.
    List(Rows),
    /// The schedules.
    Schedules(Vec<ScheduleRow>),
    /// How they ended. It may be short, or empty, though more follow.
    Arrivals(Arrivals),
    /// The mark, if it holds.
    Revocation(Option<Revocation>),
    /// The value's bytes.
    Value(Option<Bytes>),
    /// The keys.
    Keys(Vec<String>),
    /// The queues.
    Queues(Vec<QueueInfo>),
    /// The reasons; none for a job that runs or has ended.
    Reasons(Vec<Reason>),
    /// What waits.
    Backlog(Backlog),
}

/// How long jobs have waited that may run now, and what holds them up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// When the job was due that has waited longest: of the first ones of each priority of each task, so that this costs
    /// nothing where many wait.
    pub oldest: Option<Timestamp>,
    /// Jobs one crash short of their limit that run or may run now, with nothing beside them.
    pub suspects: Vec<JobId>,
}

/// Which jobs a listing asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Of these queues; of all if none is named.
    pub queues: Vec<String>,
    /// Of these tasks; of all if none is named.
    pub tasks: Vec<String>,
    /// In these states; in any if none is named.
    pub states: Vec<JobState>,
    /// From this counter on: 0, or what the page before said.
    pub from: u64,
    /// At most so many.
    pub most: u32,
}

/// A page of a listing. It may be short, or empty, though more follow: no page looks at more than some hundreds of jobs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The jobs.
    pub rows: Vec<Row>,
    /// Where the next page begins, if there is one.
    pub next: Option<u64>,
}

/// Why there is no job of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Missing {
    /// It ended, and is past its retention.
    Gone,
    /// No job ever had this id.
    NeverExisted,
}

/// How many jobs do what.
///
/// ```
/// # use huey_core::{Huey, Memory};
/// let huey = Huey::builder().open(Memory::new())?;
/// assert_eq!(huey.counts()?.queued, 0);
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// May be claimed now.
    pub queued: u64,
    /// Wait for their time.
    pub scheduled: u64,
    /// Those of them that have been attempted, and wait for another try.
    pub retrying: u64,
    /// Claimed by an attempt.
    pub running: u64,
    /// Wait for a consumer that knows them.
    pub parked: u64,
    /// Dead or lost, kept until purged.
    pub given_up: u64,
    /// Ended, and within their retention. Counted over all queues and tasks.
    pub results: u64,
}

/// A queue: how many of its jobs do what, and whether they are given out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is paused: none of its jobs is given out.
    pub paused: bool,
    /// Its jobs. `results` is 0: those are counted over all queues.
    pub counts: Counts,
}

/// Which jobs may be claimed that could not be before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Roused {
    /// Some of one task in one queue.
    Lane {
        /// The queue.
        queue: Arc<str>,
        /// The task.
        task: Arc<str>,
    },
    /// Perhaps some of any.
    All,
}

/// Who claims the jobs of a storage, as that knows them. What they are told and asked must not block, nor call the storage.
pub trait OnWork: Send + Sync {
    /// Jobs may be claimed that could not be before.
    fn roused(&self, roused: &Roused);

    /// The way to somebody who sleeps and takes the next job of that task in that queue, if there is one. A storage may claim a
    /// job for whom it finds so, in the commit that stores it and in place of [telling](Self::roused) of it, where a claim
    /// would start that job and no other of the queue. It calls the way once its locks are free, but may ask, and drop what it
    /// does not call, while it holds them.
    fn promise(&self, _queue: &str, _task: &str) -> Option<HandOver> {
        None
    }
}

impl<F: Fn(&Roused) + Send + Sync> OnWork for F {
    fn roused(&self, roused: &Roused) {
        self(roused);
    }
}

/// Called with a job that was claimed for who waits for it, once the storage's locks are free.
pub type HandOver = Box<dyn FnOnce(Claimed) + Send>;

/// A job that was claimed for who waits for it, on the way there.
pub(crate) struct Handed {
    pub(crate) way: HandOver,
    pub(crate) job: Claimed,
}

impl Handed {
    pub(crate) fn over(self) {
        (self.way)(self.job);
    }
}

impl fmt::Debug for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handed").field("job", &self.job).finish_non_exhaustive()
    }
}

/// Called once a submitted transition has an outcome at its level.
pub type Done = Box<dyn FnOnce(Result<Outcome, StorageError>) + Send>;

/// How a transition is to be committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// What must have happened before the outcome is told.
    pub durability: Durability,
    /// Whether the jobs that it touches stay untouchable until they are [released](Storage::release), so that what
    /// it announces is heard before what follows from it happens.
    pub hold: bool,
}

impl Commit {
    /// Told once it is inserted.
    pub const RELAXED: Self = Self { durability: Durability::Relaxed, hold: false };
}

/// Where jobs live.
///
/// Every method may be called from any thread at any time. `commit` is atomic: all of a transition or nothing of it.
/// A transition whose outcome was [`StorageError::Unknown`] may be repeated as it is.
pub trait Storage: Send + Sync + 'static {
    /// Does `transition`, and returns once it has happened at the level asked for.
    ///
    /// # Errors
    ///
    /// See [`StorageError`].
    fn commit(&self, transition: Transition, how: Commit) -> Result<Outcome, StorageError>;

    /// Does `transition` without waiting for it, and calls `done` on a thread of the storage's. It happens also if
    /// nobody waits for it.
    fn submit(&self, transition: Transition, how: Commit, done: Done);

    /// Lets go of jobs that a commit held: it has been announced. A storage that others share may do nothing here.
    fn release(&self, jobs: &[JobId]);

    /// Answers a question about the store.
    ///
    /// # Errors
    ///
    /// See [`StorageError`].
    fn read(&self, query: Query) -> Result<Answer, StorageError>;

    /// Waits until something has happened after `since` that can matter to a consumer or a waiting caller, a
    /// scheduled job is due, or `until` has come, and says up to what has happened now. May return early.
    fn wait(&self, since: Version, until: Timestamp) -> Version;

    /// Keeps the time: as long as somebody is in here, scheduled jobs may be claimed once they are due. Returns at `until`,
    /// or after a [`wake`](Storage::wake) that came after `since`, and may return early; `None` once the storage is closed.
    /// Its versions are not those of [`wait`](Storage::wait).
    fn wait_due(&self, since: Version, until: Timestamp) -> Option<Version>;

    /// Calls `listener`, as long as it lives, after every change by which jobs may be claimed that could not be before: on
    /// the thread that made the change, or on one of the storage's. Of jobs that were claimed and of those that ended it need
    /// not hear; nor of scheduled ones that are due, while nobody [keeps the time](Storage::wait_due).
    fn on_work(&self, listener: Weak<dyn OnWork>);

    /// Makes every [`wait`](Storage::wait) return.
    fn wake(&self);

    /// Notes, before a body runs, that it begins; see [`Running`](super::Running). The slot belongs to the caller's thread.
    /// Where the job may start only once the note is [`Durability::Synced`].
    ///
    /// # Errors
    ///
    /// When it cannot be noted, the body must not run. [`StorageError::Refused`] if the claim is void, which no later try
    /// changes; whoever claims pauses after any other.
    fn begin(&self, slot: usize, lease: Lease, durability: Durability) -> Result<(), StorageError>;

    /// Notes that the body in `slot` has returned and was settled.
    fn end(&self, slot: usize);

    /// The clock that transitions are decided by.
    fn clock(&self) -> Clock;

    /// Which durabilities it can keep.
    fn offers(&self) -> &[Durability];

    /// Writes everything that it holds as text, as it stands at one instant not before the call; see
    /// [`export`](super::export). Commits go on meanwhile.
    ///
    /// # Errors
    ///
    /// [`StorageError::Unavailable`] if `out` cannot be written, or the storage failed on the way;
    /// [`StorageError::Refused`] if it offers no export.
    fn export(&self, out: &mut dyn Write) -> Result<Findings, StorageError> {
        let _ = out;
        Err(StorageError::Refused(format!("the storage {} offers no export", self.name())))
    }

    /// Makes everything durable and lets go of the place. Later calls get [`StorageError::Closed`].
    ///
    /// # Errors
    ///
    /// When it could not be made durable.
    fn close(&self) -> Result<(), StorageError>;

    /// The place, for messages.
    fn name(&self) -> String;
}

/// How far a storage has come, for [`Storage::wait`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u64);

/// What the builder of a queue tells its storage.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StorageOptions {
    /// Where the time comes from.
    pub clock: Clock,
    /// How long a relaxed write may stay off the disk.
    pub flush_interval: Duration,
    /// Refuse new jobs when less than so many bytes are free.
    pub min_free: u64,
    /// Keep at most so many results.
    pub max_results: u64,
    /// Keep at most so many jobs that were given up.
    pub max_given_up: u64,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            flush_interval: Duration::from_millis(500),
            min_free: 16 * 1024 * 1024,
            max_results: 1_000_000,
            max_given_up: 100_000,
        }
    }
}

/// A place where jobs can be kept: what [`HueyBuilder::open`](crate::HueyBuilder::open) takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a place to keep jobs",
    label = "expected `Sled::at(..)` or `Memory::new()`",
    note = "write `.open(Sled::at(\"folder\"))`"
)]
pub trait OpenStorage {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// The error for the user, naming the place and the cure.
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>>;
}
