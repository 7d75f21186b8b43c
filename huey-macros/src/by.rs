//! Keys made of arguments: `by(user, kind)`.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{ExprPath, Ident};

use crate::checks;
use crate::errors::Errors;
use crate::keys::nearest;
use crate::model::{Field, Param};

/// Whether the arguments that are named are the function's.
pub(crate) fn validate(named: &[Ident], params: &[Param], key: &str, errors: &mut Errors) {
    let stored = params.iter().filter_map(|param| match param {
        Param::Stored(Field { name, .. }) | Param::Broken(Some(name)) => Some(name.unraw().to_string()),
        Param::Data(_) | Param::Context(_) | Param::Broken(None) => None,
    });
    let known: Vec<String> = stored.collect();
    for name in named {
        let word = name.unraw().to_string();
        if known.contains(&word) {
            continue;
        }
        let text = match nearest(&word, known.iter().map(String::as_str)) {
            Some(near) => format!("`{word}` is no stored argument: did you mean `{near}`?"),
            None if known.is_empty() => match key {
                "unique" => format!("`{word}` is no stored argument, and the task has none: write `unique` alone"),
                _ => format!("`{word}` is no stored argument, and the task has none: leave `by(..)` out"),
            },
            None => format!("`{word}` is no stored argument, which are: {}", known.join(", ")),
        };
        errors.at(name, text);
    }
}

/// The function from the arguments to the bytes of a key.
pub(crate) fn key(fields: &[Ident], task: &Ident, p: &TokenStream) -> TokenStream {
    // Each by itself, so that the compiler points at the one that can be no part of a key.
    let parts = fields.iter().map(|field| {
        let here = Ident::new("args", Span::mixed_site().located_at(field.span()));
        let encode = checks::across(field, &quote!(#p::encode_key));
        quote_spanned!(field.span()=> #encode(&#here.#field))
    });
    closure(&parts.collect::<Vec<_>>(), task)
}

/// As [`key`], by a function of the arguments.
pub(crate) fn key_of(path: &ExprPath, task: &Ident, p: &TokenStream) -> TokenStream {
    let here = Ident::new("args", Span::mixed_site().located_at(path.span()));
    let encode = checks::across(path, &quote!(#p::encode_key));
    closure(&[quote_spanned!(path.span()=> #encode(&#path(#here)))], task)
}

fn closure(parts: &[TokenStream], task: &Ident) -> TokenStream {
    let args = Ident::new("args", Span::mixed_site());
    let key = if parts.is_empty() { quote!(::std::vec::Vec::new()) } else { quote!(::std::vec![#(#parts),*].concat()) };
    quote! {
        |#args| {
            let #args = #args.downcast_ref::<#task>()?;
            let _ = #args;
            ::core::option::Option::Some(#key)
        }
    }
}
