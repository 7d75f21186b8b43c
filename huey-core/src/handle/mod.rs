//! What a caller keeps of a job.

mod chain;
mod info;
mod job_handle;

pub use chain::ChainHandle;
pub use info::JobInfo;
pub(crate) use job_handle::Source;
pub use job_handle::{JobHandle, WaitForJob};
