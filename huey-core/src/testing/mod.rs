//! The test kit: a queue for one test, which runs nothing before the test says so; and for those who write storages, a disk that can be crashed, a storage behind a bad network, and the suite that every storage passes.
//!
//! Nothing here sleeps, and everything that is random comes from a seed, so that a failure can be repeated.

mod asserts;
pub mod conformance;
pub mod hostile;
mod inspect;
mod queue;
mod random;
mod recorded;
mod remote;
mod sim_disk;
mod sim_log;
mod sleeper;
mod step;
mod tick;
mod wire;
mod words;

pub use inspect::{Inspector, Sizes, inspected};
pub use queue::TestQueue;
pub use random::Random;
pub use remote::Remote;
pub use sim_log::{Fault, SimDisk, SimLog, SimMedium};
pub use sleeper::Sleeper;
pub use step::step;
pub use tick::tick;
pub use wire::assert_wire_formats;
pub use words::{job_id, new_job, task_error};

pub use crate::codec::Bytes;
