//! Fingerprints of what a task stores, taken from the tokens as they are written.
//!
//! The stored form is positional and carries no types, so a job carries these beside its arguments and its result.
//! They must not move when a compiler prints types differently: tokens are joined here, by one space each.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::Type;
use syn::ext::IdentExt;

use crate::model::Field;

/// The fingerprint of the stored parameters: FNV-1a, 64 bits, over `name : type ,` of each.
pub(crate) fn of_arguments<'a>(fields: impl IntoIterator<Item = &'a Field>) -> u64 {
    let mut words = Vec::new();
    for field in fields {
        let (name, ty) = (field.name.unraw(), &field.ty);
        collect(quote!(#name : #ty ,), &mut words);
    }
    fnv64(words.join(" ").as_bytes())
}

/// The fingerprint of the return type: FNV-1a, 32 bits.
pub(crate) fn of_output(output: &Type) -> u32 {
    let mut words = Vec::new();
    collect(output.to_token_stream(), &mut words);
    fnv32(words.join(" ").as_bytes())
}

/// The tokens as words. A group without delimiters, which is what a `macro_rules!` parameter becomes, adds none.
fn collect(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        let TokenTree::Group(group) = token else {
            words.push(token.to_string());
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        words.extend((!open.is_empty()).then(|| open.to_owned()));
        collect(group.stream(), words);
        words.extend((!close.is_empty()).then(|| close.to_owned()));
    }
}

fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Group;
    use syn::parse_quote;

    fn field(name: &str, ty: Type) -> Field {
        Field { name: syn::parse_str(name).expect("it is a name"), ty }
    }

    /// These numbers are stored beside jobs: a change of them makes every stored job unreadable.
    #[test]
    fn the_fingerprints_stay_what_they_are() {
        let fields = [field("user", parse_quote!(u64)), field("name", parse_quote!(Option<String>))];
        assert_eq!(of_arguments(&fields), fnv64(b"user : u64 , name : Option < String > ,"));
        assert_eq!(of_arguments(&fields), 0xaab4_2303_9b2a_c316);
        assert_eq!(of_arguments(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(of_output(&parse_quote!(Result<Vec<(u8, [u8; 4])>, Error>)), 0x55ba_89a0);
        assert_eq!(of_output(&parse_quote!(())), 0x060c_85f4);
    }

    #[test]
    fn published_values_of_fnv_are_met() {
        assert_eq!(fnv64(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(fnv32(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn spacing_and_invisible_groups_do_not_matter_but_names_order_and_types_do() {
        let plain = of_arguments(&[field("a", parse_quote!(std::vec::Vec<u8>))]);
        let inner: TokenStream = "std :: vec::Vec< u8 >".parse().expect("these are tokens");
        let grouped = TokenTree::Group(Group::new(Delimiter::None, inner));
        assert_eq!(of_arguments(&[field("a", parse_quote!(#grouped))]), plain);
        assert_eq!(of_arguments(&[field("r#a", parse_quote!(std::vec::Vec<u8>))]), plain);
        assert_ne!(of_arguments(&[field("b", parse_quote!(std::vec::Vec<u8>))]), plain);
        assert_ne!(of_arguments(&[field("a", parse_quote!(std::vec::Vec<u16>))]), plain);
        let (a, b) = (field("a", parse_quote!(u8)), field("b", parse_quote!(u8)));
        assert_ne!(of_arguments([&a, &b]), of_arguments([&b, &a]));
    }
}
