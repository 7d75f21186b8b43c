//! The only worker.

use super::*;

impl World {
    pub(super) fn turn(&self, at: usize) -> (i32, usize) {
        (-i32::from(self.is(at).order.priority), at)
    }

    /// One turn of the only worker. Whether there was a job to run.
    pub(super) fn run(&mut self) -> bool {
        if self.paused {
            return false;
        }
        let ready = |job: &Job| job.state == State::Waiting && job.at <= self.now;
        let mut turns: Vec<usize> = (0..self.jobs.len()).filter(|at| ready(self.is(*at))).collect();
        turns.sort_by_key(|at| self.turn(*at));
        // What is one crash short of its limit runs alone, and first.
        if let Some(suspect) = turns.iter().find(|at| self.is(**at).crashes + 1 == CRASH_LIMIT) {
            turns = vec![*suspect];
        }
        let (mut ended, mut claimed, mut synced) = (Vec::new(), None, false);
        self.commit(false, |world| {
            for at in turns {
                if let Some(kinds) = world.discard(at) {
                    synced |= world.is_synced(at);
                    ended.extend(kinds.iter().map(|kind| (*kind, at)));
                    let recorded = kinds.contains(&SignalKind::Dead);
                    ended.extend(world.fail(at, recorded).into_iter().map(|step| (SignalKind::Canceled, step)));
                } else {
                    let now = world.now;
                    let job = world.job(at);
                    claimed = Some((at, std::mem::take(&mut job.rescued)));
                    (job.state, job.at, job.claims) = (State::Running, now, job.claims + 1);
                    job.attempts += u32::from(job.crashes < CRASH_LIMIT);
                    synced |= world.starts_once(at);
                    break;
                }
            }
        });
        if synced {
            self.past.clear();
        }
        self.heard.extend(ended);
        let Some((at, rescued)) = claimed else { return false };
        if self.is(at).chord.is_some() {
            self.gather(at);
            return true;
        }
        if rescued {
            self.hear(SignalKind::Rescued, at);
        }
        if self.is(at).crashes >= CRASH_LIMIT {
            self.settle(at, &[SignalKind::Dead], |world| world.die(at));
            return true;
        }
        self.hear(SignalKind::Executing, at);
        self.attempt(at);
        true
    }

    pub(super) fn starts_once(&self, at: usize) -> bool {
        self.is(at).order.task == Task::Beta
    }

    /// Whether what becomes of it is on the disk before it is told.
    fn is_synced(&self, at: usize) -> bool {
        !self.is(at).order.relaxed
    }

    /// What becomes of a job that is not run when it is picked up.
    pub(super) fn discard(&mut self, at: usize) -> Option<Vec<SignalKind>> {
        let job = self.is(at);
        let (task, rescued) = (job.order.task, job.rescued);
        let marked = match self.marks.get(&task) {
            Some(Mark2::Until(end)) => self.now <= *end,
            other => other.is_some(),
        };
        let (state, kind) = if job.canceled {
            (State::Canceled, SignalKind::Canceled)
        } else if marked {
            if self.marks.get(&task) == Some(&Mark2::Once) {
                self.marks.remove(&task);
            }
            (State::Revoked, SignalKind::Revoked)
        } else if job.expires.is_some_and(|end| self.now > end) {
            (State::Expired, SignalKind::Expired)
        } else if self.starts_once(at) && rescued {
            (State::Lost, SignalKind::Interrupted)
        } else if job.crashes >= CRASH_LIMIT && !job.mourned && job.chord.is_none() {
            self.end(at, State::Dead);
            return Some(if rescued { vec![SignalKind::Rescued, SignalKind::Dead] } else { vec![SignalKind::Dead] });
        } else {
            return None;
        };
        self.end(at, state);
        Some(vec![kind])
    }

    pub(super) fn attempt(&mut self, at: usize) {
        use SignalKind::{Canceled, Complete, Dead, Error, Progress, Retrying, Scheduled};
        let job = self.is(at).clone();
        let acts = &job.order.acts;
        let act = acts.get(job.attempts as usize - 1).or(acts.last()).copied().unwrap_or(Act::Well);
        match act {
            Act::Die | Act::DieOfPower => {
                self.died = Some((at, act == Act::DieOfPower));
                return;
            }
            Act::Call => drop(self.enqueue(&[Order::default()], None)),
            Act::Report => self.commit(false, |_| ()),
            Act::CancelSelf => self.commit(true, |world| world.job(at).canceled = true),
            _ => {}
        }
        let first = if act == Act::Late { SignalKind::Timeout } else { Error };
        match act {
            Act::Report => {
                self.hear(Progress, at);
                self.settle(at, &[Complete], |world| world.complete(at));
            }
            Act::Well | Act::Call => self.settle(at, &[Complete], |world| world.complete(at)),
            Act::Fatal => self.settle(at, &[Error, Dead], |world| world.die(at)),
            Act::Fail | Act::Panic | Act::Late if job.retried >= job.order.retries => {
                self.settle(at, &[first, Dead], |world| world.die(at));
            }
            Act::Fail | Act::Panic | Act::Late => self.settle(at, &[first, Retrying], |world| {
                world.job(at).retried += 1;
                world.wait(at, 0)
            }),
            Act::Again(after) => {
                let kinds: &[SignalKind] = if after == 0 { &[Retrying] } else { &[Retrying, Scheduled] };
                self.settle(at, kinds, |world| world.wait(at, after));
            }
            Act::GiveUp | Act::CancelSelf => self.settle(at, &[Canceled], |world| {
                world.end(at, State::Canceled);
                let steps = world.fail(at, false);
                steps.into_iter().map(|step| (Canceled, step)).collect()
            }),
            Act::Die | Act::DieOfPower => unreachable!("it is dead"),
        }
    }

    /// Settles: first what is heard of the attempt itself, then what follows.
    pub(super) fn settle(
        &mut self,
        at: usize,
        kinds: &[SignalKind],
        change: impl FnOnce(&mut Self) -> Vec<(SignalKind, usize)>,
    ) {
        let mut follows = Vec::new();
        let synced = self.is_synced(at) || self.starts_once(at);
        self.commit(synced, |world| follows = change(world));
        self.heard.extend(kinds.iter().map(|kind| (*kind, at)));
        self.heard.extend(follows);
    }

    pub(super) fn wait(&mut self, at: usize, after: u32) -> Vec<(SignalKind, usize)> {
        let now = self.now;
        let job = self.job(at);
        (job.state, job.at) = (State::Waiting, now + i64::from(after));
        Vec::new()
    }

    pub(super) fn complete(&mut self, at: usize) -> Vec<(SignalKind, usize)> {
        let value = self.is(at).input + 1;
        self.end(at, State::Complete(value));
        let heard = self.follow(at, value);
        if self.is(at).next.is_none() {
            self.arrive(at, Ok(value));
        }
        heard
    }

    /// The step after a job that yielded a value.
    pub(super) fn follow(&mut self, at: usize, value: u64) -> Vec<(SignalKind, usize)> {
        let Some(next) = self.is(at).next else { return Vec::new() };
        self.job(next).input = value;
        if self.is(next).order.hook == Hook::Refuse {
            let steps = self.fail(at, false);
            return steps
                .into_iter()
                .map(|step| {
                    let kind = if step == next { SignalKind::Rejected } else { SignalKind::Canceled };
                    (kind, step)
                })
                .collect();
        }
        self.settle_terms(next);
        match self.place(next, &mut Vec::new(), Some(at)) {
            Ok(Placed::New { replaced }) => {
                let mut heard: Vec<_> = replaced.into_iter().map(|old| (SignalKind::Canceled, old)).collect();
                heard.push((SignalKind::Enqueued, next));
                if self.is(next).at > self.now {
                    heard.push((SignalKind::Scheduled, next));
                }
                heard
            }
            _ => self.fail(at, false).into_iter().map(|step| (SignalKind::Canceled, step)).collect(),
        }
    }

    pub(super) fn die(&mut self, at: usize) -> Vec<(SignalKind, usize)> {
        self.end(at, State::Dead);
        let follow_up = self.mourn(at);
        let steps = self.fail(at, true);
        steps.into_iter().map(|step| (SignalKind::Canceled, step)).chain(follow_up).collect()
    }

    pub(super) fn mourn(&mut self, at: usize) -> Option<(SignalKind, usize)> {
        if !self.is(at).mourned {
            return None;
        }
        let follow_up = self.add(&Order { task: Task::Mourn, ..Order::default() });
        (self.job(follow_up).state, self.job(follow_up).input) = (State::Waiting, 1_000);
        Some((SignalKind::Enqueued, follow_up))
    }

    /// A chord's turn: nobody hears of it but by its callback.
    pub(super) fn gather(&mut self, at: usize) {
        let chord = self.is(at).chord.clone().expect("a chord");
        let failed = chord.arrived.values().find_map(|one| one.err()).filter(|_| !chord.settled);
        let failed = if self.is(at).crashes >= CRASH_LIMIT { Some(true) } else { failed };
        self.settle(at, &[], |world| {
            world.end(at, State::Gone);
            if let Some(recorded) = failed {
                let follow_up = if recorded { world.mourn(at) } else { None };
                let steps = world.fail(at, recorded);
                return steps.into_iter().map(|step| (SignalKind::Canceled, step)).chain(follow_up).collect();
            }
            let value = chord.arrived.values().map(|one| one.unwrap_or(100)).sum();
            world.follow(at, value)
        });
    }
}
