//! Mistakes in `lock`, `max_running` and `rate`.
use huey::task;

#[task(lock)]
fn lock_of_nothing() {}

#[task(lock())]
fn lock_of_an_empty_list() {}

#[task(lock = ledger)]
fn lock_without_quotes() {}

#[task(lock = "")]
fn lock_without_a_name() {}

#[task(lock("ledger", by(acount)))]
fn lock_by_no_argument(account: u64) {}

#[task(lock(account))]
fn lock_by_a_bare_argument(account: u64) {}

#[task(lock("ledger", by(account), by(account)))]
fn lock_by_twice(account: u64) {}

#[task(lock("ledger", "10s"))]
fn lock_with_a_span() {}

#[task(lock(by()))]
fn lock_by_nothing() {}

#[task(max_running)]
fn bound_of_nothing() {}

#[task(max_running = 0)]
fn bound_of_zero() {}

#[task(max_running = "4")]
fn bound_in_quotes() {}

#[task(max_running = -1)]
fn bound_below_zero() {}

#[task(max_running(by(user)))]
fn bound_without_a_number(user: u64) {}

#[task(max_running("render", 4))]
fn bound_with_a_name() {}

#[task(rate)]
fn rate_of_nothing() {}

#[task(rate = 100)]
fn rate_assigned() {}

#[task(rate(100))]
fn rate_without_a_span() {}

#[task(rate("mailgun"))]
fn rate_of_a_name() {}

#[task(rate(0, "1s"))]
fn rate_of_zero() {}

#[task(rate(100, "0s"))]
fn rate_in_no_time() {}

#[task(rate(100, 1))]
fn rate_with_a_bare_number() {}

#[task(rate("100/s"))]
fn rate_as_text() {}

#[task(rate(100, "1s", by(weight)))]
fn rate_by_a_float(weight: f64) {}

#[task(rate(100, "1s", user))]
fn rate_by_a_bare_argument(user: u64) {}

fn main() {}
