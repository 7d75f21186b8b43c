//! The program of the README: a plain and an async task, enqueued and drained.

#![expect(clippy::unnecessary_wraps, clippy::unused_async, reason = "hooks and tasks show their whole form")]

use std::time::Duration;

use huey::{Decision, EnqueueRequest, HookResult, Huey, Sled, task};

/// Sees every enqueue of the tasks that name it.
fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.header("actor", "quickstart");
    request.after_commit(|outcome| println!("{outcome:?}"));
    Ok(Decision::Go)
}

#[task(retries = 3, retry_delay = "10s", hooks(audit))]
fn word_count(text: String) -> usize {
    text.split_whitespace().count()
}

#[task]
async fn greet(name: String) -> Result<String, std::io::Error> {
    Ok(format!("hello {name}"))
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().open(Sled::at("quickstart.queue"))?;
    let count = word_count::enqueue(&huey, "to be or not to be".into())?;
    let hello = greet::job("Ada".into()).priority(10).enqueue(&huey)?;
    huey.consumer().workers(2).run_until_idle()?;
    println!("{} words; {}", count.wait(Duration::from_secs(5))?, hello.wait(Duration::from_secs(5))?);
    Ok(())
}
