//! How many threads a consumer has, and what it serves.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::running::ConsumerHandle;
use super::supervisor::start;
use crate::error::{Error, ErrorKind, Result};
use crate::execute::Executor;
use crate::id::JobId;
use crate::periodic::Ticker;

/// Makes the handle of the queue that the body of a job gets, which knows the job as the parent of what it enqueues. None once
/// the queue is gone.
pub(crate) type Owner = Arc<dyn Fn(JobId) -> Option<Arc<dyn Any + Send + Sync>> + Send + Sync>;

/// A consumer that has not started yet: [`Huey::consumer`](crate::Huey::consumer) makes one.
///
/// ```no_run
/// # fn main() -> huey_core::Result<()> {
/// # let huey = huey_core::Huey::builder().open(huey_core::Memory::new())?;
/// huey.consumer().workers(8).run()
/// # }
/// ```
#[must_use = "a consumer does nothing until it is started"]
pub struct Consumer {
    pub(crate) executor: Arc<Executor>,
    pub(crate) owner: Owner,
    pub(crate) ticker: Arc<Ticker>,
    pub(crate) periodic: bool,
    pub(crate) workers: usize,
    pub(crate) async_limit: usize,
    pub(crate) queues: Vec<String>,
    /// Queues with workers of their own.
    pub(crate) own: Vec<(String, usize)>,
    pub(crate) grace: Duration,
}

impl Consumer {
    pub(crate) fn new(executor: Arc<Executor>, owner: Owner, ticker: Arc<Ticker>, queue: &str) -> Self {
        Self {
            executor,
            owner,
            ticker,
            periodic: true,
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            async_limit: 256,
            queues: vec![queue.to_owned()],
            own: Vec::new(),
            grace: Duration::from_secs(10),
        }
    }

    /// How many threads run plain tasks. As many as the machine has cores, unless set.
    ///
    /// A plain body that ignores its deadline is settled at it and keeps its thread, and another thread takes its
    /// place. Once there are as many such bodies as workers, no plain job is claimed until one of them returns.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// How many async tasks run at a time. 256 unless set. One that awaits the handle of a job needs no place meanwhile, and
    /// takes one again, in turn, before it goes on.
    pub fn async_limit(mut self, limit: usize) -> Self {
        self.async_limit = limit;
        self
    }

    /// The queues to take jobs from, the first one first. The queue's default one unless set.
    pub fn queues<Q: Into<String>>(mut self, queues: impl IntoIterator<Item = Q>) -> Self {
        self.queues = queues.into_iter().map(Into::into).collect();
        self
    }

    /// Serves a queue with workers of its own, beside those of [`workers`](Self::workers), which serve
    /// [`queues`](Self::queues): whatever waits elsewhere, this queue does not wait for it. Places for async tasks are
    /// shared, and the queues take turns at them.
    ///
    /// ```no_run
    /// # fn main() -> huey_core::Result<()> {
    /// # let huey = huey_core::Huey::builder().open(huey_core::Memory::new())?;
    /// huey.consumer().workers(4).queue("mail", 2).run()
    /// # }
    /// ```
    pub fn queue(mut self, queue: impl Into<String>, workers: usize) -> Self {
        self.own.push((queue.into(), workers));
        self
    }

    /// Whether it makes the jobs of schedules, of all tasks that this program has. It does unless set; any number of
    /// consumers may, and each tick is made once.
    pub fn periodic(mut self, periodic: bool) -> Self {
        self.periodic = periodic;
        self
    }

    /// How long a stop waits for running jobs before it interrupts them. 10 seconds unless set.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Starts the threads and returns. Dropping the handle stops them gracefully.
    ///
    /// # Errors
    ///
    /// [`Error::is_setup`] if a task of a queue that it serves needs data that nobody provided, all of it named at
    /// once, if there would be nobody to run anything, or if the queue is an immediate one; else when the storage or a thread cannot be used.
    pub fn start(self) -> Result<ConsumerHandle> {
        if self.executor.is_immediate() {
            let text = "an immediate queue runs its jobs where they are enqueued, and needs no consumer: open a storage for one";
            return Err(Error::new(ErrorKind::Setup, text));
        }
        let own: usize = self.own.iter().map(|(_, workers)| workers).sum();
        if self.workers + own == 0 && self.async_limit == 0 {
            let text = "a consumer without workers and without places for async tasks runs nothing: set `workers`";
            return Err(Error::new(ErrorKind::Setup, text));
        }
        if self.queues.is_empty() && self.own.is_empty() {
            return Err(Error::new(ErrorKind::Setup, "a consumer needs a queue to serve: name one in `queues`"));
        }
        start(self)
    }

    /// Runs until SIGTERM or SIGINT, then stops gracefully: it claims nothing more, lets running jobs end within the
    /// grace, and gives back what is left. A second signal ends the process at once.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start); and if a body did not look at its [`Context`](crate::Context) after the grace, an
    /// error that names its job.
    #[cfg(unix)]
    pub fn run(self) -> Result<()> {
        use std::sync::atomic::AtomicBool;

        use signal_hook::consts::{SIGINT, SIGTERM};
        use signal_hook::{flag, iterator::Signals, low_level};

        let fault = |error: std::io::Error| {
            Error::unavailable(format!("the signals SIGTERM and SIGINT cannot be heard: {error}")).caused_by(error)
        };
        let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(fault)?;
        let Self { workers, periodic, grace, .. } = self;
        let queues = self.queues.join(",");
        let handle = self.start()?;
        tracing::info!(workers, queues, periodic, ?grace, "started");
        // What is registered first runs first: the first signal arms what the second one sets off.
        let armed = Arc::new(AtomicBool::new(false));
        let mut registered = Vec::new();
        for signal in [SIGTERM, SIGINT] {
            let shutdown = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&armed));
            registered.push(shutdown.map_err(fault)?);
        }
        for signal in [SIGTERM, SIGINT] {
            registered.push(flag::register(signal, Arc::clone(&armed)).map_err(fault)?);
        }
        let heard = signals.forever().next();
        tracing::info!(signal = heard, "stopping: running jobs may end within the grace, a second signal ends at once");
        let stopped = handle.shutdown().wait();
        for registered in registered {
            low_level::unregister(registered);
        }
        stopped.inspect(|()| tracing::info!("stopped"))
    }

    /// Runs until nothing is queued, running or due in its queues, then stops. Jobs scheduled for later stay.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and when the storage cannot answer, or cannot read a job that is to run.
    pub fn run_until_idle(self) -> Result<()> {
        let handle = self.start()?;
        handle.wait_idle()?;
        handle.shutdown().wait()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("workers", &self.workers)
            .field("async_limit", &self.async_limit)
            .field("queues", &self.queues)
            .field("own", &self.own)
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}
