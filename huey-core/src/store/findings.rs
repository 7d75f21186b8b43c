//! What reading a store from end to end found.

use std::fmt;

/// What [`verify`](super::verify) and its like found in a store: what is there, and what is wrong with it.
///
/// ```
/// # use huey_core::{Huey, Memory};
/// let huey = Huey::builder().open(Memory::new())?;
/// let findings = huey.backup(&mut Vec::new())?;
/// assert!(findings.is_sound() && findings.jobs == 0);
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Findings {
    /// Entries of the journal that could be read.
    pub entries: u64,
    /// Bytes of theirs.
    pub bytes: u64,
    /// Items of any kind: parts of jobs, results, values, schedules and so on. An export has a line for each.
    pub items: u64,
    /// Jobs that have not ended, or were given up.
    pub jobs: u64,
    /// Jobs that have ended, within their retention.
    pub results: u64,
    /// What is wrong, in words; empty if nothing is.
    pub flaws: Vec<String>,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.flaws.is_empty()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entries, bytes, items, jobs, results, flaws } = self;
        let verdict = if flaws.is_empty() { "sound".to_owned() } else { format!("damaged: {}", flaws.join("; ")) };
        write!(f, "{verdict}: {jobs} jobs, {results} results, {items} items in {entries} entries of {bytes} bytes")
    }
}
