//! Setting up a queue.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::{Huey, Inner, owner};
use crate::consumer::Inline;
use crate::enqueue::{EnqueueHook, EnqueueRequest, HookResult, Pipeline, Registered, Registration, Registry, RunNow};
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::{BoxError, Result};
use crate::execute::{AttemptOutcome, Context, ExecuteHooks, Executor};
use crate::periodic::{Ticker, check_zones};
use crate::signal::{ReceiverResult, Signal, SignalKind, Signals, Waiters};
use crate::store::{Memory, OpenStorage, StorageOptions};
use crate::task::{Data, Durability, Options};
use crate::time::Clock;

/// Sets up a queue: hooks, receivers, data, defaults.
///
/// ```
/// use std::time::Duration;
/// use huey_core::{Decision, Huey, Memory, SignalKind};
///
/// let huey = Huey::builder()
///     .hook(|request| {
///         request.header("host", "web-1");
///         Ok(Decision::Go)
///     })
///     .on(SignalKind::Dead, |signal| eprintln!("{} is dead", signal.id))
///     .retention(Duration::from_secs(600))
///     .open(Memory::new())?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `open`"]
pub struct HueyBuilder {
    hooks: Vec<Box<dyn EnqueueHook>>,
    signals: Signals,
    execute: ExecuteHooks,
    data: Data,
    named: Vec<&'static Registration>,
    defaults: Options,
    storage: StorageOptions,
}

impl HueyBuilder {
    /// Adds a hook that sees every enqueue, before those of decorators and tasks, in the order added here.
    pub fn hook(self, hook: impl Fn(&mut EnqueueRequest<'_>) -> HookResult + Send + Sync + 'static) -> Self {
        self.hook_value(hook)
    }

    /// Adds a hook that is a value with state: see [`EnqueueHook`].
    pub fn hook_value(mut self, hook: impl EnqueueHook + 'static) -> Self {
        self.hooks.push(Box::new(hook));
        self
    }

    /// Calls `receiver` with every signal of one kind, on the thread that made the event.
    pub fn on<R: ReceiverResult>(
        mut self,
        kind: SignalKind,
        receiver: impl Fn(&Signal) -> R + Send + Sync + 'static,
    ) -> Self {
        self.signals.add(Some(kind), receiver);
        self
    }

    /// Calls `receiver` with every signal, after the receivers of its kind.
    pub fn on_any<R: ReceiverResult>(mut self, receiver: impl Fn(&Signal) -> R + Send + Sync + 'static) -> Self {
        self.signals.add(None, receiver);
        self
    }

    /// How long a receiver may take before it is logged as slow. 10 milliseconds unless set.
    pub fn slow_receiver(mut self, threshold: Duration) -> Self {
        self.signals.warn_after(threshold);
        self
    }

    /// Calls `hook` with the name of each worker of a consumer as it starts, on its thread: those of plain tasks, and
    /// the one thread of async tasks. An error or a panic is logged, and harms nothing.
    ///
    /// ```
    /// use huey_core::{Huey, Memory};
    ///
    /// let huey = Huey::builder()
    ///     .on_startup(|worker| println!("{worker} starts"))
    ///     .on_shutdown(|worker| println!("{worker} stops"))
    ///     .open(Memory::new())?;
    /// huey.consumer().workers(2).run_until_idle()?;
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    pub fn on_startup<R: ReceiverResult>(mut self, hook: impl Fn(&str) -> R + Send + Sync + 'static) -> Self {
        self.execute.add_startup(hook);
        self
    }

    /// Calls `hook` with the name of each worker as it stops, on its thread. An error or a panic is logged, and harms
    /// nothing.
    pub fn on_shutdown<R: ReceiverResult>(mut self, hook: impl Fn(&str) -> R + Send + Sync + 'static) -> Self {
        self.execute.add_shutdown(hook);
        self
    }

    /// Calls `hook` before each attempt, on the thread that runs it and in its span. An error is what a body's would
    /// be: the body does not run and the attempt has failed, or was canceled by a [`Cancel`](crate::Cancel). A panic is
    /// an attempt that failed, too. Later hooks are not asked then; post-execute hooks are. Before async bodies it must not block.
    ///
    /// ```
    /// use huey_core::{Cancel, Huey, Memory};
    ///
    /// let huey = Huey::builder()
    ///     .pre_execute(|ctx| match ctx.header("tenant") {
    ///         Some("closed") => Err(Cancel::because("the tenant is gone").into()),
    ///         _ => Ok(()),
    ///     })
    ///     .post_execute(|ctx, outcome| println!("{} of {}: {outcome:?}", ctx.attempt(), ctx.id()))
    ///     .open(Memory::new())?;
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    pub fn pre_execute(
        mut self,
        hook: impl Fn(&Context) -> std::result::Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.execute.add_before(hook);
        self
    }

    /// Calls `hook` after each attempt with what it came to, on the thread that ran it, before that is stored; for a body
    /// that ignores its deadline, once it returns. An error or a panic is logged, and harms nothing.
    pub fn post_execute<R: ReceiverResult>(
        mut self,
        hook: impl Fn(&Context, &AttemptOutcome) -> R + Send + Sync + 'static,
    ) -> Self {
        self.execute.add_after(hook);
        self
    }

    /// Provides the value that `#[data]` parameters of its type borrow.
    pub fn data<T: Send + Sync + 'static>(self, value: T) -> Self {
        self.data_arc(Arc::new(value))
    }

    /// As [`data`](Self::data), for a value that is shared already, or one behind a trait: `Arc<dyn Greeter>` serves
    /// `&dyn Greeter`.
    pub fn data_arc<T: ?Sized + Send + Sync + 'static>(mut self, value: Arc<T>) -> Self {
        self.data.put(value);
        self
    }

    /// Makes a task known that linking did not bring along: one of a library crate that the program names nowhere
    /// else.
    pub fn task<T: Registered>(mut self) -> Self {
        self.named.push(T::REGISTRATION);
        self
    }

    /// What must have happened before an enqueue returns, where nothing nearer says otherwise.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.defaults.durability = Some(durability);
        self
    }

    /// How many more attempts a failed one is given, where nothing nearer says otherwise. 0 unless set.
    pub fn retries(mut self, retries: u32) -> Self {
        self.defaults.retries = Some(retries);
        self
    }

    /// The wait before the first retry, where nothing nearer says otherwise.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.defaults.retry_delay = Some(delay);
        self
    }

    /// How long one attempt may take, where nothing nearer says otherwise.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.defaults.timeout = Some(timeout);
        self
    }

    /// How long results are kept, where nothing nearer says otherwise. 1 hour unless set; zero keeps none.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.defaults.retention = Some(retention);
        self
    }

    /// In how many lives of a consumer a job may be running when they end without stopping, before it is dead. 3 unless
    /// set; 0 for any number.
    pub fn crash_limit(mut self, limit: u8) -> Self {
        self.defaults.crash_limit = Some(limit);
        self
    }

    /// The name of the queue of jobs for which nothing nearer names one: `default` unless set.
    pub fn default_queue(mut self, queue: &'static str) -> Self {
        self.defaults.queue = Some(queue);
        self
    }

    /// How many results are kept at most; those whose retention ends first go first, of one
    /// second in any order. 1,000,000 unless set.
    pub fn max_results(mut self, results: u64) -> Self {
        self.storage.max_results = results;
        self
    }

    /// How many dead and lost jobs are kept at most, with their arguments and records; past that the oldest go, with a
    /// warning. 100,000 unless set.
    pub fn max_given_up(mut self, jobs: u64) -> Self {
        self.storage.max_given_up = jobs;
        self
    }

    /// How long a [`Relaxed`](Durability::Relaxed) write may stay off the disk. 500 milliseconds unless set.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.storage.flush_interval = interval;
        self
    }

    /// Refuses new jobs while fewer bytes than these are free where the queue is kept, so that the jobs it holds can
    /// still end. 16 MiB unless set; 0 never refuses.
    pub fn min_free(mut self, bytes: u64) -> Self {
        self.storage.min_free = bytes;
        self
    }

    /// Takes the time from another clock than the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.storage.clock = clock;
        self
    }

    /// Opens the queue.
    ///
    /// # Errors
    ///
    /// [`Error::is_setup`] if two tasks share a name, or a schedule's time zone is unknown; [`Error::is_in_use`], [`Error::is_damaged`] or
    /// [`Error::is_unavailable`] from the storage.
    pub fn open(self, storage: impl OpenStorage) -> Result<Huey> {
        self.assemble(storage, false)
    }

    /// Opens a queue in memory that runs each job where it is enqueued, through the same hooks, encoding and signals, and
    /// without a consumer: for scripts, for development, and for tests that are about something else.
    ///
    /// When an enqueue returns, its jobs have ended, and with them all that they made: retries, later steps and callbacks, and
    /// what bodies enqueued. A body that fails or panics is no error of the enqueue; the handle has it. Nothing waits for its
    /// time: a delayed job and a retry run at once, after those that need not wait and in the order of their times. One
    /// enqueue cuts at most 1,000 waits short beside those of its own jobs, so that a job which asks for itself again and again
    /// is left scheduled, with a warning.
    ///
    /// Jobs run one after another on the thread that enqueues, as on one worker: what a body, a hook or a receiver
    /// enqueues is run once that body has returned, and a plain body cannot [`wait`](crate::JobHandle::wait) for it. Async bodies
    /// run on a helper thread with a runtime of its own; while one waits for something the next job begins, so that it may
    /// `.await` another. An enqueue that is awaited, [`enqueue_async`](crate::Job::enqueue_async), runs its jobs on a helper thread and
    /// blocks nobody. Threads that enqueue at the same time run their jobs side by side.
    ///
    /// A lock and a bound hold between bodies that run side by side; a rate does not, for no time passes in which so many may begin.
    ///
    /// Schedules make no jobs by themselves; [`trigger`](crate::Schedules::trigger) does. A consumer of such a queue does not start.
    /// It is in memory and nowhere else: what another storage holds is for a consumer to run.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, Registered, Result, Job};
    /// # fn show<add: Registered<Output = i64>>(job: Job<add>) -> Result<()> {
    /// let huey = Huey::builder().open_immediate()?;
    /// let handle = job.enqueue(&huey)?; // has run
    /// assert_eq!(handle.get()?, Some(3));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_immediate(self) -> Result<Huey> {
        self.assemble(Memory::new(), true)
    }

    fn assemble(self, storage: impl OpenStorage, immediate: bool) -> Result<Huey> {
        let registry = Registry::collect(&self.named)?;
        check_zones(&registry)?;
        let storage = storage.open_storage(self.storage)?;
        let (signals, waiters) = (Arc::new(self.signals), Waiters::default());
        let pipeline = Arc::new(Pipeline::new(storage, signals, waiters, self.hooks, self.defaults));
        let executor = Executor::new(Arc::clone(&pipeline), registry.clone(), self.data, self.execute);
        let ticker = Arc::new(Ticker::new(Arc::clone(&pipeline), registry));
        let executor = Arc::new(executor);
        let inner = Arc::new_cyclic(|inner| {
            let inline = Inline::new(Arc::clone(&executor), owner(Weak::clone(inner)), Arc::clone(&ticker));
            if immediate {
                let runner: Weak<dyn RunNow> = Arc::downgrade(&inline) as Weak<dyn RunNow>;
                // Nobody else has seen it yet.
                let _ = pipeline.run_now.set(runner);
            }
            Inner { pipeline, executor, ticker, inline }
        });
        Ok(Huey { inner, parent: None })
    }
}

impl fmt::Debug for HueyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HueyBuilder").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}
