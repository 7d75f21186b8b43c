//! What a caller keeps of a job.

mod chain;
mod completed;
mod group;
mod info;
mod job_handle;

pub use chain::ChainHandle;
pub use completed::{AsCompleted, as_completed};
pub use group::{GroupHandle, WaitForGroup};
pub use info::JobInfo;
pub(crate) use job_handle::Source;
pub use job_handle::{JobHandle, WaitForJob};
