//! The steps to come: stored with the job whose turn it is, and taken through the hooks when theirs has come.

use serde::{Deserialize, Serialize};

use super::chain::Planned;
use super::flight::{Passed, Unstaged};
use super::pipeline::Pipeline;
use super::registry::{Registry, explain_missing};
use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result, TaskError};
use crate::id::JobId;
use crate::job::{Choices, Origin};
use crate::store::Flow;
use crate::task::{Form, StoredArgs};

/// The version of what is stored of the steps to come.
const VERSION: u8 = 1;

/// The steps to come, as they are stored with the job whose turn it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tail {
    version: u8,
    /// Their ids' counters follow this one.
    at: JobId,
    steps: Vec<StoredStep>,
    on_error: Option<StoredStep>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredStep {
    task: String,
    form: Form,
    takes: bool,
    args: Bytes,
    choices: Choices,
}

/// Where a job stands in a flow.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Its id, if that was given out before.
    pub(super) id: Option<JobId>,
    pub(super) flow: Option<Flow>,
    pub(super) rest: Bytes,
}

impl StoredStep {
    fn of(step: Planned) -> Result<Self> {
        let (task, form) = (step.registration.task.name.to_owned(), step.registration.task.form());
        let takes = step.takes;
        Ok(Self { task, form, takes, args: step.args?.into(), choices: step.choices })
    }
}

impl Tail {
    /// What follows the job at `at`.
    pub(super) fn new(at: JobId, steps: impl IntoIterator<Item = Planned>, on_error: Option<Planned>) -> Result<Self> {
        let steps = steps.into_iter().map(StoredStep::of).collect::<Result<_>>()?;
        Ok(Self { version: VERSION, at, steps, on_error: on_error.map(StoredStep::of).transpose()? })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes.first() {
            Some(&VERSION) => codec::decode(bytes),
            _ => Err(Error::new(ErrorKind::Codec, "the steps to come were stored by another version of huey")),
        }
    }

    /// What the job at `self.at` is stored with.
    pub(super) fn part(&self, keep: std::time::Duration) -> Result<Part> {
        let tasks = self.steps.iter().map(|step| step.task.clone()).collect();
        let follow_up = self.on_error.is_some();
        let is_over = self.steps.is_empty() && !follow_up;
        let rest = if is_over { Bytes::default() } else { codec::encode(self)?.into() };
        Ok(Part { id: Some(self.at), flow: Some(Flow { tasks, keep, follow_up }), rest })
    }
}

impl Pipeline {
    /// How long the record of a step is kept that is canceled with its chain.
    pub(super) fn keep(&self) -> std::time::Duration {
        self.defaults.retention.unwrap_or(crate::job::KEEP)
    }

    /// Takes the next step through its hooks, with what came before it.
    pub(crate) fn next_step(
        &self,
        registry: &Registry,
        origin: Origin,
        mut tail: Tail,
        output: &[u8],
    ) -> Result<Option<Passed>, Unstaged> {
        if tail.steps.is_empty() {
            return Ok(None);
        }
        let step = tail.steps.remove(0);
        tail.at = tail.at.following();
        let part = tail.part(self.keep()).map_err(Unstaged::from)?;
        self.open_step(registry, step, output, origin, part).map(Some)
    }

    /// Takes the job that follows a dead one through its hooks, with the record of that.
    pub(crate) fn follow_up(
        &self,
        registry: &Registry,
        parent: JobId,
        tail: &Tail,
        error: &TaskError,
    ) -> Result<Option<Passed>, Unstaged> {
        let Some(step) = tail.on_error.clone() else { return Ok(None) };
        let error = codec::encode(error)?;
        self.open_step(registry, step, &error, Origin::ErrorFollowUp { parent }, Part::default()).map(Some)
    }

    fn open_step(
        &self,
        registry: &Registry,
        step: StoredStep,
        first: &[u8],
        origin: Origin,
        part: Part,
    ) -> Result<Passed, Unstaged> {
        let mut args = if step.takes { first.to_vec() } else { Vec::new() };
        args.extend_from_slice(&step.args);
        let stored = StoredArgs { task: &step.task, form: step.form, bytes: &args };
        let fitting = registry.find(&step.task).ok_or_else(|| explain_missing(&step.task));
        let fitting = fitting.and_then(|registration| Ok((registration, registration.accept(stored)?)));
        match fitting {
            Ok((registration, args)) => (registration.open)(self, &args, step.choices, origin, part),
            Err(why) => {
                tracing::warn!(
                    task = step.task,
                    why,
                    "a step fits no task of this program, and is stored to be parked"
                );
                let staged = self.pack_unfit(stored, step.choices, origin, part)?;
                Ok(Passed::Staged(staged))
            }
        }
    }
}
