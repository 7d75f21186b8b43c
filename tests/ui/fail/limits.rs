//! Mistakes in `lock`, `max_running` and `rate`.
use huey::task;

#[task(lock)]
fn bare() {}

#[task(lock = 7, max_running = 0)]
fn values() {}

#[task(lock("ledger", by(acount)))]
fn misspelt(account: u64) {}

#[task(lock(by()), max_running("four"))]
fn nothing() {}

#[task(rate(100))]
fn no_span() {}

#[task(rate("mail", 100, "1 fortnight"))]
fn span() {}

#[task(rate = "100/s")]
fn text() {}

#[task(rate(100, "1s", 7), max_running(4, by(price)))]
fn too_much(price: f64) {}

fn main() {}
