//! The keys `lock`, `max_running` and `rate`: what the jobs of a task are limited by.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Expr, ExprLit, Ident, Lit, LitStr, Token, parenthesized, token};

use crate::by;
use crate::duration;
use crate::errors::Errors;
use crate::keys::Key;
use crate::model::Param;
use crate::values;

/// Which of the keys it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Lock,
    MaxRunning,
    Rate,
}

/// What a task is limited by.
pub(crate) struct Limit {
    what: What,
    /// The key itself.
    span: Span,
    name: Option<LitStr>,
    most: Option<Expr>,
    millis: u64,
    by: Vec<Ident>,
}

enum Part {
    By(Ident, Vec<Ident>),
    Value(Expr),
}

impl Parse for Part {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        if ahead.call(Ident::parse_any).is_ok_and(|word| word == "by") && ahead.peek(token::Paren) {
            let name = input.call(Ident::parse_any)?;
            let list;
            parenthesized!(list in input);
            let fields = Punctuated::<Ident, Token![,]>::parse_terminated_with(&list, Ident::parse_any)?;
            return Ok(Self::By(name, fields.into_iter().collect()));
        }
        input.parse().map(Self::Value)
    }
}

impl Limit {
    fn new(what: What, span: Span) -> Self {
        Self { what, span, name: None, most: None, millis: 0, by: Vec::new() }
    }

    /// Reads what stands behind `=`.
    pub(crate) fn assigned(what: What, key: &Key, name: &Ident, value: &Expr, errors: &mut Errors) -> Option<Self> {
        let mut limit = Self::new(what, name.span());
        match what {
            What::Lock => limit.name = Some(errors.keep(values::text(key, value))?),
            What::MaxRunning => limit.most = Some(count(key, value, errors)?),
            What::Rate => {
                errors.at(value, format!("`rate` takes a list: write `{}`", key.example));
                return None;
            }
        }
        Some(limit)
    }

    /// Reads what stands in the parentheses; what is wrong is recorded, and the whole left out.
    pub(crate) fn listed(what: What, key: &Key, name: &Ident, list: TokenStream, errors: &mut Errors) -> Option<Self> {
        let before = errors.count();
        let mut limit = Self::new(what, name.span());
        let parts = Punctuated::<Part, Token![,]>::parse_terminated.parse2(list);
        let mut values = Vec::new();
        let mut seen = false;
        for part in errors.keep(parts)? {
            match part {
                Part::By(by, _) if seen => errors.at(&by, "`by` is given twice: keep one of them"),
                Part::By(by, fields) if fields.is_empty() => {
                    errors.at(&by, "`by` names no argument: write `by(user)`, or leave it out");
                }
                Part::By(_, fields) => (seen, limit.by) = (true, fields),
                Part::Value(value) => values.push(value),
            }
        }
        if what == What::Lock && values.is_empty() && !seen && errors.count() == before {
            errors.at(name, format!("`lock` names nothing: write `{}`, or `lock(by(account))`", key.example));
        }
        let mut values = values.into_iter();
        if what == What::Lock || (what == What::Rate && values.as_slice().first().is_some_and(is_text)) {
            limit.name = values.next().and_then(|value| match bare(&value) {
                Some(argument) => {
                    errors.at(argument, by_argument(name, argument));
                    None
                }
                None => errors.keep(values::text(key, &value)),
            });
        }
        if what != What::Lock {
            match values.next() {
                Some(value) => limit.most = count(key, &value, errors),
                None => errors.at(name, format!("`{name}` says no number: write `{}`", key.example)),
            }
        }
        if what == What::Rate {
            match values.next() {
                Some(value) => limit.millis = span(key, &value, errors),
                None if limit.most.is_some() => {
                    errors.at(name, format!("`rate` says no span: write `{}`", key.example));
                }
                None => {}
            }
        }
        for more in values {
            let text = match bare(&more) {
                Some(argument) => by_argument(name, argument),
                None => format!("`{name}` does not take this: write `{}`", key.example),
            };
            errors.at(more, text);
        }
        (errors.count() == before).then_some(limit)
    }

    /// Whether the arguments that it names are the function's.
    pub(crate) fn validate(&self, params: &[Param], errors: &mut Errors) {
        by::validate(&self.by, params, "limit", errors);
    }

    /// The option, as a field of the options.
    pub(crate) fn option(&self, task: &Ident, p: &TokenStream) -> TokenStream {
        let key = by::key(&self.by, task, p);
        let name = self
            .name
            .as_ref()
            .map_or_else(|| quote!(::core::option::Option::None), |name| quote!(::core::option::Option::Some(#name)));
        let most = self.most.as_ref().map(|most| {
            let ty = Ident::new("u32", self.span);
            quote!({ let value: #ty = #most; value })
        });
        let (field, rule) = match self.what {
            What::Lock => (quote!(lock), quote!(lock(#name, #key))),
            What::MaxRunning => (quote!(max_running), quote!(running(#most, #key))),
            What::Rate => {
                let millis = self.millis;
                let per = quote!(::core::time::Duration::from_millis(#millis));
                (quote!(rate), quote!(rate(#name, #most, #per, #key)))
            }
        };
        quote_spanned!(self.span=> #field: ::core::option::Option::Some(#p::LimitRule::#rule),)
    }
}

/// A name that stands alone.
fn bare(value: &Expr) -> Option<&Ident> {
    let Expr::Path(path) = value else { return None };
    path.path.get_ident()
}

fn by_argument(key: &Ident, argument: &Ident) -> String {
    format!("`{key}` takes arguments in `by`: write `by({argument})`")
}

fn is_text(value: &Expr) -> bool {
    matches!(value, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }))
}

/// A constant of type `u32`, 1 or more.
fn count(key: &Key, value: &Expr, errors: &mut Errors) -> Option<Expr> {
    let number = match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_parse::<u32>().ok(),
        Expr::Lit(_) | Expr::Unary(_) => None,
        _ => Some(1),
    };
    if number.is_none_or(|number| number == 0) {
        let text = format!("`{}` counts jobs: write a whole number of 1 or more, like `{}`", key.name, key.example);
        errors.at(value, text);
        return None;
    }
    Some(value.clone())
}

/// The length of a span, in milliseconds.
fn span(key: &Key, value: &Expr, errors: &mut Errors) -> u64 {
    let text = syn::parse2::<LitStr>(value.to_token_stream()).map(|text| duration::millis(&text.value()));
    match text {
        Ok(Ok(0)) => errors.at(value, format!("a span of no length holds no job: write `{}`", key.example)),
        Ok(Ok(millis)) => return millis,
        Ok(Err(fault)) => errors.at(value, fault),
        Err(_) => errors.at(value, format!("a rate is so many jobs in a span: write `{}`", key.example)),
    }
    0
}
