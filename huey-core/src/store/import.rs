//! A store from the text that an export wrote.

use std::io::{BufRead, Read};
use std::sync::Arc;

use super::core::Core;
use super::findings::Findings;
use super::log::{Log, Medium};
use super::storage::StorageOptions;
use super::text::{Check, LINE_LIMIT};
use crate::error::{Error, Result};
use crate::machine::{Item, Phase};

/// Fills an empty log with what an export wrote. Ids stay the same, and exporting it again gives the same bytes.
///
/// After an error the log may hold a part of it, and must not be used.
///
/// # Errors
///
/// [`Error::is_bad_input`] if something is in the log already, or the input is not what an export wrote: the text names the
/// line. The medium's own errors.
pub fn import<M: Medium>(medium: &M, input: &mut dyn BufRead) -> Result<Findings> {
    let name = medium.name();
    let mut core = Core::open(medium, &StorageOptions::default(), &Arc::default(), None)?;
    if !core.is_new() {
        return Err(Error::bad_input(format!(
            "the queue in {name} is not empty: import into one that does not exist yet"
        )));
    }
    let mut lines = Lines { input, line: Vec::new(), number: 0 };
    let mut check = Check::new();
    check.read_head(lines.next()?)?;
    loop {
        let text = lines.next()?;
        let item = check.read(text).and_then(|item| item.map(checked).transpose());
        let Some(item) = item.map_err(|error| lines.fault(&error))? else { break };
        core.load(item).map_err(|error| lines.fault(&error.to_string()))?;
    }
    core.complete().map_err(|flaw| Error::bad_input(format!("the export is not whole: {flaw}")))?;
    core.sync().map_err(|error| Error::unavailable(error.message))?;
    medium.mark(core.last()).map_err(|error| Error::unavailable(error.message))?;
    Ok(core.findings())
}

/// An item that a store can hold by itself.
fn checked(item: Item) -> Result<Item, String> {
    match &item {
        Item::Work(work) => match work.phase {
            Phase::Waiting | Phase::Dead | Phase::Lost | Phase::Parked | Phase::Awaiting => Ok(item),
            other => Err(format!("job number {} is {other:?}, which no exported job can be", work.counter)),
        },
        _ => Ok(item),
    }
}

struct Lines<'a> {
    input: &'a mut dyn BufRead,
    line: Vec<u8>,
    number: u64,
}

impl Lines<'_> {
    /// The next line, with its line feed.
    fn next(&mut self) -> Result<&str> {
        self.line.clear();
        self.number += 1;
        let mut bounded = (&mut *self.input).take(LINE_LIMIT);
        bounded
            .read_until(b'\n', &mut self.line)
            .map_err(|error| Error::unavailable(format!("the export could not be read: {error}")))?;
        if self.line.last() != Some(&b'\n') {
            return Err(self.fault("it is cut off"));
        }
        let number = self.number;
        std::str::from_utf8(&self.line)
            .map_err(|_| Error::bad_input(format!("line {number} of the export: it is no text")))
    }

    fn fault(&self, what: &str) -> Error {
        Error::bad_input(format!("line {} of the export: {what}", self.number))
    }
}

impl<L: Log> Core<L> {
    /// Whether nothing was ever put here.
    fn is_new(&self) -> bool {
        self.state().reserved == 0 && self.state().homes.items() <= 1
    }

    fn findings(&self) -> Findings {
        let state = self.state();
        Findings {
            entries: state.homes.entries(),
            bytes: state.homes.total(),
            items: state.homes.items(),
            jobs: state.all_work().count() as u64,
            results: state.results.count(),
            flaws: Vec::new(),
        }
    }

    /// What the items mention and is not among them.
    fn complete(&self) -> Result<(), String> {
        let state = self.state();
        if let Some(counter) = state.half_a_job() {
            return Err(format!("only a part of job number {counter} is there"));
        }
        for work in state.all_work() {
            let item = &work.item;
            if item.counter >= state.reserved {
                return Err(format!("job number {} was never given out", item.counter));
            }
            if state.names.place(item.task).is_none() || state.names.place(item.queue).is_none() {
                return Err(format!("job number {} has a task or a queue without a name", item.counter));
            }
        }
        Ok(())
    }
}
