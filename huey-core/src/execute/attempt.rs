//! One attempt: the only place where user code of a task runs.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tracing::Span;

use super::context::Context;
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

    /// Runs a plain body on this thread. One that ends past its deadline is late, whatever it says.
    pub(crate) fn run(self) -> End {
        let _in_span = self.span().entered();
        let (body, call, context) = self.call();
        let end = match body {
            Body::Plain(body) => End::of(catch_unwind(AssertUnwindSafe(|| body(&call)))),
            Body::Async(_) => End::Unknown(
                "it is an async task, and this program was built without the feature `tokio` of huey".into(),
            ),
        };
        let counts = matches!(end, End::Value(_) | End::Failed(Failure::Failed { .. }));
        if counts && context.is_late() { End::Late } else { end }
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{self, Poll};

    use super::{AssertUnwindSafe, Attempt, Body, Context, End, Span, catch_unwind};
    use crate::task::BodyFuture;

    /// The body of an async task, its panics contained. It is in its span whenever it is polled or dropped.
    pub(crate) struct AsyncBody {
        future: Option<BodyFuture>,
        span: Span,
    }

    impl Attempt {
        /// The body's future, and the context it runs in. A plain body is run to its end here.
        pub(crate) fn start(self) -> Result<(AsyncBody, Context), End> {
            if let Body::Plain(_) = self.body {
                return Err(self.run());
            }
            let span = self.span();
            let (body, call, context) = self.call();
            let Body::Async(body) = body else { return Err(End::Interrupted) };
            match catch_unwind(AssertUnwindSafe(|| body(call))) {
                Ok(future) => Ok((AsyncBody { future: Some(future), span }, context)),
                Err(panic) => Err(End::of(Err(panic))),
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
