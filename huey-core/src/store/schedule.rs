//! What a storage keeps of schedules: how far their ticks are decided, and what was chosen for them. It knows neither
//! calendars nor clocks of places: which instants are ticks is the caller's to say.

use serde::{Deserialize, Serialize};

use super::new_job::{NewJob, Placed};
use crate::codec::Bytes;
use crate::id::JobId;
use crate::task::Overlap;
use crate::time::Timestamp;

/// A decision about all ticks of a schedule up to an instant: their jobs, or that they make none. It is done only if the
/// schedule stands where the caller saw it, so that each tick is decided once. Repeating it is safe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// The name of the schedule.
    pub schedule: String,
    /// Who decides: a number of its own for each consumer.
    pub by: u64,
    /// Tells this decision from the others of that consumer, which has one underway at a time. No job needs to have this
    /// id.
    pub id: JobId,
    /// Up to where its ticks were decided when the caller looked.
    pub seen: Timestamp,
    /// Up to where they are decided by this.
    pub upto: Timestamp,
    /// The newest tick among them, if there is one.
    pub newest: Option<Timestamp>,
    /// The names of the task, whose active jobs stand in the way as `overlap` says.
    pub tasks: Vec<String>,
    /// What becomes of the jobs if others are active.
    pub overlap: Overlap,
    /// The jobs, in the order of their ticks.
    pub jobs: Vec<NewJob>,
}

/// What became of the ticks of a [`Tick`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ticked {
    /// They are decided; for each job, in order, what became of it.
    Decided(Vec<Placed>),
    /// They are decided, and no job was stored, because others are active.
    Overlapped,
    /// The schedule stands elsewhere, or is gone; nothing happened.
    Overtaken,
}

/// Sets what is chosen for a schedule, if nobody else has since the caller looked. After an unknown outcome, look again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The name of the schedule.
    pub schedule: String,
    /// The revision that the caller saw; 0 if the schedule was not there.
    pub seen: u64,
    /// The choices, which a storage does not look into; none drops the schedule.
    pub choices: Option<Bytes>,
    /// Its ticks count from this instant on; from where they did, if there is none.
    pub from: Option<Timestamp>,
}

/// What a store knows of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// Up to where its ticks are decided.
    pub upto: Timestamp,
    /// The newest tick that was decided.
    pub newest: Option<Timestamp>,
    /// Grows with each [`Plan`].
    pub revision: u64,
    /// What was chosen.
    pub choices: Bytes,
}
