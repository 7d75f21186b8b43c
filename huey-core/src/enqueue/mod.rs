//! The way into the queue: hooks, decorators, the registry of tasks, and the pipeline that every job passes.

mod chain;
mod decorator;
mod discard;
mod flight;
mod hook;
mod ids;
mod pipeline;
mod registration;
mod registry;
mod replay;
mod request;
mod tick;

pub(crate) use chain::Tail;
pub use chain::{Chain, Follows};
pub use decorator::Decorator;
pub(crate) use discard::{emit_discarded, tell_discarded};
pub(crate) use flight::{After, Enqueued, Passed, Unstaged, panic_text};
pub use hook::{Decision, EnqueueHook, HookFn, HookResult, closure, named_hook};
pub(crate) use pipeline::Pipeline;
pub use registration::{Registered, Registration};
pub(crate) use registry::{Registry, explain_missing};
pub use request::{EnqueueOutcome, EnqueueRequest};
