//! A look at the inside of an engine, for tests that crash it.

use std::sync::Arc;

use crate::error::Result;
use crate::store::{Core, Engine, Medium, Storage, StorageOptions};

/// Opens the log in `medium` as [`engine`](crate::store::engine) does, with a way to check its state.
///
/// ```
/// use huey_core::store::StorageOptions;
/// use huey_core::testing::{SimDisk, inspected};
///
/// let disk = SimDisk::new(1);
/// let (storage, inspector) = inspected(disk.medium(), StorageOptions::default())?;
/// inspector.check().unwrap();
/// storage.close().unwrap();
/// # Ok::<(), huey_core::Error>(())
/// ```
///
/// # Errors
///
/// Those of [`engine`](crate::store::engine).
pub fn inspected<M: Medium>(medium: M, options: StorageOptions) -> Result<(Arc<dyn Storage>, Inspector)> {
    let engine = Arc::new(Engine::open(medium, options)?);
    let inspector = Inspector(Arc::clone(&engine) as Arc<dyn Inspect>);
    Ok((engine, inspector))
}

/// Checks the state that an engine holds. It keeps the engine open.
pub struct Inspector(Arc<dyn Inspect>);

/// How large a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of all entries.
    pub total: u64,
    /// About how many of them something still needs.
    pub live: u64,
}

trait Inspect: Send + Sync {
    fn check(&self) -> Result<(), String>;
    fn sizes(&self) -> Result<Sizes, String>;
    fn failures(&self) -> u64;
}

impl Inspector {
    /// Computes sums and indexes of the state anew, and compares the state with one read back from the log.
    ///
    /// # Errors
    ///
    /// The first difference, or why the log could not be read.
    pub fn check(&self) -> Result<(), String> {
        self.0.check()
    }

    /// How often the log has failed, also where nobody was told.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failures()
    }

    /// How large the journal is.
    ///
    /// # Errors
    ///
    /// If the log is not there.
    pub fn sizes(&self) -> Result<Sizes, String> {
        self.0.sizes()
    }
}

impl<M: Medium> Inspect for Engine<M> {
    fn check(&self) -> Result<(), String> {
        self.look(Core::check).map_err(|error| error.to_string())?
    }

    fn sizes(&self) -> Result<Sizes, String> {
        let sizes = self.look(Core::sizes).map_err(|error| error.to_string())?;
        Ok(Sizes { total: sizes.0, live: sizes.1 })
    }

    fn failures(&self) -> u64 {
        self.lives()
    }
}
