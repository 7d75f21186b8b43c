//! The way into the queue: hooks, decorators, the registry of tasks, and the pipeline that every job passes.

mod chain;
mod decorator;
mod discard;
mod flight;
mod flow;
mod group;
mod hook;
mod ids;
mod immediate;
mod keys;
mod pipeline;
mod registration;
mod registry;
mod replay;
mod request;
mod stage;
mod tail;
mod tick;

pub use chain::{Chain, Follows};
pub use decorator::Decorator;
pub(crate) use discard::{emit_discarded, tell_discarded, tell_limited, tell_waiters};
pub(crate) use flight::{After, Enqueued, Passed, Unstaged, panic_text};
pub(crate) use flow::Stored;
pub use group::{Group, Member, Mixed, group};
pub use hook::{Decision, EnqueueHook, HookFn, HookResult, closure, named_hook};
pub(crate) use immediate::RunNow;
pub(crate) use pipeline::Pipeline;
pub use registration::{Registered, Registration};
pub(crate) use registry::{Registry, explain_missing};
pub use request::{EnqueueOutcome, EnqueueRequest};
pub(crate) use tail::Tail;
