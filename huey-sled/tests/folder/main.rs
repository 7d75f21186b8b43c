//! A queue's folder through its medium: what is kept, who may have it open, and what a kill leaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod child;
mod damage;
mod entries;
mod holder;
mod kill;
mod layout;
mod mark;
mod running;
mod support;
mod unfinished;
