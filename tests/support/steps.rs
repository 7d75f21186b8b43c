//! Tasks that tests of chains, groups and chords make their flows of.

use huey::{Cancel, TaskError, task};

#[task]
pub(crate) fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
pub(crate) fn times(a: i64, b: i64) -> i64 {
    a * b
}

#[task]
pub(crate) fn fails(value: i64, why: String) -> Result<i64, String> {
    if why.is_empty() { Ok(value) } else { Err(why) }
}

#[task]
pub(crate) fn cancels(value: i64) -> Result<i64, Cancel> {
    let _ = value;
    Err(Cancel::because("not wanted"))
}

#[task(unique)]
pub(crate) fn alone(value: i64) -> i64 {
    value
}

#[task]
pub(crate) fn regret(error: TaskError, whom: String) -> String {
    format!("{whom}: {}", error.message)
}

#[task]
pub(crate) fn plain() {}
