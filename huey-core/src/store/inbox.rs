//! What callers ask of the store: served at once, or together with others by whoever comes to the lock.

use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Mutex};

use super::announcer::call_back;
use super::barrier::{Announcement, lock};
use super::core::{Answered, Served};
use super::log::Medium;
use super::shared::{Life, Shared};
use super::storage::{Commit, Done, StorageError};
use super::transition::{Outcome, Transition};
use super::watch::Stir;
use crate::task::Durability;

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
                done = core.serve(transition, how, now, answer, &|queue, task| self.promise(queue, task));
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
                Some(Ok(served)) => stir.handed.extend(served.handed.take()),
                Some(Err(_)) => {}
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
                (Reply::Done(done), Ok(Served { outcome, sequence, sync, held, .. })) => {
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
