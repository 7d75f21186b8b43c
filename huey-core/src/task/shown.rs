//! Arguments in words, where their types have `Debug`: for the test kit.

use std::fmt::{Debug, Write as _};

use super::definition::Task;
use crate::codec;

/// An argument. The inherent method, where the bound holds, wins over the one of [`Hidden`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Shown<'a, T>(pub &'a T);

impl<T: Debug> Shown<'_, T> {
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// The text where there is no `Debug`.
#[doc(hidden)]
pub trait Hidden {
    #[must_use]
    fn text(&self) -> String {
        "_".into()
    }
}

impl<T> Hidden for Shown<'_, T> {}

/// Stored arguments in words: `(user: 7, name: "Ada")`.
#[doc(hidden)]
#[must_use]
pub fn shown<T: Task>(bytes: &[u8], fields: impl Fn(&T) -> Vec<(&'static str, String)>) -> String {
    let Ok(args) = codec::decode::<T>(bytes) else { return "(arguments that cannot be read)".into() };
    let mut text = String::from("(");
    for (at, (name, value)) in fields(&args).into_iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        // Writing into a string does not fail.
        let _ = write!(text, "{comma}{name}: {value}");
    }
    text + ")"
}
