//! A team's own spelling: `#[critical]` stands for `#[huey::task(crate::CRITICAL)]`, and takes the same keys.
//!
//! A decorator is a value, so the attribute has nothing to do but to name it. The function's tokens are passed on as they
//! are, so that the compiler and the editor point at what was written.

use proc_macro::TokenStream;

/// A task with the decorator `CRITICAL` of the crate that uses it: `#[critical]`, or `#[critical(retries = 1)]`.
#[proc_macro_attribute]
pub fn critical(keys: TokenStream, function: TokenStream) -> TokenStream {
    let attribute = format!("#[::huey::task(crate::CRITICAL, {keys})]");
    let mut task: TokenStream = attribute.parse().unwrap_or_default();
    task.extend(function);
    task
}
