//! The name of a job: a UUID of version 7 whose free bits carry the store's own counter.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};
use crate::time::Timestamp;

/// Bits of the counter: 12 in the field next to the time, 36 in the last field.
pub(crate) const COUNTER_BITS: u32 = 48;
const LOW_BITS: u32 = 36;
const SALT_BITS: u32 = 26;

/// The id of a job, unique across stores and ordered by the time of enqueueing.
///
/// It is a UUID of version 7 ([RFC 9562](https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-7)): the time in
/// milliseconds, then a counter that the store never gives out twice, then the store's salt. The counter lets a store
/// find a job without a hash map, and tell a job that is gone from one that never was.
///
/// ```
/// use huey_core::JobId;
///
/// let id: JobId = "01977f6e-7a00-7000-8000-000001000000".parse()?;
/// assert_eq!(id.to_string(), "01977f6e-7a00-7000-8000-000001000000");
/// assert!("welcome".parse::<JobId>().is_err());
/// # Ok::<(), huey_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    pub(crate) fn new(at: Timestamp, counter: u64, salt: u32) -> Self {
        let millis = u128::from(at.as_micros().max(0).unsigned_abs() / 1000) & 0xffff_ffff_ffff;
        let counter = u128::from(counter) & ((1 << COUNTER_BITS) - 1);
        let high = counter >> LOW_BITS;
        let low = counter & ((1 << LOW_BITS) - 1);
        let salt = u128::from(salt) & ((1 << SALT_BITS) - 1);
        Self(millis << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low << SALT_BITS | salt)
    }

    /// The place of the job in its store's order of enqueueing.
    #[must_use]
    pub fn counter(self) -> u64 {
        let high = (self.0 >> 64) & 0xfff;
        let low = (self.0 >> SALT_BITS) & ((1 << LOW_BITS) - 1);
        u64::try_from(high << LOW_BITS | low).unwrap_or(u64::MAX)
    }

    pub(crate) fn salt(self) -> u32 {
        u32::try_from(self.0 & ((1 << SALT_BITS) - 1)).unwrap_or(0)
    }

    /// The id of the next step of a chain.
    pub(crate) fn following(self) -> Self {
        Self::new(self.made_at(), self.counter() + 1, self.salt())
    }

    /// When the job was made, to the millisecond.
    #[must_use]
    pub fn made_at(self) -> Timestamp {
        Timestamp::from_micros(i64::try_from(self.0 >> 80).unwrap_or(0).saturating_mul(1000))
    }

    /// The id as the 128 bits of its UUID.
    #[must_use]
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JobId({self})")
    }
}

impl FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Uuid::parse_str(text) {
            Ok(uuid) if uuid.get_version_num() == 7 => Ok(Self(uuid.as_u128())),
            _ => Err(Error::new(
                ErrorKind::BadInput,
                format!("`{text}` is no job id: expected a UUID of version 7, as `JobId` prints it"),
            )),
        }
    }
}

impl Serialize for JobId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.to_be_bytes().serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for JobId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(deserializer).map(|bytes| Self(u128::from_be_bytes(bytes)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_its_parts_and_is_a_version_7_uuid() {
        for counter in [0, 1, (1 << 36) - 1, 1 << 36, (1 << 48) - 1] {
            let id = JobId::new(Timestamp::from_micros(1_700_000_000_123_456), counter, 0x3ff_ffff);
            assert_eq!(id.counter(), counter);
            assert_eq!(id.salt(), 0x3ff_ffff);
            assert_eq!(id.made_at(), Timestamp::from_micros(1_700_000_000_123_000));
            assert_eq!(id.to_string().parse::<JobId>().unwrap(), id);
            assert_eq!(Uuid::from_u128(id.as_u128()).get_version_num(), 7);
        }
    }

    #[test]
    fn ids_order_by_time_and_then_by_counter() {
        let at = |micros, counter| JobId::new(Timestamp::from_micros(micros), counter, 7);
        assert!(at(1_000, 9) < at(2_000, 1));
        assert!(at(1_000, (1 << 36) - 1) < at(1_000, 1 << 36));
    }
}
