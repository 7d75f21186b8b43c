//! Handles: waiting on threads and in futures, reading by id, and what they say of jobs that are not there.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(clippy::unused_async, reason = "an async task need not await")]

mod support;

use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use huey::{Context, Durability, Huey, JobHandle, JobId, JobState, SignalKind, VirtualClock, task};
use support::{LONG, Stage, block_on, in_tokio, queue, queue_with, run};

#[task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[task]
async fn double(a: i64) -> i64 {
    tokio::task::yield_now().await;
    2 * a
}

#[task]
fn gated(#[data] stage: &Stage, number: u32) -> u32 {
    stage.note("runs");
    stage.pass();
    number
}

#[task]
fn fails(message: String) -> Result<(), String> {
    Err(message)
}

#[test]
fn a_wait_that_is_too_short_is_a_timeout_and_the_job_goes_on() {
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey, 5).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        let error = handle.wait(timeout).unwrap_err();
        assert!(error.is_timeout() && error.task_error().is_none() && error.ending().is_none());
        assert!(error.to_string().contains(&handle.id().to_string()), "{error}");
    }
    assert_eq!(handle.status().unwrap(), JobState::Running);
    stage.open();
    assert_eq!(handle.wait(Duration::MAX).unwrap(), 5);
    // What has ended needs no time at all.
    assert_eq!(handle.wait(Duration::ZERO).unwrap(), 5);
    drop(consumer);
}

#[test]
fn a_wait_returns_whatever_the_end_and_the_level() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    for durability in [Durability::Relaxed, Durability::Synced] {
        for round in 0..50 {
            let sum = add::job(round, 1).durability(durability).enqueue(&huey).unwrap();
            let twice = double::job(round).durability(durability).enqueue(&huey).unwrap();
            let failed = fails::job("no".into()).durability(durability).enqueue(&huey).unwrap();
            let late = add::job(0, 0).expires(Duration::ZERO).durability(durability).enqueue(&huey).unwrap();
            assert_eq!(sum.wait(LONG).unwrap(), round + 1);
            assert_eq!(block_on(twice).unwrap(), 2 * round);
            assert_eq!(failed.wait(LONG).unwrap_err().task_error().unwrap().message, "no");
            assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Expired));
        }
    }
    drop(consumer);
}

#[test]
fn the_state_can_be_read_once_the_wait_is_over() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    for durability in [Durability::Relaxed, Durability::Synced] {
        for round in 0..200 {
            let sum = add::job(round, 1).durability(durability).enqueue(&huey).unwrap();
            sum.wait(LONG).unwrap();
            assert_eq!((sum.status().unwrap(), sum.get().unwrap()), (JobState::Complete, Some(round + 1)));
        }
    }
    drop(consumer);
}

#[task]
fn waits_for(#[ctx] ctx: &Context) -> Result<bool, huey::Error> {
    let other = add::enqueue(ctx.huey()?, 1, 2)?;
    let error = other.wait(LONG).unwrap_err();
    assert!(error.to_string().contains("async"), "{error}");
    Ok(error.is_would_block())
}

#[task]
async fn waits_for_async(#[ctx] ctx: &Context) -> Result<bool, huey::Error> {
    let other = double::enqueue(ctx.huey()?, 1)?;
    let error = other.wait(LONG).unwrap_err();
    Ok(error.is_would_block())
}

#[test]
fn a_wait_on_a_worker_of_the_same_queue_is_an_error_at_once() {
    let (huey, ..) = queue();
    let plain = waits_for::enqueue(&huey).unwrap();
    let later = waits_for_async::enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(plain.get().unwrap(), Some(true));
    assert_eq!(later.get().unwrap(), Some(true), "the thread of the async tasks would wait for itself");
}

#[task(queue = "visits")]
fn waits_elsewhere(#[data] elsewhere: &Huey) -> Result<i64, huey::Error> {
    add::enqueue(elsewhere, 20, 1)?.wait(LONG)
}

#[test]
fn a_worker_may_wait_for_a_job_of_another_queue() {
    let (elsewhere, ..) = queue();
    let (huey, ..) = queue_with(|builder| builder.data(elsewhere.clone()));
    let consumer = elsewhere.consumer().workers(1).start().unwrap();
    let handle = waits_elsewhere::enqueue(&huey).unwrap();
    huey.consumer().workers(1).queues(["visits"]).run_until_idle().unwrap();
    assert_eq!(handle.get().unwrap(), Some(21));
    drop(consumer);
}

#[test]
fn a_receiver_that_would_wait_for_a_job_gets_an_error_and_the_queue_goes_on() {
    for durability in [Durability::Relaxed, Durability::Synced] {
        let this: Arc<OnceLock<Huey>> = Arc::default();
        let (tell, told) = channel();
        let (huey, ..) = queue_with(|builder| {
            let this = Arc::clone(&this);
            builder.on(SignalKind::Complete, move |signal: &huey::Signal| {
                if let Some(huey) = this.get().filter(|_| &*signal.task == "handles::add") {
                    let other = double::enqueue(huey, 4).unwrap();
                    tell.send(other.wait(LONG).map_err(|error| error.is_would_block())).unwrap();
                }
            })
        });
        this.set(huey.clone()).unwrap();
        let _ = add::job(1, 2).durability(durability).enqueue(&huey).unwrap();
        run(&huey);
        assert_eq!(told.try_recv().unwrap(), Err(true));
    }
}

#[test]
fn a_handle_can_be_awaited_without_any_runtime() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let handle = add::enqueue(&huey, 2, 3).unwrap();
    assert_eq!(block_on(&handle).unwrap(), 5);
    assert_eq!(block_on(handle).unwrap(), 5);
    let failed = fails::enqueue(&huey, "no".into()).unwrap();
    assert_eq!(block_on(failed).unwrap_err().ending(), Some(JobState::Dead));
    drop(consumer);
}

#[test]
fn a_handle_can_be_awaited_in_tokio() {
    in_tokio(async {
        let (huey, _, stage) = queue();
        let consumer = huey.consumer().workers(1).start().unwrap();
        let handle = add::enqueue_async(&huey, 2, 3).await.unwrap();
        assert_eq!(handle.await.unwrap(), 5);
        let held = gated::enqueue_async(&huey, 9).await.unwrap();
        tokio::time::timeout(Duration::from_millis(1), &held).await.unwrap_err();
        stage.open();
        assert_eq!(tokio::time::timeout(LONG, held).await.unwrap().unwrap(), 9);
        consumer.shutdown().await.unwrap();
    });
}

#[test]
fn the_enqueue_of_an_async_program_waits_for_no_disk_on_its_thread() {
    in_tokio(async {
        let (huey, heard, _) = queue();
        let pending: Vec<_> = (0..20).map(|number| add::enqueue_async(&huey, number, 0)).collect();
        let mut ids = Vec::new();
        for enqueue in pending {
            ids.push(enqueue.await.unwrap().id());
        }
        ids.dedup();
        assert_eq!((ids.len(), huey.counts().unwrap().queued), (20, 20));
        heard.wait(SignalKind::Enqueued, 20);
    });
}

#[test]
fn a_wake_reaches_the_task_that_polled_last() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey, 3).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let mut future = Box::pin(handle.clone().into_future());
    let counts = [Arc::new(Count(AtomicUsize::new(0))), Arc::new(Count(AtomicUsize::new(0)))];
    for count in &counts {
        let waker = Waker::from(Arc::clone(count));
        for _ in 0..3 {
            assert!(future.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
        }
    }
    stage.open();
    assert_eq!(handle.wait(LONG).unwrap(), 3);
    drop(consumer);
    assert_eq!(counts[1].0.load(Ordering::SeqCst), 1);
    let ready = future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop()));
    assert!(matches!(ready, Poll::Ready(Ok(3))));
}

#[test]
fn a_handle_is_made_anew_from_the_id() {
    let (huey, ..) = queue();
    let handle = add::enqueue(&huey, 2, 3).unwrap();
    let id: JobId = handle.id().to_string().parse().unwrap();
    run(&huey);
    let again = huey.handle::<add>(id).unwrap();
    assert_eq!((again.id(), again.is_new(), again.get().unwrap()), (id, false, Some(5)));
    assert_eq!(format!("{again:?}"), format!("JobHandle(handles::add {id})"));
}

#[task]
fn counts(#[ctx] ctx: &Context) -> Result<(), String> {
    Err(format!("failure {}", ctx.attempt()))
}

#[test]
fn a_failed_job_reads_as_the_record_of_its_last_attempt() {
    let (huey, ..) = queue();
    let id = counts::job().retries(2).enqueue(&huey).unwrap().id();
    run(&huey);
    let error = huey.handle::<counts>(id).unwrap().get().unwrap_err();
    let record = error.task_error().unwrap();
    assert_eq!((record.message.as_str(), record.attempt), ("failure 3", 3));
}

#[test]
fn an_id_of_another_task_is_an_error() {
    let (huey, ..) = queue();
    let handle = add::enqueue(&huey, 2, 3).unwrap();
    for ended in [false, true] {
        let error = huey.handle::<double>(handle.id()).unwrap_err();
        assert!(error.is_bad_input(), "{ended}");
        let text = error.to_string();
        assert!(text.contains("`handles::add`") && text.contains("`handles::double`"), "{text}");
        run(&huey);
    }
}

#[test]
fn an_id_that_never_was_and_one_that_is_gone_are_told_apart() {
    let (huey, ..) = queue();
    let (other, ..) = queue();
    let stranger = add::enqueue(&other, 1, 1).unwrap().id();
    assert_eq!(huey.status(stranger).unwrap(), JobState::NeverExisted);
    let error = huey.handle::<add>(stranger).unwrap_err();
    assert!(error.is_no_such_job() && error.to_string().contains("ever had"), "{error}");

    let handle = add::enqueue(&huey, 1, 1).unwrap();
    run(&huey);
    handle.take().unwrap();
    let gone = huey.handle::<add>(handle.id()).unwrap();
    assert_eq!(gone.status().unwrap(), JobState::Gone);
    for error in [gone.get().unwrap_err(), gone.wait(LONG).unwrap_err(), block_on(&gone).unwrap_err()] {
        assert!(error.is_no_such_job() && error.to_string().contains("gone"), "{error}");
    }
}

#[test]
fn a_handle_tells_each_state() {
    let clock = VirtualClock::starting_at(huey::Timestamp::from_micros(0));
    let (huey, _, stage) = queue_with(|builder| builder.clock(clock.clock()));
    let scheduled = add::job(1, 1).delay(Duration::from_secs(1)).enqueue(&huey).unwrap();
    let complete = add::enqueue(&huey, 1, 1).unwrap();
    let dead = fails::enqueue(&huey, "no".into()).unwrap();
    let expired = add::job(1, 1).expires(Duration::ZERO).enqueue(&huey).unwrap();
    run(&huey);
    let queued = add::enqueue(&huey, 1, 1).unwrap();
    let running = gated::job(1).priority(1).enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    let all: [(JobState, JobState); 6] = [
        (scheduled.status().unwrap(), JobState::Scheduled),
        (complete.status().unwrap(), JobState::Complete),
        (dead.status().unwrap(), JobState::Dead),
        (expired.status().unwrap(), JobState::Expired),
        (queued.status().unwrap(), JobState::Queued),
        (running.status().unwrap(), JobState::Running),
    ];
    for (state, expected) in all {
        assert_eq!(state, expected);
    }
    let counts = huey.counts().unwrap();
    assert_eq!((counts.scheduled, counts.queued, counts.running, counts.given_up, counts.results), (1, 1, 1, 1, 2));
    stage.open();
    drop(consumer);
}

#[test]
fn a_wait_is_for_its_own_job_among_many() {
    let (huey, ..) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let huey = &huey;
            scope.spawn(move || {
                for round in 0..100 {
                    let handle = add::job(number, round).durability(Durability::Relaxed).enqueue(huey).unwrap();
                    assert_eq!(handle.wait(LONG).unwrap(), number + round);
                }
            });
        }
    });
    drop(consumer);
}

#[test]
fn many_threads_and_futures_wait_for_one_job() {
    let (huey, _, stage) = queue();
    let handle = gated::enqueue(&huey, 8).unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    stage.wait_notes(1);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..32)
            .map(|number| {
                let handle: JobHandle<u32> = handle.clone();
                scope.spawn(move || if number % 2 == 0 { handle.wait(LONG) } else { block_on(handle) })
            })
            .collect();
        stage.open();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap().unwrap(), 8);
        }
    });
    drop(consumer);
}

#[test]
fn those_who_wait_when_the_queue_closes_are_told() {
    let (huey, ..) = queue();
    let handle = add::enqueue(&huey, 1, 1).unwrap();
    let mut future = Box::pin(handle.clone().into_future());
    assert!(future.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| handle.wait(LONG));
        huey.close().unwrap();
        assert!(waiting.join().unwrap().unwrap_err().is_closed());
    });
    assert!(block_on(future).unwrap_err().is_closed());
    assert!(handle.get().unwrap_err().is_closed());
    assert!(handle.status().unwrap_err().is_closed());
}

#[test]
fn jobs_are_given_in_the_order_in_which_they_end() {
    let (huey, ..) = queue();
    let slow = add::job(1, 1).delay(Duration::from_millis(30)).enqueue(&huey).unwrap();
    let quick = add::enqueue(&huey, 2, 2).unwrap();
    let canceled = add::job(3, 3).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    let never = add::job(4, 4).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    canceled.cancel().unwrap();
    let consumer = huey.consumer().workers(1).start().unwrap();
    let mut all = huey::as_completed([slow.clone(), quick.clone(), canceled.clone(), never]);
    let mut ended: Vec<_> = all.by_ref().take(3).collect();
    let (last, sum) = ended.pop().unwrap();
    assert_eq!((last.id(), sum.unwrap()), (slow.id(), 2), "the slow one comes last");
    let mut early: Vec<_> = ended.iter().map(|(handle, result)| (handle.id(), result.as_ref().ok().copied())).collect();
    early.sort_unstable();
    assert_eq!(early, [(quick.id(), Some(4)), (canceled.id(), None)]);
    assert!(all.until(std::time::Instant::now()).next().is_none(), "the time for the one that never ends is over");
    consumer.shutdown().wait().unwrap();
    assert_eq!(huey::as_completed(Vec::<huey::JobHandle<u8>>::new()).count(), 0);
}
