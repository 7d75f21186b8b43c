//! The embedded storage of huey: its journal in [sled](https://docs.rs/sled), in a folder of its own.
//!
//! ```no_run
//! use huey_core::Huey;
//! use huey_sled::Sled;
//!
//! let huey = Huey::builder().open(Sled::at("queue.sled"))?;
//! # Ok::<(), huey_core::Error>(())
//! ```
//!
//! The folder holds these:
//!
//! | name | what it is |
//! |---|---|
//! | `volume.N` | the journal from its entry N on: a database of sled's (`conf`, `db`, `snap.*`, an empty `blobs`) |
//! | `huey.format` | names the format, so that another version refuses rather than guesses |
//! | `huey.lock` | locked while the queue is open; its text says by whom |
//! | `huey.running` | the attempts that have begun, 64 bytes each |
//! | `huey.mark` | the last entry known to be on the disk, so that a missing end is noticed |

mod barrier;
mod files;
mod handle;
mod journal;
mod lock;
mod mark;
mod medium;
mod offline;
mod running;
mod site;
mod volume;

use std::path::PathBuf;
use std::sync::Arc;

use huey_core::Result;
use huey_core::store::{OpenStorage, Storage, StorageOptions, engine};

pub use journal::SledLog;
pub use medium::SledMedium;
pub use offline::{export, import, verify};

/// A folder that keeps a queue. It is created if nothing is there.
///
/// One process at a time can have it open, and that process once: share the [`Huey`](huey_core::Huey), which is cheap
/// to clone.
#[derive(Clone, Debug)]
#[must_use = "a place does nothing until a queue is opened in it"]
pub struct Sled {
    folder: PathBuf,
    cache: u64,
}

impl Sled {
    /// The queue in `folder`.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), cache: 32 * 1024 * 1024 }
    }

    /// About how many bytes of memory may be taken for what was written and read last of the journal. The newest part, which takes
    /// up to 15 MiB, and the part that is being read, up to 15 more, are there in any case. 32 MiB unless set.
    pub fn cache(mut self, bytes: u64) -> Self {
        self.cache = bytes;
        self
    }
}

impl OpenStorage for Sled {
    fn open_storage(self, options: StorageOptions) -> Result<Arc<dyn Storage>> {
        engine(SledMedium::new(self.folder, self.cache)?, options)
    }
}
