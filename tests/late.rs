//! Plain bodies that do not look at their deadline.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use huey::{BoxError, Context, Durability, JobState, Reason, SignalKind, task};
use support::{LONG, Stage, queue};

/// Never looks at its deadline.
#[task(timeout = "20ms")]
fn deaf(#[data] stage: &Stage) -> u32 {
    stage.note("deaf");
    stage.pass();
    stage.note("returned");
    7
}

#[task(timeout = "20ms", retries = 1, unique)]
fn deaf_once(#[data] stage: &Stage) -> u32 {
    stage.note("deaf");
    if stage.notes().len() == 1 {
        stage.pass();
        stage.note("returned");
    }
    7
}

#[task]
fn gated(#[data] stage: &Stage) {
    stage.note("gated");
    stage.pass();
}

#[task]
fn count(#[data] stage: &Stage) {
    stage.note("plain");
}

#[task]
async fn count_async() {
    tokio::task::yield_now().await;
}

#[task(timeout = "50ms")]
fn swift(#[data] stage: &Stage, deaf: bool) {
    if deaf {
        stage.note("deaf");
        stage.pass();
    }
}

#[test]
fn a_plain_body_that_ignores_its_deadline_is_settled_at_it_and_others_go_on() {
    for durability in [Durability::Synced, Durability::Relaxed] {
        let (huey, heard, stage) = queue();
        let late = deaf::job().durability(durability).enqueue(&huey).unwrap();
        let consumer = huey.consumer().workers(2).start().unwrap();
        let begun = std::time::Instant::now();
        let error = late.wait(LONG).unwrap_err();
        println!("reported {:?} after its start", begun.elapsed());
        assert_eq!(error.ending(), Some(JobState::Dead));
        assert_eq!(heard.of(late.id()), "enqueued executing timeout dead");
        // Two at once: the late one's place is taken by another thread.
        let others: Vec<_> = (0..2).map(|_| gated::enqueue(&huey).unwrap()).collect();
        assert_eq!(stage.wait_notes(3), ["deaf", "gated", "gated"]);
        stage.open();
        for other in others {
            other.wait(LONG).unwrap();
        }
        stage.wait_notes(4);
        consumer.shutdown().wait().unwrap();
        assert_eq!(late.status().unwrap(), JobState::Dead, "what it came to is refused");
        assert_eq!(heard.of(late.id()), "enqueued executing timeout dead");
    }
}

#[test]
fn what_a_late_body_holds_stays_held_until_it_returns() {
    let (huey, heard, stage) = queue();
    let late = deaf_once::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    heard.wait(SignalKind::Retrying, 1);
    assert_eq!(late.status().unwrap(), JobState::Queued);
    assert_eq!(deaf_once::enqueue(&huey).unwrap().id(), late.id(), "it holds its unique key");
    count::enqueue(&huey).unwrap().wait(LONG).unwrap();
    assert_eq!(stage.notes(), ["deaf", "plain"], "its retry is not begun beside it");
    stage.open();
    assert_eq!(late.wait(LONG).unwrap(), 7);
    assert_eq!(stage.notes(), ["deaf", "plain", "returned", "deaf"]);
    assert_eq!(heard.of(late.id()), "enqueued executing timeout retrying deduplicated executing complete");
    assert_ne!(deaf_once::enqueue(&huey).unwrap().id(), late.id());
    consumer.shutdown().wait().unwrap();
}

#[test]
fn as_many_late_bodies_as_workers_stop_the_claiming_until_one_returns() {
    let (huey, heard, stage) = queue();
    let late: Vec<_> = (0..2).map(|_| deaf::enqueue(&huey).unwrap()).collect();
    let consumer = huey.consumer().workers(2).start().unwrap();
    for late in late {
        assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
    }
    let next = count::enqueue(&huey).unwrap();
    // Async jobs go on.
    for _ in 0..20 {
        count_async::enqueue(&huey).unwrap().wait(LONG).unwrap();
    }
    assert_eq!(next.status().unwrap(), JobState::Queued);
    assert_eq!(heard.of(next.id()), "enqueued");
    stage.open();
    next.wait(LONG).unwrap();
    let notes = stage.notes();
    let at = |text: &str| notes.iter().position(|note| note == text).unwrap();
    assert!(at("returned") < at("plain"), "{notes:?}");
    consumer.shutdown().wait().unwrap();
}

#[test]
fn jobs_that_were_claimed_together_with_a_late_one_are_run_by_others() {
    let (huey, _, stage) = queue();
    let relaxed = |deaf| swift::job(deaf).durability(Durability::Relaxed);
    // Until both workers know it to be quick.
    huey.enqueue_many((0..4_000).map(|_| relaxed(false))).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    consumer.wait_idle().unwrap();
    let all = huey.enqueue_many((0..40).map(|number| relaxed(number == 0))).unwrap();
    for (number, one) in all.into_iter().enumerate() {
        assert_eq!(one.wait(LONG).is_ok(), number > 0);
    }
    assert_eq!(stage.notes(), ["deaf"]);
    stage.open();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_body_that_never_looks_at_a_stop_is_not_run_beside_itself() {
    let (huey, _, stage) = queue();
    let stuck = gated::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    let error = consumer.shutdown().wait().unwrap_err();
    assert!(error.to_string().contains(&stuck.id().to_string()), "{error}");
    let again = huey.consumer().workers(1).start().unwrap();
    count::enqueue(&huey).unwrap().wait(LONG).unwrap();
    assert_eq!((stuck.status().unwrap(), stage.notes()), (JobState::Queued, vec!["gated".into(), "plain".into()]));
    stage.open();
    stuck.wait(LONG).unwrap();
    again.shutdown().wait().unwrap();
}

#[test]
fn a_late_body_that_still_runs_at_a_stop_is_named() {
    let (huey, _, stage) = queue();
    let late = deaf::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(2).grace(Duration::ZERO).start().unwrap();
    assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
    let error = consumer.shutdown().wait().unwrap_err();
    assert!(error.to_string().contains(&late.id().to_string()), "{error}");
    stage.open();
    stage.wait_notes(2);
    assert_eq!(late.status().unwrap(), JobState::Dead);
}

#[task(timeout = "20ms", lock = "ledger", max_running = 1)]
fn deaf_holder(#[data] stage: &Stage) {
    stage.note("holds");
    stage.pass();
    stage.note("returned");
}

/// Takes the lock in its body.
#[task(timeout = "20ms")]
fn deaf_taker(#[ctx] ctx: &Context, #[data] stage: &Stage) -> Result<(), BoxError> {
    let _guard = ctx.lock("ledger")?;
    stage.note("holds");
    stage.pass();
    stage.note("returned");
    Ok(())
}

#[task(timeout = "20ms", max_running = 1)]
fn deaf_alone(#[data] stage: &Stage) {
    stage.note("holds");
    stage.pass();
    stage.note("returned");
}

#[task(lock = "ledger")]
fn book(#[data] stage: &Stage) {
    stage.note("booked");
}

#[test]
fn a_late_body_keeps_its_lock_until_it_returns() {
    for declared in [true, false] {
        let (huey, heard, stage) = queue();
        let late = if declared { deaf_holder::enqueue(&huey) } else { deaf_taker::enqueue(&huey) }.unwrap();
        let consumer = huey.consumer().workers(3).start().unwrap();
        assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
        let waits = book::enqueue(&huey).unwrap();
        heard.wait(SignalKind::Locked, 1);
        count::enqueue(&huey).unwrap().wait(LONG).unwrap();
        assert_eq!((waits.status().unwrap(), stage.notes().join(" ")), (JobState::Queued, "holds plain".into()));
        let reasons = huey.explain(waits.id()).unwrap().reasons;
        let holder = late.id();
        assert!(reasons.contains(&Reason::Locked { lock: Some("ledger".into()), holder }), "{reasons:?}");
        stage.open();
        waits.wait(LONG).unwrap();
        consumer.shutdown().wait().unwrap();
        assert_eq!(stage.notes().join(" "), "holds plain returned booked");
    }
}

#[test]
fn a_late_body_keeps_its_place_under_max_running_until_it_returns() {
    let (huey, _, stage) = queue();
    let late = deaf_alone::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(3).start().unwrap();
    assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Dead));
    let next = deaf_alone::enqueue(&huey).unwrap();
    // It stands in front of this one, and is passed over.
    count::enqueue(&huey).unwrap().wait(LONG).unwrap();
    assert_eq!((next.status().unwrap(), stage.notes().join(" ")), (JobState::Queued, "holds plain".into()));
    let reasons = huey.explain(next.id()).unwrap().reasons;
    assert!(reasons.contains(&Reason::Bound { most: 1 }), "{reasons:?}");
    stage.open();
    next.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(stage.notes().join(" "), "holds plain returned holds returned");
}
