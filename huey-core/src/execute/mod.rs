//! Running a job: the context that a body sees, the attempt, what it came to, and its settle.
//!
//! Every ending of a body, be it a value, an error, a panic or a deadline, becomes one [`End`] first. What follows from
//! it is decided in [`retry`], which is pure, and done in [`settle`].

mod attempt;
mod context;
mod control;
mod executor;
mod explain;
mod follow;
mod gather;
mod hooks;
mod lock;
mod panic;
mod retry;
mod settle;
mod trouble;

#[cfg(feature = "tokio")]
pub(crate) use attempt::AsyncBody;
pub(crate) use attempt::{Attempt, End};
pub use context::{Context, context_of};
pub(crate) use control::misanswered;
pub(crate) use executor::{Executor, Kit, Stopper};
pub(crate) use explain::Hands;
pub use hooks::AttemptOutcome;
pub(crate) use hooks::ExecuteHooks;
pub use lock::LockGuard;
