use huey::task;

#[task]
fn tuple((a, b): (u8, u8), c: u8) -> u8 {
    a + b + c
}

#[task]
fn nameless(_: u8) {}

#[task]
fn by_reference(ref a: String) -> usize {
    a.len()
}

fn main() {
    drop(tuple::job((1, 2), 3));
}
