//! From the end of an attempt to a settled job that everybody has heard of.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::End;
use super::executor::{Executor, Kit};
use super::follow::{self, Follow};
use super::retry::{self, Decided};
use crate::enqueue::{Registration, emit_discarded};
use crate::error::TaskError;
use crate::job::{KEEP, Origin};
use crate::signal::{Final, WorkerMark};
use crate::state::JobState;
use crate::store::{
    Commit, Ended, Lease, Next, Outcome, Placed, Settled, Settlement, StorageError, Transition, Verdict,
};
use crate::task::{Durability, Failure, Options, Stopped};

impl Executor {
    fn decide(&self, kit: &Kit, end: End) -> Decided {
        // Whoever canceled it was told that it will not be attempted again; a value that it yields all the same stands.
        let canceled = kit.stop.reason() == Some(Stopped::Canceled);
        let end = match end {
            End::Failed(Failure::Failed { .. } | Failure::Retry { .. } | Failure::Locked { .. })
            | End::Interrupted
            | End::Late
                if canceled =>
            {
                End::Failed(Failure::Stopped(Stopped::Canceled))
            }
            end => end,
        };
        let own = || kit.registration.map_or(Options::NONE, Registration::options);
        let terms = retry::Terms {
            retries: kit.retries,
            retried: kit.retried,
            delay: &|| retry::delay(&own().or(self.defaults), kit.retried, chance()),
            keep: own().retention.or(self.defaults.retention).unwrap_or(KEEP),
            signature: kit.registration.map_or(0, |registration| registration.task.output),
            at_most_once: kit.at_most_once,
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
        if kit.is_chord() {
            let (decided, follow) = self.gather(kit, end);
            return Settling { decided, follow };
        }
        let mut decided = self.decide(kit, end);
        let mut follow = None;
        let (registry, id) = (&self.registry, kit.lease.id);
        match (&mut decided.verdict, &kit.tail) {
            (Verdict::Complete { output, next, .. }, Some(tail)) => {
                (*next, follow) = follow::of(self.pipeline.next_step(
                    registry,
                    Origin::Chain { parent: id },
                    (**tail).clone(),
                    output,
                ));
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
            drop(executor);
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

    /// Lets go of what an attempt held whose body ran on after its settle. It goes by lease, so it may be repeated.
    pub(crate) fn let_go(&self, lease: Lease) {
        let mut pause = Duration::from_millis(10);
        loop {
            match self.storage.commit(Transition::LetGo(vec![lease]), Commit::RELAXED) {
                Err(error) if is_passing(&error) => {
                    self.note_trouble(&error);
                    tracing::error!(job = %lease.id, %error, "what a late body held could not be let go of yet");
                    crate::sync::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
                // Whoever opens the storage again finds nothing held.
                Ok(_) | Err(StorageError::Closed) => return,
                Err(error) => {
                    return tracing::error!(job = %lease.id, %error, "what a late body held could not be let go of");
                }
            }
        }
    }

    /// Commits until the storage has an answer. Settling goes by lease, so it may be repeated.
    fn insist(&self, all: &[(Kit, Settling)], how: Commit) -> Insisted {
        let mut pause = Duration::from_millis(10);
        let mut repeated = false;
        loop {
            match self.storage.commit(transition(all.iter().map(|(kit, settling)| (kit, settling))), how) {
                Err(error) if is_passing(&error) => {
                    self.note_trouble(&error);
                    tracing::error!(%error, "an attempt could not be settled yet");
                    repeated = true;
                    crate::sync::thread::sleep(pause);
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
        self.trouble.settled();
        let mut told = Vec::with_capacity(if how.hold { all.len() } else { 1 });
        let (mut held, mut canceled) = (Vec::with_capacity(all.len()), Vec::new());
        let now = self.storage.clock().now();
        for ((kit, settling), settled) in all.into_iter().zip(settled) {
            // The answer to a repeated settle finds the lease gone if the first one had been done.
            let is_guessed = settled.is_none();
            let Some(settled) = settled.or_else(|| repeated.then(|| expected(&settling.decided.verdict))) else {
                tracing::warn!(job = %kit.lease.id, task = %kit.task, "the attempt's lease was given away, and its end is refused");
                settling.fail("the lease of the step before was given away");
                continue;
            };
            let Settling { decided: Decided { verdict, signals, error, cause }, follow } = settling;
            let error = error.map(Arc::new);
            let cause: Option<Arc<str>> = cause.map(Into::into);
            for kind in signals.into_iter().flatten() {
                self.emit(&kit, kind, error.clone(), cause.clone(), settled.due);
            }
            held.push(kit.lease.id);
            let Settled { state, next, canceled: steps, .. } = settled;
            let (mut follow, mut refused) = (follow, None);
            if state == JobState::Complete {
                // A refused step is told of by `rejected` alone, and one that was canceled before its turn by what said so.
                let refusal = follow.as_ref().and_then(Follow::refused);
                let is_due = |id| is_guessed || steps.iter().any(|step| step.id == id);
                match follow.take() {
                    Some(follow) if refusal.is_some_and(|id| !is_due(id)) => {
                        follow.fail("it was canceled before its turn");
                    }
                    Some(follow) => refused = follow.tell(&self.pipeline, next.clone(), &mut held, &mut canceled),
                    None => {}
                }
            }
            for step in steps {
                if refused != Some(step.id) {
                    emit_discarded(&self.signals, &step, now);
                }
                held.push(step.id);
                canceled.push(step);
            }
            if let Some(follow) = follow {
                follow.tell(&self.pipeline, next, &mut held, &mut canceled);
            }
            // Who comes to wait from here on finds the end in the store, unless that is held.
            if how.hold || self.waiters.any(kit.lease.id) {
                told.push((kit, verdict, state, error, cause));
            }
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

fn transition<'a>(all: impl IntoIterator<Item = (&'a Kit, &'a Settling)>) -> Transition {
    let settlement =
        |(kit, one): (&Kit, &Settling)| Settlement { lease: kit.lease, verdict: one.decided.verdict.clone() };
    let all = all.into_iter();
    let (mut settlements, mut runs_on) = (Vec::with_capacity(all.size_hint().0), false);
    for (kit, one) in all {
        runs_on |= kit.runs_on;
        settlements.push(settlement((kit, one)));
    }
    // One whose body runs on is settled by itself.
    match settlements.pop() {
        Some(one) if runs_on && settlements.is_empty() => Transition::Overrun(Box::new(one)),
        last => {
            settlements.extend(last);
            Transition::Settle(settlements)
        }
    }
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
        Verdict::Canceled { .. } | Verdict::Gathered { next: Next::Failed { .. } } => JobState::Canceled,
        Verdict::Complete { .. } | Verdict::Gathered { .. } => JobState::Complete,
        Verdict::Dead { .. } => JobState::Dead,
        Verdict::Lost { .. } => JobState::Lost,
        Verdict::Parked { .. } => JobState::Parked,
        Verdict::Retry { .. } | Verdict::Returned { .. } | Verdict::Locked { .. } => JobState::Queued,
    };
    let next = match verdict {
        Verdict::Complete { next: Some(Next::Job(_)), .. }
        | Verdict::Dead { next: Some(Next::Job(_)), .. }
        | Verdict::Gathered { next: Next::Job(_) | Next::Failed { follow_up: Some(_), .. } } => Some(Placed::New),
        _ => None,
    };
    Settled { next, ..Settled::new(state, None) }
}

/// A number from 0 to 1, another one each time.
fn chance() -> f64 {
    f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}
