//! `Huey`: the queue as a program holds it. Thin: it puts the parts together.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::codec;
use crate::consumer::{Consumer, Owner};
use crate::enqueue::{EnqueueHook, EnqueueRequest, Enqueued, HookResult, Pipeline, Registered, Registration, Registry};
use crate::error::{Error, ErrorKind, Result};
use crate::execute::{Context, Executor};
use crate::handle::{JobHandle, Source};
use crate::id::JobId;
use crate::job::{DEFAULT_QUEUE, Job, Origin};
use crate::signal::{ReceiverResult, Signal, SignalKind, Signals, Waiters};
use crate::state::JobState;
use crate::store::{Answer, Counts, Missing, OpenStorage, Query, Storage, StorageOptions};
use crate::task::{Data, Durability, Options, Task};
use crate::time::Clock;

/// How many keys are read at a time.
const KEYS: u32 = 1_000;

/// An open queue. Cheap to clone, and shared by threads.
///
/// The store is closed when the last clone, consumer and handle is gone. A `Huey` in a `static` is never dropped:
/// [`close`](Huey::close) it before the program ends, or what was enqueued as [`Durability::Relaxed`] within the last
/// interval may be lost.
///
/// ```
/// use huey_core::{Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// huey.close()?;
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Huey {
    inner: Arc<Inner>,
    /// The job in whose body this handle was got.
    parent: Option<JobId>,
}

struct Inner {
    pipeline: Arc<Pipeline>,
    executor: Arc<Executor>,
    /// The process that opened the store: its threads and locks do not exist in a fork of it.
    process: u32,
}

impl Huey {
    /// Begins to set up a queue.
    pub fn builder() -> HueyBuilder {
        HueyBuilder::default()
    }

    fn storage(&self) -> Result<&dyn Storage> {
        self.check_process()?;
        Ok(&*self.inner.pipeline.storage)
    }

    fn check_process(&self) -> Result<()> {
        if std::process::id() == self.inner.process {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Setup,
            "the queue was opened before this process was forked, and its threads do not exist here: open it after the fork",
        ))
    }

    fn origin(&self) -> Origin {
        Origin::Call { parent: self.parent }
    }

    fn source(&self) -> Source {
        Source { storage: Arc::clone(&self.inner.pipeline.storage), waiters: self.inner.executor.waiters.clone() }
    }

    fn handle_of<T: Task>(&self, enqueued: Enqueued) -> JobHandle<T::Output> {
        let task = T::DEFINITION;
        JobHandle::new(enqueued.id, task.name, task.output, enqueued.is_new, self.source())
    }

    /// The handle of a job, from its id.
    ///
    /// ```no_run
    /// # use huey_core::{Huey, JobId, Registered, Result};
    /// # fn show<add: Registered<Output = i64>>(huey: &Huey, id: JobId) -> Result<()> {
    /// let sum: Option<i64> = huey.handle::<add>(id)?.get()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the job is one of another task, [`Error::is_no_such_job`] if there never was one of
    /// that id. A job that is gone has a handle, which says so.
    pub fn handle<T: Task>(&self, id: JobId) -> Result<JobHandle<T::Output>> {
        let task = T::DEFINITION;
        match self.storage()?.read(Query::Job(id))? {
            Answer::Job(Ok(row)) if *row.task != *task.name => Err(Error::new(
                ErrorKind::BadInput,
                format!("the job {id} is one of `{}`, not of `{}`", row.task, task.name),
            )),
            Answer::Job(Err(Missing::NeverExisted)) => {
                Err(Error::new(ErrorKind::NoSuchJob, format!("no job of this queue ever had the id {id}")))
            }
            _ => Ok(self.handle_of::<T>(Enqueued { id, is_new: false })),
        }
    }

    /// Where a job is in its life. Never fails because of the id.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn status(&self, id: JobId) -> Result<JobState> {
        match self.storage()?.read(Query::Job(id))? {
            Answer::Job(Ok(row)) => Ok(row.state),
            Answer::Job(Err(Missing::Gone)) => Ok(JobState::Gone),
            Answer::Job(Err(Missing::NeverExisted)) => Ok(JobState::NeverExisted),
            other => Err(misanswered(&other)),
        }
    }

    /// How many jobs of all queues do what.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn counts(&self) -> Result<Counts> {
        match self.storage()?.read(Query::Counts(Vec::new()))? {
            Answer::Counts(counts) => Ok(counts),
            other => Err(misanswered(&other)),
        }
    }

    /// The value that a hook [put](EnqueueRequest::put) under `key`.
    ///
    /// # Errors
    ///
    /// [`Error::is_codec`] if the value is no `V`; else when the storage cannot answer.
    pub fn get<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>> {
        match self.storage()?.read(Query::Value(key.to_owned()))? {
            Answer::Value(bytes) => bytes.map(|bytes| codec::decode(&bytes)).transpose(),
            other => Err(misanswered(&other)),
        }
    }

    /// The keys that begin with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let query = Query::Keys { prefix: prefix.to_owned(), after: keys.last().cloned(), most: KEYS };
            match self.storage()?.read(query)? {
                Answer::Keys(page) => {
                    let last = page.len() < KEYS as usize;
                    keys.extend(page);
                    if last {
                        return Ok(keys);
                    }
                }
                other => return Err(misanswered(&other)),
            }
        }
    }

    /// A consumer of this queue, to be set up and started.
    pub fn consumer(&self) -> Consumer {
        // The consumer keeps the store open, whoever drops the last handle.
        let inner = Arc::clone(&self.inner);
        let owner: Owner = Arc::new(move |parent| {
            Arc::new(Huey { inner: Arc::clone(&inner), parent: Some(parent) }) as Arc<dyn Any + Send + Sync>
        });
        let queue = self.inner.executor.defaults.queue.unwrap_or(DEFAULT_QUEUE);
        Consumer::new(Arc::clone(&self.inner.executor), owner, queue)
    }

    /// Makes everything durable and closes the store, whoever still holds a handle. Later calls get
    /// [`Error::is_closed`], and so do those who wait for a job. The place itself is let go, for another process or
    /// another `open`, once the last clone, handle and consumer is gone: until then an attempt may still run.
    ///
    /// # Errors
    ///
    /// When something could not be made durable.
    pub fn close(&self) -> Result<()> {
        let closed = self.storage()?.close();
        // Nobody will tell those who wait of an end any more.
        self.inner.executor.waiters.close();
        Ok(closed?)
    }
}

fn misanswered(answer: &Answer) -> Error {
    Error::damaged(format!("the storage answered another question: {answer:?}"))
}

impl fmt::Debug for Huey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Huey({})", self.inner.pipeline.storage.name())
    }
}

impl<T: Registered> Job<T> {
    /// Stores the job, and returns once it is as durable as asked. Its arguments, encoded, may take up to 16 MiB less
    /// some bytes for the envelope; a megabyte is fine, but is better kept in a file that the job names.
    ///
    /// # Errors
    ///
    /// [`Error::is_refused`] if a hook refused it, [`Error::is_codec`] if its arguments cannot be stored,
    /// [`Error::is_full`], [`Error::is_unavailable`] or [`Error::is_unknown`] if the storage failed.
    pub fn enqueue(self, huey: &Huey) -> Result<JobHandle<T::Output>> {
        huey.check_process()?;
        let enqueued = huey.inner.pipeline.enqueue(self, huey.origin())?;
        Ok(huey.handle_of::<T>(enqueued))
    }

    /// As [`enqueue`](Self::enqueue), for async code: hooks run here and now, and no thread of the runtime waits for the
    /// disk. Dropping the future undoes nothing.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
    pub fn enqueue_async(self, huey: &Huey) -> EnqueueFuture<T> {
        let told = Arc::new(Told::default());
        if let Err(error) = huey.check_process() {
            told.tell(Err(error));
        } else {
            let teller = Arc::clone(&told);
            huey.inner.pipeline.submit(self, huey.origin(), move |result| teller.tell(result));
        }
        EnqueueFuture { told, huey: huey.clone(), task: std::marker::PhantomData }
    }
}

#[derive(Default)]
struct Told(Mutex<(Option<Result<Enqueued>>, Option<Waker>)>);

impl Told {
    fn tell(&self, result: Result<Enqueued>) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(result);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// An enqueue underway. The job is stored whether or not this is awaited.
#[must_use = "the job is stored anyway; await this to know that it is"]
pub struct EnqueueFuture<T> {
    told: Arc<Told>,
    huey: Huey,
    task: std::marker::PhantomData<fn() -> T>,
}

impl<T: Task> Future for EnqueueFuture<T> {
    type Output = Result<JobHandle<T::Output>>;

    fn poll(self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let mut state = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(result) = state.0.take() {
            return Poll::Ready(result.map(|enqueued| self.huey.handle_of::<T>(enqueued)));
        }
        state.1 = Some(context.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for EnqueueFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnqueueFuture")
    }
}

impl Context {
    /// The queue that runs this job. What is enqueued through it names this job as its parent.
    ///
    /// # Errors
    ///
    /// [`Error::is_setup`] on a [detached](Context::detached) context, which belongs to no queue.
    pub fn huey(&self) -> Result<&Huey> {
        self.owner().and_then(|owner| owner.downcast_ref()).ok_or_else(|| {
            Error::new(ErrorKind::Setup, "a detached context belongs to no queue: run the job through a consumer")
        })
    }
}

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

    /// How many results are kept at most; those whose retention ends first go first. 1,000,000 unless set.
    pub fn max_results(mut self, results: u64) -> Self {
        self.storage.max_results = results;
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
    /// [`Error::is_setup`] if two tasks share a name; [`Error::is_in_use`], [`Error::is_damaged`] or
    /// [`Error::is_unavailable`] from the storage.
    pub fn open(self, storage: impl OpenStorage) -> Result<Huey> {
        let registry = Registry::collect(&self.named)?;
        let storage = storage.open_storage(self.storage)?;
        let (signals, waiters) = (Arc::new(self.signals), Waiters::default());
        let executor = Executor::new(
            Arc::clone(&storage),
            registry,
            Arc::clone(&signals),
            waiters.clone(),
            self.data,
            self.defaults,
        );
        let pipeline = Pipeline::new(storage, signals, waiters, self.hooks, self.defaults);
        let inner = Inner { pipeline: Arc::new(pipeline), executor: Arc::new(executor), process: std::process::id() };
        Ok(Huey { inner: Arc::new(inner), parent: None })
    }
}

impl fmt::Debug for HueyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HueyBuilder").field("defaults", &self.defaults).finish_non_exhaustive()
    }
}
