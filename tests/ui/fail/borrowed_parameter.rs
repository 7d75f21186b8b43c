use std::borrow::Cow;
use std::path::Path;

use huey::task;

#[task]
fn text(name: &str, #[data] names: &Vec<String>) {
    let _ = (name, names);
}

#[task]
fn list(ids: &[u64]) {
    let _ = ids;
}

#[task]
fn place(path: &Path, other: &std::path::Path) {
    let _ = (path, other);
}

#[task]
fn value(map: &mut std::collections::BTreeMap<String, Vec<u8>>) {
    let _ = map;
}

#[task]
fn inside(name: Option<&str>, title: Cow<'_, str>) {
    let _ = (name, title);
}

fn main() {
    drop(text::job("Ada"));
    drop(list::with());
}
