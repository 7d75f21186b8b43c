//! Effects, and the items that they put and drop: the vocabulary of the journal.

use serde::{Deserialize, Serialize};

use super::work::WorkItem;
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::id::JobId;
use crate::store::{Arrival, Body, Ended, Limit, Progress, Revocation};
use crate::time::Timestamp;

/// One change of the state, complete in itself. A copy made by compaction is the same `Put`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Put(Item),
    Drop(Key),
}

// A bulk makes thousands of them, most of which are work and bodies: what is larger stands in a box.
const _: () = assert!(size_of::<Effect>() <= 96);

/// An item of state. The order of the variants is the stored format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Item {
    /// The store's salt, and the counter below which all may have been given out.
    Meta { salt: u32, reserved: u64 },
    /// A name of a task or a queue, which items mention by number.
    Name { number: u32, text: String },
    /// Where a job is in its life.
    Work(WorkItem),
    /// What runs: the envelope and the arguments.
    Body(u64, Body),
    /// Why the job's last attempt failed, or why it stands still.
    Note(u64, Box<Note>),
    /// How a job ended. Putting it drops the job's work, body and note.
    Result(Box<ResultItem>),
    /// A value of the user's.
    Value { key: String, bytes: Bytes, until: Timestamp },
    /// A unique key and the job that holds it.
    Unique(UniqueItem),
    /// A schedule: how far its ticks are decided, and what was chosen for it.
    Schedule(Box<ScheduleItem>),
    /// The mark of a task whose jobs are to be discarded.
    Revocation { task: String, mark: Revocation },
    /// The later steps of a chain.
    Flow(FlowItem),
    /// The members of a chord, each by the counter of its last job, and whether the callback is to be whatever becomes of them.
    Chord { counter: u64, settled: bool, members: Vec<u64> },
    /// How the member at a place of a chord ended.
    Arrival { chord: u64, place: u32, arrival: Box<Arrival> },
    /// A queue whose jobs are not given out.
    Pause { queue: String },
    /// The claim of a job whose body runs on though the attempt is settled. It stands before the settled work.
    Lingering { counter: u64, claim: u32 },
    /// What must be free before a job is claimed.
    Limits(LimitsItem),
    /// A lock that a body took, and the counter of its job.
    Lock { key: Bytes, holder: u64 },
    /// A part of what is noted of the claims under a rate.
    Mark { key: Bytes, slot: u32, mark: Mark },
}

/// The name of an item that can be dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Key {
    /// A job's work, body and note.
    Job(u64),
    Result(u64),
    Value(String),
    Unique(Bytes),
    Schedule(String),
    Revocation(String),
    /// By the counter of the last step.
    Flow(u64),
    /// A chord, and what has arrived there.
    Chord(u64),
    /// By the name of the queue.
    Pause(String),
    Lingering(u64),
    /// A lock that a body took.
    Lock(Bytes),
    /// What is noted of the claims under a rate.
    Rate(Bytes),
}

/// A held unique key. It goes with its holder's end, unless it is held for a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UniqueItem {
    pub(crate) key: Bytes,
    /// The counter of the job that holds it, and its id's time in milliseconds.
    pub(crate) holder: u64,
    pub(crate) made: u64,
    pub(crate) hold: Hold,
}

/// What must be free before a job is claimed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitsItem {
    pub(crate) counter: u64,
    /// What its task declares.
    pub(crate) declared: Vec<Limit>,
    /// Locks that its body asked for before it found one held, which it takes with its next claim.
    pub(crate) awaited: Vec<Bytes>,
}

/// Claims that count as one instant: the last of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u32,
    /// When they count no more.
    pub(crate) until: Timestamp,
}

/// A schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleItem {
    pub(crate) name: String,
    /// Up to where its ticks are decided.
    pub(crate) upto: Timestamp,
    /// The newest of them.
    pub(crate) newest: Option<Timestamp>,
    /// The last decision of each consumer, the newest last.
    pub(crate) decided: Vec<Decision>,
    pub(crate) revision: u64,
    pub(crate) choices: Bytes,
}

/// The steps of a chain whose turn has not come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FlowItem {
    /// The counter of the last step.
    pub(crate) last: u64,
    /// Their ids' time in milliseconds.
    pub(crate) made: u64,
    /// The queue of the job whose turn it is: theirs is not settled yet.
    pub(crate) queue: u32,
    /// How long their records are kept should they be canceled, in seconds.
    pub(crate) keep: u64,
    /// Their tasks, by number.
    pub(crate) tasks: Vec<u32>,
}

/// A decision about ticks, so that one whose answer was lost can be repeated, whatever was decided since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) by: u64,
    pub(crate) id: JobId,
    /// Whether it found others active.
    pub(crate) overlapped: bool,
}

/// Until when a unique key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Hold {
    /// Its holder begins to run or ends.
    Pending,
    /// Its holder ends.
    Active,
    /// This instant is past.
    Until(Timestamp),
}

/// A job that ended, kept for its retention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResultItem {
    /// The work as it stood at the end.
    pub(crate) work: WorkItem,
    /// Until when it is kept, in seconds since the epoch.
    pub(crate) keep_until: u64,
    pub(crate) ended: Ended,
    /// The envelope.
    pub(crate) head: Bytes,
}

/// Why a job is where it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) error: Option<TaskError>,
    pub(crate) cause: Option<String>,
    pub(crate) progress: Option<Progress>,
}
