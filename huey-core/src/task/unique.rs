//! Unique keys: at most one job of a key at a time.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::JobId;

/// How long a job holds its unique key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// While it waits, also for another attempt.
    Pending,
    /// While it waits or runs. The default.
    #[default]
    Active,
    /// For so long after its enqueueing, whatever becomes of it.
    Window(Duration),
}

/// What becomes of an enqueue whose unique key is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnConflict {
    /// The job that holds it answers for the new one. The default.
    #[default]
    Existing,
    /// The enqueue is refused, with an error that names the holder.
    Reject,
    /// A holder that waits is canceled, and the new job takes its place; one that runs answers for the new one.
    Replace,
}

/// The largest key, in bytes: it is kept in memory as long as it is held.
const LONGEST: usize = 1024;

/// Makes at most one job of a key wait or run at a time. [`Job::unique`](crate::Job::unique) takes it, and hooks may
/// read and change it; the attribute writes `unique`, `unique(by(user))` or `unique(key = path)`.
///
/// A key belongs to its task: two tasks never collide.
///
/// ```
/// use std::time::Duration;
/// use huey_core::{OnConflict, Scope, Unique};
///
/// let unique = Unique::by(&(7, "invoice")).scope(Scope::Window(Duration::from_secs(3600))).on_conflict(OnConflict::Reject);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unique {
    pub(crate) key: Vec<u8>,
    pub(crate) scope: Scope,
    pub(crate) on_conflict: OnConflict,
}

impl Unique {
    /// One job of the task at a time.
    #[must_use]
    pub fn by_task() -> Self {
        Self::by(&())
    }

    /// One job of the task for each value of `key`.
    #[must_use]
    pub fn by<K: KeyPart + ?Sized>(key: &K) -> Self {
        Self { key: encode(key), scope: Scope::default(), on_conflict: OnConflict::default() }
    }

    /// How long the key is held. [`Scope::Active`] unless set.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// What becomes of the new job if the key is held. [`OnConflict::Existing`] unless set.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// The key with the name of its task, as it is stored.
    pub(crate) fn stored_key(&self, task: &str) -> Result<Vec<u8>> {
        let mut stored = encode(task);
        stored.extend_from_slice(&self.key);
        if stored.len() > LONGEST {
            let text = format!(
                "the unique key of a job of `{task}` has {} bytes with the task's name, and {LONGEST} is the limit: key \
                 by an id or a hash",
                stored.len()
            );
            return Err(Error::new(ErrorKind::BadInput, text));
        }
        Ok(stored)
    }
}

/// The rule of a task: how its jobs come to their keys.
#[derive(Clone, Copy)]
#[doc(hidden)]
pub struct UniqueRule {
    pub key: fn(&dyn Any) -> Option<Vec<u8>>,
    pub scope: Scope,
    pub on_conflict: OnConflict,
}

impl UniqueRule {
    /// The key of a job with these arguments. `None` if they are not those of the task that the rule was written for.
    pub(crate) fn of(&self, args: &dyn Any) -> Option<Unique> {
        (self.key)(args).map(|key| Unique { key, scope: self.scope, on_conflict: self.on_conflict })
    }
}

impl PartialEq for UniqueRule {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.key, other.key) && (self.scope, self.on_conflict) == (other.scope, other.on_conflict)
    }
}

impl fmt::Debug for UniqueRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UniqueRule")
            .field("scope", &self.scope)
            .field("on_conflict", &self.on_conflict)
            .finish_non_exhaustive()
    }
}

/// The bytes of a key.
#[doc(hidden)]
pub fn encode<K: KeyPart + ?Sized>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.add_to(&mut bytes);
    bytes
}

/// A value that can be part of the key of a unique task or of a limit: equal values have equal bytes, in every process and every build.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a key",
    label = "has no bytes that are the same each time",
    note = "a key is made of integers, `bool`, `char`, texts, `Duration`, `JobId`, and of options, lists and tuples of them",
    note = "a map has no order of its own and equal floats may differ in bytes: key by what identifies the value, \
            in an argument of its own or, for `unique`, with `key = path_of_a_function`"
)]
pub trait KeyPart {
    /// Appends the bytes. No value's bytes may begin with another's of the same type.
    fn add_to(&self, key: &mut Vec<u8>);
}

macro_rules! numbers {
    ($($ty:ty),*) => {$(
        impl KeyPart for $ty {
            fn add_to(&self, key: &mut Vec<u8>) {
                key.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128);

macro_rules! tuples {
    ($(($($name:ident),*))*) => {$(
        impl<$($name: KeyPart),*> KeyPart for ($($name,)*) {
            #[allow(non_snake_case, reason = "a name for each part")]
            fn add_to(&self, key: &mut Vec<u8>) {
                let ($($name,)*) = self;
                $($name.add_to(key);)*
            }
        }
    )*};
}

tuples!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(A, B, C, D, E, F)(A, B, C, D, E, F, G)(A, B, C, D, E, F, G, H));

impl KeyPart for () {
    fn add_to(&self, _: &mut Vec<u8>) {}
}

impl KeyPart for bool {
    fn add_to(&self, key: &mut Vec<u8>) {
        key.push(u8::from(*self));
    }
}

impl KeyPart for char {
    fn add_to(&self, key: &mut Vec<u8>) {
        u32::from(*self).add_to(key);
    }
}

impl KeyPart for usize {
    fn add_to(&self, key: &mut Vec<u8>) {
        (*self as u64).add_to(key);
    }
}

impl KeyPart for isize {
    fn add_to(&self, key: &mut Vec<u8>) {
        (*self as i64).add_to(key);
    }
}

impl KeyPart for str {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.len().add_to(key);
        key.extend_from_slice(self.as_bytes());
    }
}

impl KeyPart for String {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.as_str().add_to(key);
    }
}

impl KeyPart for Duration {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.as_nanos().add_to(key);
    }
}

impl KeyPart for JobId {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.to_string().add_to(key);
    }
}

impl<T: KeyPart> KeyPart for [T] {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.len().add_to(key);
        for part in self {
            part.add_to(key);
        }
    }
}

impl<T: KeyPart> KeyPart for Vec<T> {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.as_slice().add_to(key);
    }
}

impl<T: KeyPart, const N: usize> KeyPart for [T; N] {
    fn add_to(&self, key: &mut Vec<u8>) {
        for part in self {
            part.add_to(key);
        }
    }
}

impl<T: KeyPart> KeyPart for Option<T> {
    fn add_to(&self, key: &mut Vec<u8>) {
        self.is_some().add_to(key);
        if let Some(part) = self {
            part.add_to(key);
        }
    }
}

impl<T: KeyPart + ?Sized> KeyPart for &T {
    fn add_to(&self, key: &mut Vec<u8>) {
        (**self).add_to(key);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for Box<T> {
    fn add_to(&self, key: &mut Vec<u8>) {
        (**self).add_to(key);
    }
}

impl<T: KeyPart + ?Sized> KeyPart for Arc<T> {
    fn add_to(&self, key: &mut Vec<u8>) {
        (**self).add_to(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_values_never_share_a_key() {
        let keys = [
            encode(&("ab", "c")),
            encode(&("a", "bc")),
            encode(&("abc", "")),
            encode(&(vec!["a", "b"], vec!["c"])),
            encode(&(vec!["a"], vec!["b", "c"])),
            encode(&(Some(1_u8), 2_u8)),
            encode(&(None::<u8>, 1_u8)),
            encode(&[1_u8, 1]),
            encode(&vec![1_u8, 1]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key), "{at}");
        }
        assert_eq!(encode(&String::from("a")), encode("a"), "owned or borrowed");
    }

    #[test]
    fn a_key_that_is_too_long_is_refused_with_its_size() {
        assert!(Unique::by(&"x".repeat(900)).stored_key("app::task").is_ok());
        let error = Unique::by(&"x".repeat(1_100)).stored_key("app::task").unwrap_err();
        assert!(error.is_bad_input());
        assert!(error.to_string().contains("`app::task` has 1125 bytes"), "{error}");
    }
}
