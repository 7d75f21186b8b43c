//! The process that opened a store: its threads and its locks do not exist in a fork of it.

use crate::error::{Error, ErrorKind, Result};

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    pub(crate) fn is_this(self) -> bool {
        std::process::id() == self.0
    }

    /// An error in a fork.
    pub(crate) fn check(self) -> Result<()> {
        if self.is_this() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Setup,
            "the queue was opened before this process was forked, and its threads do not exist here: open it after the fork",
        ))
    }
}
