//! What all synchronization here is made of: who shares, locks, waits or starts a thread takes it from this module. The crate
//! `races` compiles these sources with another in its place, which tries the orders of their steps.

pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, Weak, atomic, mpsc,
};
pub(crate) use std::{thread, thread_local};
