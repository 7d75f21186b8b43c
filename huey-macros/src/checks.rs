//! Bounds checked by the compiler at the tokens that the user wrote.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::expand;
use crate::model::Task;

/// Each stored type can be stored, and the return type can be taken apart. Each check stands at its type.
pub(crate) fn all(task: &Task) -> TokenStream {
    let (p, ret) = (task.private(), &task.output);
    let types: Vec<_> = task.fields().map(|field| &field.ty).collect();
    let yielded = across(ret, &expand::yielded(task));
    quote! {
        #(const _: () = <#types as #p::Storable<{ #p::Probe::<#types>::IS_STORABLE }>>::CHECKED;)*
        const _: () = <#ret as #p::Returnable<__KIND>>::CHECKED;
        const _: () = <#yielded as #p::Storable<__OUTPUT>>::CHECKED;
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
