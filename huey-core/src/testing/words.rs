//! Values that a test of a storage needs and that nobody else makes by hand.

use crate::error::TaskError;
use crate::id::JobId;
use crate::store::{Body, NewJob};
use crate::task::Durability;
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

/// A job of the task `send` in the queue `default` that may run at once, settles at `Synced`, and has no choices of its
/// own: the rest of a struct expression.
///
/// ```
/// use huey_core::store::NewJob;
/// use huey_core::testing::{job_id, new_job};
///
/// let id = job_id(huey_core::Timestamp::from_micros(0), 7, 1);
/// assert_eq!(NewJob { priority: 5, ..new_job(id) }.id, id);
/// ```
#[must_use]
pub fn new_job(id: JobId) -> NewJob {
    NewJob {
        id,
        task: "send".into(),
        queue: "default".into(),
        priority: 0,
        run_at: id.made_at(),
        expires: None,
        durability: Durability::Synced,
        at_most_once: false,
        crash_limit: 0,
        unique: None,
        limits: Vec::new(),
        flow: None,
        writes: Vec::new(),
        body: Body::default(),
    }
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
