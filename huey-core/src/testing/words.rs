//! Values that a test of a storage needs and that nobody else makes by hand.

use crate::error::TaskError;
use crate::id::JobId;
use crate::time::Timestamp;

/// The id of the job with this counter, made at `at` for the store of this salt; both come from
/// [`Outcome::Reserved`](crate::store::Outcome::Reserved).
///
/// ```
/// use huey_core::{Timestamp, testing::job_id};
///
/// assert_eq!(job_id(Timestamp::from_micros(0), 7, 1).counter(), 7);
/// ```
#[must_use]
pub fn job_id(at: Timestamp, counter: u64, salt: u32) -> JobId {
    JobId::new(at, counter, salt)
}

/// The record of an attempt that failed with this message.
///
/// ```
/// assert_eq!(huey_core::testing::task_error("no route").message, "no route");
/// ```
#[must_use]
pub fn task_error(message: impl Into<String>) -> TaskError {
    TaskError::new(message)
}
