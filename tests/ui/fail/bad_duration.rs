use huey::task;

#[task(timeout = "10 sec", retry_delay = "s", max_delay = "10", expires = "1.5h")]
fn units() {}

#[task(timeout = "0s", expires = "0ms", max_delay = "0d", retry_delay = "0s", retention = "0s")]
fn of_no_length() {}

#[task(timeout = 10, expires = "99999999999999d", retention = "-1s")]
fn numbers() {}

#[task(timeout = 5 + 5)]
fn of_another_type() {}

fn main() {
    drop(units::job());
}
