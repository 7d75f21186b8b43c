//! A task together with the hooks that it names: what the attribute registers.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use super::decorator::Decorator;
use super::flight::{Passed, Unstaged, panic_text};
use super::hook::EnqueueHook;
use super::pipeline::Pipeline;
use super::tail::Part;
use crate::codec;
use crate::error::Result;
use crate::job::{Choices, Job, Origin};
use crate::task::{Definition, Options, StoredArgs, Task};

/// Makes a job from stored arguments, and takes it through the hooks.
type Stage = fn(&Pipeline, &[u8], Choices, Origin, Part) -> Result<Passed>;
/// As [`Stage`], but what is owed for a refused one is left to the caller.
type Open = fn(&Pipeline, &[u8], Choices, Origin, Part) -> Result<Passed, Unstaged>;

/// A task and its hooks.
#[doc(hidden)]
pub struct Registration {
    pub task: &'static Definition,
    pub decorator: Option<&'static Decorator>,
    pub hooks: &'static [&'static dyn EnqueueHook],
    pub(super) stage: Stage,
    pub(super) open: Open,
    /// Whether arguments of the task have been decoded back once.
    pub(super) is_proven: AtomicBool,
    #[cfg(feature = "testing")]
    pub(super) shape: fn() -> String,
}

impl Registration {
    #[must_use]
    pub const fn new<T: Registered>(
        task: &'static Definition,
        decorator: Option<&'static Decorator>,
        hooks: &'static [&'static dyn EnqueueHook],
    ) -> Self {
        Self {
            task,
            decorator,
            hooks,
            stage: stage::<T>,
            open: open::<T>,
            is_proven: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            shape: crate::task::shape::<T>,
        }
    }

    /// The stored form of the arguments, in words.
    #[cfg(feature = "testing")]
    pub(crate) fn shape(&self) -> String {
        (self.shape)()
    }

    /// The stored arguments as this program reads them, or why it cannot.
    pub(crate) fn accept<'a>(&self, stored: StoredArgs<'a>) -> Result<Cow<'a, [u8]>, String> {
        let task = self.task;
        if task.form().reads(stored.form) {
            return Ok(Cow::Borrowed(stored.bytes));
        }
        let was = match stored.version() {
            0 => String::from("without a `version`"),
            version => format!("as version {version}"),
        };
        let Some(upgrade) = task.upgrade else {
            return Err(format!(
                "the parameters of `{}` are not those that the job was stored with, {was}: name a function that makes \
                 the new arguments of the old ones with `upgrade = path`, or say with the same `version` that the \
                 stored form is the same",
                task.name
            ));
        };
        let upgraded = catch_unwind(AssertUnwindSafe(|| upgrade(&stored)))
            .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))));
        upgraded.map(Cow::Owned).map_err(|why| {
            format!("the `upgrade` of `{}` did not take the arguments that were stored {was}: {why}", task.name)
        })
    }

    /// The task's options, completed by its decorators.
    #[must_use]
    pub fn options(&self) -> Options {
        let own = self.task.options;
        self.decorator.map_or(own, |decorator| own.or(decorator.options()))
    }
}

fn stage<T: Registered>(
    pipeline: &Pipeline,
    args: &[u8],
    choices: Choices,
    origin: Origin,
    part: Part,
) -> Result<Passed> {
    pipeline.stage(Job { args: codec::decode::<T>(args)?, choices }, origin, part)
}

fn open<T: Registered>(
    pipeline: &Pipeline,
    args: &[u8],
    choices: Choices,
    origin: Origin,
    part: Part,
) -> Result<Passed, Unstaged> {
    let args = codec::decode::<T>(args).map_err(Unstaged::from)?;
    pipeline.open(Job { args, choices }, origin, part)
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("task", &self.task).finish_non_exhaustive()
    }
}

inventory::collect!(&'static Registration);

/// A task that can be enqueued. Written by the attribute only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "write `#[task]` on the function, and name the type by the function's name"
)]
pub trait Registered: Task {
    /// The task with its hooks.
    #[doc(hidden)]
    const REGISTRATION: &'static Registration;
}
