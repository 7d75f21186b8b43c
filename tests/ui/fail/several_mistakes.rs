use huey::task;

#[task(retires = 3, timeout = "5 sec", delivery = "at_most_once", jitter = 2.0)]
async fn welcome<T>(name: &str, (a, b): (u8, u8), #[data] shared: T) -> ! {
    let _ = shared;
    unreachable!("{name} {a} {b}")
}

#[task(queue = mail)]
fn digest(ids: &[u64], #[ctx] ctx: u8) -> impl Send {
    let _ = (ids, ctx);
}

fn main() {
    drop(digest::job(vec![3]).priority(1));
}
