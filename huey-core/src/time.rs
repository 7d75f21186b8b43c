//! Time. The only module that reads a clock.

use crate::sync::atomic::{AtomicI64, Ordering};
use crate::sync::{Mutex, PoisonError, Weak};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An instant of the wall clock: microseconds since the Unix epoch.
///
/// Converts from and into [`SystemTime`]. Arithmetic saturates, so a far future stays a far future.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use huey_core::Timestamp;
///
/// let noon = Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600));
/// assert_eq!(noon.as_micros(), 43_200_000_000);
/// assert!(noon + Duration::from_secs(1) > noon);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that can be named; stands for "never" where something may have no end.
    pub const MAX: Self = Self(i64::MAX);

    /// From microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this instant, zero if it lies behind it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(micros(after)),
            Err(before) => Self(micros(before.duration()).saturating_neg()),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        let distance = Duration::from_micros(timestamp.0.unsigned_abs());
        let time = if timestamp.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
        time.unwrap_or(UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "{} microseconds from the epoch", self.0),
        }
    }
}

/// Where a store takes its time from.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<Arc<VirtualClock>>);

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(None)
    }

    /// The wall clock's present instant. It may go backwards.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            None => SystemTime::now().into(),
            Some(clock) => Timestamp(clock.micros.load(Ordering::SeqCst)),
        }
    }

    /// How long a thread may sleep before `until` can have come: `None` if only an event can bring it.
    pub(crate) fn sleep_until(&self, until: Timestamp) -> Option<Duration> {
        match &self.0 {
            None if until == Timestamp::MAX => None,
            None => Some(until.since(self.now())),
            Some(_) => None,
        }
    }

    /// Calls `listener` whenever a virtual clock moves. The system's clock moves alone and tells nobody.
    pub(crate) fn on_move(&self, listener: Weak<dyn Fn() + Send + Sync>) {
        if let Some(clock) = &self.0 {
            clock.listeners.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
        }
    }
}

/// A clock that moves only when it is told to.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use huey_core::{Timestamp, VirtualClock};
///
/// let clock = VirtualClock::starting_at(Timestamp::from_micros(0));
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.clock().now(), Timestamp::from_micros(60_000_000));
/// ```
#[derive(Default)]
pub struct VirtualClock {
    micros: AtomicI64,
    listeners: Mutex<Vec<Weak<dyn Fn() + Send + Sync>>>,
}

impl VirtualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self { micros: AtomicI64::new(start.0), listeners: Mutex::default() })
    }

    /// This clock, for a builder or a storage.
    #[must_use]
    pub fn clock(self: &Arc<Self>) -> Clock {
        Clock(Some(Arc::clone(self)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let now = Timestamp(self.micros.load(Ordering::SeqCst));
        self.set(now + by);
    }

    /// Moves the clock to `instant`, which may lie in the past.
    pub fn set(&self, instant: Timestamp) {
        self.micros.store(instant.0, Ordering::SeqCst);
        let listeners: Vec<_> = {
            let mut all = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|listener| listener.strong_count() > 0);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        for listener in listeners {
            listener();
        }
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualClock").field("micros", &self.micros).finish_non_exhaustive()
    }
}

/// The monotonic clock, for measuring and for deadlines of waits.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_convert_both_ways_around_the_epoch() {
        for micros in [-1_500_000, 0, 1, 1_700_000_000_000_000] {
            let timestamp = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::from(SystemTime::from(timestamp)), timestamp);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX + Duration::MAX, Timestamp::MAX);
        assert_eq!(Timestamp::from_micros(5).since(Timestamp::from_micros(9)), Duration::ZERO);
    }
}
