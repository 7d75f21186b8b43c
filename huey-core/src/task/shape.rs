//! The stored form of a task's arguments in words, as deep as serde tells it.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_reflection::{Error, Registry, Samples, Tracer, TracerConfig};

use super::definition::Task;

/// A type is read so often at most, each time with other variants of the enums in it.
const ROUNDS: usize = 10_000;

#[derive(Deserialize)]
struct Arguments<T>(#[allow(dead_code, reason = "only its type is looked at")] T);

/// The form of the arguments of `T`. A type that reads itself in a way of its own, and refuses made-up values, cannot be
/// looked into; then the word says so, and stays the same.
pub(crate) fn shape<T: Task>() -> String {
    // Debug escapes line ends in the names of fields, so this is one line.
    trace::<T>().map_or_else(|| "opaque".to_owned(), |registry| format!("{registry:?}"))
}

fn trace<T: Task>() -> Option<Registry> {
    let samples = Samples::new();
    let mut enums = BTreeSet::new();
    loop {
        let mut tracer = Tracer::new(TracerConfig::default());
        for _ in 0..ROUNDS {
            tracer.trace_type_once::<Arguments<T>>(&samples).ok()?;
            // Every enum is told on, so that the next round takes another variant of it.
            let left = enums.iter().filter(|name: &&String| tracer.check_incomplete_enum(name).is_some()).count();
            if left == 0 {
                break;
            }
        }
        match tracer.registry() {
            Ok(registry) => return Some(registry),
            Err(Error::MissingVariants(found)) => {
                let known = enums.len();
                enums.extend(found);
                if enums.len() == known {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
}
