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
    let data = task.params.iter().any(|param| matches!(param, Param::Data(_)));
    // Lints that would have an argument borrowed, which a task must own, or data taken by another type or by value.
    let data = data.then(|| quote!(, clippy::ptr_arg, clippy::trivially_copy_pass_by_ref));
    quote!(#[allow(clippy::needless_pass_by_value #data)] #function)
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
        #[allow(
            deprecated,
            dead_code,
            clippy::too_many_arguments,
            clippy::needless_pass_by_value,
            clippy::needless_update,
            clippy::used_underscore_binding
        )]
        const _: () = { #(#parts)* };
    }
}

/// What is found out about the types by asking them, so that aliases are seen through.
pub(crate) fn probes(task: &Task) -> TokenStream {
    let (p, ret, yielded) = (task.private(), &task.output, yielded(task));
    let types = task.fields().map(|field| &field.ty);
    quote! {
        #[allow(unused_imports)]
        use #p::Otherwise as _;
        const __KIND: ::core::primitive::u8 = #p::kind(
            #p::Probe::<#ret>::IS_RESULT,
            #p::Probe::<#ret>::CONVERTS,
            #p::Probe::<#ret>::HAS_REF,
        );
        const __OUTPUT: ::core::primitive::bool = #p::Probe::<#yielded>::IS_STORABLE;
        const __ARGS: ::core::primitive::bool = true #(& #p::Probe::<#types>::IS_STORABLE)*;
    }
}

/// The type of what a run yields.
pub(crate) fn yielded(task: &Task) -> TokenStream {
    let (p, ret) = (task.private(), &task.output);
    quote!(<#ret as #p::Returned<__KIND>>::Output)
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
                #p::serde::Serialize::serialize(&#p::Kept::<_, __ARGS>(#written), serializer)
            }
        }
        #[automatically_derived]
        impl<'de> #p::serde::Deserialize<'de> for #name {
            fn deserialize<__D: #p::serde::Deserializer<'de>>(
                deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                let #p::Kept::<_, __ARGS>(#read) = #p::serde::Deserialize::deserialize(deserializer)?;
                ::core::result::Result::Ok(Self { #(#fields),* })
            }
        }
    }
}

/// From stored bytes to stored bytes, through the user's function.
fn run(task: &Task) -> TokenStream {
    let (p, name, ret) = (task.private(), task.name(), &task.output);
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
            Param::Context(ty) => {
                let context = hidden(format!("context_{at}"));
                borrowed.push(quote!(let #context = #p::context_of(&#call)?;));
                given.push(checks::across(ty, &quote!(&*#context)));
            }
            Param::Broken(_) => {}
        }
    }
    // Bytes of another signature are refused even where there is nothing to take from them.
    let taken = task.fields().next().map(|_| quote!(let #args =));
    let arguments = quote!(#taken #call.arguments::<#name>()?;);
    let awaited = task.function.sig.asyncness.map(|_| quote!(.await));
    let steps = quote! {
        #arguments
        #(#borrowed)*
        let output = <#ret as #p::Returned<__KIND>>::outcome(#name(#(#given),*) #awaited)?;
        #p::Kept::<_, __OUTPUT>(output).stored()
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
    let unique = task.args.unique.as_ref().map(|unique| {
        let rule = unique.rule(name, &p);
        quote_spanned!(unique.span.unwrap_or_else(Span::call_site)=> unique: ::core::option::Option::Some(#rule),)
    });
    let limits = task.args.limits.iter().map(|limit| limit.option(name, &p));
    let (schedule, check) = task.args.schedule.tokens(&p);
    let needs = task.params.iter().filter_map(|param| match param {
        Param::Data(ty) => Some(quote!(#p::Need::of::<#ty>())),
        _ => None,
    });
    let decorator = task.args.decorator.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |path| {
            let (ty, borrowed) = (quote!(&'static #p::Decorator), checks::across(path, &quote!(&)));
            let ty = checks::across(path, &ty);
            quote!(::core::option::Option::Some({ let decorator: #ty = #borrowed #path; decorator }))
        },
    );
    let hooks = task.args.hooks.iter().map(|value| hook(value, name, &p));
    let aliases = &task.args.aliases;
    let version = task
        .args
        .version
        .as_ref()
        .map_or_else(|| quote!(0), |value| setting(&Ident::new("version", Span::call_site()), value, &p));
    let upgrade = task.args.upgrade.as_ref().map_or_else(
        || quote!(::core::option::Option::None),
        |path| {
            let upgraded = checks::across(path, &quote!(#p::upgraded::<#name, _>));
            quote!(::core::option::Option::Some(|old| #upgraded(old, #path)))
        },
    );
    let fields: Vec<_> = task.fields().map(|field| &field.name).collect();
    let texts = fields.iter().map(|field| field.unraw().to_string());
    quote! {
        static __DEFINITION: #p::Definition = #p::Definition {
            name: #stored_name,
            aliases: &[#(#aliases),*],
            file: ::core::file!(),
            line: ::core::line!(),
            signature: #signature,
            version: #version,
            upgrade: #upgrade,
            output: #output,
            options: #p::Options { #(#settings,)* #unique #(#limits)* ..#p::Options::NONE },
            needs: &[#(#needs),*],
            schedule: #schedule,
            body: __BODY,
            shown: |__bytes| {
                #[allow(unused_imports)]
                use #p::Hidden as _;
                #p::shown::<#name>(__bytes, |__args| {
                    ::std::vec![#((#texts, #p::Shown(&__args.#fields).text())),*]
                })
            },
        };
        #check
        static __REGISTRATION: #p::Registration =
            #p::Registration::new::<#name>(&__DEFINITION, #decorator, &[#(#hooks),*]);
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
    let text = match value {
        // A refusal names the hook: the head of a closure says as much as its body.
        Expr::Closure(closure) => format!("|{}| ..", tidy(&closure.inputs)),
        value => tidy(value),
    };
    let by_name = checks::across(value, &quote!(#p::named_hook::<#task, _, _>));
    let value = if matches!(value, Expr::Closure(_)) { quote!(#p::closure(#value)) } else { quote!(#value) };
    quote!(&#by_name(#text, const { &#value }))
}

/// The task's output. What cannot be stored is an error of its check, and of nothing else.
pub(crate) fn output(task: &Task) -> TokenStream {
    let (p, yielded) = (task.private(), yielded(task));
    checks::across(&task.output, &quote!(<#yielded as #p::OrUnit<__OUTPUT>>::Type))
}

/// The traits, and what chains need to know.
fn flow(task: &Task) -> TokenStream {
    let (p, name) = (task.private(), task.name());
    let output = output(task);
    let names: Vec<_> = task.fields().map(|field| &field.name).collect();
    let types: Vec<_> = task.fields().map(|field| &field.ty).collect();
    let unit: Type = syn::parse_quote!(());
    let (first, rest_types) = types.split_first().map_or((&unit, &[] as &[_]), |(first, rest)| (*first, rest));
    let (first_name, rest_names) = names.split_first().map_or((None, &[] as &[_]), |(first, rest)| (Some(first), rest));
    let (rest, rest_pattern) = match rest_types {
        [] => (quote!(()), quote!(())),
        _ => (quote!(#p::Kept<(#(#rest_types,)*), __ARGS>), quote!(#p::Kept((#(#rest_names,)*)))),
    };
    let first_pattern = first_name.map_or_else(|| quote!(()), ToTokens::to_token_stream);
    let takes = types.first().map(|first| {
        quote! {
            #[automatically_derived]
            impl<__Prev> #p::TakesFrom<__Prev, #first> for #name {}
        }
    });
    quote! {
        #takes
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
    let p = task.private();
    let fields: Vec<_> = task.fields().collect();
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let rest = match names.get(1..).unwrap_or_default() {
        [] => quote!(()),
        rest => quote!(#p::Kept((#(#rest,)*))),
    };
    let arguments =
        fields.iter().map(|field| Argument { name: &field.name, ty: field.ty.to_token_stream(), any: None });
    inherent(task, &arguments.collect::<Vec<_>>(), &quote!(Self { #(#names),* }), &rest)
}

/// A parameter of the functions on the type.
pub(crate) struct Argument<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) ty: TokenStream,
    /// A type parameter of that name, if any type is accepted.
    pub(crate) any: Option<Ident>,
}

/// The functions on the type, for these parameters.
pub(crate) fn inherent(
    task: &Task,
    arguments: &[Argument<'_>],
    made: &TokenStream,
    rest_made: &TokenStream,
) -> TokenStream {
    let (p, name, vis) = (task.private(), task.name(), &task.function.vis);
    let listed = |arguments: &[Argument<'_>]| {
        let list = arguments.iter().map(|Argument { name, ty, .. }| quote!(#name: #ty));
        let any: Vec<_> = arguments.iter().filter_map(|argument| argument.any.as_ref()).collect();
        let generics = (!any.is_empty()).then(|| quote!(<#(#any),*>));
        (quote!(#(#list),*), generics, quote!(use<#(#any),*>))
    };
    let names = arguments.iter().map(|argument| argument.name);
    let given = quote!(#(#names),*);
    let (all, generics, captured) = listed(arguments);
    let (rest, rest_generics, _) = listed(arguments.get(1..).unwrap_or_default());
    // An argument may be called `huey` too: this one is another name to the compiler.
    let huey = Ident::new("huey", Span::mixed_site());
    let result = quote!(#p::Result<#p::JobHandle<<#name as #p::Task>::Output>>);
    let results = quote!(#p::Result<::std::vec::Vec<#p::JobHandle<<#name as #p::Task>::Output>>>);
    let all_given = Ident::new("all", Span::mixed_site());
    let types = arguments.iter().map(|argument| &argument.ty);
    let names_again: Vec<_> = arguments.iter().map(|argument| argument.name).collect();
    // One argument goes without a tuple around it.
    let (tuple, pattern) = match names_again.as_slice() {
        [only] => (quote!(#(#types)*), quote!(#only)),
        names => (quote!((#(#types,)*)), quote!((#(#names,)*))),
    };
    let jobs = quote! {
        ::core::iter::Iterator::map(
            ::core::iter::IntoIterator::into_iter(#all_given),
            |#pattern| Self::job(#given),
        )
    };
    let plain = name.unraw().to_string();
    let job_text = format!("A job that runs `{plain}` with these arguments, once it is enqueued.");
    let enqueue_text = format!("Stores a job that runs `{plain}` with these arguments.");
    let async_text = format!("Stores a job that runs `{plain}` with these arguments, and blocks no thread meanwhile.");
    let map_text =
        format!("Stores a job that runs `{plain}` for each of these arguments, in order: all of them or none. ");
    let with_text = format!("The next step of a chain: `{plain}` with these arguments behind the output before it.");
    quote! {
        impl #name {
            /// The stored name of the task.
            #vis const NAME: &'static ::core::primitive::str = __DEFINITION.name;
            #[doc = #job_text]
            #vis fn job #generics(#all) -> #p::Job<Self> {
                #p::Job::new(#made)
            }
            #[doc = #enqueue_text]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "If a hook refuses, the arguments cannot be encoded, or the storage fails."]
            #vis fn enqueue #generics(#huey: &#p::Huey, #all) -> #result {
                Self::job(#given).enqueue(#huey)
            }
            #[doc = #async_text]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "If a hook refuses, the arguments cannot be encoded, or the storage fails."]
            #vis fn enqueue_async #generics(
                #huey: &#p::Huey,
                #all
            ) -> impl ::core::future::Future<Output = #result> + ::core::marker::Send + 'static + #captured {
                Self::job(#given).enqueue_async(#huey)
            }
            #[doc = #map_text]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "If a hook refuses one of them, the arguments cannot be encoded, or the storage fails."]
            #vis fn map #generics(
                #huey: &#p::Huey,
                #all_given: impl ::core::iter::IntoIterator<Item = #tuple>,
            ) -> #results {
                #huey.enqueue_many(#jobs)
            }
            #[doc = #map_text]
            #[doc = "Blocks no thread meanwhile."]
            #[doc = ""]
            #[doc = "# Errors"]
            #[doc = ""]
            #[doc = "The future's: if a hook refuses one of them, the arguments cannot be encoded, or the storage fails."]
            #vis fn map_async #generics(
                #huey: &#p::Huey,
                #all_given: impl ::core::iter::IntoIterator<Item = #tuple>,
            ) -> #p::EnqueueManyFuture<Self> {
                #huey.enqueue_many_async(#jobs)
            }
            #[doc = #with_text]
            #vis fn with #rest_generics(#rest) -> #p::Step<Self> {
                #p::Step::new(#rest_made)
            }
        }
    }
}
