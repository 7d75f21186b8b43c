//! A storage over any log: callers that arrive together share one entry of the journal and one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::barrier::{Announcement, Errand, Watermark, lock, panic_text};
use super::core::{Answered, Core, Served};
use super::log::{LogError, Medium, Running};
use super::storage::{Answer, Commit, Done, Query, Storage, StorageError, StorageOptions, Version};
use super::transition::{Lease, Outcome, Settlement, Transition, Verdict};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::machine::Inherited;
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
    Ok(Arc::new(Engine::open(medium, options)?))
}

impl<M: Medium> Engine<M> {
    pub(crate) fn open(medium: M, options: StorageOptions) -> Result<Self> {
        let watermark = Watermark::new();
        let (announcer, receiver) = channel();
        let core = open_core(&medium, &options, &watermark, None)?;
        let shared = Arc::new(Shared {
            running: medium.running(),
            medium,
            inbox: Mutex::default(),
            core: Mutex::new(Life::Alive(Box::new(core))),
            watermark,
            watch: Watch::default(),
            begun: Mutex::default(),
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
        Ok(Self { shared, threads: Mutex::new(threads.into()), _on_move: on_move })
    }
}

/// Opens the log and reads it back. A panic of the log is an error like others, but one that is not tried again.
fn open_core<M: Medium>(
    medium: &M,
    options: &StorageOptions,
    watermark: &Watermark,
    inherited: Option<Inherited>,
) -> Result<Core<M::Log>> {
    let open = || Core::open(medium, options, watermark.durable(), inherited);
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let (name, text) = (medium.name(), panic_text(&*panic));
        Err(Error::damaged(format!(
            "the queue in {name} is damaged: opening it panicked: {text}; nothing was deleted: restore the folder from \
             a copy, or move it away to start an empty queue"
        )))
    })
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::unavailable(format!("the thread {name} cannot be started: {error}")).caused_by(error))
}

pub(crate) struct Engine<M: Medium> {
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
    /// The attempts that run.
    begun: Mutex<Begun>,
    /// When the next scheduled job is due, in microseconds.
    next_due: AtomicI64,
    closed: AtomicBool,
    /// When the note of what is durable was written last, and what it said.
    marked: Mutex<(Instant, u64)>,
    /// The way to the thread that tells outcomes to those who did not wait.
    announcer: Mutex<Option<Sender<Told>>>,
}

/// The attempts that run, by slot, as long as the process lives. A job that was claimed before a failure and has none
/// goes back: the answer to its claim was lost on the way, or its settle was, in the log.
#[derive(Default)]
struct Begun {
    slots: Vec<Option<Lease>>,
    /// Older claims may not begin any more.
    least_claim: u32,
}

impl Begun {
    /// Puts a lease in a slot, or none, and returns the one that was there.
    fn put(&mut self, slot: usize, lease: Option<Lease>) -> Option<Lease> {
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, None);
        }
        self.slots.get_mut(slot).and_then(|place| std::mem::replace(place, lease))
    }

    /// The attempt in a slot is over. Returns its lease if that has outlived a failure: the settle may not have.
    fn end(&mut self, slot: usize) -> Option<Lease> {
        self.put(slot, None).filter(|lease| lease.claim < self.least_claim)
    }

    /// The attempts that keep their lease. Whoever has claimed and not begun is refused from now on.
    fn keep(&mut self, least_claim: u32) -> Vec<(u64, u32)> {
        self.least_claim = least_claim;
        self.slots.iter().flatten().map(|lease| (lease.id.counter(), lease.claim)).collect()
    }
}

/// The log's life.
enum Life<L> {
    Alive(Box<Core<L>>),
    /// It failed, and is opened again when somebody needs it.
    Failed {
        error: String,
        again: Instant,
        pause: Duration,
        inherited: Inherited,
    },
    /// It is damaged, or it panicked, and is not opened again in this process.
    Broken(String),
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

type Told = (Done, Result<Outcome, StorageError>, Held);

/// Jobs that were held for an announcement, and whether the one who announces lets them go.
#[derive(Default)]
struct Held {
    jobs: Vec<u64>,
    by_caller: bool,
}

impl<M: Medium> Shared<M> {
    /// Runs `act` on the core, opening the log again first if it failed. A failed read or a panic fails the log.
    fn with_core<T>(
        &self,
        life: &mut Life<M::Log>,
        act: impl FnOnce(&mut Core<M::Log>) -> T,
    ) -> Result<T, StorageError> {
        self.reopen(life);
        let core = match life {
            Life::Alive(core) => core,
            Life::Failed { error, .. } => return Err(StorageError::Unavailable(error.clone())),
            Life::Broken(error) => return Err(StorageError::Damaged(error.clone())),
            Life::Closed => return Err(StorageError::Closed),
        };
        let acted = catch_unwind(AssertUnwindSafe(|| act(core)));
        let failure = core.failure();
        match acted {
            Ok(acted) => {
                if let Some(error) = failure {
                    self.fail(life, &error);
                }
                Ok(acted)
            }
            Err(panic) => {
                let text = format!("the storage panicked and stays closed: {}", panic_text(&*panic));
                self.fail(life, &LogError::damaged(text.clone()));
                Err(StorageError::Unknown(text))
            }
        }
    }

    /// Opens a failed log again, once its pause is over.
    fn reopen(&self, life: &mut Life<M::Log>) {
        let Life::Failed { again, pause, inherited, .. } = life else { return };
        if monotonic() < *again {
            return;
        }
        inherited.live = lock(&self.begun).keep(inherited.least_claim);
        *life = match open_core(&self.medium, &self.options, &self.watermark, Some(inherited.clone())) {
            Ok(core) => {
                tracing::warn!(queue = %self.medium.name(), "the storage was opened again after a failure");
                self.next_due.store(core.next_due().as_micros(), Ordering::SeqCst);
                Life::Alive(Box::new(core))
            }
            Err(error) if error.is_damaged() => {
                tracing::error!(%error, "the storage stays closed");
                Life::Broken(error.to_string())
            }
            Err(error) => {
                let pause = (*pause * 2).min(REOPEN.1);
                let inherited = std::mem::take(inherited);
                Life::Failed { error: error.to_string(), again: monotonic() + pause, pause, inherited }
            }
        };
        self.watch.bump();
    }

    /// The log failed. It is dropped here, so that it can be opened again.
    fn fail(&self, life: &mut Life<M::Log>, error: &LogError) {
        let Life::Alive(core) = life else { return };
        tracing::error!(queue = %self.medium.name(), %error, "the storage failed");
        let inherited = core.bequeath();
        let failed = if error.damaged {
            Life::Broken(error.message.clone())
        } else {
            Life::Failed { error: error.message.clone(), again: monotonic(), pause: REOPEN.0, inherited }
        };
        let failed = std::mem::replace(life, failed);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(failed))) {
            tracing::error!("the failed log panicked when it was dropped: {}", panic_text(&*panic));
        }
        self.watermark.fail(&error.message);
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
        if self.watermark.life() != before {
            // Also what was inserted before the failure may be lost with it.
            let durable = self.watermark.durable().load(Ordering::SeqCst);
            for answer in &mut answers {
                if answer.as_ref().is_ok_and(|served| served.sequence > durable) {
                    *answer = Err(self.watermark.lost());
                }
            }
        }
        answers.resize_with(replies.len(), || Err(unanswered.clone()));
        let mut told = Vec::new();
        for ((how, reply), answer) in replies.into_iter().zip(answers) {
            match (reply, answer) {
                (Reply::Slot(slot), answer) => *lock(&slot) = Some((answer, before)),
                (Reply::Done(done), Err(error)) => told.push((done, Err(error), Held::default())),
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
                        told.push((done, Ok(outcome), Held { jobs: held, by_caller: how.hold }));
                    }
                }
            }
        }
        told
    }

    /// Makes everything inserted so far durable.
    fn sync(&self) -> Result<(), StorageError> {
        let (flushed, syncer, life) = {
            let mut core = lock(&self.core);
            self.watermark.clean();
            let flushed = self.with_core(&mut core, |core| {
                let flushed = core.flush();
                (flushed, core.syncer())
            })?;
            match flushed {
                (Ok(flushed), syncer) => (flushed, syncer, self.watermark.life()),
                (Err(error), _) => {
                    self.fail(&mut core, &error);
                    return Err(StorageError::Unknown(error.message));
                }
            }
        };
        let done = syncer.sync(flushed);
        drop(syncer);
        let mut core = lock(&self.core);
        if self.watermark.life() != life {
            // The log was read again in between, and what this sync reached is not known.
            return Ok(());
        }
        if let Err(error) = done {
            self.fail(&mut core, &error);
            return Err(StorageError::Unknown(error.message));
        }
        self.watermark.durable().fetch_max(flushed.upto, Ordering::SeqCst);
        drop(core);
        self.mark(flushed.upto, false);
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

    /// Moves jobs that are due at `now` into their lanes, and says when the next one is.
    fn due(&self, now: Timestamp) -> Timestamp {
        let due = Timestamp::from_micros(self.next_due.load(Ordering::SeqCst));
        if due > now {
            return due;
        }
        // While the log is not there nothing is due; opening it again is a change of its own.
        let Life::Alive(core) = &mut *lock(&self.core) else { return Timestamp::MAX };
        core.promote(now);
        if core.take_stirred() {
            self.watch.bump();
        }
        let due = core.next_due();
        self.next_due.store(due.as_micros(), Ordering::SeqCst);
        due
    }

    /// Lets go of held jobs, in the way that `how` says.
    fn let_go(&self, counters: &[u64], how: impl FnOnce(&mut Core<M::Log>, &[u64])) {
        if counters.is_empty() {
            return;
        }
        let mut life = lock(&self.core);
        if let Life::Alive(core) = &mut *life {
            how(core, counters);
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
                    self.reopen(&mut core);
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
        let announcer = lock(&self.announcer).clone();
        for one in told {
            match &announcer {
                // It ends only after this sender is gone.
                Some(announcer) => drop(announcer.send(one)),
                None => call_back(one.0, one.1),
            }
        }
    }

    fn announced(&self, one: Announcement) -> Told {
        if self.watermark.is_durable(one.sequence, one.life) {
            return (one.done, Ok(one.outcome), Held { jobs: one.held, by_caller: one.keep_held });
        }
        // The failure has released what was held.
        (one.done, Err(self.watermark.lost()), Held::default())
    }

    /// Makes everything durable that was inserted until now, and lets go of the log.
    fn shut(&self) -> Result<(), StorageError> {
        let mut core = lock(&self.core);
        let synced = self.with_core(&mut core, Core::sync);
        let synced = synced.and_then(|synced| synced.map_err(|error| StorageError::Unknown(error.message)));
        let log = std::mem::replace(&mut *core, Life::Closed);
        if synced.is_ok() {
            self.mark(self.watermark.durable().load(Ordering::SeqCst), true);
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(log))) {
            tracing::error!("the log panicked when it was closed: {}", panic_text(&*panic));
        }
        synced
    }

    /// Answers what nobody will serve any more.
    fn turn_away(&self) {
        for Request { reply, .. } in std::mem::take(&mut *lock(&self.inbox)) {
            match reply {
                Reply::Slot(slot) => *lock(&slot) = Some((Err(StorageError::Closed), 0)),
                Reply::Done(done) => call_back(done, Err(StorageError::Closed)),
            }
        }
    }
}

fn call_back(done: Done, outcome: Result<Outcome, StorageError>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| done(outcome))) {
        tracing::error!("a callback of the storage panicked: {}", panic_text(&*panic));
    }
}

fn announce_loop<M: Medium>(shared: &Weak<Shared<M>>, told: &Receiver<Told>) {
    while let Ok((done, outcome, held)) = told.recv() {
        if let Some(shared) = shared.upgrade() {
            shared.let_go(&held.jobs, Core::show);
        }
        call_back(done, outcome);
        if let Some(shared) = shared.upgrade().filter(|_| !held.by_caller) {
            shared.let_go(&held.jobs, Core::release);
        }
    }
}

#[cfg(feature = "testing")]
impl<M: Medium> Engine<M> {
    pub(crate) fn lives(&self) -> u64 {
        self.shared.watermark.life()
    }

    /// Looks at the core with nothing left unwritten, opening the log again if it failed.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Core<M::Log>) -> T) -> Result<T, StorageError> {
        let mut core = lock(&self.shared.core);
        if let Err(error) = self.shared.with_core(&mut core, Core::seal)? {
            self.shared.fail(&mut core, &error);
            return Err(StorageError::Unavailable(error.message));
        }
        self.shared.with_core(&mut core, |core| look(core))
    }
}

impl<M: Medium> Storage for Engine<M> {
    fn commit(&self, transition: Transition, how: Commit) -> Result<Outcome, StorageError> {
        let shared = &*self.shared;
        if shared.closed.load(Ordering::SeqCst) {
            return Err(StorageError::Closed);
        }
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
        shared.let_go(&held, |core, jobs| if how.hold { core.show(jobs) } else { core.release(jobs) });
        Ok(outcome)
    }

    fn submit(&self, transition: Transition, how: Commit, done: Done) {
        lock(&self.shared.inbox).push(Request { transition, how, reply: Reply::Done(done) });
        // In this order: closing sets the flag before it turns away what is there.
        if self.shared.closed.load(Ordering::SeqCst) {
            self.shared.turn_away();
        } else {
            self.shared.watermark.ask_to_serve();
        }
    }

    fn release(&self, jobs: &[JobId]) {
        let counters: Vec<u64> = jobs.iter().map(|id| id.counter()).collect();
        self.shared.let_go(&counters, Core::release);
    }

    fn read(&self, query: Query) -> Result<Answer, StorageError> {
        let now = self.shared.options.clock.now();
        let mut core = lock(&self.shared.core);
        self.shared.with_core(&mut core, |core| core.read(query, now))?
    }

    fn wait(&self, since: Version, until: Timestamp) -> Version {
        let shared = &*self.shared;
        loop {
            let now = shared.options.clock.now();
            let due = shared.due(now);
            let version = shared.watch.version();
            if version > since || until <= now || shared.closed.load(Ordering::SeqCst) {
                return version;
            }
            shared.watch.wait(since, shared.options.clock.sleep_until(due.min(until)));
        }
    }

    fn wake(&self) {
        self.shared.watch.bump();
    }

    fn begin(&self, slot: usize, lease: Lease) -> Result<(), StorageError> {
        {
            let mut begun = lock(&self.shared.begun);
            if lease.claim < begun.least_claim {
                let text = "its claim was taken back when the storage failed and was opened again";
                return Err(StorageError::Unavailable(text.into()));
            }
            begun.put(slot, Some(lease));
        }
        self.shared.running.begin(slot, lease.id.counter(), lease.claim).map_err(|error| {
            lock(&self.shared.begun).put(slot, None);
            StorageError::Unavailable(error.message)
        })
    }

    fn end(&self, slot: usize) {
        let outlived = lock(&self.shared.begun).end(slot);
        if let Some(lease) = outlived {
            let back = Settlement { lease, verdict: Verdict::Returned { started: false } };
            self.submit(Transition::Settle(vec![back]), Commit::default(), Box::new(drop));
        }
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
        let synced = shared.shut();
        shared.turn_away();
        for one in shared.watermark.take_announcements() {
            let (done, outcome, _) = shared.announced(one);
            call_back(done, outcome);
        }
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
