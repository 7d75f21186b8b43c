//! Arguments as a program stored them, which may not be the one that reads them.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::definition::Task;
use crate::codec;
use crate::error::{BoxError, Result};

/// In which form arguments are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Form {
    /// A hash of the names and types of the parameters, as written.
    pub(crate) signature: u64,
    /// What the attribute says with `version`; 0 if it says nothing.
    pub(crate) version: u32,
}

impl Form {
    /// Whether what was stored in that form can be read as this one. Between versions that nobody named, and the first,
    /// the signature tells; a later version says by itself what it is.
    pub(crate) fn reads(self, stored: Self) -> bool {
        let named = self.version > 0 && self.version == stored.version;
        named || (self.signature == stored.signature && self.version.max(1) == stored.version.max(1))
    }
}

/// The arguments of a job as they were stored: what `upgrade = path` in `#[task]` names a function for, which makes of
/// them the arguments of today.
///
/// ```
/// use huey_core::{Result, StoredArgs};
///
/// struct resize { image: u64, width: u32, height: u32 } // as `#[task(version = 2, upgrade = squares)]` makes it
///
/// fn squares(old: &StoredArgs<'_>) -> Result<resize> {
///     let (image, side): (u64, u32) = old.decode()?;
///     Ok(resize { image, width: side, height: side })
/// }
/// # #![allow(non_camel_case_types, dead_code)]
/// ```
#[derive(Clone, Copy)]
pub struct StoredArgs<'a> {
    pub(crate) task: &'a str,
    pub(crate) form: Form,
    pub(crate) bytes: &'a [u8],
}

impl<'a> StoredArgs<'a> {
    /// The name of the task under which the job is stored: an alias, if the task had another name then.
    #[must_use]
    pub fn task(&self) -> &'a str {
        self.task
    }

    /// What `version` said when the job was stored; 0 if there was none.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.form.version
    }

    /// Reads the arguments as a tuple of the types that they had then; one argument is a tuple of one, `(T,)`.
    ///
    /// # Errors
    ///
    /// [`Error::is_codec`](crate::Error::is_codec) if the bytes are not such a tuple. The form carries no types, so a
    /// wrong tuple of the same size may be read as something else: write the types as they were.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        codec::decode(self.bytes)
    }
}

impl fmt::Debug for StoredArgs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredArgs")
            .field("task", &self.task)
            .field("version", &self.form.version)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

/// Makes the arguments of today, encoded, of older ones. The error says why not.
#[doc(hidden)]
pub type Upgrade = fn(&StoredArgs<'_>) -> std::result::Result<Vec<u8>, String>;

/// Calls the function that the attribute names.
///
/// # Errors
///
/// Its own, or why what it made cannot be stored.
#[doc(hidden)]
pub fn upgraded<T: Task, E: Into<BoxError>>(
    old: &StoredArgs<'_>,
    by: fn(&StoredArgs<'_>) -> std::result::Result<T, E>,
) -> std::result::Result<Vec<u8>, String> {
    let new = by(old).map_err(|error| Into::<BoxError>::into(error).to_string())?;
    codec::encode(&new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(new: (u64, u32), old: (u64, u32)) -> bool {
        let form = |(signature, version)| Form { signature, version };
        form(new).reads(form(old))
    }

    #[test]
    fn without_versions_the_signature_tells() {
        assert!(reads((7, 0), (7, 0)) && !reads((8, 0), (7, 0)));
    }

    #[test]
    fn a_version_tells_by_itself_and_its_change_is_a_change() {
        assert!(reads((8, 2), (7, 2)), "the same version, whatever its parameters are called");
        assert!(!reads((7, 2), (7, 1)), "another version, though it looks alike");
    }

    #[test]
    fn the_first_version_is_what_had_none_if_that_looks_alike() {
        assert!(reads((7, 1), (7, 0)) && reads((7, 0), (7, 1)));
        assert!(!reads((8, 1), (7, 0)) && !reads((7, 2), (7, 0)));
    }
}
