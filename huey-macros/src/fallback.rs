//! What a faulty task becomes: enough of one that its mistakes are the only errors the user sees.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote};

use crate::checks;
use crate::expand::{self, Argument};
use crate::model::{Param, Task};

/// The function, and as much of the task beside it as is known.
pub(crate) fn task(task: &Task) -> TokenStream {
    if task.is_sound {
        // Only keys were wrong, and they are left out already.
        return expand::task(task);
    }
    let function = expand::function(task);
    if task.is_method() {
        // No type can stand beside it.
        return function;
    }
    stand_in(task, &function)
}

/// A type by the name of the task with the same functions on it, which accept anything where the parameter is at
/// fault. It is not registered and cannot run.
fn stand_in(task: &Task, function: &TokenStream) -> TokenStream {
    let (p, name) = (task.private(), task.name());
    let ty = expand::type_of_arguments(task);
    let stored = task.params.iter().enumerate().filter_map(|(at, param)| match param {
        Param::Stored(field) => Some(Argument { name: &field.name, ty: field.ty.to_token_stream(), any: None }),
        Param::Broken(Some(name)) => {
            let any = format_ident!("__Any{at}");
            Some(Argument { name, ty: any.to_token_stream(), any: Some(any) })
        }
        Param::Broken(None) | Param::Data(_) | Param::Context(_) => None,
    });
    let never = quote!(::core::unreachable!());
    let inherent = expand::inherent(task, &stored.collect::<Vec<_>>(), &never, &quote!(()));
    let (probes, checks, output) = (expand::probes(task), checks::all(task), expand::output(task));
    let parts = quote! {
        #probes
        #checks
        impl #p::serde::Serialize for #name {
            fn serialize<__S: #p::serde::Serializer>(&self, _: __S) -> ::core::result::Result<__S::Ok, __S::Error> {
                #never
            }
        }
        impl<'de> #p::serde::Deserialize<'de> for #name {
            fn deserialize<__D: #p::serde::Deserializer<'de>>(_: __D) -> ::core::result::Result<Self, __D::Error> {
                #never
            }
        }
        static __DEFINITION: #p::Definition = #p::Definition {
            name: "",
            aliases: &[],
            file: "",
            line: 0,
            signature: 0,
            version: 0,
            upgrade: ::core::option::Option::None,
            output: 0,
            options: #p::Options::NONE,
            needs: &[],
            schedule: ::core::option::Option::None,
            body: #p::Body::Plain(|_| #never),
            shown: |_| #never,
        };
        static __REGISTRATION: #p::Registration =
            #p::Registration::new::<#name>(&__DEFINITION, ::core::option::Option::None, &[]);
        impl #p::Task for #name {
            type Output = #output;
            const DEFINITION: &'static #p::Definition = &__DEFINITION;
        }
        impl #p::Registered for #name {
            const REGISTRATION: &'static #p::Registration = &__REGISTRATION;
        }
        impl #p::Continues for #name {
            type First = ();
            type Rest = ();
            fn join((): (), (): ()) -> Self {
                #never
            }
        }
        impl<__Prev, __Output> #p::TakesFrom<__Prev, __Output> for #name {}
        #inherent
    };
    let rest = expand::unnamed(task, &[parts]);
    quote!(#function #ty #[allow(unreachable_code, unused_variables)] #rest)
}
