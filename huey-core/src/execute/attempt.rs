//! One attempt: the only place where user code of a task runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use super::context::Context;
use super::hooks::ExecuteHooks;
use super::panic::take_place;
use crate::enqueue::panic_text;
use crate::task::{Body, Call, Data, Failure};

/// What a body came to, or why it did not run.
#[derive(Debug)]
pub(crate) enum End {
    Value(Vec<u8>),
    Failed(Failure),
    Panicked {
        message: String,
        place: Option<String>,
    },
    /// Its deadline passed.
    Late,
    /// The consumer stopped, and did not wait for it.
    Interrupted,
    /// It has reached its crash limit, after so many crashes, and is not run again.
    Condemned(u8),
    /// It stands for a chord, and nothing is run.
    Gather,
    /// It could not be noted that it begins, so it did not.
    NotBegun,
    /// No task of this program fits the job.
    Unknown(String),
}

impl End {
    fn of(result: std::thread::Result<Result<Vec<u8>, Failure>>) -> Self {
        match result {
            Ok(Ok(output)) => Self::Value(output),
            Ok(Err(failure)) => Self::Failed(failure),
            Err(panic) => Self::Panicked { message: panic_text(&*panic), place: take_place() },
        }
    }
}

/// Headers as a span shows them: names and values.
struct Headers<'a>(&'a [(String, String)]);

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value))).finish()
    }
}

/// A body about to run.
pub(crate) struct Attempt {
    pub(crate) body: &'static Body,
    pub(crate) args: Vec<u8>,
    pub(crate) data: Data,
    pub(crate) context: Context,
    pub(crate) hooks: Arc<ExecuteHooks>,
}

impl Attempt {
    /// Whether it needs a runtime.
    pub(crate) fn is_async(&self) -> bool {
        matches!(self.body, Body::Async(_))
    }

    fn call(self) -> (&'static Body, Call, Context) {
        let context = self.context.clone();
        (self.body, Call { args: self.args, data: self.data, context: Arc::new(self.context) }, context)
    }

    /// The deadline of a plain body, which nobody can stop at it.
    pub(crate) fn plain_deadline(&self) -> Option<Instant> {
        self.context.deadline().filter(|_| matches!(self.body, Body::Plain(_)))
    }

    /// What the body logs stands in this span.
    fn span(&self) -> Span {
        let context = &self.context;
        tracing::info_span!(
            "attempt",
            job = %context.id(),
            task = context.task(),
            queue = context.queue(),
            attempt = context.attempt(),
            headers = ?Headers(context.headers()),
        )
    }

    /// Runs a plain body on this thread, between its hooks. One that ends past its deadline is late, whatever it says.
    pub(crate) fn run(self) -> End {
        let _in_span = self.span().entered();
        let hooks = Arc::clone(&self.hooks);
        let may_begin = hooks.before(&self.context);
        let (body, call, context) = self.call();
        let end = match (may_begin, body) {
            (Err(end), _) => end,
            (Ok(()), Body::Plain(body)) => End::of(catch_unwind(AssertUnwindSafe(|| body(&call)))),
            (Ok(()), Body::Async(_)) => End::Unknown(
                "it is an async task, and this program was built without the feature `tokio` of huey".into(),
            ),
        };
        let counts = matches!(end, End::Value(_) | End::Failed(Failure::Failed { .. }));
        let end = if counts && context.is_late() { End::Late } else { end };
        hooks.after(&context, &end);
        end
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{self, Poll};

    use super::{Arc, AssertUnwindSafe, Attempt, Body, Context, End, ExecuteHooks, Instant, Span, catch_unwind};
    use crate::task::BodyFuture;

    /// The body of an async task, its panics contained. It is in its span whenever it is polled or dropped.
    pub(crate) struct AsyncBody {
        future: Option<BodyFuture>,
        hooks: Arc<ExecuteHooks>,
        context: Context,
        span: Span,
    }

    impl AsyncBody {
        /// The attempt is over, whatever ended it.
        pub(crate) fn over(&self, end: &End) {
            let _in_span = self.span.enter();
            self.hooks.after(&self.context, end);
        }

        pub(crate) fn deadline(&self) -> Option<Instant> {
            self.context.deadline()
        }
    }

    impl Attempt {
        /// The body's future, behind its first hooks. A plain body is run to its end here.
        pub(crate) fn start(self) -> Result<AsyncBody, End> {
            if let Body::Plain(_) = self.body {
                return Err(self.run());
            }
            let span = self.span();
            let hooks = Arc::clone(&self.hooks);
            let may_begin = span.in_scope(|| hooks.before(&self.context));
            let (body, call, context) = self.call();
            let Body::Async(body) = body else { return Err(End::Interrupted) };
            let made = may_begin
                .and_then(|()| catch_unwind(AssertUnwindSafe(|| body(call))).map_err(|panic| End::of(Err(panic))));
            let mut started = AsyncBody { future: None, hooks, context, span };
            match made {
                Ok(future) => {
                    started.future = Some(future);
                    Ok(started)
                }
                Err(end) => {
                    started.over(&end);
                    Err(end)
                }
            }
        }
    }

    impl Future for AsyncBody {
        type Output = End;

        fn poll(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<End> {
            let this = &mut *self;
            let Some(future) = this.future.as_mut() else { return Poll::Pending };
            let _in_span = this.span.enter();
            let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
            let end = match polled {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(result)) => End::of(Ok(result)),
                Err(panic) => End::of(Err(panic)),
            };
            // A future that is done or has panicked is never polled again; what it holds is dropped here, contained.
            let future = this.future.take();
            if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
                tracing::error!("a task panicked while what it held was dropped");
            }
            Poll::Ready(end)
        }
    }

    impl Drop for AsyncBody {
        fn drop(&mut self) {
            let Some(future) = self.future.take() else { return };
            let _in_span = self.span.enter();
            if catch_unwind(AssertUnwindSafe(|| drop(future))).is_err() {
                tracing::error!("a task panicked while what it held was dropped");
            }
        }
    }
}

#[cfg(feature = "tokio")]
pub(crate) use asynchronous::AsyncBody;
