//! SIGTERM under load, in a process of its own: what runs is given back, and nothing is lost.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod child;

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use child::{Folder, Lines, child, role};
use huey::{BoxError, Context, Huey, JobState, Sled, task};

const PLAIN: usize = 8;
const ASYNC: usize = 200;
const GRACE: Duration = Duration::from_millis(500);

/// How many bodies have begun.
#[derive(Default)]
struct Begun(AtomicUsize);

impl Begun {
    fn one(&self, of: usize) {
        if self.0.fetch_add(1, Ordering::SeqCst) + 1 == of {
            println!("\nall run");
        }
    }
}

#[task(queue = "load")]
fn looks(#[data] begun: &Begun, #[ctx] ctx: &Context, of: usize) -> Result<(), BoxError> {
    begun.one(of);
    loop {
        ctx.checkpoint()?;
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[task(queue = "load")]
async fn hangs(#[data] begun: &Begun, of: usize) {
    begun.one(of);
    std::future::pending::<()>().await;
}

#[task(queue = "load")]
fn deaf(#[data] begun: &Begun, of: usize) {
    begun.one(of);
    loop {
        std::thread::park();
    }
}

/// The child: enqueues, runs until it is told to stop, and ends as its consumer did.
fn drain(deaf_ones: usize) {
    let Some(folder) = role(if deaf_ones == 0 { "drain" } else { "drain deaf" }) else { return };
    let huey = Huey::builder().data(Begun::default()).open(Sled::at(folder)).unwrap();
    let of = PLAIN + ASYNC + deaf_ones;
    huey.enqueue_many((0..PLAIN).map(|_| looks::job(of))).unwrap();
    huey.enqueue_many((0..ASYNC).map(|_| hangs::job(of))).unwrap();
    for _ in 0..deaf_ones {
        println!("\ndeaf {}", deaf::enqueue(&huey, of).unwrap().id());
    }
    let stopped = huey.consumer().workers(PLAIN + deaf_ones).queues(["load"]).grace(GRACE).run();
    let code = match stopped {
        Ok(()) => 0,
        Err(error) => {
            println!("\nerror {error}");
            3
        }
    };
    huey.close().unwrap();
    std::process::exit(code);
}

/// Starts the child, stops it under load, and gives its exit status, its error, and the queue it left.
fn stop(test: &str, role: &str) -> (Option<i32>, String, String, Huey, Folder) {
    let folder = Folder::new();
    let queue = folder.join("queue");
    let mut child = child(&[], test, role, &queue).spawn().unwrap();
    let mut lines = Lines::of(&mut child);
    let deaf = if role.ends_with("deaf") { lines.next("deaf ").unwrap() } else { String::new() };
    lines.next("all run").unwrap();
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let status = child.wait().unwrap();
    println!("{role}: ended {:?} after SIGTERM, with a grace of {GRACE:?}", begun.elapsed());
    let error = lines.next("error ").unwrap_or_default();
    let huey = Huey::builder().data(Begun::default()).open(Sled::at(queue)).unwrap();
    (status.code(), error, deaf, huey, folder)
}

fn check_all_are_back(huey: &Huey, many: usize) {
    let jobs: Vec<_> = huey.jobs().map(|job| job.unwrap()).collect();
    assert_eq!(jobs.len(), many);
    for job in jobs {
        assert_eq!((job.state, job.attempts), (JobState::Queued, 0), "{job:?}");
    }
}

#[test]
fn sigterm_under_load_gives_everything_back_with_its_attempt_refunded() {
    drain(0);
    let test = "sigterm_under_load_gives_everything_back_with_its_attempt_refunded";
    let (code, error, _, huey, _folder) = stop(test, "drain");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    check_all_are_back(&huey, PLAIN + ASYNC);
}

#[test]
fn a_body_that_never_looks_is_named_after_sigterm_and_changes_the_exit_status() {
    drain(1);
    let test = "a_body_that_never_looks_is_named_after_sigterm_and_changes_the_exit_status";
    let (code, error, deaf, huey, _folder) = stop(test, "drain deaf");
    assert_eq!(code, Some(3));
    assert!(error.contains(&deaf), "{error}");
    check_all_are_back(&huey, PLAIN + ASYNC + 1);
}
