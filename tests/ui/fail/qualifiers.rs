use huey::task;

#[task]
unsafe fn unchecked() {}

#[task]
extern "C" fn foreign(a: u8) {
    let _ = a;
}

#[task]
pub unsafe extern "C" fn variadic(a: u8, ...) {
    let _ = a;
}

fn main() {}
