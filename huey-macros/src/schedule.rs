//! The keys `cron`, `tz`, `every`, `overlap` and `missed`: when jobs of the task are made by themselves.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, Ident, LitStr};

use crate::checks::across;
use crate::errors::Errors;
use crate::keys::{Key, Part, Value, Zero};
use crate::model::{Field, Param};
use crate::values::{self, Setting};

/// What the keys were given.
#[derive(Default)]
pub(crate) struct Schedule {
    /// Each key that was given, right or wrong.
    given: Vec<(Part, Ident)>,
    cron: Option<Expr>,
    tz: Option<LitStr>,
    every: Option<Setting>,
    overlap: Option<Ident>,
    missed: Option<Missed>,
}

enum Missed {
    Word(Ident),
    All(Expr),
}

const OVERLAPS: Value =
    Value::Word { ty: "Overlap", words: &[("skip", "Skip"), ("queue_one", "QueueOne"), ("allow", "Allow")] };
const MISSED: &[(&str, &str)] = &[("skip", "Skip"), ("once", "Once")];
const MISSES: &str = "`missed` is one of `skip`, `once` or `all(10)`, without quotes";

impl Schedule {
    pub(crate) fn take(&mut self, part: Part, key: &Key, name: &Ident, value: &Expr, errors: &mut Errors) {
        self.given.push((part, name.clone()));
        match part {
            Part::Cron => self.cron = Some(value.clone()),
            Part::Tz => self.tz = errors.keep(values::text(key, value)),
            Part::Every => {
                let zero = Zero::Senseless("a schedule ticks at most once a second");
                self.every = errors.keep(values::setting(key, Value::Duration { zero }, value));
            }
            Part::Overlap => {
                if let Some(Setting::Variant { variant, .. }) = errors.keep(values::setting(key, OVERLAPS, value)) {
                    self.overlap = Some(variant);
                }
            }
            Part::Missed => self.missed = missed(value, errors),
        }
    }

    fn name(&self, part: Part) -> Option<&Ident> {
        self.given.iter().find(|(given, _)| *given == part).map(|(_, name)| name)
    }

    /// Whether the keys go together, and the task can be run by itself.
    pub(crate) fn validate(&self, params: &[Param], errors: &mut Errors) {
        let (cron, every) = (self.name(Part::Cron), self.name(Part::Every));
        if let (Some(_), Some(every)) = (cron, every) {
            errors.at(every, "a task has one schedule: keep `cron` or `every`, and add others with `huey.schedules()`");
        }
        if let (Some(tz), None) = (self.name(Part::Tz), cron) {
            let text = match every {
                Some(_) => {
                    "`every` is counted from the Unix epoch, the same in every zone: leave `tz` out, or write `cron`"
                }
                None => "`tz` is the zone of a `cron`: write that as well, like `cron = \"0 3 * * *\"`",
            };
            errors.at(tz, text);
        }
        for part in [Part::Overlap, Part::Missed] {
            if let (Some(name), None, None) = (self.name(part), cron, every) {
                let text = "is about the ticks of a schedule: write `cron = \"0 3 * * *\"` or `every = \"5m\"` as well";
                errors.at(name, format!("`{name}` {text}"));
            }
        }
        let Some(name) = cron.or(every) else { return };
        for param in params {
            if let Param::Stored(Field { name: argument, .. }) = param {
                let text = format!(
                    "a tick has no value for `{argument}`: take it from `#[data]`, or leave `{name}` out and schedule a \
                     job with arguments by `huey.schedules().add(..)`"
                );
                errors.at(argument, text);
            }
        }
    }

    /// The schedule, as the definition holds it, and the checks of what it was given.
    pub(crate) fn tokens(&self, p: &TokenStream) -> (TokenStream, TokenStream) {
        let (made, check) = match (&self.cron, &self.every) {
            (Some(text), _) => {
                let tz = self.tz.as_ref().map_or_else(
                    || quote!(::core::option::Option::None),
                    |tz| quote!(::core::option::Option::Some(#tz)),
                );
                let check = across(text, &quote!(#p::check_cron));
                let check = quote_spanned!(text.span()=> const _: () = #check(#text););
                (quote!(#p::Schedule::declared_cron(#text, #tz)), check)
            }
            (None, Some(every)) => {
                let (distance, span) = match every {
                    Setting::Millis { millis, span } => {
                        (quote_spanned!(*span=> ::core::time::Duration::from_millis(#millis)), *span)
                    }
                    Setting::Duration(value) => (value.to_token_stream(), value.span()),
                    _ => (TokenStream::new(), Span::call_site()),
                };
                let check = across(&LitStr::new("", span), &quote!(#p::check_every));
                let check = quote_spanned!(span=> const _: () = #check(#distance););
                (quote!(#p::Schedule::declared_every(#distance)), check)
            }
            (None, None) => return (quote!(::core::option::Option::None), TokenStream::new()),
        };
        let overlap = self.overlap.as_ref().map(|overlap| quote!(.overlap(#p::Overlap::#overlap)));
        let missed = self.missed.as_ref().map(|missed| match missed {
            Missed::Word(word) => quote!(.missed(#p::Missed::#word)),
            Missed::All(most) => quote!(.missed(#p::Missed::All(#most))),
        });
        (quote!(::core::option::Option::Some(#made #overlap #missed)), check)
    }
}

fn missed(value: &Expr, errors: &mut Errors) -> Option<Missed> {
    let word = |expr: &Expr| match values::bare(expr) {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        _ => None,
    };
    match values::bare(value) {
        Expr::Call(call) if word(&call.func).as_deref() == Some("all") => match call.args.first() {
            Some(most) if call.args.len() == 1 => return Some(Missed::All(most.clone())),
            _ => errors
                .at(value, "`all` takes the number of ticks that are made up for at most: write `missed = all(10)`"),
        },
        Expr::Path(_) if word(value).as_deref() == Some("all") => {
            errors.at(value, "`all` takes the number of ticks that are made up for at most: write `missed = all(10)`");
        }
        _ => match word(value).and_then(|word| MISSED.iter().find(|(known, _)| *known == word)) {
            Some((_, variant)) => return Some(Missed::Word(Ident::new(variant, value.span()))),
            None => errors.at(value, MISSES),
        },
    }
    None
}
