// Without `self` or `Self` the attribute cannot see the block around the function: the compiler speaks.
use huey::task;

struct Shop;

impl Shop {
    #[task]
    fn welcome(name: String) {
        let _ = name;
    }
}

fn main() {
    let _ = Shop;
}
