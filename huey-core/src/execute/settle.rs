//! From a claimed job to an attempt, and from its end to a settled job that everybody has heard of.

use std::any::Any;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::attempt::{Attempt, End};
use super::context::{About, Context, Stop};
use super::follow::{self, Follow};
use super::retry::{self, Decided};
use crate::enqueue::{Pipeline, Registration, Registry, Tail, emit_discarded, explain_missing};
use crate::error::TaskError;
use crate::id::JobId;
use crate::job::{Head, KEEP, Origin};
use crate::signal::{Final, Signal, SignalKind, Signals, Waiters, WorkerMark};
use crate::state::JobState;
use crate::store::{
    Claimed, Commit, Ended, Lease, Next, Outcome, Placed, Settled, Settlement, Storage, StorageError, Transition,
    Verdict,
};
use crate::task::{Data, Durability, Failure, Options, Stopped};
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
    /// The way of the next steps of chains.
    pipeline: Arc<Pipeline>,
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
    task: Arc<str>,
    queue: Arc<str>,
    attempt: u32,
    retried: u32,
    retries: u32,
    origin: Origin,
    headers: Arc<[(String, String)]>,
    durability: Durability,
    at_most_once: bool,
    started: Timestamp,
    registration: Option<&'static Registration>,
    worker: Arc<str>,
    /// The steps that follow it.
    tail: Option<Arc<Tail>>,
}

impl Executor {
    pub(crate) fn new(pipeline: Arc<Pipeline>, registry: Registry, data: Data) -> Self {
        super::panic::install();
        Self {
            storage: Arc::clone(&pipeline.storage),
            registry,
            signals: Arc::clone(&pipeline.signals),
            waiters: pipeline.waiters.clone(),
            data,
            defaults: pipeline.defaults,
            pipeline,
            slots: Mutex::default(),
            canceled: Mutex::default(),
            stoppers: Mutex::default(),
        }
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
        let all = self.stoppers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for stopper in all.iter().filter_map(Weak::upgrade) {
            stopper.cancel(lease);
        }
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
            headers: headers.clone().into(),
            durability: claimed.durability,
            at_most_once: claimed.at_most_once,
            started: claimed.started,
            registration,
            worker: Arc::clone(worker),
            tail: tail.as_ref().ok().cloned().flatten(),
        };
        if claimed.rescued {
            self.emit(&kit, SignalKind::Rescued, None, None, None);
        }
        let fitting = match (registration, head) {
            (None, _) => Err(explain_missing(&kit.task)),
            (_, Err(error)) => Err(error.to_string()),
            _ if tail.is_err() => Err(tail.err().map(|error| error.to_string()).unwrap_or_default()),
            (Some(registration), Ok(head)) if head.signature != registration.task.signature => {
                Err(format!("the parameters of `{}` are not those that this job was enqueued with", kit.task))
            }
            (Some(registration), Ok(head)) => Ok((registration, head)),
        };
        if claimed.condemned {
            return (kit, Err(End::Condemned(claimed.crashes)));
        }
        let (registration, head) = match fitting {
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
        let attempt =
            Attempt { body: &registration.task.body, args: claimed.body.args.0, data: self.data.clone(), context };
        (kit, Ok(attempt))
    }

    fn decide(&self, kit: &Kit, end: End) -> Decided {
        // Whoever canceled it was told that it will not be attempted again; a value that it yields all the same stands.
        let canceled = kit.stop.reason() == Some(Stopped::Canceled);
        let end = match end {
            End::Failed(Failure::Failed { .. } | Failure::Retry { .. }) | End::Interrupted | End::Late if canceled => {
                End::Failed(Failure::Stopped(Stopped::Canceled))
            }
            end => end,
        };
        let options = kit.registration.map_or(Options::NONE, Registration::options).or(self.defaults);
        let terms = retry::Terms {
            retries: kit.retries,
            retried: kit.retried,
            options,
            keep: options.retention.unwrap_or(KEEP),
            signature: kit.registration.map_or(0, |registration| registration.task.output),
            at_most_once: kit.at_most_once,
            chance: chance(),
        };
        retry::decide(end, &terms, |error| TaskError {
            attempt: kit.attempt,
            worker: kit.worker.to_string(),
            started: kit.started,
            ended: self.storage.clock().now(),
            ..error
        })
    }

    /// Decides, and takes the next step of a chain through its hooks where one follows.
    fn decide_on(&self, kit: &Kit, end: End) -> Settling {
        let mut decided = self.decide(kit, end);
        let mut follow = None;
        let (registry, id) = (&self.registry, kit.lease.id);
        match (&mut decided.verdict, &kit.tail) {
            (Verdict::Complete { output, next, .. }, Some(tail)) => {
                (*next, follow) = follow::of(self.pipeline.next_step(registry, id, (**tail).clone(), output));
            }
            (Verdict::Dead { error, next }, Some(tail)) => {
                (*next, follow) = follow::of(self.pipeline.follow_up(registry, id, tail, error));
            }
            _ => {}
        }
        Settling { decided, follow }
    }

    /// Settles an attempt, and calls `settled` once that is inserted, or durable where that is asked for. A worker does
    /// not wait for the disk: what is announced waits.
    pub(crate) fn settle(self: &Arc<Self>, kit: Kit, end: End, settled: impl FnOnce() + Send + 'static) {
        if kit.is_relaxed() {
            self.settle_relaxed(vec![(kit, end)]);
            settled();
            return;
        }
        // The note that an attempt began goes once it is settled. If a kill could take back the settle of a job that may
        // start only once, nothing would tell that it had started.
        let how = Commit { durability: Durability::Synced, hold: true };
        let settling = self.decide_on(&kit, end);
        let transition = transition([(&kit, &settling)]);
        let executor = Arc::clone(self);
        let done = move |outcome| {
            // Every settle comes by this thread, so a receiver that waits here would wait for ever.
            let _mark = WorkerMark::new(executor.waiters.key());
            let all = vec![(kit, settling)];
            let insisted = match outcome {
                Err(error) if is_passing(&error) => executor.insist(&all, how).repeated(),
                other => Insisted { outcome: other, repeated: false },
            };
            executor.conclude(all, insisted, how);
            settled();
        };
        self.storage.submit(transition, how, Box::new(done));
    }

    /// Settles attempts of relaxed jobs in one commit, and tells of them in order.
    pub(crate) fn settle_relaxed(&self, ends: Vec<(Kit, End)>) {
        let all: Vec<_> = ends.into_iter().map(|(kit, end)| self.decide_on(&kit, end).of(kit)).collect();
        let follows = all.iter().any(|(_, settling)| settling.follow.is_some());
        let how = Commit { durability: Durability::Relaxed, hold: self.signals.any() || follows };
        let insisted = self.insist(&all, how);
        self.conclude(all, insisted, how);
    }

    /// Gives back jobs that were claimed and not begun.
    pub(crate) fn give_back(&self, leases: impl Iterator<Item = Lease>) {
        let verdict = Verdict::Returned { started: false };
        let settlements: Vec<_> = leases.map(|lease| Settlement { lease, verdict: verdict.clone() }).collect();
        let count = settlements.len();
        if let Err(error) = self.storage.commit(Transition::Settle(settlements), Commit::RELAXED) {
            // They are claimed until the storage is opened again.
            tracing::error!(%error, count, "jobs that were claimed and not begun could not be given back");
        }
    }

    /// Commits until the storage has an answer. Settling goes by lease, so it may be repeated.
    fn insist(&self, all: &[(Kit, Settling)], how: Commit) -> Insisted {
        let mut pause = Duration::from_millis(10);
        let mut repeated = false;
        loop {
            match self.storage.commit(transition(all.iter().map(|(kit, settling)| (kit, settling))), how) {
                Err(error) if is_passing(&error) => {
                    tracing::error!(%error, "an attempt could not be settled yet");
                    repeated = true;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                outcome => return Insisted { outcome, repeated },
            }
        }
    }

    /// Announces the ends. One that cannot be stored becomes the error that says so.
    fn conclude(&self, mut all: Vec<(Kit, Settling)>, insisted: Insisted, how: Commit) {
        match insisted.outcome {
            Ok(Outcome::Settled(settled)) => self.announce(all, settled, insisted.repeated, how),
            Err(StorageError::Refused(why)) if all.len() == 1 => {
                all = all
                    .into_iter()
                    .map(|(kit, settling)| {
                        settling.fail(&why);
                        let why = format!("the end of the attempt cannot be stored: {why}");
                        self.decide_on(&kit, End::Failed(Failure::Unstorable(why))).of(kit)
                    })
                    .collect();
                match self.insist(&all, how) {
                    Insisted { outcome: Ok(Outcome::Settled(settled)), repeated } => {
                        self.announce(all, settled, repeated, how);
                    }
                    Insisted { outcome, .. } => unsettled(&all, &outcome),
                }
            }
            // One of them cannot be stored.
            Err(StorageError::Refused(_)) => {
                for one in all {
                    let one = vec![one];
                    let insisted = self.insist(&one, how);
                    self.conclude(one, insisted, how);
                }
            }
            outcome => unsettled(&all, &outcome),
        }
    }

    fn announce(&self, all: Vec<(Kit, Settling)>, settled: Vec<Option<Settled>>, repeated: bool, how: Commit) {
        let mut told = Vec::with_capacity(all.len());
        let (mut held, mut canceled) = (Vec::new(), Vec::new());
        for ((kit, settling), settled) in all.into_iter().zip(settled) {
            // The answer to a repeated settle finds the lease gone if the first one had been done.
            let Some(settled) = settled.or_else(|| repeated.then(|| expected(&settling.decided.verdict))) else {
                tracing::warn!(job = %kit.lease.id, task = %kit.task, "the attempt's lease was given away, and its end is refused");
                settling.fail("the lease of the step before was given away");
                continue;
            };
            let Settling { decided: Decided { verdict, signals, error, cause }, follow } = settling;
            let error = error.map(Arc::new);
            let cause: Option<Arc<str>> = cause.map(Into::into);
            for kind in signals {
                self.emit(&kit, kind, error.clone(), cause.clone(), settled.due);
            }
            held.push(kit.lease.id);
            let Settled { state, next, canceled: steps, .. } = settled;
            let (mut follow, mut refused) = (follow, None);
            if state == JobState::Complete {
                // A refused step is told of by `rejected` alone.
                refused = follow.take().and_then(|follow| follow.tell(&self.pipeline, next.clone(), &mut held));
            }
            let now = self.storage.clock().now();
            for step in steps {
                if refused != Some(step.id) {
                    emit_discarded(&self.signals, &step, now);
                }
                held.push(step.id);
                canceled.push(step);
            }
            if let Some(follow) = follow {
                follow.tell(&self.pipeline, next, &mut held);
            }
            told.push((kit, verdict, state, error, cause));
        }
        // Before the waiters are told: who registers too late for that must find the end in the store.
        if how.hold {
            self.storage.release(&held);
        }
        for (kit, verdict, state, error, cause) in told {
            let id = kit.lease.id;
            if state.is_ended() && self.waiters.any(id) {
                let mut ended = Ended { error: error.map(|error| (*error).clone()), ..Ended::default() };
                ended.cause = cause.map(|cause| cause.to_string());
                if let Verdict::Complete { output, signature, .. } = verdict {
                    (ended.output, ended.signature) = (Some(output), signature);
                }
                self.waiters.tell(id, Final { task: kit.task, state, ended });
            }
        }
        for step in canceled {
            self.tell_waiters(step);
        }
    }

    fn emit(
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

    pub(crate) fn id(&self) -> JobId {
        self.lease.id
    }
}

/// An end on its way into the store, and what is owed for the step that follows.
struct Settling {
    decided: Decided,
    follow: Option<Follow>,
}

impl Settling {
    fn of(self, kit: Kit) -> (Kit, Self) {
        (kit, self)
    }

    /// The end was not stored, and so no step follows.
    fn fail(self, why: &str) {
        if let Some(follow) = self.follow {
            follow.fail(why);
        }
    }
}

impl std::fmt::Display for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the job {} of `{}`", self.lease.id, self.task)
    }
}

fn transition<'a>(all: impl IntoIterator<Item = (&'a Kit, &'a Settling)>) -> Transition {
    let settlement =
        |(kit, one): (&Kit, &Settling)| Settlement { lease: kit.lease, verdict: one.decided.verdict.clone() };
    Transition::Settle(all.into_iter().map(settlement).collect())
}

/// Logs that the storage gave no answer that settles these attempts.
fn unsettled(all: &[(Kit, Settling)], outcome: &Result<Outcome, StorageError>) {
    for (kit, _) in all {
        tracing::error!(job = %kit.lease.id, task = %kit.task, ?outcome, "an attempt could not be settled");
    }
}

/// An outcome, and whether the transition may have been done before it.
struct Insisted {
    outcome: Result<Outcome, StorageError>,
    repeated: bool,
}

impl Insisted {
    fn repeated(self) -> Self {
        Self { repeated: true, ..self }
    }
}

/// Whether the same call may do better later.
fn is_passing(error: &StorageError) -> bool {
    matches!(error, StorageError::Unknown(_) | StorageError::Unavailable(_) | StorageError::Full(_))
}

/// The state that a verdict leads to.
fn expected(verdict: &Verdict) -> Settled {
    let state = match verdict {
        Verdict::Complete { .. } => JobState::Complete,
        Verdict::Dead { .. } => JobState::Dead,
        Verdict::Canceled { .. } => JobState::Canceled,
        Verdict::Lost { .. } => JobState::Lost,
        Verdict::Parked { .. } => JobState::Parked,
        Verdict::Retry { .. } | Verdict::Returned { .. } => JobState::Queued,
    };
    let next = match verdict {
        Verdict::Complete { next: Some(Next::Job(_)), .. } | Verdict::Dead { next: Some(Next::Job(_)), .. } => {
            Some(Placed::New)
        }
        _ => None,
    };
    Settled { next, ..Settled::new(state, None) }
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
