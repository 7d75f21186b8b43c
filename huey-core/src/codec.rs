//! The one place where values become bytes and bytes become values.
//!
//! The format is bincode 2 with variable-length integers. It is positional and carries no types, so what is stored
//! carries a fingerprint beside it, and decoding must use up every byte.

use std::any::type_name;

use bincode::config::{Configuration, Limit, standard};
use bincode::de::read::{Reader, SliceReader};
use bincode::de::{Decode, Decoder, DecoderImpl};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use bincode::serde::Compat;
use serde::de::{DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, ErrorKind};

/// The largest encoded value, arguments or result, in bytes.
pub(crate) const LIMIT: usize = 16 * 1024 * 1024;

/// The most that a byte can stand for in memory: a number of 128 bits. Lengths are believed before what they count is read,
/// so no more than this for each byte of input may be claimed.
const WIDEST: usize = 16;

type Config = Configuration<bincode::config::LittleEndian, bincode::config::Varint, Limit<LIMIT>>;

fn config() -> Config {
    standard().with_limit::<LIMIT>()
}

/// Room for the arguments of most jobs: a buffer that begins empty is moved again and again as it grows.
const ROOM: usize = 128;

/// Encodes `value`.
///
/// # Errors
///
/// [`Error::is_codec`] when the value's `Serialize` fails or the bytes pass 16 MiB; the message names the type.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(ROOM);
    encode_onto(&mut bytes, value)?;
    // What a task yields is often nothing, and waits with many others.
    Ok(if bytes.is_empty() { Vec::new() } else { bytes })
}

/// As [`encode`], behind what `bytes` holds. After an error a part of the value may stand there.
pub(crate) fn encode_onto<T: Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    let before = bytes.len();
    bincode::serde::encode_into_writer(value, Onto(bytes), config()).map_err(|error| {
        Error::new(ErrorKind::Codec, format!("a `{}` cannot be encoded: {error}", type_name::<T>()))
    })?;
    let size = bytes.len() - before;
    if size > LIMIT {
        let text = format!(
            "a `{}` of {size} bytes passes the limit of {LIMIT}: store it elsewhere and pass a reference to it",
            type_name::<T>()
        );
        return Err(Error::new(ErrorKind::Codec, text));
    }
    Ok(())
}

struct Onto<'a>(&'a mut Vec<u8>);

impl Writer for Onto<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decodes a value from all of `bytes`.
///
/// # Errors
///
/// [`Error::is_codec`] when the bytes are not a `T`, or more of them are there than a `T` takes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let fault =
        |reason: String| Error::new(ErrorKind::Codec, format!("the bytes are not a `{}`: {reason}", type_name::<T>()));
    let mut source = DecoderImpl::new(SliceReader::new(bytes), config(), ());
    let spare = LIMIT.saturating_sub(bytes.len().saturating_add(1).saturating_mul(WIDEST));
    let decoded = source.claim_bytes_read(spare).and_then(|()| Compat::<T>::decode(&mut source));
    let Compat(value) = decoded.map_err(|error| fault(error.to_string()))?;
    let left = (1..=bytes.len()).take_while(|many| source.reader().peek_read(*many).is_some()).count();
    if left > 0 {
        return Err(fault(format!("{left} of {} bytes are left over", bytes.len())));
    }
    Ok(value)
}

/// Encodes the list of values that were encoded one by one.
pub(crate) fn encode_list<'a>(values: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Vec<u8>, Error> {
    let mut list = encode(&values.len())?;
    for value in values {
        list.extend_from_slice(value);
    }
    Ok(list)
}

/// Encodes the `Result` of a value that was encoded, or of an error.
pub(crate) fn encode_result<E: Serialize>(value: Result<&[u8], &E>) -> Result<Vec<u8>, Error> {
    match value {
        Ok(bytes) => {
            let mut result = encode(&Ok::<(), ()>(()))?;
            result.extend_from_slice(bytes);
            Ok(result)
        }
        Err(error) => encode(&Err::<(), &E>(error)),
    }
}

/// Bytes that are stored as they are. A plain `Vec<u8>` would go through serde one byte at a time. In text they are
/// hexadecimal digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                unhex(text).map(Bytes).ok_or_else(|| E::custom("expected pairs of the digits 0 to 9 and a to f"))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Bytes, A::Error> {
                let mut all = Vec::new();
                while let Some(byte) = bytes.next_element()? {
                    all.push(byte);
                }
                Ok(Bytes(all))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Reader)
        } else {
            // Not as a buffer of its own, which would be cleared before it is filled.
            deserializer.deserialize_bytes(Reader)
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// One text for each value, so that what was written is what is read: no capitals.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_must_be_used_up() {
        let mut bytes = encode(&(1_u64, "x")).unwrap();
        assert_eq!(decode::<(u64, String)>(&bytes).unwrap(), (1, "x".into()));
        bytes.push(0);
        let error = decode::<(u64, String)>(&bytes).unwrap_err();
        assert!(error.is_codec());
        assert!(error.to_string().contains("left over"), "{error}");
    }

    #[test]
    fn a_length_beyond_the_input_is_an_error_and_no_allocation() {
        let bytes = [253, 255, 255, 255, 255, 255, 255, 255, 127];
        assert!(decode::<Vec<u8>>(&bytes).unwrap_err().is_codec());
        assert!(decode::<Bytes>(&bytes).unwrap_err().is_codec());
        // A length that some value may have, but not one in so few bytes.
        let bytes = [252, 0, 0, 240, 0, 1, 2, 3];
        for error in [decode::<Bytes>(&bytes).unwrap_err(), decode::<String>(&bytes).unwrap_err()] {
            assert!(error.to_string().contains("LimitExceeded"), "{error}");
        }
    }

    #[test]
    fn what_grows_most_when_it_is_read_is_read() {
        let wide = vec![(0_u128, Some(1_i128), 'x', (), String::new()); 1000];
        assert_eq!(decode::<Vec<(u128, Option<i128>, char, (), String)>>(&encode(&wide).unwrap()).unwrap(), wide);
        assert_eq!(decode::<u128>(&encode(&0_u128).unwrap()).unwrap(), 0);
        assert_eq!(decode::<Vec<u128>>(&encode(&vec![0_u128; 70_000]).unwrap()).unwrap().len(), 70_000);
        decode::<()>(&[]).unwrap();
    }

    #[test]
    fn lists_and_results_are_put_together_from_their_parts() {
        let parts: Vec<Vec<u8>> = (0..300_u64).map(|number| encode(&(number, "x")).unwrap()).collect();
        let list = encode_list(parts.iter().map(Vec::as_slice)).unwrap();
        let expected: Vec<(u64, &str)> = (0..300).map(|number| (number, "x")).collect();
        assert_eq!(list, encode(&expected).unwrap());
        assert_eq!(encode_list([].into_iter()).unwrap(), encode(&Vec::<u8>::new()).unwrap());
        let results: Vec<Result<u64, String>> = vec![Ok(7), Err("no".into())];
        let parts: Vec<Vec<u8>> = results
            .iter()
            .map(|result| encode_result(result.as_ref().map(|value| encode(value).unwrap()).as_deref()).unwrap())
            .collect();
        assert_eq!(encode_list(parts.iter().map(Vec::as_slice)).unwrap(), encode(&results).unwrap());
    }

    #[test]
    fn bytes_round_trip() {
        let bytes = Bytes(vec![7; 70_000]);
        assert_eq!(decode::<Bytes>(&encode(&bytes).unwrap()).unwrap(), bytes);
    }

    #[test]
    fn bytes_are_digits_in_text() {
        let all = Bytes((0..=255).collect());
        let text = serde_json::to_string(&all).unwrap();
        assert!(text.starts_with("\"000102") && text.ends_with("fdfeff\""), "{text}");
        assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap(), all);
        for wrong in ["\"0\"", "\"0g\"", "\"AB\"", "\"é\"", "[1]"] {
            assert!(serde_json::from_str::<Bytes>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_value_past_the_limit_is_refused_with_its_size() {
        let error = encode(&Bytes(vec![0; LIMIT + 1])).unwrap_err();
        assert!(error.to_string().contains("passes the limit"), "{error}");
    }
}
