//! A queue in a folder of its own, and what the system says of this process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use huey::{BoxError, Durability, Huey, HueyBuilder, Sled};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder that goes when this does.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(base: &Path) -> Result<Self, BoxError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!("huey-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn open(&self, durability: Durability) -> huey::Result<Huey> {
        self.open_with(|builder| builder.durability(durability))
    }

    pub(crate) fn open_with(&self, set: impl FnOnce(HueyBuilder) -> HueyBuilder) -> huey::Result<Huey> {
        set(Huey::builder()).open(Sled::at(self.0.join("queue")))
    }

    /// Bytes that the folder takes on the disk.
    pub(crate) fn used(&self) -> Result<u64, BoxError> {
        used(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays: {error}", self.0.display());
        }
    }
}

fn used(folder: &Path) -> Result<u64, BoxError> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        #[cfg(unix)]
        let bytes = std::os::unix::fs::MetadataExt::blocks(&about) * 512;
        #[cfg(not(unix))]
        let bytes = about.len();
        sum += if about.is_dir() { used(&entry.path())? } else { bytes };
    }
    Ok(sum)
}

/// Memory of this process, in bytes.
pub(crate) fn resident() -> Result<f64, BoxError> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4096.0)
}

/// How often `act` can be done in a second, over `times` of it.
pub(crate) fn rate(times: u32, act: impl FnOnce() -> Result<(), BoxError>) -> Result<f64, BoxError> {
    let begun = Instant::now();
    act()?;
    Ok(f64::from(times) / begun.elapsed().as_secs_f64())
}
