//! Jobs run on the thread that asks for it, without a consumer: immediate mode, and the test kit.
//!
//! They are claimed, attempted and settled as by a consumer, one after another. An async body runs on a helper thread; while it
//! waits for something, the next job is taken, so that one that awaits another job gets to see its end.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, PoisonError};
use std::collections::{HashMap, VecDeque};

use super::config::Owner;
use super::crew::{Crew, Place};
use super::desk::Pool;
use crate::enqueue::RunNow;
use crate::execute::{Attempt, End, Executor, Kit, Stopper};
use crate::id::JobId;
use crate::periodic::Ticker;
use crate::signal::WorkerMark;
#[cfg(feature = "testing")]
use crate::signal::is_worker_of;
use crate::state::JobState;
use crate::store::{Answer, Claimed, Commit, List, Outcome, Query, Storage, StorageError, Tasks, Transition, Version};
use crate::time::Timestamp;

/// How many waits one call cuts short beside those of the jobs that it enqueued: a job that asks for itself again and again
/// would never let it return.
const MOST_CUT: usize = 1_000;
/// How many scheduled jobs are read at a time.
const PAGE: u32 = 200;

/// Runs jobs on the threads that call it.
pub(crate) struct Inline {
    crew: Arc<Crew>,
    name: Arc<str>,
    /// How many threads run jobs here now.
    hands: AtomicUsize,
    /// Drains that nobody waits for as a thread.
    errands: Mutex<Option<crate::sync::mpsc::Sender<Errand>>>,
    #[cfg(feature = "tokio")]
    helper: Mutex<Option<super::helper::Helper>>,
}

struct Errand {
    ids: Vec<JobId>,
    then: Box<dyn FnOnce() + Send>,
}

/// What one call has begun and not ended.
#[derive(Default)]
pub(crate) struct Begun {
    waiting: HashMap<usize, (Place, Kit)>,
    /// The ends of bodies that did not end at once.
    ends: Arc<Mutex<VecDeque<(usize, End)>>>,
    /// How many attempts began.
    attempts: usize,
}

impl Inline {
    pub(crate) fn new(executor: Arc<Executor>, owner: Owner, ticker: Arc<Ticker>) -> Arc<Self> {
        // No queue named is every queue.
        let crew = Arc::new(Crew::new(
            executor,
            owner,
            ticker,
            vec![Pool { queues: Vec::new(), workers: 0 }],
            Vec::new(),
            Vec::new(),
            true,
        ));
        let stopper: crate::sync::Weak<dyn Stopper> = Arc::downgrade(&crew) as crate::sync::Weak<dyn Stopper>;
        crew.executor.add_stopper(stopper);
        Arc::new(Self {
            crew,
            name: "huey-inline".into(),
            hands: AtomicUsize::new(0),
            errands: Mutex::default(),
            #[cfg(feature = "tokio")]
            helper: Mutex::default(),
        })
    }

    fn storage(&self) -> &dyn Storage {
        &*self.crew.executor.storage
    }

    /// Whether this thread runs jobs of the queue already.
    #[cfg(feature = "testing")]
    pub(crate) fn is_nested(&self) -> bool {
        is_worker_of(self.crew.executor.waiters.key())
    }

    /// Runs all that can run now, until nothing is left or `enough` attempts began. How many did.
    #[cfg(feature = "testing")]
    pub(crate) fn drain(&self, enough: usize) -> Result<usize, StorageError> {
        let _hand = Hand::new(self);
        let mut begun = Begun::default();
        loop {
            while begun.attempts < enough && self.turn(&mut begun)?.is_some() {}
            if begun.waiting.is_empty() {
                return Ok(begun.attempts);
            }
            self.finish(&mut begun)?;
        }
    }

    /// Runs one job to the end of its attempt: its id, if there was one. What an async body waits for runs with it.
    #[cfg(feature = "testing")]
    pub(crate) fn run_next(&self) -> Result<Option<JobId>, StorageError> {
        let _hand = Hand::new(self);
        let mut begun = Begun::default();
        while let Some(id) = self.turn(&mut begun)? {
            if begun.attempts > 0 {
                self.finish(&mut begun)?;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Runs everything, also what waits for its time, until these jobs are at rest.
    fn run_all(&self, ids: &[JobId]) -> Result<(), StorageError> {
        let _hand = Hand::new(self);
        let (mut begun, mut cuts) = (Begun::default(), ids.len() + MOST_CUT);
        let mut due = VecDeque::new();
        loop {
            let seen = self.version();
            while self.turn(&mut begun)?.is_some() {}
            // Also while a body waits for something: it may be the end of a job that waits for its time.
            if self.cut_a_wait(&mut due, &mut cuts)? || self.version() > seen {
                continue;
            }
            if begun.waiting.is_empty() && !self.others_may_run(ids)? {
                return Ok(());
            }
            self.storage().wait(seen, Timestamp::MAX);
        }
    }

    /// Sees to the end of every body that was begun.
    #[cfg(feature = "testing")]
    fn finish(&self, begun: &mut Begun) -> Result<(), StorageError> {
        loop {
            let seen = self.version();
            self.settle_ended(begun);
            if begun.waiting.is_empty() {
                return Ok(());
            }
            if self.turn(begun)?.is_none() {
                self.storage().wait(seen, Timestamp::MAX);
            }
        }
    }

    fn version(&self) -> Version {
        self.storage().wait(Version::default(), Timestamp::from_micros(i64::MIN))
    }

    /// Takes one job, if one can be claimed, and runs it: to its end, or until an async body waits for something.
    fn turn(&self, begun: &mut Begun) -> Result<Option<JobId>, StorageError> {
        loop {
            self.settle_ended(begun);
            let seen = self.version();
            if let Some(job) = self.crew.claim(&self.crew.queues, Tasks::ALL, 1, Tasks::ALL)?.0.pop() {
                return self.attempt(job, begun).map(Some);
            }
            // A claim that ended jobs may have stopped before the first that can run.
            if self.version() == seen {
                return Ok(None);
            }
        }
    }

    fn attempt(&self, job: Claimed, begun: &mut Begun) -> Result<JobId, StorageError> {
        let id = job.lease.id;
        let (place, kit, attempt) = self.crew.begin(None, job, &self.name);
        begun.attempts += usize::from(!kit.is_chord());
        let end = match attempt {
            Ok(attempt) if attempt.is_async() => self.start(attempt, &place, begun),
            Ok(attempt) => Some(attempt.run()),
            Err(end) => Some(end),
        };
        let Some(end) = end else {
            begun.waiting.insert(place.slot, (place, kit));
            return Ok(id);
        };
        let not_begun = matches!(end, End::NotBegun);
        self.crew.settle_and_wait(place, kit, end);
        if not_begun {
            // The job went back, and would be claimed again at once.
            return Err(StorageError::Unavailable("the beginning of an attempt could not be noted".into()));
        }
        Ok(id)
    }

    /// Starts an async body on the helper thread, and gives its end if it comes to it without waiting for anything.
    #[cfg(feature = "tokio")]
    fn start(&self, attempt: Attempt, place: &Place, begun: &Begun) -> Option<End> {
        let cancel = Arc::new(tokio::sync::Notify::new());
        self.crew.cancel_with(place.slot, Arc::clone(&cancel));
        let (ends, slot) = (Arc::clone(&begun.ends), place.slot);
        let executor = Arc::clone(&self.crew.executor);
        let later = move |end| {
            lock(&ends).push_back((slot, end));
            executor.storage.wake();
        };
        let helper = {
            let mut helper = lock(&self.helper);
            match &*helper {
                Some(helper) => helper.clone(),
                None => match super::helper::Helper::start(self.crew.executor.waiters.key()) {
                    Ok(started) => helper.insert(started).clone(),
                    Err(error) => {
                        tracing::error!(%error, "the helper thread for async tasks cannot be started");
                        return Some(End::NotBegun);
                    }
                },
            }
        };
        helper.run(attempt, cancel, Box::new(later))
    }

    #[cfg(not(feature = "tokio"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "it has a helper where there is a runtime")]
    fn start(&self, attempt: Attempt, _: &Place, _: &Begun) -> Option<End> {
        Some(attempt.run())
    }

    /// Settles the bodies that have ended in the meantime, in the order in which they did.
    fn settle_ended(&self, begun: &mut Begun) {
        loop {
            let Some((slot, end)) = lock(&begun.ends).pop_front() else { return };
            if let Some((place, kit)) = begun.waiting.remove(&slot) {
                self.crew.settle_and_wait(place, kit, end);
            }
        }
    }

    /// Makes the job due that waits for the earliest time, if one does.
    fn cut_a_wait(&self, due: &mut VecDeque<(Timestamp, JobId)>, cuts: &mut usize) -> Result<bool, StorageError> {
        if due.is_empty() {
            *due = self.scheduled()?;
        }
        while let Some((_, id)) = due.pop_front() {
            if *cuts == 0 {
                tracing::warn!(
                    job = %id,
                    "an enqueue in immediate mode has cut {MOST_CUT} waits short, and leaves what is still to come: does a job ask for itself again?"
                );
                return Ok(false);
            }
            *cuts -= 1;
            let at = self.storage().clock().now();
            let moved = self.storage().commit(Transition::Reschedule { id, at }, Commit::RELAXED)?;
            if matches!(moved, Outcome::Rescheduled(crate::store::Rescheduled::Moved(_))) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The jobs that wait for their time, the first one first.
    fn scheduled(&self) -> Result<VecDeque<(Timestamp, JobId)>, StorageError> {
        let mut list = List { states: vec![JobState::Scheduled], most: PAGE, ..List::default() };
        let mut all = Vec::new();
        loop {
            let rows = match self.storage().read(Query::List(list.clone()))? {
                Answer::List(rows) => rows,
                other => return Err(StorageError::Damaged(format!("the storage answered a listing with {other:?}"))),
            };
            all.extend(rows.rows.into_iter().map(|row| (row.at, row.id)));
            match rows.next {
                Some(next) => list.from = next,
                None => break,
            }
        }
        all.sort_by_key(|(at, id)| (*at, id.counter()));
        Ok(all.into())
    }

    /// When the first of them is due that is not yet.
    #[cfg(feature = "testing")]
    pub(crate) fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, StorageError> {
        Ok(self.scheduled()?.into_iter().map(|(at, _)| at).find(|at| *at > now))
    }

    /// Whether another thread runs jobs, and one of these may be among them or come up next.
    fn others_may_run(&self, ids: &[JobId]) -> Result<bool, StorageError> {
        if self.hands.load(Ordering::SeqCst) <= 1 {
            return Ok(false);
        }
        for id in ids {
            if let Answer::Job(Ok(row)) = self.storage().read(Query::Job(*id))?
                && matches!(row.state, JobState::Queued | JobState::Running | JobState::Awaiting)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl RunNow for Inline {
    fn run(&self, ids: &[JobId]) {
        match self.run_all(ids) {
            Ok(()) | Err(StorageError::Closed) => {}
            Err(error) => tracing::error!(%error, "jobs were enqueued in immediate mode and could not be run"),
        }
    }

    fn run_elsewhere(self: Arc<Self>, ids: Vec<JobId>, then: Box<dyn FnOnce() + Send>) {
        let mut errands = lock(&self.errands);
        if errands.is_none() {
            let (sender, receiver) = crate::sync::mpsc::channel::<Errand>();
            let inline = Arc::downgrade(&self);
            let body = move || {
                for Errand { ids, then } in receiver {
                    if let Some(inline) = inline.upgrade() {
                        inline.run(&ids);
                    }
                    then();
                }
            };
            match crate::sync::thread::Builder::new().name("huey-immediate".into()).spawn(body) {
                Ok(_) => *errands = Some(sender),
                Err(error) => {
                    tracing::error!(%error, "the thread huey-immediate cannot be started, and jobs wait for the next enqueue");
                }
            }
        }
        match &*errands {
            // Its thread ends only after this sender is gone.
            Some(sender) => drop(sender.send(Errand { ids, then })),
            None => then(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> crate::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that runs jobs here.
struct Hand<'a> {
    inline: &'a Inline,
    _mark: WorkerMark,
}

impl<'a> Hand<'a> {
    fn new(inline: &'a Inline) -> Self {
        inline.hands.fetch_add(1, Ordering::SeqCst);
        Self { inline, _mark: WorkerMark::new(inline.crew.executor.waiters.key()) }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.inline.hands.fetch_sub(1, Ordering::SeqCst);
        // Others may wait for what was run here.
        self.inline.storage().wake();
    }
}
