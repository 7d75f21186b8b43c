//! Tells an integer from what merely looks like one: a serializer that takes integers and nothing else.

use std::fmt;

use serde::ser::{Impossible, Serialize, Serializer};

/// The value as a number, if it serializes as a bare integer.
pub(super) fn integer_of<V: Serialize + ?Sized>(value: &V) -> Option<i128> {
    value.serialize(Integers).ok()
}

struct Integers;

#[derive(Debug)]
struct Other;

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no integer")
    }
}

impl std::error::Error for Other {}

impl serde::ser::Error for Other {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

macro_rules! takes {
    ($($method:ident($type:ty);)*) => {
        $(fn $method(self, number: $type) -> Result<i128, Other> {
            Ok(number.into())
        })*
    };
}

macro_rules! refuses {
    ($($method:ident($($type:ty),*) -> $yields:ty;)*) => {
        $(fn $method(self, $(_: $type),*) -> Result<$yields, Other> {
            Err(Other)
        })*
    };
}

type Never = Impossible<i128, Other>;
type Name = &'static str;

impl Serializer for Integers {
    type Ok = i128;
    type Error = Other;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Never;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Never;

    takes! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
    }

    refuses! {
        serialize_bool(bool) -> i128;
        serialize_f32(f32) -> i128;
        serialize_f64(f64) -> i128;
        serialize_char(char) -> i128;
        serialize_str(&str) -> i128;
        serialize_bytes(&[u8]) -> i128;
        serialize_none() -> i128;
        serialize_unit() -> i128;
        serialize_unit_struct(Name) -> i128;
        serialize_unit_variant(Name, u32, Name) -> i128;
        serialize_seq(Option<usize>) -> Never;
        serialize_tuple(usize) -> Never;
        serialize_tuple_struct(Name, usize) -> Never;
        serialize_tuple_variant(Name, u32, Name, usize) -> Never;
        serialize_map(Option<usize>) -> Never;
        serialize_struct(Name, usize) -> Never;
        serialize_struct_variant(Name, u32, Name, usize) -> Never;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<i128, Other> {
        Err(Other)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: Name, _: &T) -> Result<i128, Other> {
        Err(Other)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: Name, _: u32, _: Name, _: &T) -> Result<i128, Other> {
        Err(Other)
    }

    /// As the codec has it, so that a type that shows itself in two ways shows the same one to both.
    fn is_human_readable(&self) -> bool {
        false
    }
}
