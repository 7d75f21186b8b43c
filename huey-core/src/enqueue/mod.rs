//! The way into the queue: hooks, decorators, the registry of tasks, and the pipeline that every job passes.

mod decorator;
mod discard;
mod flight;
mod hook;
mod pipeline;
mod registration;
mod registry;
mod replay;
mod request;
mod tick;

pub use decorator::Decorator;
pub(crate) use discard::tell_discarded;
pub(crate) use flight::{Enqueued, panic_text};
pub use hook::{Decision, EnqueueHook, HookFn, HookResult, closure, named_hook};
pub(crate) use pipeline::Pipeline;
pub use registration::{Registered, Registration};
pub(crate) use registry::{Registry, explain_missing};
pub use request::{EnqueueOutcome, EnqueueRequest};
