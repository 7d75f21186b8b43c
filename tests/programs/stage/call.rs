//! What the steps of a program call, and what the calls say.

use huey::testing;
use huey::{Error, JobHandle, JobId, JobState, Result, Revocation};

use super::Stage;
use super::flows::{Built, build, with_terms};
use super::tasks::{alpha, beta, gather, mourn, next, secs, settle};
use crate::words::{Mark, Step, Task};

/// What a call says, and the jobs that it tells of.
pub(super) type Told = (String, Vec<JobId>);

#[expect(clippy::needless_pass_by_value, reason = "a text or whatever prints as one")]
fn said(text: impl ToString, ids: impl Into<Vec<JobId>>) -> Told {
    (text.to_string(), ids.into())
}

fn wrong(error: &Error) -> Told {
    let kind = match error {
        error if error.is_refused() => "refused",
        error if error.is_conflict() => "conflict",
        error if error.is_no_such_job() => "missing",
        error if error.is_bad_input() => "bad input",
        error => return said(error, []),
    };
    said(kind, [])
}

fn told(result: Result<impl ToString>) -> Told {
    result.map_or_else(|error| wrong(&error), |state| said(state.to_string(), []))
}

impl Stage {
    pub(super) fn act(&mut self, step: &Step, target: Option<JobId>) -> Told {
        let huey = self.huey();
        let handles = |new: bool, id| said(if new { "new" } else { "existing" }, [id]);
        match step {
            Step::Enqueue(order) if order.task == Task::Beta => {
                let job = with_terms!(beta::job(order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Enqueue(order) if order.task == Task::Next => {
                let job = with_terms!(next::job(0, order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Enqueue(order) => {
                let job = with_terms!(alpha::job(order.acts.clone()), order, target);
                job.enqueue(huey).map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()))
            }
            Step::Bulk(orders) => {
                let jobs = orders.iter().map(|order| with_terms!(alpha::job(order.acts.clone()), order, target));
                match huey.enqueue_many(jobs) {
                    Err(error) => wrong(&error),
                    Ok(all) => {
                        let words = all.iter().map(|handle| if handle.is_new() { "new" } else { "existing" });
                        let ids: Vec<JobId> = all.iter().map(JobHandle::id).collect();
                        said(words.collect::<Vec<_>>().join(" "), ids)
                    }
                }
            }
            Step::Begin(flow) => {
                let built = match build(flow) {
                    Built::JustAlpha(job) => {
                        let plain = job.enqueue(huey);
                        return plain
                            .map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()));
                    }
                    Built::JustBeta(job) => {
                        let plain = job.enqueue(huey);
                        return plain
                            .map_or_else(|error| wrong(&error), |handle| handles(handle.is_new(), handle.id()));
                    }
                    built => built,
                };
                let ids = match built {
                    Built::Alpha(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Beta(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Next(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Gather(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::Settle(chain) => chain.enqueue(huey).map(|handle| handle.ids().to_vec()),
                    Built::JustAlpha(_) | Built::JustBeta(_) => unreachable!("these are no chains"),
                };
                ids.map_or_else(|error| wrong(&error), |ids| said("new", ids))
            }
            Step::Run => match testing::step(huey) {
                Ok(ran) => said(if ran { "ran" } else { "idle" }, []),
                Err(error) => wrong(&error),
            },
            Step::RunAll => loop {
                match testing::step(huey) {
                    Ok(true) if self.props.disk.as_ref().is_none_or(|_| huey.counts().is_ok()) => {}
                    Ok(_) => break said("ran", []),
                    Err(error) => break wrong(&error),
                }
            },
            Step::Advance(seconds) => {
                self.clock.advance(secs(*seconds));
                said("", [])
            }
            Step::Revoke(task, mark) => {
                let mark = match mark {
                    Mark::Once => Revocation::Once,
                    Mark::Until(after) => Revocation::Until(self.clock.clock().now() + secs(*after)),
                    Mark::Always => Revocation::Always,
                };
                told(
                    on_task(*task, |name| match name {
                        Task::Beta => huey.revoke::<beta>(mark),
                        Task::Next => huey.revoke::<next>(mark),
                        Task::Gather => huey.revoke::<gather>(mark),
                        _ => huey.revoke::<alpha>(mark),
                    })
                    .map(|()| ""),
                )
            }
            Step::Restore(task) => told(on_task(*task, |name| match name {
                Task::Beta => huey.restore::<beta>(),
                Task::Next => huey.restore::<next>(),
                Task::Gather => huey.restore::<gather>(),
                _ => huey.restore::<alpha>(),
            })),
            Step::Put(..) | Step::TakeValue(_) => self.value(step),
            Step::Pause => told(huey.queue("default").pause()),
            Step::Resume => told(huey.queue("default").resume()),
            Step::Reopen | Step::Kill | Step::PowerCut => said("", []),
            Step::Purge(_) => match target {
                Some(id) => told(huey.purge(id)),
                None => said(false, []),
            },
            Step::Cancel(_) | Step::Reschedule(..) | Step::Replay(_) | Step::Take(_) => match target {
                None => said("nothing", []),
                Some(id) => self.by_hand(step, id),
            },
        }
    }

    fn value(&self, step: &Step) -> Told {
        match step {
            Step::Put(key, value) => told(self.huey().put(&name_of(*key), value).map(|()| "")),
            Step::TakeValue(key) => match self.huey().take::<u32>(&name_of(*key)) {
                Ok(value) => said(value.map_or_else(|| "nothing".into(), |value| value.to_string()), []),
                Err(error) => wrong(&error),
            },
            _ => said("", []),
        }
    }

    fn by_hand(&self, step: &Step, id: JobId) -> Told {
        let huey = self.huey();
        match step {
            Step::Cancel(_) => told(huey.cancel(id)),
            Step::Reschedule(_, after) => told(huey.reschedule(id, self.clock.clock().now() + secs(*after))),
            Step::Replay(_) => huey.replay(id).map_or_else(|error| wrong(&error), |id| said("new", [id])),
            _ => match self.result(id, true) {
                Some(value) => said(format!("took {value}"), []),
                None => said("nothing", []),
            },
        }
    }

    /// The value of a job that is complete, of whatever task.
    pub(super) fn result(&self, id: JobId, take: bool) -> Option<u64> {
        let huey = self.huey();
        if huey.status(id).ok()? != JobState::Complete {
            return None;
        }
        macro_rules! first_of {
            ($($task:ident)*) => {$(
                if let Ok(handle) = huey.handle::<$task>(id) {
                    return if take { handle.take() } else { handle.get() }.ok().flatten();
                }
            )*};
        }
        first_of!(alpha beta next gather settle mourn);
        None
    }
}

fn on_task<T>(task: Task, call: impl FnOnce(Task) -> T) -> T {
    call(task)
}

/// The key of a value.
pub(super) fn name_of(key: u8) -> String {
    format!("value/{key}")
}
