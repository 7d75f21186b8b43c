//! What a program runs around its jobs: as a worker starts and stops, and before and after each attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::attempt::End;
use super::context::Context;
use super::panic::take_place;
use crate::enqueue::panic_text;
use crate::error::BoxError;
use crate::signal::ReceiverResult;
use crate::task::{Failure, Stopped};

/// What an attempt came to, as a [post-execute hook](crate::HueyBuilder::post_execute) sees it. What follows from it
/// for the job, such as another attempt, is decided after that, and told by signals.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The body yielded a value.
    Complete,
    /// It failed with this error, or could not begin, a pre-execute hook having failed.
    Failed(String),
    /// It panicked, with this message.
    Panicked(String),
    /// It asked for another attempt after this time.
    Retry(Duration),
    /// It was canceled, by itself, by a pre-execute hook, or by a caller while it ran; with the reason.
    Canceled(String),
    /// Its deadline had passed.
    Late,
    /// The consumer stopped.
    Interrupted,
    /// Its arguments or its data did not fit the task, for this reason.
    Parked(String),
    /// It found a lock held, and comes again once that is free.
    Locked,
}

impl AttemptOutcome {
    fn of(end: &End) -> Self {
        match end {
            End::Value(_) => Self::Complete,
            End::Panicked { message, .. } => Self::Panicked(message.clone()),
            End::Late | End::Failed(Failure::Stopped(Stopped::Deadline)) => Self::Late,
            End::Failed(
                Failure::Failed { message, .. } | Failure::Fatal { message, .. } | Failure::Unstorable(message),
            ) => Self::Failed(message.clone()),
            End::Failed(Failure::Locked { .. }) => Self::Locked,
            End::Failed(Failure::Retry { after }) => Self::Retry(*after),
            End::Failed(Failure::Cancel { reason }) => Self::Canceled(reason.clone()),
            End::Failed(Failure::Stopped(Stopped::Canceled)) => Self::Canceled(Stopped::Canceled.to_string()),
            End::Failed(Failure::Unreadable(why)) | End::Unknown(why) => Self::Parked(why.clone()),
            End::Failed(Failure::MissingData(name)) => Self::Parked(format!("nobody provided `{name}`")),
            End::Failed(Failure::Stopped(Stopped::Shutdown))
            | End::Interrupted
            | End::Condemned(_)
            | End::Gather
            | End::NotBegun => Self::Interrupted,
        }
    }
}

type Worker = Box<dyn Fn(&str) -> Option<BoxError> + Send + Sync>;
type Before = Box<dyn Fn(&Context) -> Result<(), BoxError> + Send + Sync>;
type After = Box<dyn Fn(&Context, &AttemptOutcome) -> Option<BoxError> + Send + Sync>;

/// The hooks of a queue's consumers, each kind in the order in which they were added.
#[derive(Default)]
pub(crate) struct ExecuteHooks {
    startup: Vec<Worker>,
    shutdown: Vec<Worker>,
    before: Vec<Before>,
    after: Vec<After>,
}

impl ExecuteHooks {
    pub(crate) fn add_startup<R: ReceiverResult>(&mut self, hook: impl Fn(&str) -> R + Send + Sync + 'static) {
        self.startup.push(Box::new(move |worker| hook(worker).into_error()));
    }

    pub(crate) fn add_shutdown<R: ReceiverResult>(&mut self, hook: impl Fn(&str) -> R + Send + Sync + 'static) {
        self.shutdown.push(Box::new(move |worker| hook(worker).into_error()));
    }

    pub(crate) fn add_before(&mut self, hook: impl Fn(&Context) -> Result<(), BoxError> + Send + Sync + 'static) {
        self.before.push(Box::new(hook));
    }

    pub(crate) fn add_after<R: ReceiverResult>(
        &mut self,
        hook: impl Fn(&Context, &AttemptOutcome) -> R + Send + Sync + 'static,
    ) {
        self.after.push(Box::new(move |context, outcome| hook(context, outcome).into_error()));
    }

    /// A worker starts, on this thread.
    pub(crate) fn startup(&self, worker: &str) {
        for hook in &self.startup {
            harmless("startup", worker, || hook(worker));
        }
    }

    /// A worker stops, on this thread.
    pub(crate) fn shutdown(&self, worker: &str) {
        for hook in &self.shutdown {
            harmless("shutdown", worker, || hook(worker));
        }
    }

    /// Whether an attempt may begin, or what it comes to instead. The first hook that says no is the last one asked.
    pub(super) fn before(&self, context: &Context) -> Result<(), End> {
        tracing::debug!("an attempt begins");
        for hook in &self.before {
            match catch_unwind(AssertUnwindSafe(|| hook(context))) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(End::Failed(Failure::from_error(&*error))),
                Err(panic) => return Err(End::Panicked { message: panic_text(&*panic), place: take_place() }),
            }
        }
        Ok(())
    }

    /// An attempt has come to its end.
    pub(crate) fn after(&self, context: &Context, end: &End) {
        let outcome = AttemptOutcome::of(end);
        match &outcome {
            AttemptOutcome::Failed(error) => tracing::warn!(error, "an attempt failed"),
            AttemptOutcome::Panicked(error) => tracing::warn!(error, "an attempt panicked"),
            AttemptOutcome::Late => tracing::warn!("an attempt passed its deadline"),
            outcome => tracing::debug!(?outcome, "an attempt ended"),
        }
        for hook in &self.after {
            harmless("post-execute", context.task(), || hook(context, &outcome));
        }
    }
}

/// Runs a hook whose failure harms nothing.
fn harmless(kind: &str, of: &str, hook: impl FnOnce() -> Option<BoxError>) {
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(None) => {}
        Ok(Some(error)) => tracing::error!(of, %error, "a {kind} hook failed"),
        Err(panic) => tracing::error!(of, error = panic_text(&*panic), "a {kind} hook panicked"),
    }
}
