//! Who still has to do with a consumer: its threads, and the ends of attempts that others settle.

use crate::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::time::monotonic;

/// Knows how many are there.
#[derive(Default)]
pub(crate) struct Roll {
    present: Mutex<usize>,
    gone: Condvar,
}

/// While it lives somebody is there. Who has one drops it last, after all that keeps the queue open.
pub(crate) struct Present(Arc<Roll>);

impl Roll {
    pub(crate) fn sign(self: &Arc<Self>) -> Present {
        *self.present.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Present(Arc::clone(self))
    }

    /// Waits until nobody is there any more, or `until` has come, and says which.
    pub(crate) fn wait_gone(&self, until: Option<Instant>) -> bool {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        while *present > 0 {
            present = match until {
                None => self.gone.wait(present).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(monotonic());
                    if left.is_zero() {
                        break;
                    }
                    self.gone.wait_timeout(present, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *present == 0
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut present = self.0.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present -= 1;
        if *present == 0 {
            drop(present);
            self.0.gone.notify_all();
        }
    }
}
