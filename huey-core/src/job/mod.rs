//! Jobs: what a caller asks for, and what is stored of it.

mod builder;
mod envelope;
mod origin;
mod step;
mod terms;

pub use builder::Job;
pub(crate) use builder::{Choices, When, set_header};
pub(crate) use envelope::Head;
pub use origin::Origin;
pub use step::Step;
pub(crate) use terms::{DEFAULT_QUEUE, KEEP, Keyed, Terms, deadline};
