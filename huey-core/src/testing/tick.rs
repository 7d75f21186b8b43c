//! The schedules' turn, without a consumer.

use crate::error::Result;
use crate::queue::Huey;
use crate::time::Timestamp;

/// Decides every tick of a schedule that has come, as a consumer does, and says when the next one does:
/// [`Timestamp::MAX`] if none will.
///
/// ```
/// use huey_core::{Huey, Memory, testing};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// testing::tick(&huey)?;
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// When the storage cannot answer.
pub fn tick(huey: &Huey) -> Result<Timestamp> {
    huey.tick()
}
