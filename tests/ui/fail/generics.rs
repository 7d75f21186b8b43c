use huey::task;

#[task]
fn typed<T>(value: T) -> Option<T> {
    Some(value)
}

#[task]
fn counted<const N: usize>(value: [u8; N]) {
    let _ = value;
}

#[task]
fn bounded(value: u8)
where
    u8: Copy,
{
    let _ = value;
}

#[task]
fn lifetime<'a>(#[data] names: &'a Vec<String>, id: u64) {
    let _ = (names, id);
}

fn main() {
    drop(typed::job(3).priority(1));
    drop(bounded::job(3));
    drop(lifetime::job(3));
}
