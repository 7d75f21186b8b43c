//! Schedules: when jobs are made by themselves, and how it is seen to that each tick is decided once.

mod chosen;
mod schedules;
mod skipping;
mod ticker;
mod timer;

pub use schedules::{ScheduleInfo, Schedules};
pub(crate) use ticker::Ticker;
#[cfg(feature = "testing")]
pub(crate) use timer::Timer;
pub(crate) use timer::check_zones;
