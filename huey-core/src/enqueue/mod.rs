//! The way into the queue: hooks, decorators, the registry of tasks, and the pipeline that every job passes.

mod decorator;
mod hook;
mod registration;
mod request;

pub use decorator::Decorator;
pub use hook::{Decision, EnqueueHook, HookFn, HookResult, NamedHook, Typed, Untyped, closure, named_hook};
pub use registration::{Registered, Registration};
pub use request::{EnqueueOutcome, EnqueueRequest};
