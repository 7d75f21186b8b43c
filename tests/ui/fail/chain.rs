use huey::task;

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
fn shout(text: String, times: usize) -> String {
    text.repeat(times)
}

#[task]
fn nothing() {}

fn main() {
    let _ = add::job(1, 2).then(shout::with(3));
    let _ = add::job(1, 2).then(add::with(1)).then(shout::with(3));
    let _ = add::job(1, 2).then(nothing::with());
}
