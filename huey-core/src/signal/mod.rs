//! Signals: events after the fact, and those who listen or wait for them.

mod kind;
mod receivers;
mod waiters;

pub use kind::{Signal, SignalKind};
pub use receivers::ReceiverResult;
pub(crate) use receivers::Signals;
pub(crate) use waiters::{Final, Waiters, Waiting};
