//! Parameters and results.
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use huey::__private::{Data, Definition, Failure};
use huey::{Context, task};

use super::{data, definition, run};

type Fallible<T> = Result<T, std::io::Error>;

#[task]
fn nothing() {}

#[task]
async fn nothing_async() {}

#[task]
#[allow(clippy::unused_unit, reason = "the form is the matter")]
fn unit(_a: u8) -> () {}

#[task]
const fn constant(a: u8) -> u8 {
    a
}

#[task]
fn mutable(mut list: Vec<u8>) -> Vec<u8> {
    list.push(1);
    list
}

#[task]
fn r#move(r#type: String) -> String {
    r#type
}

#[task]
fn same_name(same_name: u8) -> u8 {
    same_name
}

#[task]
fn called_huey(huey: String, call: u8, args: u8) -> String {
    format!("{huey}{call}{args}")
}

#[task]
fn call(args: u8) -> u8 {
    args
}

#[task]
fn alias(fail: bool) -> Fallible<u8> {
    if fail { Err(std::io::Error::other("disk")) } else { Ok(1) }
}

#[task]
fn io_alias() -> std::io::Result<u8> {
    Ok(2)
}

#[task]
async fn anyhow_alias(fail: bool) -> anyhow::Result<u8> {
    if fail {
        return Err(anyhow::Error::new(huey::Retry::after(Duration::from_secs(9))).context("later"));
    }
    Ok(3)
}

#[task]
fn owned_in_a_lifetime(text: std::borrow::Cow<'static, str>) -> Option<std::borrow::Cow<'static, str>> {
    Some(text)
}

#[task]
fn text_error() -> Result<(), &'static str> {
    Err("plain text")
}

#[allow(clippy::many_single_char_names, reason = "the form is the matter")]
#[task]
fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8) -> u32 {
    [a, b, c, d, e, f, g].iter().map(|n| u32::from(*n)).sum()
}

#[allow(clippy::too_many_arguments, clippy::many_single_char_names, reason = "the form is the matter")]
#[task]
fn sixteen(
    a: u8,
    b: u8,
    c: u8,
    d: u8,
    e: u8,
    f: u8,
    g: u8,
    h: u8,
    i: u8,
    j: u8,
    k: u8,
    l: u8,
    m: u8,
    n: u8,
    o: u8,
    p: u8,
) -> u8 {
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p].into_iter().max().unwrap_or(0)
}

pub(super) trait Greeter: Send + Sync {
    fn greet(&self, name: &str) -> String;
}
struct English;
impl Greeter for English {
    fn greet(&self, name: &str) -> String {
        format!("Hello {name}")
    }
}

#[task]
fn by_small_and_text(#[data] limit: &u8, #[data] name: &String) -> bool {
    name.len() < usize::from(*limit)
}

#[task]
fn counted(#[data] count: &AtomicUsize, by: usize) -> usize {
    count.fetch_add(by, Ordering::Relaxed)
}

#[task]
async fn greet(name: String, #[data] greeter: &dyn Greeter) -> String {
    std::future::ready(()).await;
    greeter.greet(&name)
}

#[task]
async fn with_context(#[ctx] ctx: &Context, #[data] count: &AtomicUsize, by: usize) -> usize {
    std::future::ready(()).await;
    count.fetch_add(by, Ordering::Relaxed) + usize::try_from(ctx.attempt()).unwrap_or(0)
}

#[task]
fn plain_context(#[ctx] ctx: &huey::Context) -> u32 {
    ctx.attempt()
}

#[test]
fn what_is_stored_reaches_the_function_and_its_value_comes_back() {
    let none = Data::default;
    run(nothing::job().args(), none()).unwrap();
    run(nothing_async::job().args(), none()).unwrap();
    run(unit::job(1).args(), none()).unwrap();
    assert_eq!(run(constant::job(1).args(), none()).unwrap(), 1);
    assert_eq!(run(mutable::job(vec![7]).args(), none()).unwrap(), [7, 1]);
    assert_eq!(run(r#move::job("x".into()).args(), none()).unwrap(), "x");
    assert_eq!(run(same_name::job(5).args(), none()).unwrap(), 5);
    assert_eq!(run(called_huey::job("x".into(), 1, 2).args(), none()).unwrap(), "x12");
    let text = run(owned_in_a_lifetime::job("x".into()).args(), none()).unwrap();
    assert_eq!(text.as_deref(), Some("x"));
    assert_eq!(run(call::job(5).args(), none()).unwrap(), 5);
    assert_eq!(run(many::job(1, 2, 3, 4, 5, 6, 7).args(), none()).unwrap(), 28);
    let most = sixteen::job(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    assert_eq!(run(most.args(), none()).unwrap(), 16);
}

#[test]
fn a_result_by_any_name_yields_its_value_or_its_error() {
    let none = Data::default;
    assert_eq!(run(alias::job(false).args(), none()).unwrap(), 1);
    assert_eq!(run(io_alias::job().args(), none()).unwrap(), 2);
    assert_eq!(run(anyhow_alias::job(false).args(), none()).unwrap(), 3);
    let failed = |ended: Failure| matches!(ended, Failure::Failed { .. });
    assert!(failed(run(alias::job(true).args(), none()).unwrap_err()));
    assert!(failed(run(text_error::job().args(), none()).unwrap_err()));
    let retried = run(anyhow_alias::job(true).args(), none()).unwrap_err();
    assert!(matches!(retried, Failure::Retry { after } if after.as_secs() == 9));
}

#[test]
fn data_is_borrowed_by_its_type() {
    assert_eq!(run(counted::job(2).args(), data(AtomicUsize::new(3))).unwrap(), 3);
    let mut greeter = Data::default();
    greeter.put::<dyn Greeter>(Arc::new(English));
    assert_eq!(run(greet::job("Ada".into()).args(), greeter).unwrap(), "Hello Ada");
    assert!(matches!(run(counted::job(2).args(), Data::default()), Err(Failure::MissingData(_))));
    let needs = |definition: &Definition| definition.needs.len();
    assert_eq!(needs(definition(&by_small_and_text::job())), 2);
    assert_eq!(needs(definition(&greet::job(String::new()))), 1);
    assert_eq!(needs(definition(&with_context::job(1))), 1);
    assert_eq!(needs(definition(&plain_context::job())), 0);
}

#[test]
fn raw_names_are_stored_without_their_prefix() {
    assert_eq!(definition(&r#move::job(String::new())).name, "macro_forms::forms::move");
}
