//! Tasks: what the attribute leaves behind, the options of a task, and the endings that a body may choose.

mod cron;
mod data;
mod definition;
mod ending;
mod limit;
mod options;
mod output;
mod probe;
mod schedule;
#[cfg(feature = "testing")]
mod shape;
mod shown;
mod stored;
mod unique;

pub(crate) use cron::Cron;
pub use data::{Data, Need};
pub use definition::{Body, BodyFuture, Call, Continues, Definition, TakesFrom, Task};
pub use ending::{Cancel, Failure, Fatal, Retry, Stopped};
pub use limit::{LimitKind, LimitRule};
pub(crate) use limit::{lock_key_of, name_of};
pub use options::{Delivery, Durability, Options};
pub use output::{Returnable, Returned, kind};
pub use probe::{Kept, OrUnit, Otherwise, Probe, Storable};
pub(crate) use schedule::Timing;
pub use schedule::{Missed, Overlap, Schedule, SkipReason, check_cron, check_every};
#[cfg(feature = "testing")]
pub(crate) use shape::shape;
pub use shown::{Hidden, Shown, shown};
pub(crate) use stored::Form;
pub use stored::{StoredArgs, Upgrade, upgraded};
pub use unique::{KeyPart, OnConflict, Scope, Unique, UniqueRule, encode as encode_key};
