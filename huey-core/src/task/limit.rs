//! Locks, bounds and rates as tasks declare them.

use std::any::Any;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::unique::{KeyPart, encode};
use crate::error::{Error, ErrorKind, Result};

/// The largest key, in bytes: it is kept in memory with each job that it limits.
const LONGEST: usize = 1024;

/// From the arguments to the part of a key that they make. `None` if they are not those that it was written for.
type Part = fn(&dyn Any) -> Option<Vec<u8>>;

/// The kinds of limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LimitKind {
    /// One attempt at a time holds it, until its lease ends.
    Lock,
    /// At most so many attempts run at once.
    Running {
        /// How many.
        most: u32,
    },
    /// At most so many claims in any span of this length.
    Rate {
        /// How many.
        most: u32,
        /// The length of the span, which has one of its ends and not the other.
        per: Duration,
    },
}

/// The rule of a task: what its jobs are limited by.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct LimitRule {
    pub(crate) kind: LimitKind,
    /// What it is named by; by its task if by nothing.
    name: Option<&'static str>,
    part: Part,
}

impl LimitRule {
    #[must_use]
    pub const fn lock(name: Option<&'static str>, part: Part) -> Self {
        Self { kind: LimitKind::Lock, name, part }
    }

    /// # Panics
    ///
    /// For 0; in a constant, when the program is compiled.
    #[must_use]
    pub const fn running(most: u32, part: Part) -> Self {
        assert!(most > 0, "`max_running` of 0 lets nothing run: write 1 or more");
        Self { kind: LimitKind::Running { most }, name: None, part }
    }

    /// # Panics
    ///
    /// For 0 or a span of no length; in a constant, when the program is compiled.
    #[must_use]
    pub const fn rate(name: Option<&'static str>, most: u32, per: Duration, part: Part) -> Self {
        assert!(most > 0, "a rate of 0 lets nothing run: write 1 or more");
        assert!(!per.is_zero(), "a rate has a span of some length: write one like \"1s\"");
        Self { kind: LimitKind::Rate { most, per }, name, part }
    }

    /// The key of a job with these arguments, as it is stored.
    pub(crate) fn stored_key(&self, args: &dyn Any, task: &str) -> Result<Vec<u8>> {
        let (name, part) = (self.name.unwrap_or(task), (self.part)(args).unwrap_or_default());
        let (what, mark) = match self.kind {
            LimitKind::Lock => ("lock", LOCK),
            LimitKind::Running { .. } => ("bound", b'b'),
            LimitKind::Rate { .. } => ("rate", b'r'),
        };
        let mut stored = vec![mark];
        name.add_to(&mut stored);
        stored.extend_from_slice(&part);
        bounded(what, name, stored)
    }
}

/// What the key of a lock begins with: no two kinds of limits share one.
const LOCK: u8 = b'l';

/// The key of a lock that a body takes, as it is stored: of a text it is that of a task's `lock = ".."`, and of a tuple that of
/// one with arguments.
pub(crate) fn lock_key_of<K: KeyPart + ?Sized>(lock: &K) -> Result<Vec<u8>> {
    let mut stored = vec![LOCK];
    stored.extend(encode(lock));
    bounded("lock", "a body", stored)
}

/// What a stored key is named by. None if it begins with no text.
pub(crate) fn name_of(stored: &[u8]) -> Option<String> {
    let (length, rest) = stored.get(1..)?.split_first_chunk()?;
    let name = rest.get(..usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).map(ToOwned::to_owned)
}

fn bounded(what: &str, name: &str, stored: Vec<u8>) -> Result<Vec<u8>> {
    if stored.len() > LONGEST {
        let text = format!(
            "the key of the {what} of `{name}` has {} bytes, and {LONGEST} is the limit: key by an id or a hash",
            stored.len()
        );
        return Err(Error::new(ErrorKind::BadInput, text));
    }
    Ok(stored)
}

impl PartialEq for LimitRule {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.part, other.part) && (self.kind, self.name) == (other.kind, other.name)
    }
}

impl fmt::Debug for LimitRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitRule").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_lock_and_one_that_a_body_takes_have_the_same_key() {
        let part: Part = |_| Some(encode(&7_u64));
        let named = LimitRule::lock(Some("ledger"), part).stored_key(&(), "task").unwrap();
        assert_eq!(named, lock_key_of(&("ledger", 7_u64)).unwrap());
        let plain = LimitRule::lock(Some("ledger"), |_| Some(Vec::new())).stored_key(&(), "task").unwrap();
        assert_eq!(plain, lock_key_of("ledger").unwrap());
        let bound = LimitRule::running(1, part).stored_key(&(), "ledger").unwrap();
        assert_ne!(bound, named, "a bound is no lock");
        assert_eq!((name_of(&named).as_deref(), name_of(&bound).as_deref()), (Some("ledger"), Some("ledger")));
        for other in [lock_key_of(&7_u64), lock_key_of(&(u64::MAX, "x")), lock_key_of(&true), lock_key_of("")] {
            assert_eq!(name_of(&other.unwrap()), None, "a key that begins with no text");
        }
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_with_its_size() {
        let error = lock_key_of(&"x".repeat(1_100)).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("has 1109 bytes"), "{error}");
    }
}
