//! The consumer: threads that claim jobs, run them and settle them, until they are told to stop.

#[cfg(feature = "tokio")]
mod asynchronous;
mod batch;
mod bell;
mod calls;
mod claims;
mod config;
mod crew;
mod desk;
mod ends;
mod health;
#[cfg(feature = "tokio")]
mod helper;
mod inline;
mod late;
#[cfg(feature = "tokio")]
mod places;
mod roll;
mod running;
#[cfg(feature = "testing")]
mod step;
mod supervisor;
mod worker;

pub use config::Consumer;
pub(crate) use config::Owner;
pub use health::{Health, HealthStatus, RunningAttempt, WorkerHealth};
pub(crate) use inline::Inline;
pub use running::{ConsumerHandle, Stopping};
#[cfg(feature = "testing")]
pub(crate) use step::step;
