use huey::task;

#[task]
fn shared(counter: std::rc::Rc<u8>) {
    let _ = counter;
}

fn main() {}
