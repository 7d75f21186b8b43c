use huey::task;

struct Receipt;

#[task]
fn plain() -> Receipt {
    Receipt
}

#[task]
async fn in_a_result(fail: bool) -> Result<Vec<Receipt>, String> {
    if fail { Err("no".into()) } else { Ok(vec![]) }
}

fn main() {
    drop(plain::job());
}
