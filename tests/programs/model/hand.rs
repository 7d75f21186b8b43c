//! What is done by hand.

use super::*;

impl World {
    pub(crate) fn play(&mut self, step: &Step, target: Option<JobId>) -> Said {
        self.heard.clear();
        let at = target.and_then(|id| self.find(id));
        let shown = target.map_or("gone", |id| self.shown(id).0);
        match step {
            Step::Enqueue(order) => self.enqueue(std::slice::from_ref(order), target),
            Step::Bulk(orders) => self.enqueue(orders, target),
            Step::Begin(flow) => self.flow(flow),
            Step::Run => said(if self.run() { "ran" } else { "idle" }, []),
            Step::RunAll => {
                while self.died.is_none() && self.run() {}
                said("ran", [])
            }
            Step::Advance(seconds) => {
                self.now += i64::from(*seconds);
                said("", [])
            }
            Step::Revoke(task, mark) => self.revoke(*task, *mark),
            Step::Restore(task) => {
                let now = self.now;
                let mut was = None;
                self.commit(true, |world| was = world.marks.remove(task));
                said(was.is_some_and(|mark| !matches!(mark, Mark2::Until(end) if now > end)), [])
            }
            Step::Put(..) | Step::TakeValue(_) => self.value(step),
            Step::Pause | Step::Resume => {
                let was = self.paused;
                self.commit(true, |world| world.paused = *step == Step::Pause);
                said(was, [])
            }
            Step::Reopen | Step::Kill | Step::PowerCut => said("", []),
            Step::Purge(_) => match at.filter(|_| matches!(shown, "dead" | "lost")) {
                Some(at) => {
                    self.commit(true, |world| world.job(at).state = State::Gone);
                    said(true, [])
                }
                None => said(false, []),
            },
            _ if target.is_none() => said("nothing", []),
            Step::Cancel(_) => match at {
                Some(at) if matches!(shown, "queued" | "scheduled") => {
                    let mut steps = Vec::new();
                    self.commit(true, |world| {
                        world.end(at, State::Canceled);
                        steps = world.fail(at, false);
                    });
                    self.hear(SignalKind::Canceled, at);
                    self.heard.extend(steps.into_iter().map(|step| (SignalKind::Canceled, step)));
                    said("canceled", [])
                }
                Some(at) if shown == "awaiting" => {
                    let before = self.jobs.iter().position(|job| job.next == Some(at)).expect("a step before");
                    let mut steps = Vec::new();
                    self.commit(true, |world| steps = world.fail(before, false));
                    self.heard.extend(steps.into_iter().map(|step| (SignalKind::Canceled, step)));
                    said("canceled", [])
                }
                _ if shown == "gone" => said("missing", []),
                _ => said(shown, []),
            },
            Step::Reschedule(_, after) => match at {
                Some(at) if matches!(shown, "queued" | "scheduled") => {
                    self.commit(true, |world| drop(world.wait(at, *after)));
                    if *after > 0 {
                        self.hear(SignalKind::Scheduled, at);
                    }
                    said(if *after > 0 { "scheduled" } else { "queued" }, [])
                }
                _ if shown == "gone" => said("missing", []),
                _ => said("bad input", []),
            },
            Step::Replay(_) => match at {
                Some(at) if matches!(shown, "dead" | "lost") => {
                    let old = self.is(at).clone();
                    let plain = Order { delay: 0, expires: None, unique: None, relaxed: false, ..old.order };
                    let new = self.add(&plain);
                    let now = self.now;
                    self.commit(true, |world| {
                        world.job(at).state = State::Gone;
                        let job = world.job(new);
                        (job.state, job.at, job.input) = (State::Waiting, now, old.input);
                        world.values.extend(plain.puts);
                    });
                    self.hear(SignalKind::Enqueued, new);
                    said("new", [new])
                }
                _ if shown == "gone" => said("missing", []),
                _ => said("bad input", []),
            },
            Step::Take(_) => match (at, target.map(|id| self.shown(id))) {
                (Some(at), Some((_, Some(value)))) => {
                    self.commit(true, |world| world.job(at).state = State::Gone);
                    said(format!("took {value}"), [])
                }
                _ => said("nothing", []),
            },
        }
    }

    fn value(&mut self, step: &Step) -> Said {
        let mut was = None;
        self.commit(true, |world| match step {
            Step::Put(key, value) => _ = world.values.insert(*key, *value),
            Step::TakeValue(key) => was = world.values.remove(key),
            _ => {}
        });
        let taken = was.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
        said(if matches!(step, Step::Put(..)) { String::new() } else { taken }, [])
    }

    fn revoke(&mut self, task: Task, mark: Mark) -> Said {
        let mark = match mark {
            Mark::Once => Mark2::Once,
            Mark::Until(after) => Mark2::Until(self.now + i64::from(after)),
            Mark::Always => Mark2::Always,
        };
        self.commit(true, |world| _ = world.marks.insert(task, mark));
        said("", [])
    }
}
