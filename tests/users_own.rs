//! A user's own test file, as the documentation of `TestQueue` has it.

use huey::testing::TestQueue;
use huey::{Decision, EnqueueRequest, HookResult, JobState, assert_enqueued, refute_enqueued, task};
use std::{sync::atomic::AtomicU32, sync::atomic::Ordering::SeqCst, time::Duration};

#[derive(Default)]
struct Mailer(AtomicU32);

fn adults_only(args: &mut welcome, _: &mut EnqueueRequest<'_>) -> HookResult {
    if args.age < 18 { Err("too young".into()) } else { Ok(Decision::Go) }
}

#[task(retries = 2, retry_delay = "10s", hooks(adults_only))]
fn welcome(#[data] mailer: &Mailer, name: String, age: u8) -> Result<String, String> {
    let tries = mailer.0.fetch_add(1, SeqCst) + 1;
    if tries < 3 { Err("the mail server is busy".into()) } else { Ok(format!("Dear {name}, {age}")) }
}

#[test]
fn a_welcome_is_sent_an_hour_later_and_tried_three_times() {
    let queue = TestQueue::with(|huey| huey.data(Mailer::default()));
    let handle = welcome::job("Ada".into(), 36).delay(Duration::from_hours(1)).enqueue(&queue).unwrap();
    assert_enqueued!(queue, welcome, |args| args.name == "Ada");
    assert_eq!(queue.drain(), 0);
    queue.advance(Duration::from_hours(1));
    assert_eq!((queue.drain(), handle.status().unwrap()), (1, JobState::Scheduled));
    assert_eq!(queue.run_for(Duration::from_secs(20)), 2);
    assert_eq!(handle.get().unwrap().unwrap(), "Dear Ada, 36");
}

#[test]
fn children_get_no_welcome() {
    let queue = TestQueue::with(|huey| huey.data(Mailer::default()));
    assert!(welcome::enqueue(&queue, "Tim".into(), 7).unwrap_err().is_refused());
    refute_enqueued!(queue, welcome);
}
