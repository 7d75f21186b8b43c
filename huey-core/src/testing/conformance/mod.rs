//! What every storage must do, as checks that any of them can be put through.
//!
//! ```
//! use std::sync::Arc;
//! use huey_core::Result;
//! use huey_core::store::{Memory, OpenStorage, Storage, StorageOptions};
//! use huey_core::testing::conformance::{self, Subject};
//!
//! struct InMemory;
//!
//! impl Subject for InMemory {
//!     fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
//!         Memory::new().open_storage(options)
//!     }
//! }
//!
//! conformance::run(&InMemory);
//! ```

#![expect(clippy::indexing_slicing, reason = "a check that panics has failed")]

mod chords;
mod claims;
mod controls;
mod endings;
mod enqueues;
mod flows;
mod kit;
mod limits;
mod lives;
mod overruns;
mod queues;
mod schedules;
mod uniques;
mod values;
mod waits;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::error::Result;
use crate::store::{Storage, StorageOptions};

/// A storage to be put through the checks.
///
/// The clock in the options is a virtual one that the checks move; the storage decides by it.
pub trait Subject {
    /// Opens a new and empty store.
    ///
    /// # Errors
    ///
    /// Fails the check.
    fn open(&self, options: StorageOptions) -> Result<Arc<dyn Storage>>;

    /// Another consumer's way to the same store.
    fn second(&self, first: &Arc<dyn Storage>) -> Arc<dyn Storage> {
        Arc::clone(first)
    }

    /// Closes the store and opens it again; `None` if nothing outlives it.
    fn reopen(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        drop((store, options));
        None
    }

    /// Kills the process that has the store open, and opens it in a new one; `None` if that cannot be played.
    fn kill(&self, store: Arc<dyn Storage>, options: StorageOptions) -> Option<Result<Arc<dyn Storage>>> {
        drop((store, options));
        None
    }
}

/// One thing that every storage must do.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it must do, in words.
    pub name: &'static str,
    run: fn(&dyn Subject),
}

impl Check {
    /// Puts `subject` through it.
    ///
    /// # Panics
    ///
    /// If it does not do it.
    pub fn run(&self, subject: &dyn Subject) {
        (self.run)(subject);
    }
}

/// All checks.
pub const CHECKS: &[&[Check]] = &[
    enqueues::CHECKS,
    uniques::CHECKS,
    limits::CHECKS,
    schedules::CHECKS,
    controls::CHECKS,
    flows::CHECKS,
    chords::CHECKS,
    queues::CHECKS,
    values::CHECKS,
    claims::CHECKS,
    endings::CHECKS,
    overruns::CHECKS,
    waits::CHECKS,
    lives::CHECKS,
];

/// Puts `subject` through all checks.
///
/// # Panics
///
/// If it fails any; the text names them all.
pub fn run(subject: &dyn Subject) {
    let mut failed = Vec::new();
    for check in CHECKS.iter().copied().flatten() {
        if catch_unwind(AssertUnwindSafe(|| check.run(subject))).is_err() {
            failed.push(check.name);
        }
    }
    assert!(failed.is_empty(), "the storage fails {} checks:\n  {}", failed.len(), failed.join("\n  "));
}
