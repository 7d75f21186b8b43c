//! What the store's and the consumer's own synchronization is made of. The crate `races` compiles the files that import it with
//! another in its place, which tries the orders of their steps.

pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, atomic};
