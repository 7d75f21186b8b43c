//! One job at a time, without a consumer.

use crate::consumer;
use crate::error::Result;
use crate::queue::Huey;

/// Picks up the next plain job of the default queue, runs it on this thread, and returns once all have heard how it ended,
/// as the only worker of a consumer would. Whether there was one. What stands for a chord is one too, though no body runs;
/// jobs that are discarded on the way are told of.
///
/// ```
/// use huey_core::{Huey, Memory, testing};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// assert!(!testing::step(&huey)?, "nothing is queued");
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// When the storage cannot answer.
pub fn step(huey: &Huey) -> Result<bool> {
    consumer::step(huey.consumer())
}
