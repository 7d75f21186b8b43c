//! What running jobs needs of a queue, and a claimed job unpacked.

use crate::sync::{Arc, Mutex, PoisonError, Weak};
use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;

use super::attempt::{Attempt, End};
use super::context::{About, Context, Stop};
use super::explain::Hands;
use super::hooks::ExecuteHooks;
use super::trouble::Trouble;
use crate::enqueue::{Pipeline, Registration, Registry, Tail, explain_missing};
use crate::error::TaskError;
use crate::id::JobId;
use crate::job::{Head, Origin};
use crate::process::Process;
use crate::signal::{Signal, SignalKind, Signals, Waiters};
use crate::store::{CHORD, Claimed, Lease, Storage, StorageError};
use crate::task::{Data, Durability, Failure, Options, StoredArgs};
use crate::time::Timestamp;

/// So many canceled attempts are remembered until they begin.
const MOST_CANCELED: usize = 256;

/// What running jobs needs of a queue.
pub(crate) struct Executor {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) registry: Registry,
    pub(crate) signals: Arc<Signals>,
    pub(crate) waiters: Waiters,
    pub(crate) data: Data,
    pub(crate) defaults: Options,
    pub(crate) hooks: Arc<ExecuteHooks>,
    pub(crate) trouble: Trouble,
    /// The process that opened the queue.
    pub(crate) process: Process,
    /// The way of the next steps of chains.
    pub(super) pipeline: Arc<Pipeline>,
    slots: Mutex<Slots>,
    /// Attempts that were canceled lately: one may not have begun when it was.
    canceled: Mutex<VecDeque<Lease>>,
    /// The crews that run attempts.
    stoppers: Mutex<Vec<Weak<dyn Stopper>>>,
}

/// One that runs attempts and can be told to stop one.
pub(crate) trait Stopper: Send + Sync {
    /// Tells the body under that lease, if it runs here, that its job was canceled.
    fn cancel(&self, lease: Lease);

    /// The queues that it takes jobs from; none once it stops.
    fn queues(&self) -> &[String];

    /// What it has for the jobs of a queue; none if it takes none from there.
    fn hands(&self, queue: &str) -> Option<Hands>;
}

/// The numbers in the storage's table of running attempts, which all consumers of the queue share.
#[derive(Default)]
struct Slots {
    free: Vec<usize>,
    next: usize,
}

/// A claimed job, unpacked: all that is known of it beside its arguments.
#[derive(Clone)]
pub(crate) struct Kit {
    pub(crate) lease: Lease,
    pub(crate) stop: Stop,
    pub(super) task: Arc<str>,
    pub(super) queue: Arc<str>,
    pub(super) attempt: u32,
    pub(super) retried: u32,
    pub(super) retries: u32,
    pub(super) origin: Origin,
    pub(super) headers: Arc<[(String, String)]>,
    pub(super) durability: Durability,
    pub(super) at_most_once: bool,
    pub(super) started: Timestamp,
    pub(super) registration: Option<&'static Registration>,
    pub(super) worker: Arc<str>,
    /// The steps that follow it.
    pub(super) tail: Option<Arc<Tail>>,
    /// Whether its attempt is settled while the body runs on.
    pub(super) runs_on: bool,
}

impl Executor {
    pub(crate) fn new(pipeline: Arc<Pipeline>, registry: Registry, data: Data, hooks: ExecuteHooks) -> Self {
        super::panic::install();
        Self {
            storage: Arc::clone(&pipeline.storage),
            registry,
            signals: Arc::clone(&pipeline.signals),
            waiters: pipeline.waiters.clone(),
            data,
            hooks: Arc::new(hooks),
            trouble: Trouble::default(),
            process: Process::this(),
            defaults: pipeline.defaults,
            pipeline,
            slots: Mutex::default(),
            canceled: Mutex::default(),
            stoppers: Mutex::default(),
        }
    }

    /// Whether jobs run where they are enqueued.
    pub(crate) fn is_immediate(&self) -> bool {
        self.pipeline.is_immediate()
    }

    /// Notes an error of the storage, for whoever asks how the consumers are.
    pub(crate) fn note_trouble(&self, error: &StorageError) {
        self.trouble.note(self.storage.clock().now(), error);
    }

    /// From now on attempts run there, too.
    pub(crate) fn add_stopper(&self, stopper: Weak<dyn Stopper>) {
        let mut all = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(stopper);
    }

    /// Tells the body under a lease that its job was canceled.
    pub(crate) fn stop(&self, lease: Lease) {
        {
            let mut canceled = self.canceled.lock().unwrap_or_else(PoisonError::into_inner);
            canceled.truncate(MOST_CANCELED - 1);
            canceled.push_front(lease);
        }
        for stopper in self.crews() {
            stopper.cancel(lease);
        }
    }

    /// The crews that run attempts now.
    pub(super) fn crews(&self) -> Vec<Arc<dyn Stopper>> {
        let all = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.iter().filter_map(Weak::upgrade).collect()
    }

    /// Whether an attempt was canceled before it began.
    pub(crate) fn is_canceled(&self, lease: Lease) -> bool {
        self.canceled.lock().unwrap_or_else(PoisonError::into_inner).contains(&lease)
    }

    /// A slot of the running table that no other attempt has.
    pub(crate) fn take_slot(&self) -> usize {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.free.pop().unwrap_or_else(|| {
            slots.next += 1;
            slots.next - 1
        })
    }

    pub(crate) fn give_slot(&self, slot: usize) {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).free.push(slot);
    }

    /// Unpacks a claimed job, tells that it begins, and gives what to run, or the end of a job that cannot be run.
    pub(crate) fn begin(
        self: &Arc<Self>,
        claimed: Claimed,
        worker: &Arc<str>,
        owner: Option<Arc<dyn Any + Send + Sync>>,
    ) -> (Kit, Result<Attempt, End>) {
        let head = Head::decode(&claimed.body.head);
        let registration = self.registry.find(&claimed.task);
        let rest = &claimed.body.rest;
        let tail = if rest.is_empty() { Ok(None) } else { Tail::decode(rest).map(Arc::new).map(Some) };
        let (origin, headers, retries) = match &head {
            Ok(head) => (head.origin, head.headers.clone(), head.retries),
            Err(_) => (Origin::Call { parent: None }, Vec::new(), 0),
        };
        let kit = Kit {
            lease: claimed.lease,
            stop: Stop::default(),
            task: claimed.task,
            queue: claimed.queue,
            attempt: claimed.attempt,
            retried: claimed.retried,
            retries,
            origin,
            // One that is empty is shared.
            headers: if headers.is_empty() { Arc::default() } else { headers.clone().into() },
            durability: claimed.durability,
            at_most_once: claimed.at_most_once,
            started: claimed.started,
            registration,
            worker: Arc::clone(worker),
            tail: tail.as_ref().ok().cloned().flatten(),
            runs_on: false,
        };
        if claimed.rescued && !kit.is_chord() {
            self.emit(&kit, SignalKind::Rescued, None, None, None);
        }
        if kit.is_chord() {
            let crashes = claimed.condemned.then_some(claimed.crashes);
            return (kit, Err(crashes.map_or(End::Gather, End::Condemned)));
        }
        let fitting = match (registration, head) {
            (None, _) => Err(explain_missing(&kit.task)),
            (_, Err(error)) => Err(error.to_string()),
            _ if tail.is_err() => Err(tail.err().map(|error| error.to_string()).unwrap_or_default()),
            (Some(registration), Ok(head)) => {
                let stored = StoredArgs { task: &kit.task, form: head.form, bytes: &claimed.body.args };
                let upgraded = registration.accept(stored).map(|args| match args {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(args) => Some(args),
                });
                upgraded.map(|args| (registration, head, args.unwrap_or(claimed.body.args.0)))
            }
        };
        if claimed.condemned {
            return (kit, Err(End::Condemned(claimed.crashes)));
        }
        let (registration, head, args) = match fitting {
            Ok(fitting) => fitting,
            Err(why) => return (kit, Err(End::Unknown(why))),
        };
        if let Some(need) = registration.task.needs.iter().find(|need| !self.data.holds(need)) {
            let missing = Failure::MissingData((need.name)());
            return (kit, Err(End::Failed(missing)));
        }
        self.emit(&kit, SignalKind::Executing, None, None, None);
        let context = Context::new(About {
            id: kit.lease.id,
            task: Arc::clone(&kit.task),
            queue: Arc::clone(&kit.queue),
            attempt: kit.attempt,
            origin,
            headers,
            timeout: head.timeout,
            stop: kit.stop.clone(),
            owner,
            reporter: Some((Arc::clone(self), kit.lease)),
        });
        let (body, data) = (&registration.task.body, self.data.clone());
        let attempt = Attempt { body, args, data, context, hooks: Arc::clone(&self.hooks) };
        (kit, Ok(attempt))
    }

    pub(super) fn emit(
        &self,
        kit: &Kit,
        kind: SignalKind,
        error: Option<Arc<TaskError>>,
        cause: Option<Arc<str>>,
        run_at: Option<Timestamp>,
    ) {
        if !self.signals.hears(kind) {
            return;
        }
        self.signals.emit(Signal {
            kind,
            sequence: 0,
            id: kit.lease.id,
            task: Arc::clone(&kit.task),
            queue: Arc::clone(&kit.queue),
            at: self.storage.clock().now(),
            origin: kit.origin,
            headers: Arc::clone(&kit.headers),
            run_at,
            attempt: kit.attempt,
            error,
            cause,
            skipped: None,
            progress: None,
        });
    }
}

impl Kit {
    /// Whether its end may reach the disk later, and its body may run a second time should that be lost.
    pub(crate) fn is_relaxed(&self) -> bool {
        self.durability == Durability::Relaxed && !self.at_most_once
    }

    /// What the note that it begins must outlive. A power cut may have one attempted again that had begun, unless it may start
    /// only once.
    pub(crate) fn note_level(&self) -> Durability {
        if self.at_most_once { Durability::Synced } else { Durability::Relaxed }
    }

    /// Whether it stands for a chord.
    pub(crate) fn is_chord(&self) -> bool {
        *self.task == *CHORD
    }

    pub(crate) fn id(&self) -> JobId {
        self.lease.id
    }

    pub(crate) fn task(&self) -> &str {
        &self.task
    }

    /// When it was claimed.
    pub(crate) fn started(&self) -> Timestamp {
        self.started
    }

    pub(crate) fn worker(&self) -> &str {
        &self.worker
    }

    /// To be settled though its body runs on.
    pub(crate) fn running_on(self) -> Self {
        Self { runs_on: true, ..self }
    }
}

impl std::fmt::Display for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the job {} of `{}`", self.lease.id, self.task)
    }
}
