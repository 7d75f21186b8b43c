//! Hooks: user code before an enqueue.

use super::request::EnqueueRequest;
use crate::error::BoxError;
use crate::id::JobId;
use crate::task::Task;

/// What a hook decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on to the next hook, and then to the write.
    Go,
    /// Store nothing; the caller gets a handle of this job, which must be one of the same task.
    Existing(JobId),
}

/// What a hook returns. An error refuses the enqueue; its text is the reason the caller sees.
pub type HookResult = Result<Decision, BoxError>;

/// User code that sees an enqueue before the write, may edit or refuse it, or point to an existing job.
///
/// Every `Fn(&mut EnqueueRequest<'_>) -> HookResult` that is `Send + Sync` is one; implement it for a type that
/// holds state. It runs on the thread that makes the job, and a panic in it refuses the enqueue.
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use huey_core::{Decision, EnqueueHook, EnqueueRequest, HookResult};
///
/// struct Quota { left: AtomicU32 }
///
/// impl EnqueueHook for Quota {
///     fn on_enqueue(&self, _: &mut EnqueueRequest<'_>) -> HookResult {
///         let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
///         left.map(|_| Decision::Go).map_err(|_| "over quota".into())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enqueue hook",
    note = "a hook is `fn(&mut EnqueueRequest<'_>) -> HookResult`, or a value that implements `EnqueueHook`"
)]
pub trait EnqueueHook: Send + Sync {
    /// Looks at the request and decides.
    ///
    /// # Errors
    ///
    /// Any error refuses the enqueue.
    fn on_enqueue(&self, request: &mut EnqueueRequest<'_>) -> HookResult;

    /// The name that a refusal gives.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

impl<F: Fn(&mut EnqueueRequest<'_>) -> HookResult + Send + Sync> EnqueueHook for F {
    fn on_enqueue(&self, request: &mut EnqueueRequest<'_>) -> HookResult {
        self(request)
    }
}

/// A hook in the attribute's list: one that takes the request, or one that takes the arguments by name as well.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an enqueue hook of the task `{T}`",
    label = "not a hook of this task",
    note = "a hook is `fn(&mut EnqueueRequest<'_>) -> HookResult`, `fn(&mut {T}, &mut EnqueueRequest<'_>) -> HookResult`, or a value that implements `EnqueueHook`"
)]
#[doc(hidden)]
pub trait HookFn<T, M>: Send + Sync {
    fn call(&self, request: &mut EnqueueRequest<'_>) -> HookResult;
}

/// Marks hooks that take the request alone.
#[doc(hidden)]
pub struct Untyped;

/// Marks hooks that take the arguments too.
#[doc(hidden)]
pub struct Typed;

impl<T: Task, H: EnqueueHook> HookFn<T, Untyped> for H {
    fn call(&self, request: &mut EnqueueRequest<'_>) -> HookResult {
        self.on_enqueue(request)
    }
}

impl<T, F> HookFn<T, Typed> for F
where
    T: Task,
    F: Fn(&mut T, &mut EnqueueRequest<'_>) -> HookResult + Send + Sync,
{
    fn call(&self, request: &mut EnqueueRequest<'_>) -> HookResult {
        request.with_args(|args: &mut T, request| self(args, request))
    }
}

/// A hook of the attribute's list, with the name it has there.
#[doc(hidden)]
pub struct NamedHook<F: 'static> {
    hook: &'static F,
    call: fn(&F, &mut EnqueueRequest<'_>) -> HookResult,
    name: &'static str,
}

/// Takes a hook into the attribute's list. What it must be is asked here and nowhere else, so that a wrong one is one
/// error.
#[doc(hidden)]
pub const fn named_hook<T: Task, F: HookFn<T, M>, M>(name: &'static str, hook: &'static F) -> NamedHook<F> {
    NamedHook { hook, call: F::call, name }
}

/// Gives a closure in the attribute's list the type of its parameter.
#[doc(hidden)]
pub const fn closure<F: Fn(&mut EnqueueRequest<'_>) -> HookResult + Send + Sync>(hook: F) -> F {
    hook
}

impl<F: Send + Sync> EnqueueHook for NamedHook<F> {
    fn on_enqueue(&self, request: &mut EnqueueRequest<'_>) -> HookResult {
        (self.call)(self.hook, request)
    }

    fn name(&self) -> &'static str {
        self.name
    }
}
