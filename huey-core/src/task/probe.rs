//! Questions that the attribute's expansion puts to types, and what it does with the answers.
//!
//! Traits decide here, not tokens, so that aliases work. And each mistake is one error: what is asked of a type is
//! asked once, by a check that stands at the user's token; everything else in the expansion goes by the answer, and
//! compiles whatever it is.

use std::error::Error as StdError;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ending::Failure;
use crate::codec;
use crate::error::BoxError;

/// Asks about a type: an inherent constant, where the bounds hold, wins over the one of [`Otherwise`].
#[doc(hidden)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

impl<T, E> Probe<Result<T, E>> {
    pub const IS_RESULT: bool = true;
}

impl<T, E: Into<BoxError>> Probe<Result<T, E>> {
    pub const CONVERTS: bool = true;
}

/// An error type that hides its content behind `AsRef<dyn Error>`, as anyhow and eyre do: turned into a box, it would
/// lose the type of what it holds.
impl<T, E: AsRef<dyn StdError + Send + Sync>> Probe<Result<T, E>> {
    pub const HAS_REF: bool = true;
}

impl<T: Serialize + DeserializeOwned + Send + 'static> Probe<T> {
    pub const IS_STORABLE: bool = true;
}

/// The answers where the bounds do not hold.
#[doc(hidden)]
pub trait Otherwise {
    const IS_RESULT: bool = false;
    const CONVERTS: bool = false;
    const HAS_REF: bool = false;
    const IS_STORABLE: bool = false;
}

impl<T: ?Sized> Otherwise for Probe<T> {}

/// The check of arguments and results, with the words a user needs when it fails.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as a task's argument or result",
    label = "must implement `serde::Serialize` and `serde::Deserialize`, be `Send`, and own what it holds",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to what cannot be stored in `{Self}`, or mark the parameter `#[data]` if it is shared by all jobs"
)]
#[doc(hidden)]
pub trait Storable<const IS_STORABLE: bool> {
    const CHECKED: () = ();
}

impl<T> Storable<true> for T {}

/// A value on its way to or from storage. One that cannot be stored is an error of the [`Storable`] check alone.
#[doc(hidden)]
pub struct Kept<T, const IS_STORABLE: bool>(pub T);

impl<T: Serialize> Kept<T, true> {
    /// The bytes of a result.
    ///
    /// # Errors
    ///
    /// [`Failure::Unstorable`] if the value cannot be encoded.
    pub fn stored(&self) -> Result<Vec<u8>, Failure> {
        codec::encode(&self.0).map_err(|error| Failure::Unstorable(error.to_string()))
    }
}

impl<T> Kept<T, false> {
    /// Nothing.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn stored(&self) -> Result<Vec<u8>, Failure> {
        Err(Failure::Unstorable(UNSTORABLE.into()))
    }
}

const UNSTORABLE: &str = "the type cannot be stored";

impl<T: Serialize> Serialize for Kept<T, true> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T> Serialize for Kept<T, false> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(UNSTORABLE))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Kept<T, true> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self)
    }
}

impl<'de, T> Deserialize<'de> for Kept<T, false> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(UNSTORABLE))
    }
}

/// The type of a result; `()` in the place of one that cannot be stored.
#[doc(hidden)]
pub trait OrUnit<const IS_STORABLE: bool> {
    type Type;
}

impl<T> OrUnit<true> for T {
    type Type = T;
}

impl<T> OrUnit<false> for T {
    type Type = ();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bare;

    #[test]
    fn the_answers_fit_the_types() {
        const { assert!(Probe::<std::io::Result<u8>>::IS_RESULT && !Probe::<Option<u8>>::IS_RESULT) };
        const { assert!(Probe::<Result<u8, String>>::CONVERTS && !Probe::<Result<u8, Bare>>::CONVERTS) };
        const { assert!(Probe::<Result<u8, BoxError>>::HAS_REF && !Probe::<Result<u8, String>>::HAS_REF) };
        const { assert!(Probe::<Vec<String>>::IS_STORABLE && !Probe::<Vec<Bare>>::IS_STORABLE) };
        const { assert!(!Probe::<std::rc::Rc<u8>>::IS_STORABLE) };
    }

    #[test]
    fn what_is_kept_is_stored_as_itself() {
        let bytes = codec::encode(&Kept::<_, true>((7_u8, "x".to_owned()))).unwrap();
        assert_eq!(bytes, codec::encode(&(7_u8, "x")).unwrap());
        let kept: Kept<(u8, String), true> = codec::decode(&bytes).unwrap();
        assert_eq!(kept.0, (7, "x".into()));
    }
}
