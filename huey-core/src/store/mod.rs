//! Where jobs live.

mod log;

pub use log::{BARRIER, Barrier, ENTRY_LIMIT, Entry, Log, LogError, Medium, Running};
