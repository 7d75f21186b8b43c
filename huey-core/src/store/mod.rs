//! Where jobs live: the trait of storages, and the engine that keeps a journal over any log.
//!
//! A program meets [`Storage`] only through [`Huey`](crate::Huey). Whoever writes a storage implements it, or, much
//! easier, implements [`Medium`] and [`Log`] and lets [`engine`] do the rest.

mod announcer;
mod backup;
mod barrier;
mod batch;
mod begun;
mod claimed;
mod control;
mod core;
mod engine;
mod export;
mod findings;
mod import;
mod inbox;
mod journal;
mod limit;
mod log;
mod memory;
mod new_job;
mod reason;
mod replay;
mod schedule;
mod settlement;
mod shared;
mod storage;
#[cfg(all(test, feature = "testing"))]
mod tests;
mod text;
mod transition;
mod watch;

#[cfg(feature = "testing")]
pub(crate) use self::core::Core;
pub use crate::value::{integer, integer_of};
pub use claimed::{Claimed, Discarded, Lease, Row, Tasks};
pub use control::{Canceled, Progress, Replayed, Rescheduled, Revocation};
#[cfg(feature = "testing")]
pub(crate) use engine::Engine;
pub use engine::engine;
pub use export::{export, verify};
pub use findings::Findings;
pub use import::import;
pub use limit::{Limit, Limited, LimitedBy, Locking};
pub use log::{BARRIER, Barrier, ENTRY_LIMIT, Entry, Log, LogError, Medium, OVERHEAD, REWRITE, Running};
pub use memory::Memory;
#[cfg(feature = "testing")]
pub(crate) use memory::Ram;
pub use new_job::{Arrival, Arrivals, Body, CHORD, Flow, NewChord, NewJob, Next, Placed, UniqueKey};
pub use reason::{Explanation, Reason};
#[cfg(feature = "testing")]
pub(crate) use replay::Replayed as ReplayedLog;
pub use schedule::{Plan, ScheduleRow, Tick, Ticked};
pub use settlement::{Ended, Settled, Settlement, Verdict};
pub use storage::{
    Answer, Backlog, Commit, Counts, Done, HandOver, List, Missing, OnWork, OpenStorage, Query, QueueInfo, Roused,
    Rows, Storage, StorageError, StorageOptions, Version,
};
pub use transition::{Outcome, Put, Transition};

pub use crate::task::LimitKind;
