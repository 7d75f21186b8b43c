//! The key `unique`: by what the jobs of a task are told apart, how long a key is held, and what becomes of a second one.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Expr, ExprPath, Ident, LitStr, Token, parenthesized, token};

use crate::by;
use crate::duration;
use crate::errors::Errors;
use crate::keys::nearest;
use crate::model::Param;

/// What `unique` was given.
#[derive(Default)]
pub(crate) struct Unique {
    /// The word itself.
    pub(crate) span: Option<Span>,
    by: By,
    scope: Scope,
    on_conflict: Option<Ident>,
}

#[derive(Default)]
enum By {
    #[default]
    Task,
    Fields(Vec<Ident>),
    Function(ExprPath),
}

#[derive(Default)]
enum Scope {
    #[default]
    Active,
    Pending,
    Window(u64),
}

const PARTS: [&str; 4] = ["by", "key", "scope", "on_conflict"];
const CONFLICTS: [(&str, &str); 3] = [("existing", "Existing"), ("reject", "Reject"), ("replace", "Replace")];
const SCOPES: &str = "`scope` is one of `pending`, `active` or `window(\"1h\")`";

enum Part {
    By(Ident, Vec<Ident>),
    Assigned(Ident, Expr),
}

impl Parse for Part {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if input.peek(token::Paren) {
            let list;
            parenthesized!(list in input);
            let fields = Punctuated::<Ident, Token![,]>::parse_terminated_with(&list, Ident::parse_any)?;
            return Ok(Self::By(name, fields.into_iter().collect()));
        }
        if !input.peek(Token![=]) {
            return Err(syn::Error::new(name.span(), unknown(&name)));
        }
        input.parse::<Token![=]>()?;
        Ok(Self::Assigned(name, input.parse()?))
    }
}

fn unknown(name: &Ident) -> String {
    match nearest(&name.to_string(), PARTS) {
        Some("by") => "`by` lists arguments: write `unique(by(user))`".into(),
        Some(near) if name == near => format!("`{near}` has no value: write `unique({})`", example(near)),
        Some(near) => format!("`{name}` is not a part of `unique`: did you mean `{near}`?"),
        None => format!("`{name}` is not a part of `unique`, which are: {}", PARTS.join(", ")),
    }
}

fn example(part: &str) -> &'static str {
    match part {
        "key" => "key = key_of",
        "scope" => "scope = pending",
        "on_conflict" => "on_conflict = reject",
        _ => "by(user)",
    }
}

impl Unique {
    pub(crate) fn bare(span: Span) -> Self {
        Self { span: Some(span), ..Self::default() }
    }

    /// Reads what stands in the parentheses; what is wrong is recorded and left out.
    pub(crate) fn read(span: Span, tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut unique = Self::bare(span);
        let parts = Punctuated::<Part, Token![,]>::parse_terminated.parse2(tokens);
        let mut seen: Vec<String> = Vec::new();
        for part in errors.keep(parts).into_iter().flatten() {
            let (Part::By(name, _) | Part::Assigned(name, _)) = &part;
            let word = name.to_string();
            if seen.contains(&word) {
                errors.at(name, format!("`{word}` is given twice: keep one of them"));
                continue;
            }
            if (word == "by" && seen.iter().any(|seen| seen == "key"))
                || (word == "key" && seen.iter().any(|seen| seen == "by"))
            {
                errors.at(name, "a unique key is made by `by(..)` or by `key = ..`: keep one of them");
                continue;
            }
            seen.push(word);
            unique.take(part, errors);
        }
        unique
    }

    fn take(&mut self, part: Part, errors: &mut Errors) {
        match part {
            Part::By(name, fields) if name == "by" => {
                if fields.is_empty() {
                    errors.at(
                        &name,
                        "`by` names no argument: write `by(user)`, or `unique` alone for one job of the task",
                    );
                }
                self.by = By::Fields(fields);
            }
            Part::Assigned(name, Expr::Path(path)) if name == "key" => self.by = By::Function(path),
            Part::Assigned(name, value) if name == "key" => {
                errors.at(value, "`key` is the path of a function of the arguments: write `key = key_of`");
            }
            Part::Assigned(name, value) if name == "scope" => self.scope = scope(&value, errors),
            Part::Assigned(name, value) if name == "on_conflict" => self.on_conflict = conflict(&value, errors),
            Part::By(name, _) | Part::Assigned(name, _) => errors.at(&name, unknown(&name)),
        }
    }

    /// Whether the arguments that it names are the function's.
    pub(crate) fn validate(&self, params: &[Param], errors: &mut Errors) {
        if let By::Fields(named) = &self.by {
            by::validate(named, params, "unique", errors);
        }
    }

    /// The rule, as the options hold it.
    pub(crate) fn rule(&self, task: &Ident, p: &TokenStream) -> TokenStream {
        let key = match &self.by {
            By::Task => by::key(&[], task, p),
            By::Fields(fields) => by::key(fields, task, p),
            By::Function(path) => by::key_of(path, task, p),
        };
        let scope = match self.scope {
            Scope::Active => quote!(Active),
            Scope::Pending => quote!(Pending),
            Scope::Window(millis) => quote!(Window(::core::time::Duration::from_millis(#millis))),
        };
        let conflict = self.on_conflict.as_ref().map_or_else(|| quote!(Existing), ToTokens::to_token_stream);
        quote! {
            #p::UniqueRule {
                key: #key,
                scope: #p::Scope::#scope,
                on_conflict: #p::OnConflict::#conflict,
            }
        }
    }
}

fn scope(value: &Expr, errors: &mut Errors) -> Scope {
    if let Expr::Path(path) = value {
        match path.path.get_ident().map(ToString::to_string).as_deref() {
            Some("active") => return Scope::Active,
            Some("pending") => return Scope::Pending,
            Some("window") => {
                errors.at(value, "a window has a length: write `scope = window(\"1h\")`");
                return Scope::Active;
            }
            _ => {}
        }
    }
    if let Expr::Call(call) = value
        && let Expr::Path(path) = &*call.func
        && path.path.is_ident("window")
    {
        let length = call.args.to_token_stream();
        let parsed = syn::parse2::<LitStr>(length)
            .map_err(|_| "a window has a length in quotes: write `scope = window(\"1h\")`".to_owned())
            .and_then(|text| duration::millis(&text.value()));
        match parsed {
            Ok(0) => errors.at(value, "a window of no length holds nothing: write `scope = window(\"1h\")`"),
            Ok(millis) => return Scope::Window(millis),
            Err(text) => errors.at(value, text),
        }
        return Scope::Active;
    }
    errors.at(value, SCOPES);
    Scope::Active
}

fn conflict(value: &Expr, errors: &mut Errors) -> Option<Ident> {
    let word = match value {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string).unwrap_or_default(),
        _ => String::new(),
    };
    if let Some((_, variant)) = CONFLICTS.iter().find(|(known, _)| *known == word) {
        return Some(Ident::new(variant, value.span()));
    }
    let text = match nearest(&word, CONFLICTS.iter().map(|(known, _)| *known)) {
        Some(near) if !word.is_empty() => format!("`{word}` is no choice of `on_conflict`: did you mean `{near}`?"),
        _ => "`on_conflict` is one of `existing`, `reject` or `replace`, without quotes".into(),
    };
    errors.at(value, text);
    None
}
