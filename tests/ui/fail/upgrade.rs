use huey::{Result, StoredArgs, task};

#[task(version = 0)]
fn zeroth(a: u8) {
    let _ = a;
}

#[task(upgrade = "older")]
fn by_text(a: u8) {
    let _ = a;
}

#[task(alias())]
fn nameless(a: u8) {
    let _ = a;
}

#[task(alias = "")]
fn empty(a: u8) {
    let _ = a;
}

#[task(version)]
fn valueless(a: u8) {
    let _ = a;
}

fn other_task(_: &StoredArgs<'_>) -> Result<zeroth> {
    Ok(zeroth { a: 1 })
}

#[task(version = 2, upgrade = other_task)]
fn takes(b: u16) {
    let _ = b;
}

fn main() {}
