//! What the callers and the threads of an engine share: the log's life, the inbox, and how far the medium has come.

use crate::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use crate::sync::mpsc::Sender;
use crate::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::announcer::call_back;
use super::barrier::{Announcement, Errand, Watermark, lock, panic_text};
use super::begun::Begun;
use super::core::{Answered, Core, Served};
use super::journal::{Flushed, Syncer};
use super::log::{LogError, Medium, Running};
use super::storage::{Commit, Done, OnWork, Roused, StorageError, StorageOptions, Version};
use super::transition::{Outcome, Transition};
use super::watch::{Stir, Watch};
use crate::error::{Error, Result};
use crate::machine::Inherited;
use crate::task::Durability;
use crate::time::{Timestamp, monotonic};

/// How often the note of what is durable is rewritten at most.
const MARK_EVERY: Duration = Duration::from_secs(5);
/// How long a failed log is left alone before it is opened again, at first and at most.
const REOPEN: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Opens the log and reads it back. A panic of the log is an error like others, but one that is not tried again.
pub(super) fn open_core<M: Medium>(
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

pub(super) struct Shared<M: Medium> {
    pub(super) medium: M,
    pub(super) running: Arc<dyn Running>,
    pub(super) options: StorageOptions,
    pub(super) inbox: Mutex<Vec<Request>>,
    pub(super) core: Mutex<Life<M::Log>>,
    pub(super) watermark: Watermark,
    /// Counts all changes, and those by which the next job is due sooner.
    pub(super) watch: Watch,
    pub(super) sooner: Watch,
    /// Those who are told of what may be claimed.
    pub(super) listeners: RwLock<Vec<Weak<OnWork>>>,
    /// The attempts that run.
    pub(super) begun: Mutex<Begun>,
    /// When the next scheduled job is due, in microseconds.
    pub(super) next_due: AtomicI64,
    pub(super) closed: AtomicBool,
    /// When the note of what is durable was written last, and what it said.
    pub(super) marked: Mutex<(Instant, u64)>,
    /// The way to the thread that tells outcomes to those who did not wait.
    pub(super) announcer: Mutex<Option<Sender<Told>>>,
}

/// The log's life.
pub(super) enum Life<L> {
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

pub(super) struct Request {
    pub(super) transition: Transition,
    pub(super) how: Commit,
    pub(super) reply: Reply,
}

pub(super) enum Reply {
    Slot(Arc<Mutex<Option<(Answered, u64)>>>),
    Done(Done),
}

pub(super) type Told = (Done, Result<Outcome, StorageError>, Held);

/// Jobs that were held for an announcement, and whether the one who announces lets them go.
#[derive(Default)]
pub(super) struct Held {
    pub(super) jobs: Vec<u64>,
    pub(super) by_caller: bool,
}

impl<M: Medium> Shared<M> {
    /// Runs `act` on the core, opening the log again first if it failed. A failed read or a panic fails the log.
    pub(super) fn with_core<T>(
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
    pub(super) fn reopen(&self, life: &mut Life<M::Log>) {
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
        self.stir_all();
    }

    /// The log failed. It is dropped here, so that it can be opened again.
    pub(super) fn fail(&self, life: &mut Life<M::Log>, error: &LogError) {
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

    /// Tells those who are to hear of such a change.
    pub(super) fn stir(&self, stir: Stir) {
        if let Some(work) = stir.work {
            let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
            for listener in listeners.iter().filter_map(Weak::upgrade) {
                listener(&work);
            }
        }
        if stir.sooner {
            self.sooner.bump();
        }
        if stir.any {
            self.watch.bump();
        }
    }

    /// Ends all waits.
    pub(super) fn wake(&self) {
        self.stir(Stir { any: true, work: None, sooner: true });
    }

    /// Everybody is to look again.
    pub(super) fn stir_all(&self) {
        self.stir(Stir { any: true, work: Some(Roused::All), sooner: true });
    }

    pub(super) fn on_work(&self, listener: Weak<OnWork>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }

    /// What those who wait are to hear of since the last call.
    fn take_stir(&self, core: &mut Core<M::Log>) -> Stir {
        let due = core.next_due().as_micros();
        let sooner = due < self.next_due.swap(due, Ordering::SeqCst);
        Stir { sooner, ..core.take_stir() }
    }

    /// Does transitions in order, each with whether its caller waits here, and answers each.
    fn serve(
        &self,
        life: &mut Life<M::Log>,
        work: impl Iterator<Item = (Transition, Commit, bool)>,
        answers: &mut [Option<Answered>],
    ) -> Stir {
        let now = self.options.clock.now();
        let mut stir = Stir::default();
        let before = self.watermark.life();
        let served = self.with_core(life, |core| {
            let last = core.last();
            // Those who wait for the disk see to it that a sync comes.
            let (mut done, mut all_wait) = (Ok(()), true);
            for ((transition, how, is_here), answer) in work.zip(answers.iter_mut()) {
                let is_synced = how.durability == Durability::Synced;
                done = core.serve(transition, how, now, answer);
                all_wait &= is_synced && matches!(answer, Some(Ok(_)));
                if let Some(Ok(served)) = answer
                    && is_here
                    && !how.hold
                    && (served.sync || is_synced)
                {
                    // Who syncs lets them go for all.
                    core.release_behind(served.sequence, std::mem::take(&mut served.held));
                }
                if done.is_err() {
                    all_wait = false;
                    break;
                }
            }
            if core.last() != last && !all_wait {
                self.watermark.written();
            }
            if core.is_barrier_near() {
                self.watermark.sync_early();
            }
            core.release_durable();
            stir = self.take_stir(core);
            done
        });
        let error = match served {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                self.fail(life, &error);
                Some(StorageError::Unknown(error.message))
            }
            Err(error) => Some(error),
        };
        // Also what was inserted before a failure may be lost with it.
        let kept = (self.watermark.life() != before).then(|| self.watermark.durable().load(Ordering::SeqCst));
        for answer in answers {
            match answer {
                Some(Ok(served)) if kept.is_some_and(|kept| served.sequence > kept) => {
                    *answer = Some(Err(self.watermark.lost()));
                }
                Some(_) => {}
                None => {
                    let none = || StorageError::Unavailable("the storage gave no answer".into());
                    *answer = Some(Err(error.clone().unwrap_or_else(none)));
                }
            }
        }
        stir
    }

    /// Does a transition for whoever holds the lock and found nobody waiting in the inbox, and says in which life of the log.
    pub(super) fn serve_alone(
        &self,
        life: &mut Life<M::Log>,
        transition: Transition,
        how: Commit,
    ) -> (Answered, u64, Stir) {
        let (before, mut answers) = (self.watermark.life(), [None]);
        let stir = self.serve(life, std::iter::once((transition, how, true)), &mut answers);
        let [answer] = answers;
        (answer.unwrap_or(Err(StorageError::Closed)), before, stir)
    }

    /// Has a transition done together with those that wait in the inbox, by whoever comes to the lock first, and says in which
    /// life of the log.
    pub(super) fn serve_with_others(&self, transition: Transition, how: Commit) -> (Answered, u64) {
        let slot = Arc::new(Mutex::new(None));
        lock(&self.inbox).push(Request { transition, how, reply: Reply::Slot(Arc::clone(&slot)) });
        let mut free = self.core.try_lock().ok();
        if free.is_none() && how.durability == Durability::Synced {
            // Who syncs next takes it along: that is waited for anyway, and so it is waited for once.
            self.watermark.pass(|| drop(self.sync()));
        }
        let (told, stir) = if free.is_none() && lock(&slot).is_some() {
            Default::default()
        } else {
            let mut core = free.take().unwrap_or_else(|| lock(&self.core));
            if lock(&slot).is_some() { Default::default() } else { self.drain(&mut core) }
        };
        self.stir(stir);
        // Submitted transitions may have been served on the way.
        self.tell(told);
        lock(&slot).take().unwrap_or((Err(StorageError::Closed), 0))
    }

    /// Serves everything in the inbox. Whoever holds the lock does it for all.
    pub(super) fn drain(&self, life: &mut Life<M::Log>) -> (Vec<Told>, Stir) {
        let requests = std::mem::take(&mut *lock(&self.inbox));
        if requests.is_empty() {
            return (Vec::new(), Stir::default());
        }
        let (work, replies): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .map(|request| {
                let is_here = matches!(request.reply, Reply::Slot(_));
                ((request.transition, request.how, is_here), (request.how, request.reply))
            })
            .unzip();
        let before = self.watermark.life();
        let mut answers: Vec<_> = std::iter::repeat_with(|| None).take(work.len()).collect();
        let stir = self.serve(life, work.into_iter(), &mut answers);
        let mut told = Vec::new();
        for ((how, reply), answer) in replies.into_iter().zip(answers.into_iter().flatten()) {
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
        (told, stir)
    }

    /// Makes everything durable that was inserted so far, or waits in the inbox.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        let mut core = lock(&self.core);
        self.watermark.gather(if let Life::Alive(core) = &*core { core.last() } else { 0 });
        let (told, stir) = self.drain(&mut core);
        let flushed = self.flush(&mut core);
        let life = self.watermark.life();
        drop(core);
        self.stir(stir);
        self.tell(told);
        let (flushed, syncer) = flushed?;
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
        if let Life::Alive(alive) = &mut *core {
            alive.release_durable();
            let stir = self.take_stir(alive);
            drop(core);
            self.stir(stir);
        }
        self.mark(flushed.upto, false);
        Ok(())
    }

    fn flush(&self, life: &mut Life<M::Log>) -> Result<(Flushed, Arc<Syncer>), StorageError> {
        let flushed = self.with_core(life, |core| {
            let flushed = core.flush();
            core.release_durable();
            flushed.map(|flushed| (flushed, core.syncer()))
        })?;
        flushed.map_err(|error| {
            self.fail(life, &error);
            StorageError::Unknown(error.message)
        })
    }

    pub(super) fn mark(&self, upto: u64, now: bool) {
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
    pub(super) fn due(&self, now: Timestamp) -> Timestamp {
        let due = Timestamp::from_micros(self.next_due.load(Ordering::SeqCst));
        if due > now {
            return due;
        }
        // While the log is not there nothing is due; opening it again is a change of its own.
        let mut life = lock(&self.core);
        let Life::Alive(core) = &mut *life else { return Timestamp::MAX };
        core.promote(now);
        let stir = self.take_stir(core);
        let due = core.next_due();
        drop(life);
        self.stir(stir);
        due
    }

    /// Returns once something has happened after `since`, or at `until`, or once the store is closed.
    pub(super) fn wait(&self, watch: &Watch, since: Version, until: Timestamp) -> Version {
        loop {
            let now = self.options.clock.now();
            let due = self.due(now);
            let version = watch.version();
            if version > since || until <= now || self.closed.load(Ordering::SeqCst) {
                return version;
            }
            watch.wait(since, self.options.clock.sleep_until(due.min(until)));
        }
    }

    /// Lets go of held jobs, in the way that `how` says.
    pub(super) fn let_go(&self, counters: &[u64], how: impl FnOnce(&mut Core<M::Log>, &[u64])) {
        if counters.is_empty() {
            return;
        }
        let mut life = lock(&self.core);
        if let Life::Alive(core) = &mut *life {
            how(core, counters);
            let stir = self.take_stir(core);
            drop(life);
            self.stir(stir);
        }
    }

    pub(super) fn write_loop(&self) {
        loop {
            let told = match self.watermark.next_errand(self.options.flush_interval) {
                Errand::Serve => {
                    let mut core = lock(&self.core);
                    // After a failure the log is opened again also if nobody asks for anything.
                    self.reopen(&mut core);
                    let (told, stir) = self.drain(&mut core);
                    if let Life::Failed { pause, .. } = &*core {
                        self.watermark.ask_to_serve_in(*pause);
                    }
                    drop(core);
                    self.stir(stir);
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
    pub(super) fn tell(&self, told: Vec<Told>) {
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

    pub(super) fn announced(&self, one: Announcement) -> Told {
        if self.watermark.is_durable(one.sequence, one.life) {
            return (one.done, Ok(one.outcome), Held { jobs: one.held, by_caller: one.keep_held });
        }
        // The failure has released what was held.
        (one.done, Err(self.watermark.lost()), Held::default())
    }

    /// Makes everything durable that was inserted until now, and lets go of the log.
    pub(super) fn shut(&self) -> Result<(), StorageError> {
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
    pub(super) fn turn_away(&self) {
        // Not in the head of the loop: a callback may ask again, and the lock would be held for it.
        let requests = std::mem::take(&mut *lock(&self.inbox));
        for Request { reply, .. } in requests {
            match reply {
                Reply::Slot(slot) => *lock(&slot) = Some((Err(StorageError::Closed), 0)),
                Reply::Done(done) => call_back(done, Err(StorageError::Closed)),
            }
        }
    }
}
