use huey::{Group, TaskError, group, task};

#[task]
fn fetch(url: String) -> String {
    url
}

#[task]
fn sum(numbers: Vec<i64>) -> i64 {
    numbers.iter().sum()
}

#[task]
fn settled(texts: Vec<Result<String, TaskError>>) -> usize {
    texts.len()
}

#[task]
fn nothing() {}

fn main() {
    let _ = group([fetch::job("a".into())]).then(sum::with());
    let _ = group([fetch::job("a".into())]).then(settled::with());
    let _ = group([fetch::job("a".into())]).then_settled(sum::with());
    let _ = group([fetch::job("a".into())]).then(nothing::with());
    let _ = Group::<i64>::new().with(fetch::job("a".into()));
}
