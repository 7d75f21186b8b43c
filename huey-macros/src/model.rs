//! The annotated function, and the task that is made of it.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, FnArg, Ident, Pat, PatType, Signature, Token, Type, TypeReference, Visibility};

use crate::args::Args;

/// A function as written. The body stays raw tokens: it is the compiler's to read, and a half-written one must not
/// keep an editor from seeing the rest.
pub(crate) struct Function {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// Without the marks `#[data]` and `#[ctx]`, which only the attribute understands.
    pub(crate) sig: Signature,
    pub(crate) body: TokenStream,
    /// The marks of each parameter.
    pub(crate) marks: Vec<Vec<Attribute>>,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attrs = input.call(Attribute::parse_outer)?;
        let vis = input.parse()?;
        // The word that begins another item may follow words that a function may have too, as in `unsafe impl`.
        if let Some((word, what)) = other_item(input) {
            let text = format!("`#[task]` stands on a function, and this is {what}: write it on `fn` or `async fn`");
            return Err(syn::Error::new(word.span(), text));
        }
        let mut sig: Signature = input.parse()?;
        if input.peek(Token![;]) {
            let text = format!("`{}` has no body: `#[task]` stands on a function that does the work", sig.ident);
            return Err(syn::Error::new_spanned(&sig.ident, text));
        }
        let marks = sig.inputs.iter_mut().map(take_marks).collect();
        Ok(Self { attrs, vis, sig, body: input.parse()?, marks })
    }
}

impl ToTokens for Function {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, sig, body, .. } = self;
        for attr in attrs {
            attr.to_tokens(tokens);
        }
        vis.to_tokens(tokens);
        sig.to_tokens(tokens);
        body.to_tokens(tokens);
    }
}

impl Function {
    /// The attributes that hold for the task's type as well.
    pub(crate) fn shared_attrs(&self, names: &'static [&'static str]) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(move |attr| names.iter().any(|name| attr.path().is_ident(name)))
    }
}

/// The word by which an item that is no function begins, and what it is.
fn other_item(input: ParseStream<'_>) -> Option<(Ident, &'static str)> {
    const ITEMS: &[(&str, &str)] = &[
        ("struct", "a struct"),
        ("enum", "an enum"),
        ("union", "a union"),
        ("trait", "a trait"),
        ("impl", "an `impl` block"),
        ("mod", "a module"),
        ("static", "a static"),
        ("type", "a type alias"),
        ("use", "an import"),
        ("let", "a binding"),
        ("macro_rules", "a macro"),
    ];
    let ahead = input.fork();
    let mut last = None;
    while let Ok(word) = ahead.call(Ident::parse_any) {
        if word == "fn" {
            return None;
        }
        if let Some((_, what)) = ITEMS.iter().find(|(name, _)| word == name) {
            return Some((word, what));
        }
        last = Some(word);
        // The ABI of `extern "C" fn`.
        let _ = ahead.call(<Option<syn::LitStr>>::parse);
    }
    // `const LIMIT: u8 = 3;` begins like `const fn`.
    last.filter(|_| ahead.peek(Token![:]) || ahead.peek(Token![=])).map(|word| (word, "a constant"))
}

fn take_marks(arg: &mut FnArg) -> Vec<Attribute> {
    let attrs = match arg {
        FnArg::Receiver(receiver) => &mut receiver.attrs,
        FnArg::Typed(typed) => &mut typed.attrs,
    };
    let is_mark = |attr: &Attribute| attr.path().is_ident("data") || attr.path().is_ident("ctx");
    let (marks, others) = std::mem::take(attrs).into_iter().partition(is_mark);
    *attrs = others;
    marks
}

/// A stored parameter: a field of the task's type.
pub(crate) struct Field {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
}

/// A parameter of the function, in its place.
pub(crate) enum Param {
    Stored(Field),
    /// Borrowed from the program's data; the type behind the reference.
    Data(Type),
    /// The running job's context, and the type as written.
    Context(Type),
    /// One that breaks a rule; a stored one by the name it has or is given.
    Broken(Option<Ident>),
}

/// A task: what the expansion is made from.
pub(crate) struct Task {
    pub(crate) function: Function,
    pub(crate) args: Args,
    pub(crate) params: Vec<Param>,
    pub(crate) output: Type,
    /// Whether the function follows every rule, whatever the keys are.
    pub(crate) is_sound: bool,
}

impl Task {
    pub(crate) fn name(&self) -> &Ident {
        &self.function.sig.ident
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &Field> {
        self.params.iter().filter_map(|param| match param {
            Param::Stored(field) => Some(field),
            _ => None,
        })
    }

    /// Whether the function is known to stand in an `impl` or a `trait`.
    pub(crate) fn is_method(&self) -> bool {
        self.function.sig.receiver().is_some() || find_word(&self.function.sig, "Self").is_some()
    }

    /// The path under which the expansion finds what it names.
    pub(crate) fn private(&self) -> TokenStream {
        let root = self.args.root.as_ref().map_or_else(|| quote!(::huey), ToTokens::to_token_stream);
        quote!(#root::__private)
    }
}

/// The name of a stored parameter, if its pattern is a plain one.
pub(crate) fn plain_name(pat: &Pat) -> Option<&Ident> {
    match pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(&pat.ident),
        _ => None,
    }
}

/// A name for a parameter that has none of its own.
pub(crate) fn stand_in(param: &PatType, at: usize) -> Ident {
    plain_name(&param.pat).cloned().unwrap_or_else(|| format_ident!("argument_{at}"))
}

/// The type without the invisible group that a `macro_rules!` parameter is wrapped in, and without parentheses.
pub(crate) fn bare(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(paren) => bare(&paren.elem),
        ty => ty,
    }
}

/// The reference that a type is, if it is one.
pub(crate) fn reference(ty: &Type) -> Option<&TypeReference> {
    match bare(ty) {
        Type::Reference(reference) => Some(reference),
        _ => None,
    }
}

/// The tokens without their grouping.
pub(crate) fn flat(within: &impl ToTokens) -> Vec<TokenTree> {
    fn flatten(tokens: TokenStream, all: &mut Vec<TokenTree>) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => flatten(group.stream(), all),
                token => all.push(token),
            }
        }
    }
    let mut all = Vec::new();
    flatten(within.to_token_stream(), &mut all);
    all
}

/// That word, where it first stands.
pub(crate) fn find_word(within: &impl ToTokens, wanted: &str) -> Option<TokenTree> {
    flat(within).into_iter().find(|token| matches!(token, TokenTree::Ident(word) if word == wanted))
}
