//! Looking again for a moment before sleeping, where that pays.
//!
//! A thread that sleeps costs whoever wakes it a system call, and comes back late: by 40 us where its processor has gone to sleep
//! too. Who waited only for a moment the last time will probably do so again, and looks a few times first. It
//! yields in between, since what it waits for may need its processor. Who waited for longer sleeps at once, so that jobs
//! that come now and then cost no looking.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread;
use std::time::{Duration, Instant};

use crate::time::monotonic;

/// How often is looked: some 20 us.
const LOOKS: u32 = if cfg!(huey_races) { 2 } else { 40 };
/// A wait that took no longer will be a short one again: a moment of looking, and a thread that was woken late.
const SHORT: Duration = Duration::from_micros(100);

/// What those know who wait for the same.
#[derive(Default)]
pub(crate) struct Patience {
    was_short: AtomicBool,
}

impl Patience {
    /// Looks for it, if the last wait was short.
    pub(crate) fn look(&self, is_there: impl Fn() -> bool) {
        if !cfg!(huey_races) && !self.was_short.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..LOOKS {
            if is_there() {
                return;
            }
            for _ in 0..4 {
                std::hint::spin_loop();
            }
            thread::yield_now();
        }
    }

    /// A wait is over that began then.
    pub(crate) fn waited_since(&self, begun: Instant) {
        let is_short = monotonic().saturating_duration_since(begun) <= SHORT;
        // Mostly it is as it was, and the line of memory stays where it is.
        if self.was_short.load(Ordering::Relaxed) != is_short {
            self.was_short.store(is_short, Ordering::Relaxed);
        }
    }
}
