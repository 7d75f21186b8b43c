//! What is stored of a schedule's choices: what the code declared when it was looked at last, and what was chosen since.

use serde::{Deserialize, Serialize};

use super::timer::Timer;
use crate::codec::{self, Bytes};
use crate::enqueue::{Registration, Registry};
use crate::error::{Error, ErrorKind, Result};
use crate::job::Choices;
use crate::store::ScheduleRow;
use crate::task::{Form, Schedule, StoredArgs};

/// The version of what stands in front of the stored choices.
const VERSION: u8 = 1;

/// The choices of a schedule, as they are stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Chosen {
    version: u8,
    /// What the code declares, if it does.
    pub(super) declared: Option<Schedule>,
    /// What was chosen at run time in its place.
    pub(super) changed: Option<Schedule>,
    pub(super) paused: bool,
    /// A declared one that is not to run.
    pub(super) removed: bool,
    /// What to run; for a declared one, the task of its name.
    pub(super) job: Option<StoredJob>,
}

/// A job that was not enqueued yet, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredJob {
    pub(super) task: String,
    pub(super) form: Form,
    pub(super) args: Bytes,
    pub(super) choices: Choices,
}

impl Chosen {
    pub(super) fn declared(schedule: Schedule) -> Self {
        Self { version: VERSION, declared: Some(schedule), ..Self::default() }
    }

    pub(super) fn added(schedule: Schedule, job: StoredJob) -> Self {
        Self { version: VERSION, changed: Some(schedule), job: Some(job), ..Self::default() }
    }

    pub(super) fn encode(&self) -> Result<Bytes> {
        codec::encode(self).map(Bytes::from)
    }

    pub(super) fn decode(row: &ScheduleRow) -> Result<Self> {
        if row.choices.first() == Some(&VERSION) {
            return codec::decode(&row.choices);
        }
        let text = format!("the schedule `{}` was stored by another version of huey", row.name);
        Err(Error::new(ErrorKind::Codec, text))
    }

    /// When it ticks.
    pub(super) fn schedule(&self) -> Option<&Schedule> {
        self.changed.as_ref().or(self.declared.as_ref())
    }
}

/// A schedule with all that its ticks need.
pub(super) struct Planned {
    pub(super) row: ScheduleRow,
    pub(super) chosen: Chosen,
    pub(super) schedule: Schedule,
    pub(super) timer: Timer,
    /// The task whose jobs it makes.
    pub(super) registration: &'static Registration,
    pub(super) args: Bytes,
    pub(super) choices: Choices,
}

impl Planned {
    /// # Errors
    ///
    /// What is to be told to whoever asks for it: the task or the zone is unknown here, or what is stored is.
    pub(super) fn new(row: ScheduleRow, registry: &Registry) -> Result<Self> {
        let mut chosen = Chosen::decode(&row)?;
        let job = chosen.job.take();
        let (task, stored, choices) = match job {
            Some(job) => {
                chosen.job = Some(job.clone());
                (job.task, Some((job.form, job.args)), job.choices)
            }
            None => (row.name.clone(), None, Choices::default()),
        };
        let Some(registration) = registry.find(&task) else {
            let text =
                format!("the schedule `{}` is one of the task `{task}`, which this program does not have", row.name);
            return Err(Error::new(ErrorKind::Setup, text));
        };
        let args = match &stored {
            Some((form, bytes)) => {
                let accepted = registration.accept(StoredArgs { task: &task, form: *form, bytes });
                let accepted = accepted.map_err(|why| {
                    Error::new(ErrorKind::Codec, format!("the schedule `{}` makes no jobs here: {why}", row.name))
                })?;
                accepted.into_owned().into()
            }
            None => Bytes::default(),
        };
        let schedule = chosen
            .schedule()
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Codec, format!("the schedule `{}` has no times", row.name)))?;
        let timer = Timer::new(&schedule)?;
        Ok(Self { row, chosen, schedule, timer, registration, args, choices })
    }

    /// Whether it makes jobs.
    pub(super) fn is_on(&self) -> bool {
        !self.chosen.paused && !self.chosen.removed
    }
}
