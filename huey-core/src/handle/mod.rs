//! What a caller keeps of a job.

mod info;
mod job_handle;

pub use info::JobInfo;
pub(crate) use job_handle::Source;
pub use job_handle::{JobHandle, WaitForJob};
