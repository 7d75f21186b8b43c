//! From what a function returns to what its task yields.

use std::error::Error as StdError;

use super::ending::Failure;
use crate::error::BoxError;

/// A value that is no `Result`.
const VALUE: u8 = 0;
/// A `Result` whose error converts into a [`BoxError`].
const RESULT: u8 = 1;
/// A `Result` whose error lends what it holds, which conversion would hide.
const LENDS: u8 = 2;
/// A `Result` whose error can be neither.
const UNFIT: u8 = 3;

/// The kind of a return type, by what the probes found.
#[doc(hidden)]
#[must_use]
pub const fn kind(is_result: bool, converts: bool, has_ref: bool) -> u8 {
    match (is_result, has_ref, converts) {
        (false, ..) => VALUE,
        (true, true, _) => LENDS,
        (true, false, true) => RESULT,
        (true, false, false) => UNFIT,
    }
}

/// The check of return types, with the words a user needs when it fails.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    label = "the error type must convert into `Box<dyn Error + Send + Sync>`",
    note = "any `std::error::Error`, `String`, `&str`, `anyhow::Error` and `huey::BoxError` do"
)]
#[doc(hidden)]
pub trait Returnable<const KIND: u8> {
    const CHECKED: () = ();
}

impl<T> Returnable<VALUE> for T {}
impl<T> Returnable<RESULT> for T {}
impl<T> Returnable<LENDS> for T {}

/// What a task's function returns, taken apart.
#[doc(hidden)]
pub trait Returned<const KIND: u8> {
    type Output;

    fn outcome(self) -> Result<Self::Output, Failure>;
}

impl<T> Returned<VALUE> for T {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        Ok(self)
    }
}

impl<T, E: Into<BoxError>> Returned<RESULT> for Result<T, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|error| {
            let error: BoxError = error.into();
            Failure::from_error(&*error)
        })
    }
}

impl<T, E: AsRef<dyn StdError + Send + Sync>> Returned<LENDS> for Result<T, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::from_error(error.as_ref()))
    }
}

/// Compiles beside the failed [`Returnable`] check, so that it is the only error.
impl<T, E> Returned<UNFIT> for Result<T, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|_| Failure::Unstorable("the error type of the task cannot be converted".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::probe::{Otherwise, Probe};
    use super::*;

    type Alias<T> = Result<T, std::io::Error>;

    fn run<T: Returned<KIND>, const KIND: u8>(value: T) -> Result<T::Output, Failure> {
        value.outcome()
    }

    macro_rules! kind_of {
        ($ty:ty) => {
            kind(Probe::<$ty>::IS_RESULT, Probe::<$ty>::CONVERTS, Probe::<$ty>::HAS_REF)
        };
    }

    #[test]
    fn a_result_by_any_name_yields_its_value() {
        assert_eq!(run::<u8, { kind_of!(u8) }>(3).unwrap(), 3);
        assert_eq!(run::<Alias<u8>, { kind_of!(Alias<u8>) }>(Ok(3)).unwrap(), 3);
        let failed = run::<Alias<u8>, { kind_of!(Alias<u8>) }>(Err(std::io::Error::other("disk"))).unwrap_err();
        assert!(matches!(failed, Failure::Failed { message, .. } if message == "disk"));
    }

    #[test]
    fn each_return_type_has_its_kind() {
        struct NoError;
        assert_eq!(kind_of!(Option<u8>), VALUE);
        assert_eq!(kind_of!(Result<u8, String>), RESULT);
        assert_eq!(kind_of!(Result<u8, BoxError>), LENDS);
        assert_eq!(kind_of!(Result<u8, NoError>), UNFIT);
    }
}
