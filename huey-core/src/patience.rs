//! Looking again for a moment before sleeping, where that pays.
//!
//! A thread that sleeps costs whoever wakes it a system call, and comes back late: by 40 us where its processor has gone to sleep
//! too. Who waited only for a moment the last time will probably do so again, and looks for 30 us first. It
//! yields in between, since what it waits for may need its processor. Who waited for longer sleeps at once, so that jobs
//! that come now and then cost no looking.

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread;
use std::time::{Duration, Instant};

use crate::time::monotonic;

/// For how long is looked: at least once.
pub(crate) const LOOK: Duration = if cfg!(huey_races) { Duration::ZERO } else { Duration::from_micros(30) };
/// What a processor is told between two looks that nothing happens. More than a few, since asking for the time and yielding cost
/// more than looking.
const PAUSES: u32 = 20;
/// A wait that took no longer will be a short one again: a moment of looking, and a thread that was woken late. Where waits take
/// longer than looking and no longer than this, each looks in vain.
const SHORT: Duration = Duration::from_micros(100);

/// What those know who wait for the same.
#[derive(Default)]
pub(crate) struct Patience {
    was_short: AtomicBool,
}

impl Patience {
    /// Whether it pays to look: the last wait was short.
    pub(crate) fn pays(&self) -> bool {
        cfg!(huey_races) || self.was_short.load(Ordering::Relaxed)
    }

    /// Looks for it.
    pub(crate) fn look(is_there: impl Fn() -> bool) {
        let until = monotonic() + LOOK;
        while !is_there() {
            for _ in 0..PAUSES {
                std::hint::spin_loop();
            }
            thread::yield_now();
            if monotonic() >= until {
                return;
            }
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
