//! Turns a program into a consumer command.
//!
//! ```no_run
//! use std::process::ExitCode;
//! # use huey_core::{Huey, Memory};
//!
//! fn main() -> ExitCode {
//!     huey_core::cli::main(|| Huey::builder().open(Memory::new()))
//! }
//! ```
//!
//! | option | what |
//! |---|---|
//! | `-w`, `--workers N` | threads for plain tasks; as many as the machine has cores |
//! | `--queues A,B` | the queues to serve, the first one first; the queue's default one |
//! | `-n`, `--no-periodic` | makes no jobs of schedules |
//! | `--grace TIME` | how long a stop waits for running jobs, such as `500ms`, `30s`, `2m`, or in seconds; 10 seconds |
//! | `-v`, `--verbose` | logs each attempt as it begins and ends, not only those that fail; `-vv` logs all there is |
//! | `--log-format FORMAT` | `text` or `json`, a line each, on standard error |
//!
//! | exit status | what happened |
//! |---|---|
//! | 0 | SIGTERM or SIGINT came, and it stopped cleanly; or help was asked for |
//! | 1 | the queue could not be opened, the consumer not started, or a body did not look at its context after the grace; the log says which |
//! | 2 | the options are wrong; standard error says how |
//! | 128 + n | signal n came a second time, and it ended at once |

mod logging;
mod options;

use std::ffi::OsString;
use std::process::ExitCode;

use self::options::{Asked, Options};
use crate::consumer::Consumer;
use crate::error::Result;
use crate::queue::Huey;

/// Reads the program's options, opens the queue, and runs a consumer of it until SIGTERM or SIGINT. The queue is not opened
/// if the options are wrong. Where the program has set up a subscriber of `tracing` before, that one hears what is logged.
pub fn main(open: impl FnOnce() -> Result<Huey>) -> ExitCode {
    main_from(std::env::args_os(), open)
}

/// As [`main`], with options from elsewhere; the first is the name of the program.
///
/// ```
/// # use std::process::ExitCode;
/// let status = huey_core::cli::main_from(["worker", "--workers", "many"], || unreachable!("2, and never opened"));
/// assert_eq!(status, ExitCode::from(2));
/// ```
pub fn main_from<A: Into<OsString> + Clone>(
    args: impl IntoIterator<Item = A>,
    open: impl FnOnce() -> Result<Huey>,
) -> ExitCode {
    let options = match options::read(args) {
        Asked::Run(options) => options,
        Asked::Told(status) => return ExitCode::from(status),
    };
    logging::set_up(options.verbose, options.json);
    match open().and_then(|huey| consumer(&huey, options).run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the consumer ended");
            ExitCode::FAILURE
        }
    }
}

fn consumer(huey: &Huey, options: Options) -> Consumer {
    let mut consumer = huey.consumer().periodic(options.periodic);
    if let Some(workers) = options.workers {
        consumer = consumer.workers(workers);
    }
    if !options.queues.is_empty() {
        consumer = consumer.queues(options.queues);
    }
    if let Some(grace) = options.grace {
        consumer = consumer.grace(grace);
    }
    consumer
}
