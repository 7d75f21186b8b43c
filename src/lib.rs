//! A task queue that lives inside your program.
//!
//! Annotate a function with [`#[task]`](task), and jobs of it can be enqueued from anywhere in the program: typed from
//! the call to the result, kept in an embedded store that survives a crash, and run by a consumer in the same process.
//! No server, no broker.
//!
//! ```no_run
//! use huey::{Huey, Sled, task};
//! use std::time::Duration;
//!
//! #[task(retries = 3, retry_delay = "10s")]
//! fn resize(path: String, width: u32) -> std::io::Result<u64> {
//!     let image = std::fs::read(&path)?;
//!     Ok(image.len() as u64 * u64::from(width))
//! }
//!
//! fn main() -> huey::Result<()> {
//!     let huey = Huey::builder().open(Sled::at("queue.sled"))?;
//!     let handle = resize::enqueue(&huey, "cat.png".into(), 640)?; // on the disk when it returns
//!     resize::job("dog.png".into(), 320).delay(Duration::from_secs(60)).enqueue(&huey)?;
//!     let consumer = huey.consumer().workers(4).start()?;
//!     println!("{}", handle.wait(Duration::from_secs(5))?);
//!     consumer.shutdown().wait()
//! }
//! ```
//!
//! # The way of a job
//!
//! | step | what | where |
//! |---|---|---|
//! | call | `resize::job(..)`, options, `enqueue` | [`Job`] |
//! | hooks | see, edit, refuse, or point to an existing job | [`EnqueueHook`], [`Decorator`], [`HueyBuilder::hook`] |
//! | commit | one atomic write, as durable as asked | [`Durability`] |
//! | claim, attempt | a worker runs the body, with its [`Context`] | [`Consumer`] |
//! | settle | result, retry or end, in one atomic write | [`JobState`] |
//! | signals | tell what happened | [`HueyBuilder::on`], [`Signal`] |
//!
//! The caller keeps a [`JobHandle`]: it can be waited for by a thread or a future, asked, and made anew from the id.
//!
//! # Features
//!
//! `sled` (default): the embedded storage. `tokio` (default): `async fn` tasks, on a runtime that the consumer owns.
//! `testing`: the test kit in [`testing`], with the conformance suite for storages. `cli`: `huey::cli`, which turns a program
//! into a consumer command.

pub use huey_core::*;
pub use huey_macros::task;
#[cfg(feature = "sled")]
pub use huey_sled::{Sled, export, import, verify};

#[doc(hidden)]
pub mod __private {
    pub use huey_core::__private::*;
}

/// Opens the queue in a folder, with nothing set up but what is linked into the program.
///
/// ```no_run
/// let huey = huey::open("queue.sled")?;
/// # Ok::<(), huey::Error>(())
/// ```
///
/// # Errors
///
/// As [`HueyBuilder::open`].
#[cfg(feature = "sled")]
pub fn open(folder: impl Into<std::path::PathBuf>) -> Result<Huey> {
    Huey::builder().open(Sled::at(folder))
}

/// The code of the guides and of the README is compiled and run as part of this crate's documentation tests.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../docs/enqueue.md")]
    struct Enqueue;
    #[doc = include_str!("../docs/schedules.md")]
    struct Schedules;
    #[doc = include_str!("../docs/limits.md")]
    struct Limits;
    #[doc = include_str!("../docs/flows.md")]
    struct Flows;
    #[doc = include_str!("../docs/coming-from-huey.md")]
    struct ComingFromHuey;
    #[doc = include_str!("../docs/files.md")]
    struct Files;
    #[doc = include_str!("../docs/control.md")]
    struct Control;
}
