//! Named queues: one is paused while the other goes on, a job says why it waits, and what is not wanted any more is cleared.
//!
//! ```sh
//! cargo run --example queues
//! ```

use huey::{Huey, JobState, Memory, Reason, task};

#[task(queue = "mail")]
fn welcome(name: String) -> String {
    format!("Dear {name}")
}

#[task(queue = "images")]
fn resize(path: String) -> usize {
    path.len()
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().open(Memory::new())?;
    let mail = huey.queue("mail");

    // The mail server is down: nothing is sent, and nothing is lost.
    mail.pause()?;
    let letter = welcome::enqueue(&huey, "Ada".into())?;
    for name in ["Grace", "Jean", "Kay"] {
        welcome::job(name.into()).header("campaign", "spring").enqueue(&huey)?;
    }
    resize::enqueue(&huey, "cat.png".into())?;

    // One consumer drains several queues, the first one first. `huey.queues()` tells what each holds.
    huey.consumer().workers(2).queues(["mail", "images"]).run_until_idle()?;
    for queue in huey.queues()? {
        println!("{}: {} queued, paused: {}", queue.name, queue.counts.queued, queue.paused);
    }
    let why = huey.explain(letter.id())?;
    println!("{why}");
    assert!(why.reasons.contains(&Reason::Paused));

    // The campaign is off. Jobs are chosen by task, queue, state and header.
    let canceled = huey.jobs().queue("mail").header("campaign", "spring").cancel_all()?;
    println!("{canceled} letters of the campaign are canceled");
    assert_eq!((canceled, letter.status()?), (3, JobState::Queued));

    mail.resume()?;
    huey.consumer().workers(2).queues(["mail", "images"]).run_until_idle()?;
    println!("{}", letter.get()?.unwrap_or_default());

    // A small state of the program's own, decided in the commit.
    let sent = huey.incr("sent", 1)?;
    println!("{sent} sent, {} left to clear", mail.clear()?);
    Ok(())
}
