use huey::task;

#[task]
fn taken(value: impl ToString) {
    let _ = value;
}

#[task]
fn taken_inside(values: Vec<impl ToString>, #[data] shared: &impl Send) {
    let _ = (values, shared);
}

#[task]
fn given() -> impl ToString {
    3
}

fn main() {
    drop(taken::job(3));
}
