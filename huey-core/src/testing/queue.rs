//! A queue for one test: in memory, with a clock of its own, and without a consumer.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::recorded::{Recorded, Recording};
use crate::codec;
use crate::enqueue::Registered;
use crate::id::JobId;
use crate::queue::{Huey, HueyBuilder};
use crate::signal::Signal;
use crate::store::StorageError;
use crate::time::{Timestamp, VirtualClock};

/// When the clock of a test queue begins: 2026-01-01T00:00:00Z.
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// A drain that has run so many attempts will not end.
const MOST: usize = 10_000;

/// A queue for one test. It is a [`Huey`], which it derefs to: code under test enqueues into it as into any other.
///
/// Nothing runs before the test says so, and then on its thread, in the order in which a single worker would run it, and in the same way:
/// through hooks, commits, retries and signals. Its clock stands still until it is [moved](Self::advance). Each one has
/// memory and a clock of its own, so tests may run beside each other.
///
/// ```
/// # mod huey { pub use huey_core::*; }
/// use huey::{SignalKind, testing::TestQueue};
///
/// let queue = TestQueue::new();
/// assert_eq!(queue.drain(), 0);
/// assert_eq!(queue.heard(), "");
/// ```
///
/// What only a clock that runs brings about stays real: the timeout of an attempt, and what an async body sleeps.
///
/// # Panics
///
/// Its methods panic where a test should fail: when the storage does, and as they say themselves.
pub struct TestQueue {
    huey: Huey,
    clock: Arc<VirtualClock>,
    heard: Arc<Mutex<Vec<Signal>>>,
    recorded: Arc<Mutex<Recorded>>,
    periodic: bool,
}

impl TestQueue {
    /// An empty queue.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    /// An empty queue with the hooks, data and defaults that `set_up` gives it. Of data only what the jobs that run need must be
    /// there: a job whose data is missing is parked.
    ///
    /// ```
    /// # mod huey { pub use huey_core::*; }
    /// # use std::time::Duration;
    /// use huey::testing::TestQueue;
    ///
    /// struct Mailer;
    /// let queue = TestQueue::with(|huey| huey.data(Mailer).retention(Duration::from_secs(60)));
    /// ```
    ///
    /// # Panics
    ///
    /// If two tasks share a name, or a schedule's time zone is unknown.
    #[track_caller]
    pub fn with(set_up: impl FnOnce(HueyBuilder) -> HueyBuilder) -> Self {
        let clock = VirtualClock::starting_at(START);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let recording = Recording::default();
        let recorded = Arc::clone(&recording.0);
        let listener = Arc::clone(&heard);
        let builder = set_up(Huey::builder()).on_any(move |signal| lock(&listener).push(signal.clone()));
        let huey = builder.clock(clock.clock()).open(recording).unwrap_or_else(|error| panic!("{error}"));
        Self { huey, clock, heard, recorded, periodic: false }
    }

    /// Whether schedules make jobs as the clock moves. They do not unless set, so that a test of one task is not
    /// disturbed by the schedules of others.
    #[must_use]
    #[track_caller]
    pub fn periodic(mut self, periodic: bool) -> Self {
        self.periodic = periodic;
        self.tick();
        self
    }

    /// The clock. Setting it by hand decides no ticks.
    #[must_use]
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// What the clock says.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.clock().now()
    }

    /// Moves the clock forward. What has become due is run by the next [`drain`](Self::drain). With [`periodic`](Self::periodic) the
    /// ticks on the way make their jobs, each at its own instant; nothing runs in between, so that a schedule whose jobs
    /// must not overlap makes one.
    #[track_caller]
    pub fn advance(&self, by: Duration) {
        let until = self.now() + by;
        loop {
            let next = self.tick();
            if next > until {
                break;
            }
            self.clock.set(next);
        }
        self.clock.set(until);
    }

    /// Runs all jobs that are due, and those that they bring about, in order: higher priority first, then the order of
    /// enqueueing, over all queues. How many attempts that were. Jobs scheduled for later stay.
    ///
    /// # Panics
    ///
    /// If 10,000 attempts leave jobs that are due, if it is called in the body of a job, or if the storage fails.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    #[track_caller]
    pub fn drain(&self) -> usize {
        let attempts = ran(self.huey.drain(MOST));
        let ended = attempts < MOST || ran(self.huey.counts()).queued == 0;
        assert!(ended, "{MOST} attempts were run, and jobs are still due: does a job enqueue itself?");
        attempts
    }

    /// Runs one attempt of the job that is next, and gives its id; `None` if no job is due. Another job that an async body awaits
    /// runs as well.
    ///
    /// # Panics
    ///
    /// If it is called in the body of a job, or if the storage fails.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    #[track_caller]
    pub fn run_next(&self) -> Option<JobId> {
        ran(self.huey.run_next())
    }

    /// Lets time pass as beside a consumer: runs what is due, moves the clock to the next instant at which something is, and so
    /// on until it has moved so far. How many attempts were run. Retries with a delay, delayed steps and (with
    /// [`periodic`](Self::periodic)) ticks happen at their own instants, and so do jobs over their rate.
    ///
    /// # Panics
    ///
    /// As [`drain`](Self::drain).
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    #[track_caller]
    pub fn run_for(&self, time: Duration) -> usize {
        let until = self.now() + time;
        let mut attempts = 0;
        loop {
            let tick = self.tick();
            attempts += self.drain();
            let next = ran(self.huey.next_due(self.now())).map_or(tick, |due| due.min(tick));
            if next > until {
                self.clock.set(until);
                return attempts;
            }
            self.clock.set(next);
        }
    }

    /// Decides the ticks that have come, if that is wanted, and says when the next one does.
    #[track_caller]
    fn tick(&self) -> Timestamp {
        if self.periodic { ran(self.huey.tick()) } else { Timestamp::MAX }
    }

    /// Every signal since the queue was made or last [forgot](Self::forget).
    #[must_use]
    pub fn signals(&self) -> Vec<Signal> {
        lock(&self.heard).clone()
    }

    /// The names of their kinds, as `enqueued executing complete`.
    #[must_use]
    pub fn heard(&self) -> String {
        names(lock(&self.heard).iter())
    }

    /// As [`heard`](Self::heard), of one job.
    #[must_use]
    pub fn heard_of(&self, id: JobId) -> String {
        names(lock(&self.heard).iter().filter(|signal| signal.id == id))
    }

    /// Forgets the signals and the jobs that were enqueued so far. The queue itself stays as it is.
    pub fn forget(&self) {
        lock(&self.heard).clear();
        lock(&self.recorded).jobs.clear();
    }

    /// Lets the next `times` calls that store or change something fail with this error, as a broken storage would: enqueues,
    /// cancels, schedules and the like, but not what runs jobs. An [`Unknown`](StorageError::Unknown) happens all the same, as
    /// when only the answer was lost; any other does nothing.
    ///
    /// ```
    /// # mod huey { pub use huey_core::*; }
    /// use huey::{store::StorageError, testing::TestQueue};
    ///
    /// let queue = TestQueue::new();
    /// queue.fail_next(1, StorageError::Unavailable("the disk is gone".into()));
    /// ```
    pub fn fail_next(&self, times: usize, error: StorageError) {
        lock(&self.recorded).failing = Some((times, error));
    }

    /// The jobs of a task that were enqueued since the queue was made or last [forgot](Self::forget), whatever became of them, with the
    /// arguments that were stored.
    ///
    /// # Panics
    ///
    /// If stored arguments cannot be read.
    #[must_use]
    #[track_caller]
    pub fn enqueued<T: Registered>(&self) -> Vec<(JobId, T)> {
        let task = T::DEFINITION.name;
        let of_task: Vec<_> = lock(&self.recorded).jobs.iter().filter(|job| job.task == task).cloned().collect();
        let read = |bytes: &[u8]| codec::decode(bytes).unwrap_or_else(|error| panic!("{task}: {error}"));
        of_task.into_iter().map(|job| (job.id, read(&job.body.args))).collect()
    }

    /// What [`assert_enqueued!`](crate::assert_enqueued) calls.
    #[doc(hidden)]
    #[track_caller]
    pub fn expect_enqueued<T: Registered>(&self, wanted: Option<&str>, fits: impl Fn(&T) -> bool) {
        let jobs = self.enqueued::<T>();
        if !jobs.iter().any(|(_, args)| fits(args)) {
            let with = wanted.map_or_else(String::new, |wanted| format!(" for which `{wanted}`"));
            panic!("no job of `{}` was enqueued{with}; {}", T::DEFINITION.name, self.tell());
        }
    }

    /// What [`refute_enqueued!`](crate::refute_enqueued) calls.
    #[doc(hidden)]
    #[track_caller]
    pub fn expect_not_enqueued<T: Registered>(&self, wanted: Option<&str>, fits: impl Fn(&T) -> bool) {
        let jobs = self.enqueued::<T>();
        if let Some((id, _)) = jobs.iter().find(|(_, args)| fits(args)) {
            let with = wanted.map_or_else(String::new, |wanted| format!(" for which `{wanted}`"));
            panic!("the job {id} of `{}` was enqueued{with}; {}", T::DEFINITION.name, self.tell());
        }
    }

    /// What was enqueued, in words.
    fn tell(&self) -> String {
        let recorded = lock(&self.recorded);
        if recorded.jobs.is_empty() {
            return "nothing was enqueued".into();
        }
        let lines = recorded.jobs.iter().map(|job| {
            let args = self.huey.show(&job.task, &job.body.args);
            let wait = job.run_at.since(job.id.made_at());
            let delay = if wait.is_zero() { String::new() } else { format!(", due {wait:?} later") };
            format!("\n    {}{args} in `{}`{delay}", job.task, job.queue)
        });
        format!("what was enqueued:{}", lines.collect::<String>())
    }
}

impl Default for TestQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestQueue {
    type Target = Huey;

    fn deref(&self) -> &Huey {
        &self.huey
    }
}

impl std::fmt::Debug for TestQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestQueue").field("now", &self.now()).field("heard", &self.heard()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn names<'a>(signals: impl Iterator<Item = &'a Signal>) -> String {
    signals.map(|signal| signal.kind.name()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn ran<T>(result: crate::error::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("the jobs cannot be run: {error}"))
}
