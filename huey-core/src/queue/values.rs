//! A program's own small state, beside its jobs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Huey, misanswered};
#[expect(unused_imports, reason = "named by the documentation")]
use crate::error::Error;
use crate::error::Result;
use crate::execute::misanswered as misdone;
use crate::store::{Answer, Commit, Outcome, Put, Query, Transition};
use crate::task::Durability;
use crate::value;

/// How many keys are read at a time.
const KEYS: u32 = 1_000;

/// Values under keys, kept beside the jobs: [`Huey::values`] makes it, and says what to choose.
///
/// ```
/// use std::time::Duration;
/// use huey_core::{Durability, Huey, Memory};
///
/// let huey = Huey::builder().open(Memory::new())?;
/// let hourly = huey.values().ttl(Duration::from_secs(3_600)).durability(Durability::Relaxed);
/// assert_eq!(hourly.incr("requests/ada", 1)?, 1);
/// assert!(hourly.put_if_absent("greeted/ada", &"2026-01-07")?);
/// assert_eq!(huey.take::<String>("greeted/ada")?.as_deref(), Some("2026-01-07"));
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "this chooses how values are written, and writes none"]
pub struct Values {
    huey: Huey,
    ttl: Option<Duration>,
    durability: Durability,
}

impl Values {
    /// How long a value is there that is written through this; from that instant on it is not. For ever unless set.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// What must have happened before a call returns. As for the queue's jobs unless set.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// As [`Huey::put`].
    ///
    /// # Errors
    ///
    /// As [`Huey::put`].
    pub fn put<V: Serialize + ?Sized>(&self, key: &str, value: &V) -> Result<()> {
        self.write(key, value, false).map(drop)
    }

    /// As [`Huey::put_if_absent`].
    ///
    /// # Errors
    ///
    /// As [`Huey::put_if_absent`].
    pub fn put_if_absent<V: Serialize + ?Sized>(&self, key: &str, value: &V) -> Result<bool> {
        self.write(key, value, true)
    }

    fn write<V: Serialize + ?Sized>(&self, key: &str, value: &V, if_absent: bool) -> Result<bool> {
        let put = Put { key: key.to_owned(), bytes: value::encode(key, value)?, ttl: self.ttl, if_absent };
        match self.commit(Transition::Put(put))? {
            Outcome::Put(stored) => Ok(stored),
            other => Err(misdone("put", &other)),
        }
    }

    /// As [`Huey::take`].
    ///
    /// # Errors
    ///
    /// As [`Huey::take`].
    pub fn take<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>> {
        value::check_key(key)?;
        match self.commit(Transition::TakeValue { key: key.to_owned() })? {
            Outcome::ValueTaken(bytes) => bytes.map(|bytes| value::decode(key, &bytes)).transpose(),
            other => Err(misdone("take", &other)),
        }
    }

    /// As [`Huey::incr`].
    ///
    /// # Errors
    ///
    /// As [`Huey::incr`].
    pub fn incr(&self, key: &str, by: i64) -> Result<i64> {
        value::check_key(key)?;
        match self.commit(Transition::Add { key: key.to_owned(), by, ttl: self.ttl })? {
            Outcome::Added(sum) => Ok(sum),
            other => Err(misdone("sum", &other)),
        }
    }

    fn commit(&self, transition: Transition) -> Result<Outcome> {
        Ok(self.huey.storage()?.commit(transition, Commit { durability: self.durability, hold: false })?)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("ttl", &self.ttl).field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl Huey {
    /// The values under keys, to be written with a time to live or a durability of their own.
    pub fn values(&self) -> Values {
        let durability = self.inner.executor.defaults.durability.unwrap_or_default();
        Values { huey: self.clone(), ttl: None, durability }
    }

    /// Stores a value under `key`, in the place of one that is there, and for ever; see [`Values::ttl`]. A key takes 1 to
    /// 512 bytes, a value, encoded, up to 1 MiB: a small state, of which the keys are held in memory.
    ///
    /// Integers are kept as numbers and convert to the type that they are read as; anything else is to be read as what was
    /// put. After [`Error::is_unknown`] the call may be repeated, unless somebody else writes there.
    ///
    /// ```
    /// # use huey_core::{Huey, Memory};
    /// let huey = Huey::builder().open(Memory::new())?;
    /// huey.put("cursor/orders", &1_200_u32)?;
    /// assert_eq!(huey.get::<u64>("cursor/orders")?, Some(1_200));
    /// # Ok::<(), huey_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if the key is empty or too long, [`Error::is_codec`] if the value cannot be encoded or is too
    /// large; else when the storage cannot store it.
    pub fn put<V: Serialize + ?Sized>(&self, key: &str, value: &V) -> Result<()> {
        self.values().put(key, value)
    }

    /// Stores a value if there is none under `key`, and says whether it did. It is decided in the commit: of any number of
    /// callers one gets `true`.
    ///
    /// After [`Error::is_unknown`] a repeated call gets `false` also from its own first one: put a value that names the
    /// caller, and look whose it is.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub fn put_if_absent<V: Serialize + ?Sized>(&self, key: &str, value: &V) -> Result<bool> {
        self.values().put_if_absent(key, value)
    }

    /// Takes the value under `key` away, and gives it. It is decided in the commit: of any number of callers one gets it.
    ///
    /// After [`Error::is_unknown`] a repeated call may find it gone: what must not be lost is better read with
    /// [`get`](Self::get), and taken when it was dealt with. It is gone also if it is no `V`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`Error::is_bad_input`] for a key that cannot be one.
    pub fn take<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>> {
        self.values().take(key)
    }

    /// Adds `by` to the integer under `key`, which is 0 if there is none, and gives the sum. It is decided in the commit: no
    /// sum is given twice. A value that is there stays as long as it was to; one that this makes is there for
    /// [`Values::ttl`].
    ///
    /// Repeating the call adds again, so after [`Error::is_unknown`] it may have counted once or not at all, and a body
    /// that is attempted again counts again. Where the number must be exact, `put_if_absent` a key for each thing that is
    /// counted.
    ///
    /// # Errors
    ///
    /// [`Error::is_bad_input`] if what is there is no integer, or if the sum would be no `i64`; nothing was changed then; or
    /// for a key that cannot be one; else when the storage cannot store it.
    pub fn incr(&self, key: &str, by: i64) -> Result<i64> {
        self.values().incr(key, by)
    }

    /// The value under `key`: one that was [put](Self::put) here, or by a hook
    /// [with its job](crate::EnqueueRequest::put).
    ///
    /// # Errors
    ///
    /// [`Error::is_codec`] if the value is no `V`; else when the storage cannot answer.
    pub fn get<V: DeserializeOwned>(&self, key: &str) -> Result<Option<V>> {
        match self.storage()?.read(Query::Value(key.to_owned()))? {
            Answer::Value(bytes) => bytes.map(|bytes| value::decode(key, &bytes)).transpose(),
            other => Err(misanswered(&other)),
        }
    }

    /// The keys that begin with `prefix`, in order.
    ///
    /// # Errors
    ///
    /// When the storage cannot answer.
    pub fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let query = Query::Keys { prefix: prefix.to_owned(), after: keys.last().cloned(), most: KEYS };
            match self.storage()?.read(query)? {
                Answer::Keys(page) => {
                    let last = page.len() < KEYS as usize;
                    keys.extend(page);
                    if last {
                        return Ok(keys);
                    }
                }
                other => return Err(misanswered(&other)),
            }
        }
    }
}
