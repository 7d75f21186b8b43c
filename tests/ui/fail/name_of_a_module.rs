mod welcome {
    use huey::task;

    #[task]
    pub fn welcome(name: String) {
        let _ = name;
    }
}

pub use welcome::welcome;

fn main() {}
