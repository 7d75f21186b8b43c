//! A schedule in a time zone that nobody knows. It has a program of its own, since no queue opens in one that has it.

use huey::{Huey, Memory, task};

#[task(cron = "0 3 * * *", tz = "Europe/Atlantis")]
fn sunken() {}

#[test]
fn a_queue_does_not_open_while_a_declared_time_zone_is_unknown() {
    let error = Huey::builder().open(Memory::new()).err().map(|error| (error.is_setup(), error.to_string()));
    let (is_setup, text) = error.unwrap_or_default();
    assert!(is_setup, "{text}");
    for part in ["zones::sunken", "tests/zones.rs:5", "`Europe/Atlantis`", "IANA"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
