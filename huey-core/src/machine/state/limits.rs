//! Jobs that wait for a limit, among those that wait.

use super::{Listed, State, Work};
use crate::machine::limit::Wait;
use crate::time::Timestamp;

impl State {
    /// Puts a waiting job in the line of a limit, or in its lane if its turn is there.
    pub(crate) fn wait_at(&mut self, counter: u64, wait: Wait) {
        self.unlist(counter);
        self.limits.begin_wait(counter, wait);
        self.list(counter);
        self.stirred = true;
        self.wake();
    }

    /// Puts those in their lanes whose turn has come.
    pub(super) fn wake(&mut self) {
        if self.limits.is_quiet() {
            return;
        }
        while let Some(counter) = self.limits.wake(self.horizon) {
            let limited = self.is_rate_limited(counter);
            let Some(number) = self.number(counter) else { continue };
            let Some(Work { item, .. }) = self.works.get(number, counter) else { continue };
            if let Some(listed) = self.works.listed(number) {
                *listed = Listed::Ready;
            }
            if limited {
                let tally = self.tallies.entry((item.queue, item.task)).or_default();
                tally.limited = tally.limited.saturating_sub(1);
            }
            self.add_ready(&item);
        }
    }

    /// Whether a job that waits in a line does so for a rate.
    pub(super) fn is_rate_limited(&self, counter: u64) -> bool {
        self.limits.wait(counter).is_some_and(|wait| wait.due.is_some())
    }

    /// When the next job is due that waits for an instant or for a rate.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let (due, room) = (self.ready.next_due(), self.limits.next_due());
        due.into_iter().chain(room).min()
    }
}
