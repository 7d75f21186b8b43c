//! What the attribute says to each mistake, word for word.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the texts anew; read them before they are kept.

#[test]
fn every_mistake_is_answered_at_its_token() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/fail/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
