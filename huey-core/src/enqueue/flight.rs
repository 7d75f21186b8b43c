//! Jobs between the hooks and what follows their commit, and what is owed to each.

use std::any::Any;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::request::{Callback, EnqueueOutcome};
use crate::error::{Error, Result};
use crate::id::JobId;
use crate::job::{Origin, Terms};
use crate::signal::{SignalKind, Signals};
use crate::store::{Commit, NewChord, NewJob, Placed, Storage, Transition};
use crate::task::Durability;
use crate::time::Timestamp;

/// The id that a caller gets, and whether its job is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Enqueued {
    pub(crate) id: JobId,
    pub(crate) is_new: bool,
}

/// What staging came to.
#[expect(clippy::large_enum_variant, reason = "almost all are staged, and a box for each is what a bulk would pay for")]
pub(crate) enum Passed {
    Staged(Staged),
    Existing(Enqueued),
    /// A hook pointed to this job, and nobody was told of it yet.
    Found(JobId, Box<After>),
}

/// Why a job did not pass, and what is owed for it, if its hooks ran.
pub(crate) struct Unstaged {
    pub(crate) error: Error,
    pub(crate) after: Option<Box<After>>,
}

impl From<Error> for Unstaged {
    fn from(error: Error) -> Self {
        Self { error, after: None }
    }
}

/// A job that passed the hooks.
pub(crate) struct Staged {
    pub(crate) job: NewJob,
    pub(crate) after: After,
}

/// What is owed once the outcome is known.
pub(crate) struct After {
    pub(super) callbacks: Vec<Callback>,
    pub(crate) notice: Notice,
}

/// What the signals of an enqueue tell.
pub(crate) struct Notice {
    pub(crate) id: JobId,
    pub(super) task: Cow<'static, str>,
    pub(super) queue: Cow<'static, str>,
    pub(super) origin: Origin,
    pub(super) headers: Vec<(String, String)>,
    pub(super) run_at: Timestamp,
    pub(super) delayed: bool,
}

impl Notice {
    pub(super) fn new(
        id: JobId,
        task: impl Into<Cow<'static, str>>,
        origin: Origin,
        terms: &Terms,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            task: task.into(),
            queue: terms.queue.clone(),
            origin,
            headers: terms.headers.clone(),
            run_at: terms.run_at,
            delayed: terms.run_at > now,
        }
    }
}

impl After {
    /// Runs the callbacks, the last one left first.
    pub(crate) fn settle(&mut self, outcome: &EnqueueOutcome) {
        for callback in std::mem::take(&mut self.callbacks).into_iter().rev() {
            if catch_unwind(AssertUnwindSafe(|| callback(outcome))).is_err() {
                tracing::error!(job = %self.notice.id, task = %self.notice.task, "an after_commit callback panicked");
            }
        }
    }
}

/// Jobs that are stored together, in the order in which their caller gave them.
#[derive(Default)]
pub(super) struct Flight {
    /// What the caller gets for each, as far as it is known.
    landed: Vec<Option<Enqueued>>,
    jobs: Vec<NewJob>,
    chords: Vec<NewChord>,
    /// The ids of the chords.
    gatherers: Vec<JobId>,
    /// What is owed for each of the jobs to be stored, and its place among all.
    pub(super) afters: Vec<(usize, After)>,
}

/// For how many jobs room is made before the first comes: what their caller says of their number may be wrong.
const ROOM: usize = 4096;

impl Flight {
    /// One that will have about so many jobs.
    pub(super) fn with_room(many: usize) -> Self {
        let many = many.min(ROOM);
        let (landed, jobs, afters) = (Vec::with_capacity(many), Vec::with_capacity(many), Vec::with_capacity(many));
        Self { landed, jobs, afters, ..Self::default() }
    }

    pub(super) fn of_one(passed: Passed) -> Self {
        let mut flight = Self::with_room(1);
        flight.add(passed);
        flight
    }

    pub(super) fn add(&mut self, passed: Passed) {
        match passed {
            Passed::Existing(enqueued) => self.landed.push(Some(enqueued)),
            Passed::Found(id, _) => self.landed.push(Some(Enqueued { id, is_new: false })),
            Passed::Staged(staged) => {
                let Staged { job, after } = staged;
                self.afters.push((self.landed.len(), after));
                self.jobs.push(job);
                self.landed.push(None);
            }
        }
    }

    pub(super) fn add_chord(&mut self, chord: NewChord) {
        self.gatherers.push(chord.id);
        self.chords.push(chord);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.landed.len()
    }

    /// How they are committed: the highest level holds, and what is announced is held until it has been.
    pub(super) fn how(&self, signals: &Signals) -> Commit {
        let heard = signals.hears(SignalKind::Enqueued) || signals.hears(SignalKind::Scheduled);
        let levels = self.jobs.iter().map(|job| job.durability);
        let durability = levels.chain(self.chords.iter().map(|chord| chord.durability)).max();
        let durability = durability.unwrap_or(Durability::Relaxed);
        Commit { durability, hold: heard || self.afters.iter().any(|(_, after)| !after.callbacks.is_empty()) }
    }

    /// The transition that stores them, if there is anything to store.
    pub(super) fn transition(&mut self) -> Option<Transition> {
        let (jobs, chords) = (std::mem::take(&mut self.jobs), std::mem::take(&mut self.chords));
        (!jobs.is_empty() || !chords.is_empty()).then_some(Transition::Enqueue { jobs, chords })
    }

    /// The jobs that a commit of them holds.
    pub(super) fn held(&self, placed: &[Placed]) -> Vec<JobId> {
        let mut held = self.gatherers.clone();
        held.reserve(placed.len());
        for ((_, after), placed) in self.afters.iter().zip(placed) {
            match placed {
                Placed::New => held.push(after.notice.id),
                Placed::Replaced(old) => held.extend([old.id, after.notice.id]),
                Placed::Existing(_) => {}
            }
        }
        held
    }

    pub(super) fn land(&mut self, index: usize, enqueued: Enqueued) {
        if let Some(landed) = self.landed.get_mut(index) {
            *landed = Some(enqueued);
        }
    }

    /// What the caller gets.
    pub(super) fn landed(self) -> Vec<Enqueued> {
        let mut all = Vec::with_capacity(self.landed.len());
        all.extend(self.landed.into_iter().flatten());
        all
    }

    /// Takes out what is owed for one of the jobs to be stored, with its place among all.
    pub(super) fn take_after(&mut self, index: usize) -> Option<(usize, After)> {
        (index < self.afters.len()).then(|| self.afters.remove(index))
    }

    /// Nothing was stored.
    pub(super) fn fail(&mut self, outcome: &EnqueueOutcome) {
        for (_, mut after) in std::mem::take(&mut self.afters) {
            after.settle(outcome);
        }
    }
}

/// Lets jobs go, however what follows their commit ends.
pub(super) struct Release<'a> {
    pub(super) storage: &'a dyn Storage,
    pub(super) ids: Vec<JobId>,
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        if !self.ids.is_empty() {
            self.storage.release(&self.ids);
        }
    }
}

/// The one that a flight of one job brings.
pub(super) fn only(mut landed: Vec<Enqueued>) -> Result<Enqueued> {
    landed.pop().ok_or_else(|| Error::damaged("the storage gave no answer for a job"))
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a value that is no text".into())
}
