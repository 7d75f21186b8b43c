//! What the command tells, on standard error.

use std::io::stderr;

use tracing::Level;
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Tells what happens from now on, unless the program has set up a subscriber of its own.
pub(super) fn set_up(verbose: u8, json: bool) {
    let wanted = FilterFn::new(move |about| is_wanted(verbose, *about.level(), about.target()));
    let registry = tracing_subscriber::registry().with(wanted.with_max_level_hint(most(verbose)));
    let set = if json {
        registry.with(fmt::layer().json().with_writer(stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(false).with_writer(stderr)).try_init()
    };
    // The program's own hears it then.
    drop(set);
}

fn most(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// What sled does with its pages reaches a program that hears of `log` as well, and would bury the attempts that `-v` is to show.
fn is_wanted(verbose: u8, level: Level, target: &str) -> bool {
    let is_of_pages = target == "sled" || target.starts_with("sled::");
    level <= most(verbose) && (verbose > 1 || level <= Level::INFO || !is_of_pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_of_the_storage_are_told_of_only_where_all_is() {
        for (verbose, level, target, expected) in [
            (0, Level::INFO, "huey_core::consumer", true),
            (0, Level::DEBUG, "huey_core::execute", false),
            (1, Level::DEBUG, "huey_core::execute", true),
            (1, Level::DEBUG, "my_program", true),
            (1, Level::DEBUG, "sled::pagecache::iobuf", false),
            (1, Level::DEBUG, "sledge", true),
            (1, Level::WARN, "sled::pagecache::iobuf", true),
            (1, Level::TRACE, "huey_core::execute", false),
            (2, Level::TRACE, "sled::pagecache::iobuf", true),
        ] {
            assert_eq!(is_wanted(verbose, level, target), expected, "{target} at {level} with {verbose} times -v");
        }
    }
}
