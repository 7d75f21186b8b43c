//! The parts of the huey task queue that know no storage engine. Programs use the `huey` crate, which re-exports
//! what they need.
//!
//! The modules stand in the order of the way that a job takes: a call becomes a job, passes the hooks, is committed,
//! claimed, attempted, and settled. A module imports only from modules above its own.

#[cfg(all(feature = "cli", unix))]
pub mod cli;
mod codec;
mod consumer;
mod enqueue;
mod error;
mod execute;
mod handle;
mod id;
mod job;
mod machine;
mod patience;
mod periodic;
mod process;
mod queue;
mod signal;
mod state;
pub mod store;
#[cfg_attr(huey_races, path = "../../races/src/sync.rs")]
mod sync;
mod task;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod value;

pub use consumer::{Consumer, ConsumerHandle, Health, HealthStatus, RunningAttempt, Stopping, WorkerHealth};
pub use enqueue::{
    Chain, Decision, Decorator, EnqueueHook, EnqueueOutcome, EnqueueRequest, Follows, Group, HookResult, Member, Mixed,
    Registered, group,
};
pub use error::{BoxError, Error, Result, TaskError};
pub use execute::{AttemptOutcome, Context, LockGuard};
pub use handle::{AsCompleted, ChainHandle, GroupHandle, JobHandle, JobInfo, WaitForGroup, WaitForJob, as_completed};
pub use id::JobId;
pub use job::{Job, Origin, Step};
pub use periodic::{ScheduleInfo, Schedules};
pub use queue::{EnqueueFuture, EnqueueManyFuture, Huey, HueyBuilder, Jobs, Queue, Values};
pub use signal::{ReceiverResult, Signal, SignalKind, Skipped, Subscription};
pub use state::JobState;
pub use store::{Counts, Explanation, Findings, Memory, Progress, QueueInfo, Reason, Revocation};
pub use task::{
    Cancel, Delivery, Durability, Fatal, KeyPart, Missed, OnConflict, Overlap, Retry, Schedule, Scope, SkipReason,
    Stopped, StoredArgs, Task, Unique,
};
pub use time::{Clock, Timestamp, VirtualClock};

/// What the attribute's expansion names. No part of the public API.
#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use serde;

    pub use crate::codec::{decode, encode};
    pub use crate::enqueue::{Decorator, HookFn, Registered, Registration, closure, named_hook};
    pub use crate::execute::context_of;
    pub use crate::task::{
        Body, BodyFuture, Call, Continues, Data, Definition, Delivery, Durability, Failure, Hidden, Kept, LimitRule,
        Missed, Need, OnConflict, Options, OrUnit, Otherwise, Overlap, Probe, Returnable, Returned, Schedule, Scope,
        Shown, Storable, StoredArgs, TakesFrom, Task, UniqueRule, Upgrade, check_cron, check_every, encode_key, kind,
        shown, upgraded,
    };
    pub use crate::{Context, EnqueueManyFuture, Huey, Job, JobHandle, Result, Step};
}
