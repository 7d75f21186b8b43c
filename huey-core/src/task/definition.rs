//! A task as the attribute describes it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::data::{Data, Need};
use super::ending::Failure;
use super::options::Options;
use super::schedule::Schedule;
use super::stored::{Form, Upgrade};
use crate::codec;

/// A task: the type that `#[task]` makes beside the function, with the stored arguments as its fields.
///
/// Written by the attribute only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task",
    note = "write `#[task]` on the function, and name the type by the function's name"
)]
pub trait Task: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// What a run of the task yields: `T` for a function that returns `T` or `Result<T, E>`.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// What the attribute wrote down.
    #[doc(hidden)]
    const DEFINITION: &'static Definition;
}

/// A task whose arguments can be split into the first and the rest, so that it can follow another.
#[doc(hidden)]
pub trait Continues: Task {
    type First;
    type Rest: Serialize + DeserializeOwned + Send + 'static;

    fn join(first: Self::First, rest: Self::Rest) -> Self;
}

/// A task whose first stored argument is an `Output`, for any task `Prev` before it in a chain.
///
/// Written by the attribute only.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the task `{Self}` cannot follow `{Prev}`: its first argument is not the `{Output}` that comes before it",
    label = "a step of `{Self}`, behind a `{Output}` of `{Prev}`",
    note = "a step `task::with(..)` gets what the step before yields as the first argument of its task; one that needs none \
            of that is a job: `then(task::job(..))`"
)]
pub trait TakesFrom<Prev, Output> {}

/// What the attribute writes down of a task.
#[derive(Debug)]
#[doc(hidden)]
pub struct Definition {
    /// The stored name: the path of the function, unless `name = ".."` says otherwise.
    pub name: &'static str,
    /// The names that its jobs were stored under before, the oldest first.
    pub aliases: &'static [&'static str],
    pub file: &'static str,
    pub line: u32,
    /// A hash of the names and types of the stored parameters, as written.
    pub signature: u64,
    /// Which version of the stored parameters this is; 0 if nobody says.
    pub version: u32,
    /// How the parameters of another version become those of this one.
    pub upgrade: Option<Upgrade>,
    /// A hash of the return type, as written.
    pub output: u32,
    pub options: Options,
    pub needs: &'static [Need],
    /// When jobs of it are made by themselves; only for a task without stored arguments.
    pub schedule: Option<Schedule>,
    pub body: Body,
    /// Stored arguments in words.
    pub shown: fn(&[u8]) -> String,
}

impl Definition {
    /// The form in which this program stores the parameters.
    pub(crate) const fn form(&self) -> Form {
        Form { signature: self.signature, version: self.version }
    }

    /// Its name, and those that it had before.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// Its name, and those that it had before, for a storage.
    pub(crate) fn all_names(&self) -> Vec<String> {
        self.names().map(str::to_owned).collect()
    }

    /// Whether its jobs are or were stored under that name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The name in what outlives a change of the task's name, such as its unique keys: the oldest one.
    pub(crate) fn lasting_name(&self) -> &'static str {
        self.aliases.first().copied().unwrap_or(self.name)
    }
}

/// How a task is run from stored arguments.
#[doc(hidden)]
pub enum Body {
    Plain(fn(&Call) -> Result<Vec<u8>, Failure>),
    Async(fn(Call) -> BodyFuture),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Async(_) => "Async",
        })
    }
}

/// The future of an async task's run.
#[doc(hidden)]
pub type BodyFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>, Failure>> + Send>>;

/// One run of a body: the stored arguments and what the body borrows.
#[doc(hidden)]
pub struct Call {
    pub args: Vec<u8>,
    pub data: Data,
    /// The running job's context, which belongs to a module that tasks do not know.
    pub context: Arc<dyn Any + Send + Sync>,
}

impl Call {
    /// The arguments.
    ///
    /// # Errors
    ///
    /// [`Failure::Unreadable`] if the bytes are not a `T`.
    pub fn arguments<T: Task>(&self) -> Result<T, Failure> {
        codec::decode(&self.args).map_err(|error| Failure::Unreadable(error.to_string()))
    }

    /// The value for a `#[data]` parameter.
    ///
    /// # Errors
    ///
    /// [`Failure::MissingData`] if nobody provided one.
    pub fn data<T: ?Sized + Send + Sync + 'static>(&self) -> Result<Arc<T>, Failure> {
        self.data.get::<T>().ok_or(Failure::MissingData(std::any::type_name::<T>()))
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("args", &self.args.len()).finish_non_exhaustive()
    }
}
