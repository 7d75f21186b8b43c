//! Ids for new jobs, from counters that the storage set aside.

use crate::sync::PoisonError;

use super::pipeline::Pipeline;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::store::{Commit, Outcome, Transition};
use crate::time::Timestamp;

/// How many counters are set aside at a time.
const IDS: u32 = 1024;

/// Counters that were set aside and not given out yet.
#[derive(Default)]
pub(super) struct Ids {
    next: u64,
    end: u64,
    salt: u32,
}

impl Pipeline {
    pub(crate) fn next_id(&self, now: Timestamp) -> Result<JobId> {
        let (first, salt) = self.next_counters(1)?;
        Ok(JobId::new(now, first, salt))
    }

    /// Ids whose counters follow one another.
    pub(super) fn next_ids(&self, now: Timestamp, many: usize) -> Result<Vec<JobId>> {
        let many = many as u64;
        let (first, salt) = self.next_counters(many)?;
        Ok((first..first + many).map(|counter| JobId::new(now, counter, salt)).collect())
    }

    /// The first of so many counters, and the store's salt.
    fn next_counters(&self, many: u64) -> Result<(u64, u32)> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.end - ids.next < many {
            // Durable with the first job that carries one of them: the journal keeps the order.
            let count = u32::try_from(many).unwrap_or(u32::MAX).max(IDS);
            match self.storage.commit(Transition::Reserve { count }, Commit::RELAXED)? {
                Outcome::Reserved { first, salt } => *ids = Ids { next: first, end: first + u64::from(count), salt },
                other => return Err(Error::damaged(format!("the storage answered a reservation with {other:?}"))),
            }
        }
        let first = ids.next;
        ids.next += many;
        Ok((first, ids.salt))
    }
}
