use huey::task;

#[task]
fn never() -> ! {
    std::process::exit(1)
}

#[task]
fn text() -> &'static str {
    ""
}

#[task]
fn list() -> &'static [u8] {
    &[]
}

#[task]
fn inside() -> Result<Option<&'static str>, &'static str> {
    Ok(Some(""))
}

fn main() {
    drop(never::job());
}
