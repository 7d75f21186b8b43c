//! From what a function returns to what its task yields, decided by traits so that aliases work.

use std::error::Error as StdError;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ending::Failure;
use crate::error::BoxError;

/// Tells a `Result` from anything else: its inherent constant wins over the one of [`NotResult`].
#[doc(hidden)]
pub struct ProbeResult<T>(PhantomData<T>);

impl<T, E> ProbeResult<Result<T, E>> {
    pub const IS_RESULT: bool = true;
}

#[doc(hidden)]
pub trait NotResult {
    const IS_RESULT: bool = false;
}

impl<T> NotResult for ProbeResult<T> {}

/// Tells an error type that hides its content behind `AsRef<dyn Error>`, as anyhow and eyre do: turned into a box, it
/// would lose the type of what it holds.
#[doc(hidden)]
pub struct ProbeErrorRef<T>(PhantomData<T>);

impl<T, E: AsRef<dyn StdError + Send + Sync>> ProbeErrorRef<Result<T, E>> {
    pub const HAS_REF: bool = true;
}

#[doc(hidden)]
pub trait NotErrorRef {
    const HAS_REF: bool = false;
}

impl<T> NotErrorRef for ProbeErrorRef<T> {}

/// What a task's function may return.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    label = "the error type must convert into `Box<dyn Error + Send + Sync>`",
    note = "any `std::error::Error`, `String`, `&str`, `anyhow::Error` and `huey::BoxError` do"
)]
#[doc(hidden)]
pub trait Returned<const IS_RESULT: bool, const HAS_REF: bool> {
    type Output;

    fn outcome(self) -> Result<Self::Output, Failure>;
}

impl<T> Returned<false, false> for T {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        Ok(self)
    }
}

impl<T, E: Into<BoxError>> Returned<true, false> for Result<T, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|error| {
            let error: BoxError = error.into();
            Failure::from_error(&*error)
        })
    }
}

impl<T, E: Into<BoxError> + AsRef<dyn StdError + Send + Sync>> Returned<true, true> for Result<T, E> {
    type Output = T;

    fn outcome(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::from_error(error.as_ref()))
    }
}

/// The bound on arguments and results, with the words a user needs when it is not met.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as a task's argument or result",
    label = "must implement `serde::Serialize` and `serde::Deserialize`, be `Send`, and own what it holds",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`, or mark the parameter `#[data]` if it is shared by all jobs"
)]
#[doc(hidden)]
pub trait Storable: Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Storable for T {}

#[cfg(test)]
mod tests {
    use super::*;

    type Alias<T> = Result<T, std::io::Error>;

    fn run<T, const R: bool, const H: bool>(value: T) -> Result<T::Output, Failure>
    where
        T: Returned<R, H>,
    {
        value.outcome()
    }

    #[test]
    fn a_result_by_any_name_yields_its_value() {
        const PLAIN: bool = ProbeResult::<u8>::IS_RESULT;
        const ALIAS: bool = ProbeResult::<Alias<u8>>::IS_RESULT;
        assert_eq!(run::<u8, PLAIN, false>(3).unwrap(), 3);
        assert_eq!(run::<Alias<u8>, ALIAS, false>(Ok(3)).unwrap(), 3);
        let failed = run::<Alias<u8>, ALIAS, false>(Err(std::io::Error::other("disk"))).unwrap_err();
        assert!(matches!(failed, Failure::Failed { message, .. } if message == "disk"));
    }
}
