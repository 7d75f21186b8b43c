//! The state machine: pure and deterministic.
//!
//! `decide` looks at the state and a transition and says what shall be true, as effects; `apply` makes it true. The
//! journal holds the effects. Neither reads a clock, draws a random number, or knows what a task is.

mod chord;
mod claim;
mod control;
mod decide;
mod explain;
mod flow;
mod homes;
mod index;
mod item;
mod lane;
mod limit;
mod linger;
mod lock;
mod names;
mod past;
mod place;
mod query;
mod queues;
mod rate;
mod ready;
mod results;
mod schedule;
mod settle;
mod state;
mod unique;
mod values;
mod work;
mod works;

pub(crate) use claim::{body_in, sole, start};
pub(crate) use decide::{Decided, decide};
pub(crate) use item::{Effect, Item, Key};
pub(crate) use linger::let_go_of;
pub(crate) use place::Place;
pub(crate) use query::answer;
pub(crate) use state::{Inherited, Rouse, State};
pub(crate) use unique::free as free_keys;
pub(crate) use values::drop_late as drop_values;
pub(crate) use work::Phase;
#[cfg(all(test, feature = "testing"))]
pub(crate) use work::WorkItem;

use crate::store::{Body, StorageError};

/// Reads what the machine keeps only the place of.
pub(crate) trait Fetch {
    /// The effect that was put at `place`.
    fn fetch(&self, place: Place) -> Result<Effect, StorageError>;
}

/// The body at `place`.
pub(crate) fn body(fetch: &dyn Fetch, place: Place) -> Result<Body, StorageError> {
    match fetch.fetch(place)? {
        Effect::Put(Item::Body(_, body)) => Ok(body),
        other => Err(StorageError::misplaced("body", place, &other)),
    }
}
