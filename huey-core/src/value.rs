//! A user's own values as a store keeps them: the bytes that serde makes of them, and a mark of what these are.
//!
//! Integers are kept as numbers, whatever their width: a store can count with them, and one that is read as another
//! type of integer is converted, or refused if it does not fit.

mod probe;

use std::any::type_name;

use serde::Serialize;
use serde::de::value::Error as NotOne;
use serde::de::{DeserializeOwned, IntoDeserializer};

use crate::codec::{self, Bytes};
use crate::error::{Error, ErrorKind, Result};

/// The longest key, in bytes. Keys are held in memory.
pub(crate) const KEY_LIMIT: usize = 512;
/// The largest encoded value, in bytes.
pub(crate) const LIMIT: usize = 1024 * 1024;

/// The last byte of what is stored.
const ENCODED: u8 = 0;
const INTEGER: u8 = 1;

/// Checks that `key` can be one.
///
/// # Errors
///
/// [`Error::is_bad_input`] if it is empty or too long.
pub(crate) fn check_key(key: &str) -> Result<()> {
    match key.len() {
        0 => Err(Error::new(ErrorKind::BadInput, "the key of a value is empty: give it a name")),
        1..=KEY_LIMIT => Ok(()),
        long => {
            let start: String = key.chars().take(40).collect();
            let text = format!(
                "the key that begins with `{start}` takes {long} bytes, and {KEY_LIMIT} are allowed: use a shorter one, \
                 or a hash of it"
            );
            Err(Error::new(ErrorKind::BadInput, text))
        }
    }
}

/// What is stored under `key` for `value`.
///
/// # Errors
///
/// [`Error::is_bad_input`] for a key that cannot be one, [`Error::is_codec`] for a value that cannot be stored.
pub(crate) fn encode<V: Serialize + ?Sized>(key: &str, value: &V) -> Result<Bytes> {
    check_key(key)?;
    if let Some(number) = probe::integer_of(value) {
        return Ok(integer(number));
    }
    let mut bytes = codec::encode(value)?;
    if bytes.len() > LIMIT {
        let text = format!(
            "the value for `{key}` takes {} bytes, and {LIMIT} are allowed: store it elsewhere and keep a reference to it",
            bytes.len()
        );
        return Err(Error::new(ErrorKind::Codec, text));
    }
    bytes.push(ENCODED);
    Ok(bytes.into())
}

/// The value that was stored under `key` as `bytes`.
///
/// # Errors
///
/// [`Error::is_codec`] if it is no `V`.
pub(crate) fn decode<V: DeserializeOwned>(key: &str, bytes: &Bytes) -> Result<V> {
    let fault = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::Codec, format!("the value under `{key}` is not a `{}`: {error}", type_name::<V>()))
    };
    if let Some(number) = integer_of(bytes) {
        return from_integer(number).map_err(|error| fault(&error));
    }
    match bytes.split_last() {
        Some((&ENCODED, bytes)) => codec::decode(bytes).map_err(|error| fault(&error)),
        _ => Err(fault(&"it was not stored as one")),
    }
}

fn from_integer<V: DeserializeOwned>(number: i128) -> Result<V, NotOne> {
    if let Ok(number) = i64::try_from(number) {
        V::deserialize(IntoDeserializer::<NotOne>::into_deserializer(number))
    } else if let Ok(number) = u64::try_from(number) {
        V::deserialize(IntoDeserializer::<NotOne>::into_deserializer(number))
    } else {
        V::deserialize(IntoDeserializer::<NotOne>::into_deserializer(number))
    }
}

/// What a store keeps for an integer.
///
/// ```
/// use huey_core::store::{integer, integer_of};
///
/// assert_eq!(integer_of(&integer(-7)), Some(-7));
/// assert_eq!(integer_of(b"text"), None);
/// ```
#[must_use]
pub fn integer(number: i128) -> Bytes {
    let mut bytes = number.to_le_bytes().to_vec();
    // Small numbers are short: what the sign alone would say is left out.
    while let [.., before, last] = bytes.as_slice() {
        let says_the_sign = (*last == 0 && *before < 0x80) || (*last == 0xff && *before >= 0x80);
        if !says_the_sign {
            break;
        }
        bytes.pop();
    }
    bytes.push(INTEGER);
    bytes.into()
}

/// The integer that stored bytes are, if they are one.
#[must_use]
pub fn integer_of(bytes: &[u8]) -> Option<i128> {
    let (&INTEGER, bytes) = bytes.split_last()? else { return None };
    let sign = if *bytes.last()? >= 0x80 { 0xff } else { 0 };
    let mut all = [sign; 16];
    all.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(all))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn again<V: Serialize, R: DeserializeOwned>(value: &V) -> Result<R> {
        decode("key", &encode("key", value)?)
    }

    #[test]
    fn integers_of_every_width_read_back_and_convert() {
        for number in [0, 1, -1, 127, 128, -128, -129, 255, 256, i128::from(i64::MIN), i128::from(u64::MAX), i128::MIN]
        {
            assert_eq!(integer_of(&integer(number)), Some(number));
            assert_eq!(again::<_, i128>(&number).unwrap(), number);
        }
        assert_eq!(integer(5).len(), 2);
        assert_eq!(again::<_, i64>(&5_u32).unwrap(), 5);
        assert_eq!(again::<_, u64>(&u64::MAX).unwrap(), u64::MAX);
        assert_eq!(again::<_, usize>(&-0_i8).unwrap(), 0);
        let error = again::<_, u8>(&300).unwrap_err();
        assert!(error.is_codec() && error.to_string().contains("`key` is not a `u8`"), "{error}");
        assert!(again::<_, u64>(&-1).unwrap_err().is_codec());
        assert!(again::<_, String>(&1).unwrap_err().is_codec());
    }

    #[test]
    fn what_is_no_integer_is_not_kept_as_one() {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        struct Wrapped(u64);
        assert_eq!(again::<_, Wrapped>(&Wrapped(7)).unwrap(), Wrapped(7));
        assert_eq!(again::<_, (u8, String)>(&(7_u8, "x")).unwrap(), (7, "x".to_owned()));
        assert_eq!(again::<_, Option<u8>>(&Some(7_u8)).unwrap(), Some(7));
        for bytes in [encode("k", "7"), encode("k", &7.0), encode("k", &true), encode("k", &[7]), encode("k", &())] {
            assert_eq!(integer_of(&bytes.unwrap()), None);
        }
        assert!(decode::<u8>("k", &Bytes::default()).unwrap_err().is_codec());
    }

    #[test]
    fn keys_and_values_have_a_size() {
        assert!(check_key("").unwrap_err().is_bad_input());
        assert!(check_key(&"k".repeat(KEY_LIMIT)).is_ok());
        let error = check_key(&"k".repeat(KEY_LIMIT + 1)).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("takes 513 bytes"), "{error}");
        assert!(encode("k", &Bytes(vec![0; LIMIT - 8])).is_ok());
        let error = encode("k", &Bytes(vec![0; LIMIT])).unwrap_err();
        assert!(error.is_codec() && error.to_string().contains("`k` takes"), "{error}");
    }
}
