//! A chain over real text: read a file, count its words, tell the most frequent ones. Each step is a job of its own, gets what
//! the one before it yields, and is stored in the commit that settles that.
//!
//! Run it with `cargo run --example pipeline -- README.md`.

use std::collections::BTreeMap;
use std::time::Duration;

use huey::{Huey, JobState, Memory, task};

#[task(retries = 2, retry_delay = "1s")]
fn read(path: String) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

#[task]
fn count_words(text: String, at_least: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| word.len() >= at_least) {
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    counts
}

#[task]
fn most_frequent(counts: BTreeMap<String, usize>, most: usize) -> Vec<(String, usize)> {
    let mut all: Vec<_> = counts.into_iter().collect();
    all.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), word.clone()));
    all.truncate(most);
    all
}

fn main() -> huey::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "Cargo.toml".into());
    let huey = Huey::builder().open(Memory::new())?;

    let chain = read::job(path).then(count_words::with(4)).then(most_frequent::with(5)).enqueue(&huey)?;
    let missing = read::job("no such file".into()).retries(0).then(count_words::with(4)).enqueue(&huey)?;
    for id in chain.ids() {
        println!("before: {}", huey.status(*id)?);
    }
    huey.consumer().workers(2).run_until_idle()?;

    for (word, count) in chain.wait(Duration::from_secs(5))? {
        println!("{count:5} {word}");
    }
    match missing.get() {
        Err(error) if error.ending() == Some(JobState::Canceled) => println!("{error}"),
        other => println!("it ended otherwise: {other:?}"),
    }
    Ok(())
}
