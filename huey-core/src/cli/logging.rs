//! What the command tells, on standard error.

use std::io::stderr;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Tells what happens from now on, unless the program has set up a subscriber of its own.
pub(super) fn set_up(verbose: u8, json: bool) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let registry = tracing_subscriber::registry().with(level);
    let set = if json {
        registry.with(fmt::layer().json().with_writer(stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(false).with_writer(stderr)).try_init()
    };
    // The program's own hears it then.
    drop(set);
}
