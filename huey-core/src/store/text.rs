//! The lines of an export. `docs/files.md` describes them for readers.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::machine::Item;

/// The format's number. It rises whenever an item's line changes.
const FORMAT: u32 = 1;
/// How the last line begins. No item is called so.
const END: &str = "{\"end\":";
/// No line is longer: an item is bounded by the journal, and grows to at most four times its size as text.
pub(crate) const LINE_LIMIT: u64 = 80 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Head {
    huey: String,
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Tail {
    end: End,
}

/// What the last line says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct End {
    items: u64,
    check: String,
}

/// FNV-1a over all lines, so that a changed or missing one is noticed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check {
    hash: u64,
    items: u64,
}

impl Check {
    pub(crate) fn new() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, items: 0 }
    }

    fn add(&mut self, line: &str) {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        self.hash = line.as_bytes().iter().fold(self.hash, step);
    }

    fn end(self) -> End {
        End { items: self.items, check: format!("{:016x}", self.hash) }
    }

    /// The first line.
    pub(crate) fn head(&mut self) -> String {
        let line = text(&Head { huey: "export".into(), format: FORMAT });
        self.add(&line);
        line
    }

    /// The line of an item.
    pub(crate) fn item(&mut self, item: &Item) -> String {
        let line = text(item);
        self.add(&line);
        self.items += 1;
        line
    }

    /// The last line.
    pub(crate) fn tail(self) -> String {
        text(&Tail { end: self.end() })
    }

    /// Checks the first line, with its line feed.
    pub(crate) fn read_head(&mut self, line: &str) -> Result<()> {
        let head: Head = serde_json::from_str(line).map_err(|_| {
            Error::bad_input(format!(
                "the input is no export of huey: its first line should be `{}`",
                Self::new().head().trim_end()
            ))
        })?;
        if head.format > FORMAT {
            return Err(Error::bad_input(format!(
                "the export was written by a newer huey: its format is {}, and this build reads {FORMAT}: import it with \
                 the newer version",
                head.format
            )));
        }
        if head.huey != "export" || head.format != FORMAT {
            return Err(Error::bad_input(format!(
                "the input is of format {} of `{}`, which this build cannot read",
                head.format, head.huey
            )));
        }
        self.add(line);
        Ok(())
    }

    /// The item of a line, or none if it is the last one, and fits those before it.
    pub(crate) fn read(&mut self, line: &str) -> Result<Option<Item>, String> {
        if line.starts_with(END) {
            let tail: Tail = serde_json::from_str(line).map_err(|error| error.to_string())?;
            let found = self.end();
            return if tail.end == found {
                Ok(None)
            } else {
                Err(format!(
                    "the lines before it are not those that were written: {:?}, but they are {found:?}",
                    tail.end
                ))
            };
        }
        let item = serde_json::from_str(line).map_err(|error| error.to_string())?;
        self.add(line);
        self.items += 1;
        Ok(Some(item))
    }
}

/// As JSON in a line. What is written here has names for keys and no floating point numbers, so this cannot fail.
fn text(value: &impl Serialize) -> String {
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}
