//! Map and reduce over real text: each file is counted by a job of its own, and a callback adds up what they found, once all of
//! them have ended.
//!
//! Run it with `cargo run --example chord -- README.md ARCHITECTURE.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use huey::{Huey, Memory, TaskError, group, task};

type Counts = BTreeMap<String, usize>;

#[task]
fn count_words(path: String, at_least: usize) -> std::io::Result<Counts> {
    let mut counts = Counts::new();
    let text = std::fs::read_to_string(path)?;
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= at_least) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    Ok(counts)
}

#[task]
fn add_up(files: Vec<Counts>) -> Counts {
    let mut sum = Counts::new();
    for (word, count) in files.into_iter().flatten() {
        *sum.entry(word).or_default() += count;
    }
    sum
}

#[task]
fn most_frequent(counts: Counts, most: usize) -> Vec<(String, usize)> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), word.clone()));
    all.truncate(most);
    all
}

/// Takes what became of each file, whatever that was.
#[task]
fn report(files: Vec<Result<Counts, TaskError>>) -> String {
    let read = files.iter().filter(|file| file.is_ok()).count();
    let why = files.iter().filter_map(|file| file.as_ref().err()).map(|error| error.message.clone());
    format!("{read} of {} read; {}", files.len(), why.collect::<Vec<_>>().join(", "))
}

fn main() -> huey::Result<()> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths = vec!["README.md".into(), "ARCHITECTURE.md".into(), "CHANGELOG.md".into()];
    }
    let huey = Huey::builder().open(Memory::new())?;

    let words = group(paths.iter().map(|path| count_words::job(path.clone(), 4)))
        .then(add_up::with())
        .then(most_frequent::with(5))
        .enqueue(&huey)?;
    let some = paths.into_iter().chain(["no such file".into()]).map(|path| count_words::job(path, 4));
    let told = group(some).then_settled(report::with()).enqueue(&huey)?;
    println!("{} files, then the callback, which is {}", words.members().len(), words.status()?);
    huey.consumer().workers(4).run_until_idle()?;

    for (word, count) in words.wait(Duration::from_secs(5))? {
        println!("{count:5} {word}");
    }
    println!("{}", told.wait(Duration::from_secs(5))?);
    Ok(())
}
