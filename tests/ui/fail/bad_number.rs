use huey::task;

#[task(retries = -1, priority = 40_000, crash_limit = 256)]
fn whole() {}

#[task(retries = "3", priority = 1.5)]
fn of_another_kind() {}

#[task(jitter = 1.5, backoff = 0.5)]
fn real() {}

#[task(jitter = -0.1, backoff = "2")]
fn real_of_another_kind() {}

const MANY: i64 = 3;

#[task(retries = MANY, backoff = MANY, queue = "mail")]
fn expressions() {}

fn many() -> u32 {
    3
}

#[task(retries = many())]
fn not_constant() {}

fn main() {}
