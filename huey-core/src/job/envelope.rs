//! What is stored in front of a job's arguments. The storage keeps it and never looks inside.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin::Origin;
use crate::codec;
use crate::error::Result;
use crate::task::Form;

/// The version of the envelope that this build writes.
const VERSION: u8 = 1;

/// The envelope of a job: everything that travels with it and that no transition of the storage needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u8,
    /// The form in which the arguments were encoded.
    pub(crate) form: Form,
    pub(crate) origin: Origin,
    pub(crate) retries: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn new(
        form: Form,
        origin: Origin,
        retries: u32,
        timeout: Option<Duration>,
        headers: Vec<(String, String)>,
    ) -> Self {
        Self { version: VERSION, form, origin, retries, timeout, headers }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        codec::encode(self)
    }

    /// # Errors
    ///
    /// A codec error if the bytes are no envelope, or one of a version that this build does not know.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes.first() {
            Some(&other) if other != VERSION => Err(crate::error::Error::new(
                crate::error::ErrorKind::Codec,
                format!("the job was stored by another version of huey: envelope {other}, this one reads {VERSION}"),
            )),
            _ => codec::decode(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_of_another_version_is_named() {
        let head = Head::new(
            Form { signature: 7, version: 2 },
            Origin::Call { parent: None },
            2,
            None,
            vec![("a".into(), "b".into())],
        );
        let mut bytes = head.encode().unwrap();
        assert_eq!(Head::decode(&bytes).unwrap(), head);
        bytes[0] = 9;
        assert!(Head::decode(&bytes).unwrap_err().to_string().contains("envelope 9"));
        assert!(Head::decode(&[]).is_err());
    }
}
