//! The attribute's arguments. Every value keeps its tokens, so that errors point at them.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprPath, Ident, LitStr, Path, Token, parenthesized, token};

use crate::errors::Errors;
use crate::keys::{self, Form, KEYS, Key, Value};
use crate::limits::Limit;
use crate::schedule::Schedule;
use crate::unique::Unique;
use crate::values::{self, Setting};

/// What the attribute was given, without what was wrong.
#[derive(Default)]
pub(crate) struct Args {
    pub(crate) name: Option<LitStr>,
    /// The oldest first.
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) version: Option<Setting>,
    pub(crate) upgrade: Option<Expr>,
    pub(crate) root: Option<Path>,
    pub(crate) decorator: Option<Expr>,
    pub(crate) hooks: Vec<Expr>,
    pub(crate) unique: Option<Unique>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) schedule: Schedule,
    /// The options, by the names of their fields.
    pub(crate) settings: Vec<(Ident, Setting)>,
}

/// One argument as written.
enum Written {
    /// A path by itself: a decorator.
    Path(ExprPath),
    Assigned(Ident, Expr),
    Listed(Ident, TokenStream),
}

impl Args {
    /// Reads the arguments; one that is wrong is recorded and left out.
    pub(crate) fn read(tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut args = Self::default();
        let mut seen = Vec::new();
        let read = |input: ParseStream<'_>| {
            while !input.is_empty() {
                let written = errors.keep(input.parse::<Written>());
                let ended = input.is_empty() || input.peek(Token![,]);
                if written.is_some() && !ended {
                    errors.push(input.error("expected a comma between two keys"));
                }
                if let Some(written) = written {
                    args.take(&written, &mut seen, errors);
                }
                skip_past_comma(input)?;
            }
            Ok(())
        };
        let result = read.parse2(tokens);
        errors.keep(result);
        args
    }

    fn take(&mut self, written: &Written, seen: &mut Vec<&'static str>, errors: &mut Errors) {
        match written {
            Written::Path(path) => {
                let word = path.path.get_ident().and_then(|word| keys::find(&word.to_string()));
                if let Some(Key { name, form: Form::Unique, .. }) = word {
                    if first(name, path, seen, errors) {
                        self.unique = Some(Unique::bare(path.span()));
                    }
                } else if let Some(Key { name, example, .. }) = word {
                    errors.at(path, format!("`{name}` has no value: write `{example}`"));
                } else if first("decorator", path, seen, errors) {
                    self.decorator = Some(Expr::Path(path.clone()));
                }
            }
            Written::Assigned(name, value) => {
                if let Some(key) = known(name, seen, errors) {
                    self.assign(key, name, value, errors);
                }
            }
            Written::Listed(name, list) => match known(name, seen, errors) {
                Some(Key { form: Form::Hooks, example, .. }) => {
                    let hooks = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(list.clone());
                    match errors.keep(hooks) {
                        Some(hooks) if hooks.is_empty() => {
                            errors.at(name, format!("`hooks` names no hook: write `{example}`"));
                        }
                        hooks => self.hooks.extend(hooks.into_iter().flatten()),
                    }
                }
                Some(key @ Key { form: Form::Alias, .. }) => {
                    let names = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(list.clone());
                    match errors.keep(names) {
                        Some(names) if names.is_empty() => {
                            errors.at(name, format!("`alias` names nothing: write `{}`", key.example));
                        }
                        names => {
                            let names = names.into_iter().flatten();
                            self.aliases.extend(names.filter_map(|name| errors.keep(values::text(key, &name))));
                        }
                    }
                }
                Some(Key { form: Form::Unique, .. }) => {
                    self.unique = Some(Unique::read(name.span(), list.clone(), errors));
                }
                Some(key @ Key { form: Form::Limit(what), .. }) => {
                    self.limits.extend(Limit::listed(*what, key, name, list.clone(), errors));
                }
                Some(key) => errors.at(name, format!("`{name}` takes one value: write `{}`", key.example)),
                None => {}
            },
        }
    }

    fn assign(&mut self, key: &Key, name: &Ident, value: &Expr, errors: &mut Errors) {
        let example = key.example;
        match key.form {
            Form::Name => self.name = errors.keep(values::text(key, value)),
            Form::Alias => self.aliases.extend(errors.keep(values::text(key, value))),
            Form::Version => {
                let form = Value::Whole { ty: "u32", least: 1, most: i128::from(u32::MAX) };
                self.version = errors.keep(values::setting(key, form, value));
            }
            Form::Upgrade if matches!(values::bare(value), Expr::Path(_)) => self.upgrade = Some(value.clone()),
            Form::Upgrade => errors.at(value, format!("`upgrade` is the path of a function: write `{example}`")),
            Form::Crate => self.root = errors.keep(values::path(key, value)),
            Form::Decorator if matches!(values::bare(value), Expr::Path(_)) => self.decorator = Some(value.clone()),
            Form::Decorator => errors.at(value, format!("a decorator is the path of a `static`: write `{example}`")),
            Form::Hooks => errors.at(value, format!("`hooks` takes a list: write `{example}`")),
            Form::Unique => errors.at(value, format!("`unique` takes a list: write `{example}`, or `unique` alone")),
            Form::Limit(what) => self.limits.extend(Limit::assigned(what, key, name, value, errors)),
            Form::Schedule(part) => self.schedule.take(part, key, name, value, errors),
            Form::Option(form) => {
                if let Some(setting) = errors.keep(values::setting(key, form, value)) {
                    self.settings.push((name.clone(), setting));
                }
            }
        }
    }
}

/// The key of that name, if there is one and it was not given before.
fn known(name: &Ident, seen: &mut Vec<&'static str>, errors: &mut Errors) -> Option<&'static Key> {
    let Some(key) = keys::find(&name.to_string()) else {
        errors.at(name, unknown(name));
        return None;
    };
    first(key.name, name, seen, errors).then_some(key)
}

/// Whether the key is given for the first time.
fn first(key: &'static str, at: &impl ToTokens, seen: &mut Vec<&'static str>, errors: &mut Errors) -> bool {
    let again = seen.contains(&key);
    if again {
        let text = match key {
            "decorator" => SECOND_DECORATOR.to_owned(),
            key => format!("`{key}` is given twice: keep one of them"),
        };
        errors.at(at, text);
    }
    seen.push(key);
    !again
}

const SECOND_DECORATOR: &str =
    "a task has one decorator: nest the two with `Decorator::new().within(&OUTER)` and name the inner one";

fn unknown(name: &Ident) -> String {
    if let Some(near) = keys::nearest(&name.to_string(), KEYS.iter().map(|key| key.name)) {
        return format!("`{name}` is not a key of `#[task]`: did you mean `{near}`?");
    }
    let all: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    format!("`{name}` is not a key of `#[task]`, which are: {}", all.join(", "))
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let ahead = input.fork();
        if ahead.call(Ident::parse_any).is_ok() {
            if ahead.peek(Token![=]) && !ahead.peek(Token![==]) {
                let name = input.call(Ident::parse_any)?;
                input.parse::<Token![=]>()?;
                if input.is_empty() || input.peek(Token![,]) {
                    return Err(malformed(&name, "has no value"));
                }
                return Ok(Self::Assigned(name, input.parse()?));
            }
            if ahead.peek(token::Paren) {
                let name = input.call(Ident::parse_any)?;
                let list;
                parenthesized!(list in input);
                return Ok(Self::Listed(name, list.parse()?));
            }
        }
        match input.call(path_only) {
            Ok(path) => Ok(Self::Path(path)),
            Err(_) => Err(syn::Error::new(
                input.span(),
                "expected a key, like `retries = 3`, or the path of a decorator, like `CRITICAL`",
            )),
        }
    }
}

fn path_only(input: ParseStream<'_>) -> syn::Result<ExprPath> {
    // Committed only if it is a path, so that the caller's error stands where the argument begins.
    let ahead = input.fork();
    ahead.parse::<ExprPath>()?;
    input.parse()
}

fn malformed(name: &Ident, what: &str) -> syn::Error {
    let text = match keys::find(&name.to_string()) {
        Some(key) => format!("`{name}` {what}: write `{}`", key.example),
        None => unknown(name),
    };
    syn::Error::new(name.span(), text)
}

/// Goes on behind the next comma, over whatever was not understood.
fn skip_past_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() {
        if input.peek(Token![,]) {
            input.parse::<Token![,]>()?;
            break;
        }
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}
