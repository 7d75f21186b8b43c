//! Immediate mode, as the way in sees it: what was stored is run before the caller goes on.

use std::sync::Arc;

use super::flight::Enqueued;
use super::pipeline::Pipeline;
use crate::id::JobId;
use crate::signal::{WorkerMark, is_worker_of};

/// One that runs what is in the queue.
pub(crate) trait RunNow: Send + Sync {
    /// Runs everything on this thread, until these jobs are at rest.
    fn run(&self, ids: &[JobId]);

    /// As [`run`](Self::run), on another thread, which then calls `then`.
    fn run_elsewhere(self: Arc<Self>, ids: Vec<JobId>, then: Box<dyn FnOnce() + Send>);
}

/// The outermost call of a thread into an immediate queue. What is enqueued until it runs, by hooks and receivers, is left to
/// it, so that jobs which enqueue others do not nest.
pub(crate) struct Outermost {
    runner: Arc<dyn RunNow>,
    _mark: WorkerMark,
}

impl Pipeline {
    /// Begins a call that stores jobs, if it is for this one to run them.
    pub(crate) fn outermost(&self) -> Option<Outermost> {
        let runner = self.runner()?;
        Some(Outermost { runner, _mark: WorkerMark::new(self.waiters.key()) })
    }

    /// Who runs what this thread stores, if nobody does already.
    pub(super) fn runner(&self) -> Option<Arc<dyn RunNow>> {
        let runner = self.run_now.get()?.upgrade()?;
        (!is_worker_of(self.waiters.key())).then_some(runner)
    }

    /// Whether jobs run where they are enqueued.
    pub(crate) fn is_immediate(&self) -> bool {
        self.run_now.get().is_some()
    }
}

impl Outermost {
    pub(crate) fn run(&self, ids: &[JobId]) {
        self.runner.run(ids);
    }
}

/// Runs what was stored, where it is for this call to do so.
pub(super) fn run_now(outermost: Option<&Outermost>, landed: &[Enqueued]) {
    if let Some(outermost) = outermost {
        let ids: Vec<JobId> = landed.iter().map(|enqueued| enqueued.id).collect();
        outermost.run(&ids);
    }
}
