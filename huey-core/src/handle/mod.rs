//! What a caller keeps of a job.

mod job_handle;

pub(crate) use job_handle::Source;
pub use job_handle::{JobHandle, WaitForJob};
