//! What the callers and the threads of an engine share: the log's life, the inbox, and how far the medium has come.

use crate::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use crate::sync::mpsc::Sender;
use crate::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::announcer::call_back;
use super::barrier::{Announcement, Errand, Watermark, lock, panic_text};
use super::begun::Begun;
use super::core::Core;
use super::inbox::{Held, Request, Told};
use super::journal::{Flushed, Syncer};
use super::log::{LogError, Medium, Running};
use super::storage::{HandOver, OnWork, Roused, StorageError, StorageOptions, Version};
use super::watch::{Stir, Watch};
use crate::error::{Error, Result};
use crate::machine::Inherited;
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
    pub(super) listeners: RwLock<Vec<Weak<dyn OnWork>>>,
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
        for handed in stir.handed {
            handed.over();
        }
        if let Some(work) = stir.work {
            for listener in self.listeners().iter().filter_map(Weak::upgrade) {
                listener.roused(&work);
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
        self.stir(Stir { any: true, sooner: true, ..Stir::default() });
    }

    /// Everybody is to look again.
    pub(super) fn stir_all(&self) {
        self.stir(Stir { any: true, work: Some(Roused::All), sooner: true, ..Stir::default() });
    }

    pub(super) fn on_work(&self, listener: Weak<dyn OnWork>) {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|known| known.strong_count() > 0);
        listeners.push(listener);
    }

    fn listeners(&self) -> RwLockReadGuard<'_, Vec<Weak<dyn OnWork>>> {
        self.listeners.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way to somebody who sleeps and takes a job of that task in that queue.
    pub(super) fn promise(&self, queue: &str, task: &str) -> Option<HandOver> {
        self.listeners().iter().filter_map(Weak::upgrade).find_map(|listener| listener.promise(queue, task))
    }

    /// What those who wait are to hear of since the last call.
    pub(super) fn take_stir(&self, core: &mut Core<M::Log>) -> Stir {
        let due = core.next_due().as_micros();
        let sooner = due < self.next_due.swap(due, Ordering::SeqCst);
        Stir { sooner, ..core.take_stir() }
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
}
