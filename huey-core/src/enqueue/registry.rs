//! All tasks of the program, by name.

use std::any::TypeId;
use std::collections::BTreeMap;

use super::registration::Registration;
use crate::error::{Error, ErrorKind, Result};
use crate::store::CHORD;
use crate::task::{Body, Data};

/// The tasks that a queue knows: those linked into the program, and those named to the builder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(BTreeMap<&'static str, &'static Registration>);

impl Registry {
    /// Collects every task once.
    ///
    /// # Errors
    ///
    /// A setup error that gives the places of all tasks that share a name.
    pub(crate) fn collect(named: &[&'static Registration]) -> Result<Self> {
        let linked = inventory::iter::<&'static Registration>.into_iter().copied();
        Self::gather(linked.chain(named.iter().copied()))
    }

    fn gather(all: impl Iterator<Item = &'static Registration>) -> Result<Self> {
        let mut registry = Self::default();
        let mut faults = Vec::new();
        for registration in all {
            let task = registration.task;
            if task.is_named(CHORD) {
                let (file, line) = (task.file, task.line);
                faults.push(format!(
                    "a task is named `{CHORD}`, which is kept for chords: {file}:{line}; name it otherwise"
                ));
            }
            for name in task.names() {
                if let Some(known) = registry.0.insert(name, registration)
                    && !std::ptr::eq(known.task, task)
                {
                    let (one, other) = (known.task, task);
                    faults.push(format!(
                        "two tasks are named `{name}`: {}:{} and {}:{}; give one of them another name with \
                         `name = \"..\"`, or leave out the `alias` that is the name of another",
                        one.file, one.line, other.file, other.line
                    ));
                }
            }
        }
        if faults.is_empty() { Ok(registry) } else { Err(Error::new(ErrorKind::Setup, faults.join("; "))) }
    }

    pub(crate) fn find(&self, name: &str) -> Option<&'static Registration> {
        self.0.get(name).copied()
    }

    /// The names of all tasks, and those that they had before.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    /// All tasks.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'static Registration> + '_ {
        self.0.iter().filter(|(name, registration)| **name == registration.task.name).map(|(_, task)| *task)
    }

    /// The names of the async tasks, and those that they had before.
    pub(crate) fn async_names(&self) -> Vec<String> {
        let is_async = |task: &&Registration| matches!(task.task.body, Body::Async(_));
        self.all().filter(is_async).flat_map(|registration| registration.task.all_names()).collect()
    }

    /// What the tasks of these queues need and nobody provided, all at once.
    pub(crate) fn missing_data(
        &self,
        data: &Data,
        serves: impl Fn(&str) -> bool,
        default_queue: &str,
    ) -> Option<Error> {
        let mut missing: BTreeMap<&str, (TypeId, Vec<String>)> = BTreeMap::new();
        for registration in self.all() {
            let task = registration.task;
            if !serves(registration.options().queue.unwrap_or(default_queue)) {
                continue;
            }
            for need in task.needs.iter().filter(|need| !data.holds(need)) {
                let (_, tasks) = missing.entry((need.name)()).or_insert_with(|| ((need.id)(), Vec::new()));
                tasks.push(format!("`{}` ({}:{})", task.name, task.file, task.line));
            }
        }
        if missing.is_empty() {
            return None;
        }
        let each = missing.iter().map(|(name, (_, tasks))| format!("`{name}`, needed by {}", tasks.join(", ")));
        let text = format!(
            "the consumer cannot start: nobody provided {}; write `.data(value)` on the builder, or let this consumer \
             serve other queues",
            each.collect::<Vec<_>>().join("; ")
        );
        Some(Error::new(ErrorKind::Setup, text))
    }
}

/// Why a stored job's task is not known here.
pub(crate) fn explain_missing(name: &str) -> String {
    format!(
        "this program has no task named `{name}`: if the function was moved or renamed, write \
         `alias = \"{name}\"` on it; if it is in a library crate, the program must name the crate to link it: write \
         `use that_crate as _;`, or `.task::<that_task>()` on the builder"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::task::{Definition, Options};

    const fn definition(file: &'static str) -> Definition {
        Definition {
            name: "app::twin",
            aliases: &[],
            file,
            line: 7,
            signature: 0,
            version: 0,
            upgrade: None,
            output: 0,
            options: Options::NONE,
            needs: &[],
            schedule: None,
            body: Body::Plain(|_| Ok(Vec::new())),
            shown: |_| String::new(),
        }
    }

    static ONE: Definition = definition("one.rs");
    static TWO: Definition = definition("two.rs");
    const fn registration(task: &'static Definition) -> Registration {
        Registration {
            task,
            decorator: None,
            hooks: &[],
            stage: |_, _, _, _, _| panic!("no job"),
            open: |_, _, _, _, _| panic!("no job"),
            is_proven: AtomicBool::new(false),
            #[cfg(feature = "testing")]
            shape: String::new,
        }
    }

    static FIRST: Registration = registration(&ONE);
    static SECOND: Registration = registration(&TWO);

    #[test]
    fn two_tasks_of_one_name_are_refused_with_both_places() {
        let error = Registry::gather([&FIRST, &SECOND].into_iter()).unwrap_err();
        assert!(error.is_setup());
        assert!(error.to_string().contains("one.rs:7 and two.rs:7"), "{error}");
    }

    #[test]
    fn one_task_by_both_doors_is_one_task() {
        let registry = Registry::gather([&FIRST, &FIRST].into_iter()).unwrap();
        assert_eq!(registry.names().collect::<Vec<_>>(), ["app::twin"]);
    }
}
