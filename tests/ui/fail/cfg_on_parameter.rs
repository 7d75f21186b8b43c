use huey::task;

#[task]
fn sometimes(id: u64, #[cfg(unix)] mode: u32) {
    let _ = (id, mode);
}

fn main() {}
