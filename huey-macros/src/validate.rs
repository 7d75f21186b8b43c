//! The rules for the annotated function, one function each. A rule records its mistakes at the tokens that break it.

use proc_macro2::TokenTree;
use quote::ToTokens;
use syn::{
    Attribute, FnArg, GenericArgument, PatType, PathArguments, ReturnType, Signature, Type, TypeReference, parse_quote,
};

use crate::args::Args;
use crate::errors::Errors;
use crate::model::{Field, Function, Param, Task, bare, find_word, flat, plain_name, reference, stand_in};
use crate::schedule::Schedule;

/// serde reads and writes tuples of at most so many members.
const MOST_STORED: usize = 16;

/// Makes a task of the function, recording every broken rule.
pub(crate) fn task(function: Function, mut args: Args, errors: &mut Errors) -> Task {
    let sig = &function.sig;
    let before = errors.count();
    is_a_free_function(sig, errors);
    is_not_generic(sig, errors);
    is_safe_and_of_this_language(sig, errors);
    let mut output = returns_a_value(sig, errors);

    let mut params = Vec::with_capacity(sig.inputs.len());
    for (at, (arg, marks)) in sig.inputs.iter().zip(&function.marks).enumerate() {
        if let FnArg::Typed(arg) = arg {
            params.push(parameter(at, arg, marks, errors));
        }
    }
    has_one_context(&function.marks, errors);
    stores_few_enough(&params, errors);
    let is_sound = errors.count() == before;
    let keys = errors.count();
    args.schedule.validate(&params, errors);
    if errors.count() > keys {
        args.schedule = Schedule::default();
    }
    if let Some(unique) = &args.unique {
        let before = errors.count();
        unique.validate(&params, errors);
        if errors.count() > before {
            args.unique = None;
        }
    }
    args.limits.retain(|limit| {
        let before = errors.count();
        limit.validate(&params, errors);
        errors.count() == before
    });
    if !function.sig.generics.params.is_empty() {
        // The types may name what the fallback does not have.
        output = parse_quote!(());
        for param in &mut params {
            if let Param::Stored(Field { name, .. }) = param {
                *param = Param::Broken(Some(name.clone()));
            }
        }
    }
    Task { function, args, params, output, is_sound }
}

fn is_a_free_function(sig: &Signature, errors: &mut Errors) {
    let at = match sig.receiver() {
        Some(receiver) => Some(receiver.to_token_stream()),
        // Nothing else tells that the function stands in an `impl`: an attribute sees the function only.
        None => find_word(sig, "Self").map(TokenTree::into_token_stream),
    };
    if let Some(at) = at {
        errors.at(at, "a task is a free function: take it out of the `impl` or `trait`, and pass what it needs");
    }
}

fn is_not_generic(sig: &Signature, errors: &mut Errors) {
    for param in &sig.generics.params {
        errors.at(
            param,
            match param {
                syn::GenericParam::Lifetime(_) => {
                    "a task has no lifetimes: own what is stored, and write `&T` for data"
                }
                _ => "a task cannot be generic, because its arguments have one stored form: write the type itself",
            },
        );
    }
    if let Some(clause) = &sig.generics.where_clause {
        errors.at(clause, "a task cannot have a `where` clause, because it cannot be generic: leave it out");
    }
}

fn is_safe_and_of_this_language(sig: &Signature, errors: &mut Errors) {
    if let syn::Safety::Unsafe(word) = &sig.safety {
        errors.at(word, "a worker cannot keep the promises of an `unsafe fn`: write a safe function that calls it");
    }
    if let Some(abi) = &sig.abi {
        errors.at(abi, "a task is a Rust function: leave `extern` out, or call the extern function from the task");
    }
    if let Some(dots) = &sig.variadic {
        errors.at(dots, "a task has a fixed list of arguments: write `Vec<T>` for any number of them");
    }
}

/// The type of what the function returns; `()` in the place of one that no task can return.
fn returns_a_value(sig: &Signature, errors: &mut Errors) -> Type {
    let unit = parse_quote!(());
    let ReturnType::Type(_, ty) = &sig.output else { return unit };
    if matches!(bare(ty), Type::Never(_)) {
        errors.at(ty, "a task must end: write what it returns, or `()`, in the place of `!`");
    } else if let Some(word) = find_word(ty, "impl") {
        errors.at(word, "a task's output is stored, so its type has a name: write it in the place of `impl Trait`");
    } else if let Some(borrowed) = borrowed_output(ty) {
        errors.at(borrowed, format!("a task's output is stored, so it must be owned: write {}", owned(&borrowed.elem)));
    } else {
        return (**ty).clone();
    }
    unit
}

fn parameter(at: usize, param: &PatType, marks: &[Attribute], errors: &mut Errors) -> Param {
    let before = errors.count();
    has_no_cfg(param, errors);
    let role = role(marks, errors);
    if let Some(word) = find_word(&param.ty, "impl") {
        errors.at(word, "a task cannot be generic, and `impl Trait` is: write the type itself");
    }
    let made = match role {
        Role::Data => data(param, errors).map(Param::Data),
        Role::Context => context(param, errors).map(Param::Context),
        Role::Stored => stored(param, errors).map(Param::Stored),
    };
    match made {
        Some(made) if errors.count() == before => made,
        _ => Param::Broken(matches!(role, Role::Stored).then(|| stand_in(param, at))),
    }
}

#[derive(Clone, Copy)]
enum Role {
    Stored,
    Data,
    Context,
}

fn role(marks: &[Attribute], errors: &mut Errors) -> Role {
    for mark in marks {
        if mark.meta.require_path_only().is_err() {
            let name = mark.path().to_token_stream();
            errors.at(&mark.meta, format!("`{name}` takes nothing: write `#[{name}]`"));
        }
    }
    let marked = |name| marks.iter().filter(move |mark| mark.path().is_ident(name));
    for name in ["data", "ctx"] {
        if let Some(second) = marked(name).nth(1) {
            errors.at(second, format!("`#[{name}]` is given twice: keep one of them"));
        }
    }
    match (marked("data").next(), marked("ctx").next()) {
        (Some(_), Some(ctx)) => {
            errors.at(ctx, "a parameter is either `#[data]` or `#[ctx]`: keep one of them");
            Role::Data
        }
        (Some(_), None) => Role::Data,
        (None, Some(_)) => Role::Context,
        (None, None) => Role::Stored,
    }
}

fn has_no_cfg(param: &PatType, errors: &mut Errors) {
    for attr in param.attrs.iter().filter(|attr| attr.path().is_ident("cfg") || attr.path().is_ident("cfg_attr")) {
        let text = "a task's arguments have one stored form: put `#[cfg]` on the whole function, once for each form";
        errors.at(attr, text);
    }
}

fn data(param: &PatType, errors: &mut Errors) -> Option<Type> {
    let Some(borrowed) = reference(&param.ty) else {
        let ty = param.ty.to_token_stream();
        errors.at(&param.ty, format!("data is shared by all jobs, so it is borrowed: write `&{}`", tidy(&ty)));
        return None;
    };
    let ty = tidy(&borrowed.elem.to_token_stream());
    if let Some(word) = &borrowed.mutability {
        errors.at(word, format!("data is shared by all jobs: write `&{ty}`, and a `Mutex` in it for what changes"));
    }
    if let Some(lifetime) = &borrowed.lifetime {
        errors.at(lifetime, format!("data is borrowed while the job runs: write `&{ty}`"));
    }
    Some(bare(&borrowed.elem).clone())
}

fn context(param: &PatType, errors: &mut Errors) -> Option<Type> {
    match reference(&param.ty) {
        Some(borrowed) if borrowed.mutability.is_none() && borrowed.lifetime.is_none() => Some((*param.ty).clone()),
        _ => {
            errors.at(&param.ty, "the context is borrowed while the job runs: write `&Context`");
            None
        }
    }
}

fn stored(param: &PatType, errors: &mut Errors) -> Option<Field> {
    let name = plain_name(&param.pat);
    if name.is_none() {
        let text = "an argument is stored under its name: write a plain name here, and take it apart in the body";
        errors.at(&param.pat, text);
    }
    if let Some(borrowed) = reference(&param.ty) {
        let owned = owned(&borrowed.elem);
        let text = format!(
            "an argument is stored, so it must be owned: write {owned}, or mark it `#[data]` if all jobs share it"
        );
        errors.at(&param.ty, text);
    } else if let Some(at) = borrow_within(&param.ty) {
        errors.at(at, "an argument is stored, so all of it must be owned: write a type without references");
    }
    Some(Field { name: name?.clone(), ty: (*param.ty).clone() })
}

fn has_one_context(marks: &[Vec<Attribute>], errors: &mut Errors) {
    let contexts = marks.iter().filter_map(|marks| marks.iter().find(|mark| mark.path().is_ident("ctx")));
    for second in contexts.skip(1) {
        errors.at(second, "a task has one context: keep one `#[ctx]` parameter");
    }
}

fn stores_few_enough(params: &[Param], errors: &mut Errors) {
    let mut stored = params.iter().filter_map(|param| match param {
        Param::Stored(Field { name, .. }) | Param::Broken(Some(name)) => Some(name),
        Param::Data(_) | Param::Context(_) | Param::Broken(None) => None,
    });
    if let Some(first) = stored.nth(MOST_STORED) {
        errors.at(first, format!("a task stores at most {MOST_STORED} arguments: pass a struct"));
    }
}

/// Where a type borrows: a reference, or a lifetime other than `'static`.
fn borrow_within(ty: &Type) -> Option<TokenTree> {
    let tokens = flat(ty);
    let is_static = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Ident(name)) if name == "static");
    let mut at = tokens.iter().enumerate();
    let found = at.find(|(at, token)| match token {
        TokenTree::Punct(punct) if punct.as_char() == '&' => true,
        TokenTree::Punct(punct) if punct.as_char() == '\'' => !is_static(tokens.get(at + 1)),
        _ => false,
    });
    found.map(|(_, token)| token.clone())
}

/// The reference that an output is, or that a `Result` or a container of one has as its first type.
fn borrowed_output(ty: &Type) -> Option<&TypeReference> {
    let Type::Path(path) = bare(ty) else { return reference(ty) };
    let PathArguments::AngleBracketed(arguments) = &path.path.segments.last()?.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(borrowed_output(ty)),
        _ => None,
    })?
}

/// What to write in the place of a reference.
fn owned(borrowed: &Type) -> String {
    let text = match bare(borrowed) {
        Type::Slice(slice) => format!("Vec<{}>", tidy(&slice.elem.to_token_stream())),
        Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
        Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Path") => "PathBuf".to_owned(),
        Type::TraitObject(_) | Type::ImplTrait(_) => return "a type that owns it".to_owned(),
        owned => tidy(&owned.to_token_stream()),
    };
    format!("`{text}`")
}

/// The tokens as a person would write them.
pub(crate) fn tidy(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (loose, tight) in [
        (" :: ", "::"),
        (":: ", "::"),
        (" ::", "::"),
        (" < ", "<"),
        ("< ", "<"),
        (" <", "<"),
        (" >", ">"),
        (" ,", ","),
        (" (", "("),
        ("& ", "&"),
        (" .", "."),
        ("| ", "|"),
    ] {
        text = text.replace(loose, tight);
    }
    text
}
