use huey::task;

#[task]
struct Welcome {
    name: String,
}

#[task]
pub mod tasks {}

struct Shop;

#[task]
impl Shop {}

#[task]
const LIMIT: u8 = 3;

trait Work {
    #[task]
    fn run(id: u64);

    #[task]
    fn run_self(&self, id: u64) {
        let _ = id;
    }
}

impl Shop {
    #[task]
    fn welcome(&self, name: String) {
        let _ = name;
    }

    #[task]
    fn open(name: String) -> Self {
        let _ = name;
        Self
    }
}

fn main() {
    Shop.welcome("Ada".into());
    let Shop = Shop::open("x".into());
    let _ = LIMIT;
}
