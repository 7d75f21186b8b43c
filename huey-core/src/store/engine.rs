//! A storage over any log: callers that arrive together share one entry of the journal and one sync.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::barrier::{Announcement, Errand, Watermark, lock};
use super::core::{Answered, Core, Served};
use super::log::{LogError, Medium, Running};
use super::storage::{Answer, Commit, Done, Query, Storage, StorageError, StorageOptions, Version};
use super::transition::{Lease, Outcome, Transition};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::task::Durability;
use crate::time::{Clock, Timestamp, monotonic};

/// How often the note of what is durable is rewritten at most.
const MARK_EVERY: Duration = Duration::from_secs(5);
/// How long a failed log is left alone before it is opened again, at first and at most.
const REOPEN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Opens the log that `medium` holds and keeps jobs in it.
///
/// # Errors
///
/// The medium's own, and [`Error::is_damaged`] if the log is not what was written.
pub fn engine<M: Medium>(medium: M, options: StorageOptions) -> Result<Arc<dyn Storage>> {
    let watermark = Watermark::new();
    let (announcer, receiver) = channel();
    let core = Core::open(&medium, &options, watermark.durable(), true)?;
    let shared = Arc::new(Shared {
        running: medium.running(),
        medium,
        inbox: Mutex::default(),
        core: Mutex::new(Life::Alive(Box::new(core))),
        watermark,
        watch: Watch::default(),
        next_due: AtomicI64::new(i64::MIN),
        closed: AtomicBool::new(false),
        marked: Mutex::new((monotonic(), 0)),
        announcer: Mutex::new(Some(announcer)),
        options,
    });
    let wake = Arc::downgrade(&shared);
    let on_move: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        if let Some(shared) = wake.upgrade() {
            shared.watch.bump();
        }
    });
    shared.options.clock.on_move(Arc::downgrade(&on_move));
    let writer = Arc::clone(&shared);
    let threads = [
        spawn("huey-writer", move || writer.write_loop())?,
        spawn("huey-announcer", {
            let shared = Arc::downgrade(&shared);
            move || announce_loop(&shared, &receiver)
        })?,
    ];
    Ok(Arc::new(Engine { shared, threads: Mutex::new(threads.into()), _on_move: on_move }))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::unavailable(format!("the thread {name} cannot be started: {error}")).caused_by(error))
}

struct Engine<M: Medium> {
    shared: Arc<Shared<M>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _on_move: Arc<dyn Fn() + Send + Sync>,
}

struct Shared<M: Medium> {
    medium: M,
    running: Arc<dyn Running>,
    options: StorageOptions,
    inbox: Mutex<Vec<Request>>,
    core: Mutex<Life<M::Log>>,
    watermark: Watermark,
    watch: Watch,
    /// When the next scheduled job is due, in microseconds.
    next_due: AtomicI64,
    closed: AtomicBool,
    /// When the note of what is durable was written last, and what it said.
    marked: Mutex<(Instant, u64)>,
    /// The way to the thread that tells outcomes to those who did not wait.
    announcer: Mutex<Option<Sender<Told>>>,
}

/// The log's life.
enum Life<L> {
    Alive(Box<Core<L>>),
    /// It failed, and is opened again when somebody needs it.
    Failed {
        error: String,
        again: Instant,
        pause: Duration,
    },
    Closed,
}

struct Request {
    transition: Transition,
    how: Commit,
    reply: Reply,
}

enum Reply {
    Slot(Arc<Mutex<Option<(Answered, u64)>>>),
    Done(Done),
}

type Told = (Done, Result<Outcome, StorageError>, Vec<u64>);

impl<M: Medium> Shared<M> {
    /// Runs `act` on the core, opening the log again first if it failed.
    fn with_core<T>(
        &self,
        life: &mut Life<M::Log>,
        act: impl FnOnce(&mut Core<M::Log>) -> T,
    ) -> Result<T, StorageError> {
        if let Life::Failed { error, again, pause } = life {
            if monotonic() < *again {
                return Err(StorageError::Unavailable(error.clone()));
            }
            match Core::open(&self.medium, &self.options, self.watermark.durable(), false) {
                Ok(core) => {
                    tracing::warn!(queue = %self.medium.name(), "the storage was opened again after a failure");
                    *life = Life::Alive(Box::new(core));
                    self.watch.bump();
                }
                Err(fault) => {
                    let (error, pause) = (fault.to_string(), (*pause * 2).min(REOPEN.1));
                    *life = Life::Failed { error: error.clone(), again: monotonic() + pause, pause };
                    return Err(StorageError::Unavailable(error));
                }
            }
        }
        match life {
            Life::Alive(core) => Ok(act(core)),
            Life::Failed { error, .. } => Err(StorageError::Unavailable(error.clone())),
            Life::Closed => Err(StorageError::Closed),
        }
    }

    /// The log failed. It is dropped here, so that it can be opened again.
    fn fail(&self, life: &mut Life<M::Log>, error: &LogError) {
        tracing::error!(queue = %self.medium.name(), %error, "the storage failed and will be opened again");
        *life = Life::Failed { error: error.message.clone(), again: monotonic(), pause: REOPEN.0 };
        self.watermark.fail();
        self.watermark.ask_to_serve();
    }

    /// Serves everything in the inbox. Whoever holds the lock does it for all.
    fn drain(&self, life: &mut Life<M::Log>) -> Vec<Told> {
        let requests = std::mem::take(&mut *lock(&self.inbox));
        if requests.is_empty() {
            return Vec::new();
        }
        let now = self.options.clock.now();
        let (work, replies): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|request| ((request.transition, request.how), (request.how, request.reply)))
            .unzip();
        let mut answers = Vec::with_capacity(work.len());
        let before = self.watermark.life();
        let served = self.with_core(life, |core| {
            let last = core.last();
            let served = core.serve(work.into_iter(), now, &mut answers);
            self.next_due.store(core.next_due().as_micros(), Ordering::SeqCst);
            if core.last() != last {
                self.watermark.written();
            }
            if core.take_stirred() {
                self.watch.bump();
            }
            served
        });
        let unanswered = match served {
            Ok(Ok(())) => StorageError::Unavailable("the storage gave no answer".into()),
            Ok(Err(error)) => {
                self.fail(life, &error);
                StorageError::Unknown(error.message)
            }
            Err(error) => error,
        };
        answers.resize_with(replies.len(), || Err(unanswered.clone()));
        let mut told = Vec::new();
        for ((how, reply), answer) in replies.into_iter().zip(answers) {
            match (reply, answer) {
                (Reply::Slot(slot), answer) => *lock(&slot) = Some((answer, before)),
                (Reply::Done(done), Err(error)) => told.push((done, Err(error), Vec::new())),
                (Reply::Done(done), Ok(Served { outcome, sequence, sync, held })) => {
                    if sync || how.durability == Durability::Synced {
                        self.watermark.announce_later(Announcement {
                            sequence,
                            life: before,
                            outcome,
                            held,
                            keep_held: how.hold,
                            done,
                        });
                    } else {
                        told.push((done, Ok(outcome), if how.hold { Vec::new() } else { held }));
                    }
                }
            }
        }
        told
    }

    /// Makes everything inserted so far durable.
    fn sync(&self) -> Result<(), StorageError> {
        let (barrier, upto, life) = {
            let mut core = lock(&self.core);
            self.watermark.clean();
            let flushed = self.with_core(&mut core, |core| {
                let upto = core.journal().flush();
                (upto, core.journal().barrier())
            })?;
            match flushed {
                (Ok(upto), barrier) => (barrier, upto, self.watermark.life()),
                (Err(error), _) => {
                    self.fail(&mut core, &error);
                    return Err(StorageError::Unknown(error.message));
                }
            }
        };
        if let Err(error) = barrier.sync() {
            drop(barrier);
            let mut core = lock(&self.core);
            if self.watermark.life() == life {
                self.fail(&mut core, &error);
            }
            return Err(StorageError::Unknown(error.message));
        }
        // A failure in between was followed by reading the log again, and what this sync reached is not known.
        let core = lock(&self.core);
        let same = self.watermark.life() == life;
        if same {
            self.watermark.durable().fetch_max(upto, Ordering::SeqCst);
        }
        drop(core);
        if same {
            self.mark(upto, false);
        }
        Ok(())
    }

    fn mark(&self, upto: u64, now: bool) {
        let mut marked = lock(&self.marked);
        let due = now || monotonic().duration_since(marked.0) >= MARK_EVERY;
        if due && upto > marked.1 {
            match self.medium.mark(upto) {
                Ok(()) => *marked = (monotonic(), upto),
                Err(error) => tracing::warn!(%error, "the note of what is durable was not written"),
            }
        }
    }

    fn release_counters(&self, counters: &[u64]) {
        if counters.is_empty() {
            return;
        }
        let mut life = lock(&self.core);
        if let Life::Alive(core) = &mut *life {
            core.release(counters);
            self.next_due.store(core.next_due().as_micros(), Ordering::SeqCst);
            if core.take_stirred() {
                self.watch.bump();
            }
        }
    }

    fn write_loop(&self) {
        loop {
            let told = match self.watermark.next_errand(self.options.flush_interval) {
                Errand::Serve => {
                    let mut core = lock(&self.core);
                    // After a failure the log is opened again also if nobody asks for anything.
                    let _ = self.with_core(&mut core, |_| ());
                    let told = self.drain(&mut core);
                    if let Life::Failed { pause, .. } = &*core {
                        self.watermark.ask_to_serve_in(*pause);
                    }
                    told
                }
                Errand::Sync => {
                    self.watermark.lead(|| {
                        // Those who wait for it are told by the count of failures, and `fail` has logged it.
                        let _ = self.sync();
                    });
                    Vec::new()
                }
                Errand::Announce(ready) => ready.into_iter().map(|one| self.announced(one)).collect(),
                Errand::Close => return,
            };
            self.tell(told);
        }
    }

    /// Hands outcomes to the thread that calls back.
    fn tell(&self, told: Vec<Told>) {
        if told.is_empty() {
            return;
        }
        let announcer = lock(&self.announcer);
        for one in told {
            if let Some(announcer) = &*announcer {
                // It ends only after this sender is gone.
                let _ = announcer.send(one);
            }
        }
    }

    fn announced(&self, one: Announcement) -> Told {
        if self.watermark.is_durable(one.sequence) && self.watermark.life() == one.life {
            return (one.done, Ok(one.outcome), if one.keep_held { Vec::new() } else { one.held });
        }
        let error = StorageError::Unknown("the storage failed before this was on the disk".into());
        (one.done, Err(error), one.held)
    }
}

fn announce_loop<M: Medium>(shared: &Weak<Shared<M>>, told: &Receiver<Told>) {
    while let Ok((done, outcome, held)) = told.recv() {
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| done(outcome))).is_err() {
            tracing::error!("a callback of the storage panicked");
        }
        if let Some(shared) = shared.upgrade() {
            shared.release_counters(&held);
        }
    }
}

impl<M: Medium> Storage for Engine<M> {
    fn commit(&self, transition: Transition, how: Commit) -> Result<Outcome, StorageError> {
        let shared = &*self.shared;
        let slot = Arc::new(Mutex::new(None));
        lock(&shared.inbox).push(Request { transition, how, reply: Reply::Slot(Arc::clone(&slot)) });
        let told = {
            let mut core = lock(&shared.core);
            if lock(&slot).is_some() { Vec::new() } else { shared.drain(&mut core) }
        };
        // Submitted transitions may have been served on the way.
        shared.tell(told);
        let (answer, life) = lock(&slot).take().unwrap_or((Err(StorageError::Closed), 0));
        let Served { outcome, sequence, sync, held } = answer?;
        if sync || how.durability == Durability::Synced {
            shared.watermark.wait_for(sequence, life, || shared.sync())?;
        }
        if !how.hold {
            shared.release_counters(&held);
        }
        Ok(outcome)
    }

    fn submit(&self, transition: Transition, how: Commit, done: Done) {
        lock(&self.shared.inbox).push(Request { transition, how, reply: Reply::Done(done) });
        self.shared.watermark.ask_to_serve();
    }

    fn release(&self, jobs: &[JobId]) {
        let counters: Vec<u64> = jobs.iter().map(|id| id.counter()).collect();
        self.shared.release_counters(&counters);
    }

    fn read(&self, query: Query) -> Result<Answer, StorageError> {
        let now = self.shared.options.clock.now();
        let mut core = lock(&self.shared.core);
        self.shared.with_core(&mut core, |core| core.read(query, now))?
    }

    fn wait(&self, since: Version, until: Timestamp) -> Version {
        let shared = &*self.shared;
        loop {
            let due = Timestamp::from_micros(shared.next_due.load(Ordering::SeqCst));
            let now = shared.options.clock.now();
            if due <= now {
                let mut life = lock(&shared.core);
                if let Life::Alive(core) = &mut *life {
                    core.promote(now);
                    shared.next_due.store(core.next_due().as_micros(), Ordering::SeqCst);
                    if core.take_stirred() {
                        shared.watch.bump();
                    }
                }
            }
            let version = shared.watch.version();
            if version > since || until <= now {
                return version;
            }
            let due = Timestamp::from_micros(shared.next_due.load(Ordering::SeqCst));
            shared.watch.wait(since, shared.options.clock.sleep_until(due.min(until)));
        }
    }

    fn wake(&self) {
        self.shared.watch.bump();
    }

    fn begin(&self, slot: usize, lease: Lease) -> Result<(), StorageError> {
        let begun = self.shared.running.begin(slot, lease.id.counter(), lease.claim);
        begun.map_err(|error| StorageError::Unavailable(error.message))
    }

    fn end(&self, slot: usize) {
        if let Err(error) = self.shared.running.end(slot) {
            tracing::warn!(%error, "the end of an attempt was not noted; should the process die, it counts as a crash");
        }
    }

    fn clock(&self) -> Clock {
        self.shared.options.clock.clone()
    }

    fn offers(&self) -> &[Durability] {
        &[Durability::Relaxed, Durability::Synced]
    }

    fn close(&self) -> Result<(), StorageError> {
        let shared = &*self.shared;
        if shared.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let synced = shared.sync();
        shared.mark(shared.watermark.durable().load(Ordering::SeqCst), true);
        shared.watermark.close();
        // The writer ends first, and the announcer once nobody can tell it anything. A callback may be what drops the
        // last handle, and a thread cannot wait for itself.
        let here = std::thread::current().id();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.thread().id() != here && thread.join().is_err() {
                tracing::error!("a thread of the storage panicked");
            }
            lock(&shared.announcer).take();
        }
        *lock(&shared.core) = Life::Closed;
        shared.watch.bump();
        synced
    }

    fn name(&self) -> String {
        self.shared.medium.name()
    }
}

impl<M: Medium> Drop for Engine<M> {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the queue was not closed cleanly");
        }
    }
}
