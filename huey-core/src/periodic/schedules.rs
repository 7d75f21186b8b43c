//! The schedules of a queue, as a program sees and steers them.

use std::fmt;

use super::chosen::{Chosen, Planned, StoredJob};
use super::ticker::Ticker;
use super::timer::Timer;
use crate::codec;
use crate::enqueue::Registered;
use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;
use crate::job::{Job, Origin, When};
use crate::task::{Schedule, SkipReason};
use crate::time::Timestamp;

/// The schedules of a queue: those that the code declares, by the names of their tasks, and those added at run time.
/// [`Huey::schedules`](crate::Huey::schedules) gives it.
///
/// What is chosen here is stored, survives restarts, and holds for all consumers. It wins over the code until it is
/// [`reset`](Self::reset), or until the code declares another schedule. A change counts from the moment it is made: ticks
/// before it that nobody decided yet make no jobs, and are told of by [`SignalKind::Skipped`](crate::SignalKind::Skipped).
///
/// ```
/// use std::time::Duration;
/// use huey_core::{Huey, Memory, Schedule};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// for schedule in huey.schedules().list()? {
///     println!("{schedule}");
/// }
/// assert!(huey.schedules().pause("no such schedule").unwrap_err().is_bad_input());
/// # Ok::<(), huey_core::Error>(())
/// ```
pub struct Schedules<'a> {
    ticker: &'a Ticker,
    /// The origin of what is triggered.
    origin: Origin,
}

/// A schedule as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// Its name; that of the task, if the code declares it.
    pub name: String,
    /// The task whose jobs it makes.
    pub task: String,
    /// When it ticks.
    pub schedule: Schedule,
    /// What the code declares, if it does; else it was added at run time.
    pub declared: Option<Schedule>,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it was removed at run time; only one that the code declares is listed then.
    pub removed: bool,
    /// The newest tick that was decided: it made a job, or was skipped.
    pub last: Option<Timestamp>,
    /// The next tick, unless it is paused or removed.
    pub next: Option<Timestamp>,
}

impl ScheduleInfo {
    /// Whether something else holds than what the code declares.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.paused || self.removed || self.declared.as_ref() != Some(&self.schedule)
    }
}

impl fmt::Display for ScheduleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.schedule)?;
        if self.name != self.task {
            write!(f, ", runs {}", self.task)?;
        }
        match (self.removed, self.paused, self.next) {
            (true, ..) => f.write_str(", removed"),
            (_, true, _) => f.write_str(", paused"),
            (.., Some(next)) => write!(f, ", next at {next}"),
            (.., None) => f.write_str(", never again"),
        }
    }
}

impl<'a> Schedules<'a> {
    pub(crate) fn new(ticker: &'a Ticker, origin: Origin) -> Self {
        Self { ticker, origin }
    }

    /// All schedules whose task this program has, by name.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer, or what is stored cannot be read.
    pub fn list(&self) -> Result<Vec<ScheduleInfo>> {
        let rows = self.ticker.rows()?;
        let known = rows.into_values().filter_map(|row| match Planned::new(row, &self.ticker.registry) {
            Ok(planned) => Some(Ok(self.info(&planned))),
            Err(error) if error.is_setup() => None,
            Err(error) => Some(Err(error)),
        });
        known.collect()
    }

    /// The schedule of that name.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none; else when the storage cannot answer.
    pub fn get(&self, name: &str) -> Result<ScheduleInfo> {
        self.planned(name).map(|planned| self.info(&planned))
    }

    fn info(&self, planned: &Planned) -> ScheduleInfo {
        let Planned { row, chosen, schedule, timer, registration, .. } = planned;
        let next = planned.is_on().then(|| timer.after(row.upto.max(self.ticker.now()))).flatten();
        ScheduleInfo {
            name: row.name.clone(),
            task: registration.task.name.to_owned(),
            schedule: schedule.clone(),
            declared: chosen.declared.clone(),
            paused: chosen.paused,
            removed: chosen.removed,
            last: row.newest,
            next,
        }
    }

    /// Adds a schedule that makes jobs like this one, with its arguments and options; the first tick comes after now.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is a schedule of that name, if the time zone is unknown, or if the job has a run
    /// time of its own; [`Error::is_codec`] if its arguments cannot be stored; else when the storage cannot.
    pub fn add<T: Registered>(&self, name: &str, schedule: Schedule, job: Job<T>) -> Result<()> {
        let Job { args, choices } = job;
        if choices.when != When::Now {
            return Err(bad("the job of a schedule runs at its ticks: leave out `delay` and `run_at`"));
        }
        if name.is_empty() {
            return Err(bad("a schedule has a name, by which it can be changed: the one given is empty"));
        }
        check(&schedule)?;
        let task = T::DEFINITION.name.to_owned();
        let job = StoredJob { task, form: T::DEFINITION.form(), args: codec::encode(&args)?.into(), choices };
        if self.ticker.rows()?.contains_key(name) {
            return Err(exists(name));
        }
        let chosen = Chosen::added(schedule, job);
        let planned = self.ticker.plan(name, 0, Some(chosen.encode()?), Some(self.ticker.now()))?;
        self.ticker.wake();
        // One that somebody else added in between, with the very same choices, is the one asked for: after an outcome
        // that was not known, it is ours.
        if planned || self.stands(name, &chosen)? { Ok(()) } else { Err(exists(name)) }
    }

    fn stands(&self, name: &str, wanted: &Chosen) -> Result<bool> {
        match self.ticker.row(name)? {
            Some(row) => Ok(Chosen::decode(&row)? == *wanted),
            None => Ok(false),
        }
    }

    /// Gives a schedule other times, and takes back a removal.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name, or if the time zone is unknown; else when the storage cannot.
    pub fn change(&self, name: &str, schedule: &Schedule) -> Result<()> {
        check(schedule)?;
        self.choose(name, |chosen| {
            chosen.changed = Some(schedule.clone());
            chosen.removed = false;
        })
    }

    /// Makes no jobs of a schedule until it is [resumed](Self::resume). Ticks that come meanwhile are skipped.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name; else when the storage cannot.
    pub fn pause(&self, name: &str) -> Result<()> {
        self.choose(name, |chosen| chosen.paused = true)
    }

    /// Ends a pause. The ticks that came meanwhile are told of as skipped.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name; else when the storage cannot.
    pub fn resume(&self, name: &str) -> Result<()> {
        self.choose(name, |chosen| chosen.paused = false)
    }

    /// Removes a schedule. One that the code declares stays listed as removed, and comes back with [`reset`](Self::reset).
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name; else when the storage cannot.
    pub fn remove(&self, name: &str) -> Result<()> {
        let planned = self.planned(name)?;
        if planned.chosen.declared.is_some() {
            return self.choose(name, |chosen| chosen.removed = true);
        }
        loop {
            let Some(row) = self.ticker.row(name)? else { return Ok(()) };
            if self.ticker.plan(name, row.revision, None, None)? {
                self.ticker.wake();
                return Ok(());
            }
        }
    }

    /// Puts a schedule back to what the code declares, whatever was chosen at run time.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name, or if the code declares none for it; else when the storage
    /// cannot.
    pub fn reset(&self, name: &str) -> Result<()> {
        let Some(declared) = self.planned(name)?.chosen.declared else {
            return Err(bad(format!("the code declares no schedule `{name}`: use `change` or `remove`")));
        };
        self.choose(name, |chosen| *chosen = Chosen::declared(declared.clone()))
    }

    /// Enqueues one job of a schedule now, as a call would. It leaves the schedule as it is.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if there is none of that name; else as [`Job::enqueue`](crate::Job::enqueue).
    pub fn trigger(&self, name: &str) -> Result<JobId> {
        let Planned { registration, args, choices, .. } = self.planned(name)?;
        let pipeline = &self.ticker.pipeline;
        Ok(pipeline.enqueue_stored(registration, &args, choices, self.origin)?.id)
    }

    fn planned(&self, name: &str) -> Result<Planned> {
        match self.ticker.rows()?.remove(name) {
            Some(row) => Planned::new(row, &self.ticker.registry),
            None => Err(bad(format!("there is no schedule named `{name}`: `list` gives the names of all"))),
        }
    }

    /// Makes other choices for a schedule, again until nobody else did in between. Its ticks up to now that nobody decided
    /// are over.
    fn choose(&self, name: &str, choice: impl Fn(&mut Chosen)) -> Result<()> {
        loop {
            let planned = self.planned(name)?;
            let (was_on, revision) = (planned.is_on(), planned.row.revision);
            let old = planned.chosen.clone();
            let mut new = old.clone();
            choice(&mut new);
            if new == old {
                return Ok(());
            }
            if old.paused {
                self.ticker.pass_over(planned, SkipReason::Paused)?;
            } else if was_on {
                self.ticker.pass_over(planned, SkipReason::Missed)?;
            }
            // A removed one came to no ticks.
            let from = (new.schedule() != old.schedule() || old.removed).then(|| self.ticker.now());
            let planned = self.ticker.plan(name, revision, Some(new.encode()?), from);
            self.ticker.wake();
            match planned {
                Ok(false) => {}
                // Looked at again: it may have happened.
                Err(error) if error.is_unknown() && self.stands(name, &new)? => return Ok(()),
                planned => return planned.map(drop),
            }
        }
    }
}

fn check(schedule: &Schedule) -> Result<()> {
    Timer::new(schedule).map(drop)
}

fn bad(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::BadInput, text)
}

fn exists(name: &str) -> Error {
    bad(format!("there is a schedule named `{name}`: use `change`, or `remove` it first"))
}

impl fmt::Debug for Schedules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedules").finish_non_exhaustive()
    }
}
