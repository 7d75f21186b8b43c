use huey::task;

#[allow(non_camel_case_types)]
struct receipt {}

#[task]
fn receipt(id: u64) {
    let _ = id;
}

fn main() {}
