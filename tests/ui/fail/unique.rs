//! Mistakes in `unique`.
use std::collections::HashMap;

use huey::task;

#[task(unique(by(usr)))]
fn misspelt(user: u64) {}

#[task(unique(by(user)))]
fn no_arguments() {}

#[task(unique(by(user), key = key_of, scope = forever, on_conflict = rejected))]
fn choices(user: u64) {}

#[task(unique(scope = window, on_conflict = "reject"))]
fn values() {}

#[task(unique(scope = window("1 fortnight"), scope = pending))]
fn lengths() {}

#[task(unique = true, retries = 3)]
fn assigned() {}

#[task(unique(user))]
fn bare_argument(user: u64) {}

#[task(unique(by(price)))]
fn float(price: f64) {}

#[task(unique(by(parts)))]
fn map(parts: HashMap<String, u64>) {}

#[task(unique(key = weight))]
fn by_function(name: String) {}

fn weight(args: &by_function) -> f32 {
    args.name.len() as f32
}

fn main() {}
