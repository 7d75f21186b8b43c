//! A storage over any log: callers that arrive together share one entry of the journal and one sync.

use crate::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use crate::sync::mpsc::channel;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Mutex, RwLock, Weak};
use std::io::Write;

use super::announcer::{announce_loop, call_back};
use super::backup::backup;
use super::barrier::{Watermark, lock};
use super::claimed::Lease;
use super::core::{Core, Served};
use super::findings::Findings;
use super::inbox::{Reply, Request};
use super::log::Medium;
use super::settlement::{Settlement, Verdict};
use super::shared::{Life, Shared, open_core};
use super::storage::{Answer, Commit, Done, OnWork, Query, Storage, StorageError, StorageOptions, Version};
use super::transition::{Outcome, Transition};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::process::Process;
use crate::task::Durability;
use crate::time::{Clock, Timestamp, monotonic};

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
            sooner: Watch::default(),
            listeners: RwLock::default(),
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
                shared.wake();
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
        Ok(Self { shared, threads: Mutex::new(threads.into()), process: Process::this(), _on_move: on_move })
    }

    /// What is shared, unless this is a fork: there it stays as it was, for nobody serves it, and its files are another's.
    fn shared(&self) -> Result<&Shared<M>, StorageError> {
        self.process.check().map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Ok(&self.shared)
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    crate::sync::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::unavailable(format!("the thread {name} cannot be started: {error}")).caused_by(error))
}

pub(crate) struct Engine<M: Medium> {
    shared: Arc<Shared<M>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    process: Process,
    _on_move: Arc<dyn Fn() + Send + Sync>,
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
        let shared = self.shared()?;
        if shared.closed.load(Ordering::SeqCst) {
            return Err(StorageError::Closed);
        }
        let (answer, life) = match shared.core.try_lock() {
            Ok(mut core) if lock(&shared.inbox).is_empty() => {
                let (answer, life, stir) = shared.serve_alone(&mut core, transition, how);
                drop(core);
                shared.stir(stir);
                (answer, life)
            }
            held => {
                drop(held);
                shared.serve_with_others(transition, how)
            }
        };
        let Served { outcome, sequence, sync, held, .. } = answer?;
        if sync || how.durability == Durability::Synced {
            shared.watermark.wait_for(sequence, life, || shared.sync())?;
        }
        shared.let_go(&held, |core, jobs| if how.hold { core.show(jobs) } else { core.release(jobs) });
        Ok(outcome)
    }

    fn submit(&self, transition: Transition, how: Commit, done: Done) {
        let shared = match self.shared() {
            Ok(shared) => shared,
            Err(error) => return call_back(done, Err(error)),
        };
        lock(&shared.inbox).push(Request { transition, how, reply: Reply::Done(done) });
        // In this order: closing sets the flag before it turns away what is there.
        if shared.closed.load(Ordering::SeqCst) {
            shared.turn_away();
        } else {
            shared.watermark.ask_to_serve();
        }
    }

    fn release(&self, jobs: &[JobId]) {
        let counters: Vec<u64> = jobs.iter().map(|id| id.counter()).collect();
        if let Ok(shared) = self.shared() {
            shared.let_go(&counters, Core::release);
        }
    }

    fn read(&self, query: Query) -> Result<Answer, StorageError> {
        let shared = self.shared()?;
        let now = shared.options.clock.now();
        let mut core = lock(&shared.core);
        shared.with_core(&mut core, |core| core.read(query, now))?
    }

    fn wait(&self, since: Version, until: Timestamp) -> Version {
        self.shared().map_or(since, |shared| shared.wait(&shared.watch, since, until))
    }

    fn wait_due(&self, since: Version, until: Timestamp) -> Option<Version> {
        let shared = self.shared().ok()?;
        let version = shared.wait(&shared.sooner, since, until);
        (!shared.closed.load(Ordering::SeqCst)).then_some(version)
    }

    fn on_work(&self, listener: Weak<dyn OnWork>) {
        self.shared.on_work(listener);
    }

    fn wake(&self) {
        self.shared.wake();
    }

    fn begin(&self, slot: usize, lease: Lease, durability: Durability) -> Result<(), StorageError> {
        self.shared()?;
        {
            let mut begun = lock(&self.shared.begun);
            if lease.claim < begun.least_claim {
                let text = "its claim was taken back when the storage failed and was opened again";
                return Err(StorageError::Refused(text.into()));
            }
            begun.put(slot, Some(lease));
        }
        self.shared.running.begin(slot, lease.id.counter(), lease.claim, durability).map_err(|error| {
            lock(&self.shared.begun).put(slot, None);
            StorageError::Unavailable(error.message)
        })
    }

    fn end(&self, slot: usize) {
        if !self.process.is_this() {
            return;
        }
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
        let shared = self.shared()?;
        if shared.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        shared.watermark.close();
        // The writer ends first, and the announcer once nobody can tell it anything. A callback may be what drops the
        // last handle, and a thread cannot wait for itself.
        let here = crate::sync::thread::current().id();
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
        shared.stir_all();
        synced
    }

    fn export(&self, out: &mut dyn Write) -> Result<Findings, StorageError> {
        self.shared()?;
        backup(&self.shared, out)
    }

    fn name(&self) -> String {
        self.shared.medium.name()
    }
}

impl<M: Medium> Drop for Engine<M> {
    fn drop(&mut self) {
        if !self.process.is_this() {
            // Closing would write to files that are another's, and wait for threads that are not here.
            std::mem::forget((Arc::clone(&self.shared), std::mem::take(&mut self.threads)));
            return;
        }
        if let Err(error) = self.close() {
            tracing::error!(%error, "the queue was not closed cleanly");
        }
    }
}
