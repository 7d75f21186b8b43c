use huey::task;

#[task(retries = 3, queue = "mail", retries = 4)]
fn twice() {}

fn main() {}
