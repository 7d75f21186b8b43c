//! Bounds checked by the compiler at the tokens that the user wrote.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::expand;
use crate::model::Task;

/// Every stored type can be stored. The types keep their own spans, so the compiler's errors stand at them.
pub(crate) fn all(task: &Task) -> TokenStream {
    let p = task.private();
    let types = task.fields().map(|field| &field.ty);
    let returned = expand::returned(task);
    let output = across(&task.output, &quote!(<#returned>::Output));
    quote! {
        const _: fn() = || {
            fn storable<T: #p::Storable>() {}
            #(storable::<#types>();)*
            storable::<#output>();
        };
    }
}

/// `tokens`, standing where `place` stands: the first token at its beginning, the others at its end, which the
/// compiler joins.
pub(crate) fn across(place: &impl ToTokens, tokens: &TokenStream) -> TokenStream {
    let mut spans = place.to_token_stream().into_iter().map(|token| token.span());
    let Some(first) = spans.next() else { return tokens.clone() };
    let last = spans.last().unwrap_or(first);
    let mut at = Some(first);
    let place = |mut token: TokenTree| {
        // Names resolve where they did: only their places move.
        let span = token.span().located_at(at.take().unwrap_or(last));
        token.set_span(span);
        token
    };
    tokens.clone().into_iter().map(place).collect()
}
