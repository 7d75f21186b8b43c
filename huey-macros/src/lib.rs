//! The `#[task]` attribute of the huey task queue. Programs use it through the `huey` crate.
//!
//! The arguments are parsed ([`args`], [`keys`], [`values`]), the function is parsed ([`model`]) and held against the
//! rules ([`validate`]); a sound task is expanded ([`expand`], [`checks`]), a faulty one becomes its errors and as much
//! of a task as keeps them from causing others ([`fallback`]).

mod args;
mod checks;
mod duration;
mod errors;
mod expand;
mod fallback;
mod keys;
mod model;
mod signature;
mod validate;
mod values;

use proc_macro::TokenStream;
use quote::quote;

/// Makes a task of a function.
#[proc_macro_attribute]
pub fn task(args: TokenStream, item: TokenStream) -> TokenStream {
    expand(args.into(), item.into()).into()
}

fn expand(args: proc_macro2::TokenStream, item: proc_macro2::TokenStream) -> proc_macro2::TokenStream {
    let mut errors = errors::Errors::default();
    let args = args::Args::read(args, &mut errors);
    let Some(function) = errors.keep(syn::parse2::<model::Function>(item.clone())) else {
        let errors = errors.into_tokens();
        return quote!(#item #errors);
    };
    let task = validate::task(function, args, &mut errors);
    match errors.into_tokens() {
        None => expand::task(&task),
        Some(errors) => {
            let task = fallback::task(&task);
            quote!(#task #errors)
        }
    }
}
