use huey::task;

#[task(retires = 3)]
fn misspelt() {}

#[task(retry = "3s", time_out("3s"))]
fn several() {}

#[task(colour = "red")]
fn foreign() {}

fn main() {
    drop(misspelt::job());
}
