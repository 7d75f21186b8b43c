use huey::task;

#[task]
fn wrong(#[ctx] ctx: &String) {
    let _ = ctx;
}

fn main() {}
