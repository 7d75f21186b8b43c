//! Values of keys: a literal is checked here, any other expression by the compiler, against the type it must have.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, Ident, Lit, LitFloat, LitStr, Path, UnOp, parse_quote};

use crate::duration;
use crate::keys::{Key, Value, Zero, nearest};

/// The value of an option.
pub(crate) enum Setting {
    /// A constant expression and the type it must have.
    Constant {
        ty: &'static str,
        value: Expr,
    },
    /// A duration or the expression of one.
    Millis {
        millis: u64,
        span: Span,
    },
    Duration(Expr),
    /// The variant of a type of this crate.
    Variant {
        ty: &'static str,
        variant: Ident,
    },
    Text(LitStr),
}

/// Reads the value of an option.
pub(crate) fn setting(key: &Key, form: Value, value: &Expr) -> syn::Result<Setting> {
    match form {
        Value::Whole { ty, least, most } => whole(key, value, least, most).map(|()| constant(ty, value)),
        Value::Real { least, most, bounds } => real(key, value, least, most, bounds),
        Value::Duration { zero } => length(key, value, zero),
        Value::Word { ty, words } => word(key, value, words).map(|variant| Setting::Variant { ty, variant }),
        Value::Text => text(key, value).map(Setting::Text),
    }
}

fn constant(ty: &'static str, value: &Expr) -> Setting {
    Setting::Constant { ty, value: value.clone() }
}

fn fault(at: &Expr, text: impl std::fmt::Display) -> syn::Error {
    syn::Error::new_spanned(at, text)
}

/// The expression without invisible groups and parentheses.
pub(crate) fn bare(value: &Expr) -> &Expr {
    match value {
        Expr::Group(group) => bare(&group.expr),
        Expr::Paren(paren) => bare(&paren.expr),
        value => value,
    }
}

/// The literal that a value is, and whether a minus stands before it.
fn literal(value: &Expr) -> Option<(bool, &Lit)> {
    match bare(value) {
        Expr::Lit(ExprLit { lit, .. }) => Some((false, lit)),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => literal(expr).map(|(minus, lit)| (!minus, lit)),
        _ => None,
    }
}

fn whole(key: &Key, value: &Expr, least: i128, most: i128) -> syn::Result<()> {
    let Some((minus, literal)) = literal(value) else { return Ok(()) };
    let name = key.name;
    let Lit::Int(number) = literal else {
        return Err(fault(value, format!("`{name}` is a whole number: write `{}`", key.example)));
    };
    // A number past even these bits is out of any range below.
    let number = number.base10_parse::<i128>().unwrap_or(i128::MAX);
    let number = if minus { -number } else { number };
    if (least..=most).contains(&number) {
        return Ok(());
    }
    Err(fault(value, format!("`{name}` is out of range: write a whole number from {least} to {most}")))
}

fn real(key: &Key, value: &Expr, least: f64, most: f64, bounds: &str) -> syn::Result<Setting> {
    let Some((minus, literal)) = literal(value) else { return Ok(constant("f64", value)) };
    let name = key.name;
    let (digits, point) = match literal {
        Lit::Float(number) => (number.base10_digits(), true),
        Lit::Int(number) => (number.base10_digits(), false),
        _ => return Err(fault(value, format!("`{name}` is a number: write `{}`", key.example))),
    };
    let number = digits.parse::<f64>().unwrap_or(f64::INFINITY);
    let number = if minus { -number } else { number };
    if !(least..=most).contains(&number) {
        let text = format!("`{name}` is out of range: write {bounds}, like `{}`", key.example);
        return Err(fault(value, text));
    }
    if point {
        return Ok(constant("f64", value));
    }
    // `backoff = 2` says what it means; only the language wants a point there.
    let number = LitFloat::new(&format!("{digits}f64"), literal.span());
    Ok(Setting::Constant { ty: "f64", value: parse_quote!(#number) })
}

fn length(key: &Key, value: &Expr, zero: Zero) -> syn::Result<Setting> {
    let name = key.name;
    let Some((_, literal)) = literal(value) else { return Ok(Setting::Duration(value.clone())) };
    let Lit::Str(text) = literal else {
        return Err(fault(value, format!("`{name}` is a duration: write `{}`", key.example)));
    };
    let millis = duration::millis(&text.value()).map_err(|text| fault(value, text))?;
    match zero {
        Zero::Senseless(cure) if millis == 0 => Err(fault(value, format!("`{name}` of no length: {cure}"))),
        _ => Ok(Setting::Millis { millis, span: text.span() }),
    }
}

fn word(key: &Key, value: &Expr, words: &[(&str, &str)]) -> syn::Result<Ident> {
    let name = key.name;
    let known = |word: &str| words.iter().find(|(known, _)| *known == word).map(|(_, variant)| *variant);
    let choices = || words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    match bare(value) {
        Expr::Path(path) => {
            let word = path.path.get_ident().map(ToString::to_string).unwrap_or_default();
            if let Some(variant) = known(&word) {
                return Ok(Ident::new(variant, value.span()));
            }
            Err(match nearest(&word, words.iter().map(|(word, _)| *word)) {
                Some(near) => fault(value, format!("`{word}` is no choice of `{name}`: did you mean `{near}`?")),
                None => fault(value, format!("`{name}` is one of {}, without quotes", choices())),
            })
        }
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if known(&text.value()).is_some() => {
            Err(fault(value, format!("`{name}` is a bare word: write `{name} = {}` without quotes", text.value())))
        }
        _ => Err(fault(value, format!("`{name}` is one of {}, without quotes", choices()))),
    }
}

/// A text that must not be empty.
pub(crate) fn text(key: &Key, value: &Expr) -> syn::Result<LitStr> {
    match literal(value) {
        Some((false, Lit::Str(text))) if text.value().is_empty() => {
            Err(fault(value, format!("`{}` is empty: write `{}`, or leave the key out", key.name, key.example)))
        }
        Some((false, Lit::Str(text))) => Ok(text.clone()),
        _ => Err(fault(value, format!("`{}` is a text in quotes: write `{}`", key.name, key.example))),
    }
}

/// The path in a text.
pub(crate) fn path(key: &Key, value: &Expr) -> syn::Result<Path> {
    text(key, value)?
        .parse_with(Path::parse_mod_style)
        .map_err(|_| fault(value, format!("`{}` is the path of a crate: write `{}`", key.name, key.example)))
}
