//! What a queue is to do, in plain words: no journal, no threads, no index.

mod crash;
mod ends;
mod enqueue;
mod hand;
mod run;

use std::collections::BTreeMap;

use huey::{JobId, SignalKind};

use crate::words::{Act, Clash, First, Flow, Hold, Hook, Mark, Order, Step, Task};

/// How long ends are kept, in seconds.
pub(crate) const KEEP: i64 = 100;
/// In so many lives may a job be running when they end.
const CRASH_LIMIT: u32 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It never came to be, or was given up with its arguments, or went with a crash.
    Void,
    Gone,
    Awaiting,
    Waiting,
    Running,
    Complete(u64),
    Dead,
    Lost,
    Revoked,
    Expired,
    Canceled,
}

#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is true or false of a job on its own")]
struct Job {
    id: Option<JobId>,
    order: Order,
    state: State,
    /// When it may run, or when it ended.
    at: i64,
    expires: Option<i64>,
    attempts: u32,
    retried: u32,
    claims: u32,
    crashes: u32,
    rescued: bool,
    canceled: bool,
    input: u64,
    in_flow: bool,
    next: Option<usize>,
    mourned: bool,
    /// The chord that it is the last job of a member of, and its place there.
    member: Option<(usize, usize)>,
    chord: Option<Chord>,
}

#[derive(Clone, Debug, PartialEq)]
struct Chord {
    settled: bool,
    members: usize,
    /// A value, or whether there is a record of the failure.
    arrived: BTreeMap<usize, Result<u64, bool>>,
}

/// What the queue has been told and what follows from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct World {
    pub(crate) now: i64,
    jobs: Vec<Job>,
    paused: bool,
    marks: BTreeMap<Task, Mark2>,
    keys: BTreeMap<(Task, u8), (usize, Hold, i64)>,
    pub(crate) values: BTreeMap<u8, u32>,
    /// What is to be heard of this step.
    pub(crate) heard: Vec<(SignalKind, usize)>,
    /// The states before each commit that a crash may take back.
    past: Vec<World>,
    /// The job in whose body the process died, and whether the power failed.
    pub(crate) died: Option<(usize, bool)>,
}

/// A mark with the end of its time.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mark2 {
    Once,
    Until(i64),
    Always,
}

/// What a call is to say, and the jobs that it tells of.
pub(crate) type Said = (String, Vec<usize>);

#[expect(clippy::needless_pass_by_value, reason = "a text or whatever prints as one")]
fn said(text: impl ToString, jobs: impl Into<Vec<usize>>) -> Said {
    (text.to_string(), jobs.into())
}

impl World {
    fn job(&mut self, at: usize) -> &mut Job {
        self.jobs.get_mut(at).expect("a job of this world")
    }

    fn is(&self, at: usize) -> &Job {
        self.jobs.get(at).expect("a job of this world")
    }

    fn hear(&mut self, kind: SignalKind, at: usize) {
        self.heard.push((kind, at));
    }

    fn find(&self, id: JobId) -> Option<usize> {
        self.jobs.iter().position(|job| job.id == Some(id))
    }

    /// A commit: what came before it may be lost until one that is on the disk.
    fn commit(&mut self, synced: bool, change: impl FnOnce(&mut Self)) {
        let before = World { past: Vec::new(), heard: Vec::new(), ..self.clone() };
        change(self);
        self.past.push(before);
        if synced {
            self.past.clear();
        }
    }

    /// Learns the id of a job, or compares it with what is known.
    pub(crate) fn bind(&mut self, at: usize, id: JobId) -> bool {
        if self.jobs.iter().enumerate().any(|(other, job)| other != at && job.id == Some(id)) {
            return false;
        }
        for world in self.past.iter_mut().chain([]) {
            if let Some(job) = world.jobs.get_mut(at) {
                job.id.get_or_insert(id);
            }
        }
        *self.job(at).id.get_or_insert(id) == id
    }

    /// The state of a job as it is shown; `gone` also where it may be that it never was.
    pub(crate) fn shown(&self, id: JobId) -> (&'static str, Option<u64>) {
        let Some(job) = self.find(id).map(|at| self.is(at)) else { return ("gone", None) };
        if self.is_past(job) {
            return ("gone", None);
        }
        match job.state {
            State::Void | State::Gone => ("gone", None),
            State::Awaiting => ("awaiting", None),
            State::Waiting if job.at > self.now => ("scheduled", None),
            State::Waiting => ("queued", None),
            State::Running => ("running", None),
            State::Complete(value) => ("complete", Some(value)),
            State::Dead => ("dead", None),
            State::Lost => ("lost", None),
            State::Revoked => ("revoked", None),
            State::Expired => ("expired", None),
            State::Canceled => ("canceled", None),
        }
    }

    fn is_past(&self, job: &Job) -> bool {
        let ended = matches!(job.state, State::Complete(_) | State::Revoked | State::Expired | State::Canceled);
        ended && job.at + KEEP < self.now
    }
}

enum Placed {
    New { replaced: Option<usize> },
    Existing(usize),
}
