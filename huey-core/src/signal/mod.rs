//! Signals: events after the fact, and those who listen or wait for them.

mod kind;
mod receivers;
mod subscription;
mod waiters;
mod worker_mark;

pub use kind::{Signal, SignalKind, Skipped};
pub use receivers::ReceiverResult;
pub(crate) use receivers::Signals;
pub use subscription::Subscription;
pub(crate) use waiters::{Final, News, Waiters, Waiting};
#[cfg(feature = "tokio")]
pub(crate) use worker_mark::take_await;
pub(crate) use worker_mark::{WorkerMark, is_worker_of, note_await};
