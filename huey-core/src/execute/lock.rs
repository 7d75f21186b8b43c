//! The locks that a body takes.

use crate::sync::{Arc, Mutex, PoisonError};
use std::collections::HashMap;
use std::fmt;

use super::context::Stop;
use super::executor::Executor;
use crate::codec::Bytes;
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Commit, Lease, Locking, Outcome, StorageError, Transition};
use crate::task::{KeyPart, Stopped, lock_key_of};

/// The locks that a body has asked for.
#[derive(Default)]
pub(super) struct Locks(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    guards: HashMap<Bytes, Guards>,
    /// All keys, in the order of their last asking.
    asked: Vec<Bytes>,
}

struct Guards {
    count: usize,
    /// Its task declares it, and it is held for the whole attempt.
    declared: bool,
}

/// A lock that a body holds, until this is dropped or the attempt ends. [`Context::lock`](crate::Context::lock) makes it.
///
/// ```
/// use huey_core::Context;
///
/// fn book(ctx: &Context, account: u64) -> huey_core::Result<()> {
///     let _ledger = ctx.lock(&("ledger", account))?; // while it is held elsewhere, the body ends here, and comes again
///     Ok(())
/// }
/// # book(&Context::detached(), 7).unwrap();
/// ```
#[must_use = "the lock is freed when this is dropped"]
pub struct LockGuard(Option<Held>);

struct Held {
    locks: Arc<Locks>,
    key: Bytes,
    executor: Arc<Executor>,
    lease: Lease,
}

pub(super) fn take<K: KeyPart + ?Sized>(
    locks: &Arc<Locks>,
    owner: Option<&(Arc<Executor>, Lease)>,
    key: &K,
    stop: &Stop,
) -> Result<LockGuard> {
    let key = Bytes::from(lock_key_of(key)?);
    let Some((executor, lease)) = owner else { return Ok(LockGuard(None)) };
    let guard = |key| {
        let (locks, executor) = (Arc::clone(locks), Arc::clone(executor));
        Ok(LockGuard(Some(Held { locks, key, executor, lease: *lease })))
    };
    // Held over the commit, so that a guard that is dropped meanwhile does not free what is taken again.
    let mut inner = locks.0.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(guards) = inner.guards.get_mut(&key) {
        guards.count += 1;
        return guard(key);
    }
    inner.asked.retain(|asked| *asked != key);
    inner.asked.push(key.clone());
    let transition = Transition::Lock { lease: *lease, key: key.clone() };
    let outcome = match executor.storage.commit(transition.clone(), Commit::RELAXED) {
        // It may be taken: asking again finds out.
        Err(StorageError::Unknown(_)) => executor.storage.commit(transition, Commit::RELAXED),
        outcome => outcome,
    };
    match outcome? {
        Outcome::Locked(locking @ (Locking::Taken | Locking::Declared)) => {
            inner.guards.insert(key.clone(), Guards { count: 1, declared: locking == Locking::Declared });
            guard(key)
        }
        Outcome::Locked(Locking::Held(holder)) => {
            let text =
                format!("the job {holder} holds the lock: return this error, and the body runs again once it is free");
            Err(Error::new(ErrorKind::Locked { keys: inner.asked.clone() }, text))
        }
        Outcome::Locked(Locking::Stale) => {
            // What the attempt comes to will be refused.
            stop.because(Stopped::Canceled);
            let text = format!("the attempt of the job {} is over: another one may hold its locks", lease.id);
            Err(Error::new(ErrorKind::BadInput, text))
        }
        other => Err(Error::damaged(format!("the storage answered a lock with {other:?}"))),
    }
}

impl LockGuard {
    /// Frees the lock, as dropping the guard does, and says whether that went well.
    ///
    /// # Errors
    ///
    /// If the attempt does not hold the lock any more, because it is over, or the storage cannot free it; the end of the
    /// attempt will.
    pub fn unlock(mut self) -> Result<()> {
        self.0.take().map_or(Ok(()), Held::free)
    }
}

impl Held {
    fn free(self) -> Result<()> {
        let mut inner = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guards) = inner.guards.get_mut(&self.key).filter(|guards| guards.count > 1) {
            guards.count -= 1;
            return Ok(());
        }
        if inner.guards.remove(&self.key).is_some_and(|guards| guards.declared) {
            return Ok(());
        }
        let (executor, lease) = (self.executor, self.lease);
        let transition = Transition::Unlock { lease, key: self.key };
        match executor.storage.commit(transition, Commit::RELAXED)? {
            Outcome::Unlocked(true) => Ok(()),
            Outcome::Unlocked(false) => {
                let text = format!("the attempt of the job {} does not hold this lock, so it cannot free it", lease.id);
                Err(Error::new(ErrorKind::BadInput, text))
            }
            other => Err(Error::damaged(format!("the storage answered an unlock with {other:?}"))),
        }
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.take().map(Held::free) {
            tracing::warn!(%error, "a lock is freed at the end of its attempt, and not now");
        }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockGuard")
    }
}
