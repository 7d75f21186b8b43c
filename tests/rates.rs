//! Rates: how many jobs begin in any span, and when the others do.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use huey::{Decorator, Huey, HueyBuilder, JobHandle, JobState, Memory, SignalKind, Timestamp, VirtualClock, task};
use support::{Heard, run};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

#[task(rate(2, "10s"))]
fn limited(number: u32) -> u32 {
    number
}

#[task(rate(1, "10s", by(user)))]
fn limited_of(user: u32) -> u32 {
    user
}

static MAIL: Decorator = Decorator::new().rate("mail", 3, Duration::from_secs(10));

#[task(MAIL)]
fn welcome() {}

#[task(rate("mail", 3, "10s"), retries = 5)]
fn remind(fails: bool) -> Result<(), String> {
    if fails { Err("no route".into()) } else { Ok(()) }
}

fn queue() -> (Huey, Heard, Arc<VirtualClock>) {
    let (heard, clock) = (Heard::default(), VirtualClock::starting_at(START));
    let builder: HueyBuilder = heard.listen(Huey::builder().clock(clock.clock()));
    (builder.open(Memory::new()).unwrap(), heard, clock)
}

fn complete<T>(handles: &[JobHandle<T>]) -> usize {
    handles.iter().filter(|handle| handle.status().unwrap() == JobState::Complete).count()
}

#[test]
fn a_job_over_its_rate_waits_for_its_time_is_told_once_and_spends_no_attempt() {
    let (huey, heard, clock) = queue();
    let handles = limited::map(&huey, 0..3).unwrap();
    run(&huey);
    assert_eq!(complete(&handles), 2);
    let third = &handles[2];
    assert_eq!(third.status().unwrap(), JobState::Scheduled);
    assert_eq!((huey.counts().unwrap().scheduled, huey.counts().unwrap().queued), (1, 0));
    assert_eq!(heard.find(SignalKind::Scheduled).unwrap().run_at, Some(START + Duration::from_secs(10)));
    clock.advance(Duration::from_millis(9_999));
    run(&huey);
    assert_eq!(third.status().unwrap(), JobState::Scheduled);
    clock.advance(Duration::from_millis(1));
    run(&huey);
    assert_eq!(third.wait(support::LONG).unwrap(), 2);
    assert_eq!(heard.of(third.id()), "enqueued rate-limited scheduled executing complete");
    assert_eq!(heard.all().last().unwrap().attempt, 1);
}

#[test]
fn each_value_of_a_rates_arguments_counts_by_itself() {
    let (huey, _, clock) = queue();
    let handles = limited_of::map(&huey, [1, 1, 2, 2, 3]).unwrap();
    run(&huey);
    assert_eq!(complete(&handles), 3);
    clock.advance(Duration::from_secs(10));
    run(&huey);
    assert_eq!(complete(&handles), 5);
}

#[test]
fn tasks_that_name_one_rate_share_it_and_a_retry_counts_again() {
    let (huey, heard, clock) = queue();
    let failing = remind::enqueue(&huey, true).unwrap();
    let welcomes: Vec<_> = (0..3).map(|_| welcome::enqueue(&huey).unwrap()).collect();
    let begun = || heard.all().iter().filter(|signal| signal.kind == SignalKind::Executing).count();
    // Six attempts of the one that fails, and three others.
    for window in 1..=3 {
        run(&huey);
        assert_eq!(begun(), 3 * window);
        clock.advance(Duration::from_secs(10));
    }
    run(&huey);
    assert_eq!((begun(), complete(&welcomes), failing.status().unwrap()), (9, 3, JobState::Dead));
}

#[test]
fn those_who_wait_for_a_rate_have_their_turn_by_priority_and_age_and_may_be_canceled() {
    let (huey, heard, clock) = queue();
    let handles = limited::map(&huey, 0..6).unwrap();
    run(&huey);
    let urgent = limited::job(9).priority(5).enqueue(&huey).unwrap();
    huey.cancel(handles[2].id()).unwrap();
    run(&huey);
    clock.advance(Duration::from_secs(10));
    run(&huey);
    let ran: Vec<_> =
        heard.all().iter().filter(|signal| signal.kind == SignalKind::Executing).map(|signal| signal.id).collect();
    assert_eq!(ran, [handles[0].id(), handles[1].id(), urgent.id(), handles[3].id()]);
}

#[test]
fn no_span_begins_more_jobs_than_the_rate_and_each_comes_in_time() {
    let (huey, heard, clock) = queue();
    let handles = limited::map(&huey, 0..40).unwrap();
    for _ in 0..200 {
        run(&huey);
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(complete(&handles), 40);
    let begun: Vec<_> =
        heard.all().iter().filter(|signal| signal.kind == SignalKind::Executing).map(|s| s.at).collect();
    assert!(begun.windows(3).all(|three| three[2].since(three[0]) >= Duration::from_secs(10)));
    assert_eq!(begun.last().unwrap().since(begun[0]), Duration::from_secs(190), "not one second lost");
    assert_eq!(heard.all().iter().filter(|signal| signal.kind == SignalKind::RateLimited).count(), 38, "once each");
}

#[task(rate(100, "1s"))]
fn hundred() {}

#[test]
fn a_hundred_in_a_second_with_eight_workers_are_never_more_and_hardly_fewer() {
    let heard = Heard::default();
    let huey = heard.listen(Huey::builder()).open(Memory::new()).unwrap();
    let handles = hundred::map(&huey, (0..300).map(|_| ())).unwrap();
    let consumer = huey.consumer().workers(8).start().unwrap();
    for handle in &handles {
        handle.wait(support::LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
    let mut claimed: Vec<_> =
        handles.iter().map(|handle| huey.info(handle.id()).unwrap().unwrap().started.unwrap()).collect();
    claimed.sort_unstable();
    assert!(claimed.windows(101).all(|span| span[100].since(span[0]) >= Duration::from_secs(1)));
}
