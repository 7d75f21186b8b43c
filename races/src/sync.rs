//! What `huey_core::sync` is here.

pub(crate) use std::sync::OnceLock;

pub(crate) use shuttle::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak, atomic, mpsc,
};
pub(crate) use shuttle::{thread, thread_local};
