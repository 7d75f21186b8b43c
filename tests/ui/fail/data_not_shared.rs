use std::cell::Cell;

use huey::task;

#[task]
fn plain(#[data] counter: &Cell<u8>) {
    counter.set(1);
}

#[task]
async fn waiting(id: u64, #[data] counter: &Cell<u8>) {
    let _ = (id, counter);
}

fn main() {}
