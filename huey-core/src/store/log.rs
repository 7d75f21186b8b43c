//! Where the journal keeps its entries: numbered byte strings with a cut end after a crash.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::error::Error;
use crate::task::Durability;

/// The largest entry, with its header, that a log is asked to append, in bytes.
pub const ENTRY_LIMIT: usize = 8_000;

/// How many bytes may be appended between two syncs, [`OVERHEAD`] added for each entry. A log may reuse its space on this ground.
pub const BARRIER: usize = 512 * 1024;

/// What an entry counts for beside its bytes.
pub const OVERHEAD: usize = 256;

/// How many bytes are written anew between two syncs, or taken back.
pub const REWRITE: usize = 64 * 1024;

/// Why a call of a [`Log`] failed.
///
/// After any error the log is dropped and opened again by its [`Medium`]; no further call is made on it.
#[derive(Debug)]
pub struct LogError {
    /// The text for people; it names the folder or file.
    pub message: String,
    /// Whether what is stored is not what was written, so that opening it again will not help.
    pub damaged: bool,
}

impl LogError {
    /// A call that failed for a reason outside the log.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), damaged: false }
    }

    /// Bytes that are not what was written.
    pub fn damaged(message: impl Into<String>) -> Self {
        Self { message: message.into(), damaged: true }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LogError {}

/// An entry's bytes, shared with the log's own cache where it has one.
pub struct Entry(Box<dyn Deref<Target = [u8]> + Send + Sync>);

impl Entry {
    /// Wraps what a log's `read` returned.
    pub fn new(bytes: impl Deref<Target = [u8]> + Send + Sync + 'static) -> Self {
        Self(Box::new(bytes))
    }
}

impl Deref for Entry {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} bytes)", self.len())
    }
}

/// A sequence of entries. One thread at a time calls it; only its [`Barrier`] is called beside it.
///
/// After a kill it holds a prefix of what was appended that reaches at least the last `flush`; after a power cut, a
/// prefix that reaches at least the last entry flushed before a [`Barrier::sync`] began. Entries that were removed as the oldest
/// may be there again whenever it is opened, but none without all behind it.
pub trait Log: Send + 'static {
    /// Appends an entry of at most [`ENTRY_LIMIT`] bytes. `sequence` is one above that of the newest entry; or, once
    /// the log was opened again after a failure, that of an entry which is there, and whose same bytes are to be
    /// written anew, because the system may hold them for written though they are not. No more than [`REWRITE`] bytes
    /// are between two syncs.
    ///
    /// # Errors
    ///
    /// When the entry may not have been taken.
    fn append(&mut self, sequence: u64, entry: &[u8]) -> Result<(), LogError>;

    /// The entry of that number, or `None` if it is not there.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read(&self, sequence: u64) -> Result<Option<Entry>, LogError>;

    /// Removes the oldest entry, whose number is given. Never called for the newest, and not before what is to be found in
    /// its place is durable.
    ///
    /// # Errors
    ///
    /// When it may not have been removed.
    fn remove_oldest(&mut self, sequence: u64) -> Result<(), LogError>;

    /// Removes the newest entry, whose number is given: part of a batch that a crash cut off.
    ///
    /// # Errors
    ///
    /// When it may not have been removed.
    fn remove_newest(&mut self, sequence: u64) -> Result<(), LogError>;

    /// Hands everything to the operating system, so that it survives a kill of the process.
    ///
    /// # Errors
    ///
    /// When it may not have been written.
    fn flush(&mut self) -> Result<(), LogError>;

    /// What makes flushed entries survive a power cut.
    fn barrier(&self) -> Arc<dyn Barrier>;

    /// Calls `each` with every entry in order, until it breaks with an error.
    ///
    /// # Errors
    ///
    /// The first error of `each`, or of reading.
    #[expect(clippy::type_complexity, reason = "an alias would hide what is called")]
    fn scan(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<(), LogError>) -> Result<(), LogError>;

    /// Bytes that can still be written where the log lives, if that has a bound.
    fn free_space(&self) -> Option<u64> {
        None
    }
}

/// Makes flushed entries durable. Called by one thread at a time, beside calls of its log.
pub trait Barrier: Send + Sync + 'static {
    /// Returns once everything flushed before the call is on the medium.
    ///
    /// # Errors
    ///
    /// When it may not be.
    fn sync(&self) -> Result<(), LogError>;
}

/// A place that can hold a log, and open it again after a failure.
pub trait Medium: Send + Sync + 'static {
    /// The log kept there.
    type Log: Log;

    /// Opens the log, creating it if nothing is there.
    ///
    /// Called again after the last log was dropped because of a failure.
    ///
    /// # Errors
    ///
    /// The error for the user, naming the place.
    fn open(&self) -> Result<Self::Log, Error>;

    /// The table of attempts that have begun.
    fn running(&self) -> Arc<dyn Running>;

    /// Notes that everything up to `sequence` is durable, so that a later open can tell a missing end. May be lost.
    ///
    /// # Errors
    ///
    /// When the note could not be written; the log is not affected.
    fn mark(&self, sequence: u64) -> Result<(), LogError> {
        let _ = sequence;
        Ok(())
    }

    /// The last note that [`mark`](Medium::mark) left, from this life or an earlier one.
    fn marked(&self) -> Option<u64> {
        None
    }

    /// The place, for messages.
    fn name(&self) -> String;
}

/// The attempts that have begun and not ended, written so that they survive the death of the process.
///
/// A note is a plain write, which outlives a kill. Only that of an attempt which may never be made twice must outlive a
/// power cut too.
pub trait Running: Send + Sync + 'static {
    /// Notes in `slot` that the claim `claim` of the job with this counter runs now. [`Durability::Synced`] has it survive a
    /// power cut.
    ///
    /// # Errors
    ///
    /// When the note could not be written; the attempt must not begin.
    fn begin(&self, slot: usize, counter: u64, claim: u32, durability: Durability) -> Result<(), LogError>;

    /// Notes that the attempt in `slot` has ended.
    ///
    /// # Errors
    ///
    /// When the note could not be written.
    fn end(&self, slot: usize) -> Result<(), LogError>;

    /// What the last life of the process left behind: counter and claim of each attempt that had begun and not ended.
    fn left(&self) -> Vec<(u64, u32)>;

    /// The crashes of what was left are journaled, so it need not be kept. Called before the first `begin`.
    ///
    /// # Errors
    ///
    /// When the notes could not be removed.
    fn forget_left(&self) -> Result<(), LogError>;
}
