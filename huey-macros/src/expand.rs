//! What a sound task becomes. Nothing can fail here: what could be wrong was found before, or is the compiler's to say.
//!
//! Names that stand beside expressions of the user begin with two underscores, because items have no hygiene: a hook
//! called `DEFINITION` must stay the user's.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{Expr, Ident, Type};

use crate::model::{Param, Task};
use crate::validate::tidy;
use crate::values::Setting;
use crate::{checks, signature};

/// The function, and the task beside it.
pub(crate) fn task(task: &Task) -> TokenStream {
    let function = function(task);
    let ty = type_of_arguments(task);
    let parts =
        [probes(task), checks::all(task), serde(task), run(task), registration(task), flow(task), ways_in(task)];
    let rest = unnamed(task, &parts);
    quote!(#function #ty #rest)
}

/// The function as the user wrote it.
pub(crate) fn function(task: &Task) -> TokenStream {
    let function = &task.function;
    // The lint would have arguments borrowed, which a task must own.
    quote!(#[allow(clippy::needless_pass_by_value)] #function)
}

/// The type that holds the arguments. It has braces even without fields: a unit struct would be a value as well, and
/// collide with the function.
pub(crate) fn type_of_arguments(task: &Task) -> TokenStream {
    let (name, vis) = (task.name(), &task.function.vis);
    let attrs = task.function.shared_attrs(&["cfg", "doc", "deprecated"]);
    let text = format!("The task `{}`: its stored arguments, and the ways to enqueue it.", name.unraw());
    let fields = task.fields().map(|field| {
        let (name, ty) = (&field.name, &field.ty);
        let text = format!("The argument `{}`.", name.unraw());
        quote!(#[doc = #text] #vis #name: #ty)
    });
    quote! {
        #(#attrs)*
        #[doc = ""]
        #[doc = #text]
        #[allow(non_camel_case_types, dead_code, deprecated)]
        #vis struct #name { #(#fields),* }
    }
}

/// Items of which the user sees no name.
pub(crate) fn unnamed(task: &Task, parts: &[TokenStream]) -> TokenStream {
    let cfg = task.function.shared_attrs(&["cfg"]);
    quote! {
        #(#cfg)*
        #[allow(deprecated, dead_code, clippy::too_many_arguments, clippy::needless_pass_by_value)]
        const _: () = { #(#parts)* };
    }
}

/// The arguments are written and read as a tuple, so that the user derives nothing and no names are stored.
fn serde(task: &Task) -> TokenStream {
    let (p, name) = (task.private(), task.name());
    let fields: Vec<_> = task.fields().map(|field| &field.name).collect();
    let (written, read) = match fields.as_slice() {
        [] => (quote!(()), quote!(())),
        fields => (quote!((#(&self.#fields,)*)), quote!((#(#fields,)*))),
    };
    quote! {
        #[automatically_derived]
        impl #p::serde::Serialize for #name {
            fn serialize<__S: #p::serde::Serializer>(
                &self,
                serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #p::serde::Serialize::serialize(&#written, serializer)
            }
        }
        #[automatically_derived]
        impl<'de> #p::serde::Deserialize<'de> for #name {
            fn deserialize<__D: #p::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                let #read = #p::serde::Deserialize::deserialize(deserializer)?;
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    }
}

/// What the return type is: a `Result`, and one whose error hides another. Traits decide it, not tokens, so that
/// aliases are seen through: the probe's own constant wins over the one that the imported trait gives to every type.
pub(crate) fn probes(task: &Task) -> TokenStream {
    let (p, ret) = (task.private(), &task.output);
    quote! {
        const __IS_RESULT: bool = {
            #[allow(unused_imports)]
            use #p::NotResult as _;
            #p::ProbeResult::<#ret>::IS_RESULT
        };
        const __HAS_REF: bool = {
            #[allow(unused_imports)]
            use #p::NotErrorRef as _;
            #p::ProbeErrorRef::<#ret>::HAS_REF
        };
    }
}

/// `Ret as Returned<..>`, by what the probes found.
pub(crate) fn returned(task: &Task) -> TokenStream {
    let (p, ret) = (task.private(), &task.output);
    quote!(#ret as #p::Returned<__IS_RESULT, __HAS_REF>)
}

/// From stored bytes to stored bytes, through the user's function.
fn run(task: &Task) -> TokenStream {
    let (p, name, returned) = (task.private(), task.name(), returned(task));
    // The hidden names resolve where the attribute stands, but no user can write them.
    let hidden = |name: String| Ident::new(&name, Span::mixed_site());
    let (call, args) = (hidden("call".into()), hidden("args".into()));
    let (mut borrowed, mut given) = (Vec::new(), Vec::new());
    for (at, param) in task.params.iter().enumerate() {
        match param {
            Param::Stored(field) => {
                let field = &field.name;
                given.push(quote!(#args.#field));
            }
            Param::Data(ty) => {
                let data = hidden(format!("data_{at}"));
                borrowed.push(quote!(let #data = #call.data::<#ty>()?;));
                given.push(quote!(&*#data));
            }
            Param::Context => given.push(quote!(#p::context_of(&#call)?)),
            Param::Broken(_) => {}
        }
    }
    let arguments = match task.fields().next() {
        Some(_) => quote!(let #args = #call.arguments::<#name>()?;),
        // Bytes of another signature are refused although there is nothing to take from them.
        None => quote!(#call.arguments::<#name>()?;),
    };
    let awaited = task.function.sig.asyncness.map(|_| quote!(.await));
    let steps = quote! {
        #arguments
        #(#borrowed)*
        let output = <#returned>::outcome(#name(#(#given),*) #awaited)?;
        #p::encode(&output).map_err(|error| #p::Failure::Unstorable(::std::string::ToString::to_string(&error)))
    };
    let ty = quote!(#p::Body);
    match awaited {
        None => quote!(const __BODY: #ty = #ty::Plain(|#call| { #steps });),
        Some(_) => {
            quote!(const __BODY: #ty = #ty::Async(|#call| ::std::boxed::Box::pin(async move { #steps }));)
        }
    }
}

/// What the attribute writes down of the task, submitted to the registry.
fn registration(task: &Task) -> TokenStream {
    let (p, name) = (task.private(), task.name());
    let stored_name = task.args.name.as_ref().map_or_else(
        || {
            let name = name.unraw().to_string();
            quote!(::core::concat!(::core::module_path!(), "::", #name))
        },
        ToTokens::to_token_stream,
    );
    let (signature, output) = (signature::of_arguments(task.fields()), signature::of_output(&task.output));
    let settings = task.args.settings.iter().map(|(name, value)| {
        let value = setting(name, value, &p);
        quote!(#name: ::core::option::Option::Some(#value))
    });
    let needs = task.params.iter().filter_map(|param| match param {
        Param::Data(ty) => Some(quote!(#p::Need::of::<#ty>())),
        _ => None,
    });
    let decorator = task.args.decorator.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |path| quote!(::core::option::Option::Some({ let decorator: &'static #p::Decorator = &#path; decorator })),
    );
    let hooks = task.args.hooks.iter().map(|value| hook(value, name, &p));
    quote! {
        static __DEFINITION: #p::Definition = #p::Definition {
            name: #stored_name,
            file: ::core::file!(),
            line: ::core::line!(),
            signature: #signature,
            output: #output,
            options: #p::Options { #(#settings,)* ..#p::Options::NONE },
            needs: &[#(#needs),*],
            body: __BODY,
        };
        static __REGISTRATION: #p::Registration = #p::Registration {
            task: &__DEFINITION,
            decorator: #decorator,
            hooks: &[#(#hooks),*],
        };
        #p::inventory::submit! { &__REGISTRATION as &'static #p::Registration }
    }
}

/// An option's value. The type is spanned at the key, so that a mismatch shows the key as its cause.
fn setting(name: &Ident, value: &Setting, p: &TokenStream) -> TokenStream {
    let typed = |ty: TokenStream, value: &Expr| quote!({ let value: #ty = #value; value });
    match value {
        Setting::Constant { ty, value } => {
            let ty = Ident::new(ty, name.span());
            typed(quote!(#ty), value)
        }
        Setting::Duration(value) => typed(quote_spanned!(name.span()=> ::core::time::Duration), value),
        Setting::Millis { millis, span } => quote_spanned!(*span=> ::core::time::Duration::from_millis(#millis)),
        Setting::Variant { ty, variant } => {
            let ty = Ident::new(ty, Span::call_site());
            quote!(#p::#ty::#variant)
        }
        Setting::Text(text) => text.to_token_stream(),
    }
}

/// A hook of the list. It is taken by reference in an inline constant: otherwise a static with an atomic in it, or a
/// `const fn` that returns a closure, could not stand here.
fn hook(value: &Expr, task: &Ident, p: &TokenStream) -> TokenStream {
    let text = tidy(value);
    let by_name = checks::across(value, &quote!(#p::named_hook::<#task, _, _>));
    match value {
        Expr::Closure(_) => quote!(&#by_name(#text, const { &#p::closure(#value) })),
        _ => quote!(&#by_name(#text, const { &#value })),
    }
}

/// The traits, and what chains need to know.
fn flow(task: &Task) -> TokenStream {
    let (p, name, returned) = (task.private(), task.name(), returned(task));
    let output = checks::across(&task.output, &quote!(<#returned>::Output));
    let names: Vec<_> = task.fields().map(|field| &field.name).collect();
    let types: Vec<_> = task.fields().map(|field| &field.ty).collect();
    let unit: Type = syn::parse_quote!(());
    let (first, rest_types) = types.split_first().map_or((&unit, &[] as &[_]), |(first, rest)| (*first, rest));
    let (first_name, rest_names) = names.split_first().map_or((None, &[] as &[_]), |(first, rest)| (Some(first), rest));
    let (rest, rest_pattern) = match rest_types {
        [] => (quote!(()), quote!(())),
        _ => (quote!((#(#rest_types,)*)), quote!((#(#rest_names,)*))),
    };
    let first_pattern = first_name.map_or_else(|| quote!(()), ToTokens::to_token_stream);
    quote! {
        #[automatically_derived]
        impl #p::Task for #name {
            type Output = #output;
            const DEFINITION: &'static #p::Definition = &__DEFINITION;
        }
        #[automatically_derived]
        impl #p::Registered for #name {
            const REGISTRATION: &'static #p::Registration = &__REGISTRATION;
        }
        #[automatically_derived]
        impl #p::Continues for #name {
            type First = #first;
            type Rest = #rest;
            fn join(#first_pattern: #first, #rest_pattern: #rest) -> Self {
                Self { #(#names),* }
            }
        }
    }
}

/// What a caller writes: `job`, `enqueue`, `enqueue_async` and `with`.
fn ways_in(task: &Task) -> TokenStream {
    let fields: Vec<_> = task.fields().collect();
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = fields.iter().map(|field| field.ty.to_token_stream()).collect();
    let rest = match names.get(1..).unwrap_or_default() {
        [] => quote!(()),
        rest => quote!((#(#rest,)*)),
    };
    inherent(task, &names, &types, &quote!(Self { #(#names),* }), &rest)
}

/// The functions on the type, for these parameters.
pub(crate) fn inherent(
    task: &Task,
    names: &[&Ident],
    types: &[TokenStream],
    arguments: &TokenStream,
    rest: &TokenStream,
) -> TokenStream {
    let (p, name, vis) = (task.private(), task.name(), &task.function.vis);
    let (rest_names, rest_types) = (names.get(1..).unwrap_or_default(), types.get(1..).unwrap_or_default());
    // An argument may be called `huey` too: this one is another name to the compiler.
    let huey = Ident::new("huey", Span::mixed_site());
    let result = quote!(#p::Result<#p::JobHandle<<#name as #p::Task>::Output>>);
    let plain = name.unraw().to_string();
    let job_text = format!("A job that runs `{plain}` with these arguments, once it is enqueued.");
    let enqueue_text = format!("Stores a job that runs `{plain}` with these arguments.");
    let async_text = format!("Stores a job that runs `{plain}` with these arguments, and blocks no thread meanwhile.");
    let with_text = format!("The next step of a chain: `{plain}` with these arguments behind the output before it.");
    quote! {
        impl #name {
            #[doc = #job_text]
            #vis fn job(#(#names: #types),*) -> #p::Job<Self> {
                #p::Job::new(#arguments)
            }
            #[doc = #enqueue_text]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "If a hook refuses, the arguments cannot be encoded, or the storage fails."]
            #vis fn enqueue(#huey: &#p::Huey, #(#names: #types),*) -> #result {
                Self::job(#(#names),*).enqueue(#huey)
            }
            #[doc = #async_text]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "If a hook refuses, the arguments cannot be encoded, or the storage fails."]
            #vis fn enqueue_async(
                #huey: &#p::Huey,
                #(#names: #types),*
            ) -> impl ::core::future::Future<Output = #result> + ::core::marker::Send + 'static + use<> {
                Self::job(#(#names),*).enqueue_async(#huey)
            }
            #[doc = #with_text]
            #vis fn with(#(#rest_names: #rest_types),*) -> #p::Step<Self> {
                #p::Step::new(#rest)
            }
        }
    }
}
