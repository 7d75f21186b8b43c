use huey::task;

#[task(retries)]
fn no_value() {}

#[task(retries = )]
fn nothing_behind() {}

#[task(retries(3), hooks = audit, hooks())]
fn wrong_form() {}

#[task(retries = 3 priority = 4, queue = "mail")]
fn no_comma() {}

#[task("mail", 3)]
fn no_key() {}

#[task(name = "", queue = 3, crate = huey, name = shop)]
fn no_text() {}

#[task(crate = "not a path")]
fn no_path() {}

fn main() {
    drop(no_value::job());
}
