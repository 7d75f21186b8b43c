//! What a caller keeps of a job.

mod job_handle;
mod worker_mark;

pub(crate) use job_handle::Source;
pub use job_handle::{JobHandle, WaitForJob};
pub(crate) use worker_mark::{WorkerMark, is_worker_of};
