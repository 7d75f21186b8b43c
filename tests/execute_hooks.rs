//! Hooks around attempts, and of workers.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use huey::{AttemptOutcome, BoxError, Cancel, HueyBuilder, JobState, task};
use support::{LONG, Stage, lock, queue_with, run};

#[task]
fn plain(#[data] stage: &Stage) {
    stage.note("body");
}

#[task]
async fn gentle(#[data] stage: &Stage) {
    tokio::task::yield_now().await;
    stage.note("body");
}

#[task]
fn fails() -> Result<(), std::io::Error> {
    Err(std::io::Error::other("no"))
}

#[task(timeout = "10ms")]
async fn dawdles() {
    std::future::pending::<()>().await;
}

type Notes = Arc<std::sync::Mutex<Vec<String>>>;

fn noting(builder: HueyBuilder, notes: &Notes) -> HueyBuilder {
    let (before, after) = (Arc::clone(notes), Arc::clone(notes));
    builder
        .pre_execute(move |ctx| {
            lock(&before).push(format!("before {}", ctx.attempt()));
            Ok(())
        })
        .post_execute(move |_, outcome| lock(&after).push(format!("after {outcome:?}")))
}

#[test]
fn each_worker_starts_and_stops_with_its_hooks_and_their_failures_harm_nothing() {
    let notes = Notes::default();
    let (starts, stops) = (Arc::clone(&notes), Arc::clone(&notes));
    let (huey, _, stage) = queue_with(|builder| {
        builder
            .on_startup(|_| -> () { panic!("a startup hook that panics") })
            .on_startup(move |worker| {
                lock(&starts).push(format!("start {worker} {:?}", std::thread::current().name().unwrap() == worker));
                Err("logged")
            })
            .on_shutdown(|_| -> Result<(), BoxError> { Err("logged".into()) })
            .on_shutdown(move |worker| lock(&stops).push(format!("stop {worker}")))
    });
    let _ = plain::enqueue(&huey).unwrap();
    huey.consumer().workers(2).run_until_idle().unwrap();
    let mut notes = lock(&notes).clone();
    notes.sort();
    let workers = ["huey-async", "huey-worker-1", "huey-worker-2"];
    let wanted = workers.map(|name| format!("start {name} true")).into_iter();
    assert_eq!(notes, wanted.chain(workers.map(|name| format!("stop {name}"))).collect::<Vec<_>>());
    assert_eq!(stage.notes(), ["body"]);
}

#[test]
fn hooks_run_before_and_after_each_attempt_and_see_what_it_came_to() {
    let notes = Notes::default();
    let (huey, ..) = queue_with(|builder| noting(builder, &notes));
    let heard = |wanted: &[&str]| assert_eq!(std::mem::take(&mut *lock(&notes)), wanted);
    let _ = plain::enqueue(&huey).unwrap();
    run(&huey);
    heard(&["before 1", "after Complete"]);
    let _ = gentle::enqueue(&huey).unwrap();
    run(&huey);
    heard(&["before 1", "after Complete"]);
    let _ = fails::job().retries(1).enqueue(&huey).unwrap();
    run(&huey);
    heard(&["before 1", "after Failed(\"no\")", "before 2", "after Failed(\"no\")"]);
    let _ = dawdles::enqueue(&huey).unwrap();
    run(&huey);
    heard(&["before 1", "after Late"]);
}

#[test]
fn a_hook_before_an_attempt_may_cancel_its_job() {
    let notes = Notes::default();
    let (huey, heard, stage) = queue_with(|builder| {
        noting(builder, &notes)
            .pre_execute(|_| Err(Cancel::because("closed").into()))
            .pre_execute(|_| panic!("not asked"))
    });
    let both = [plain::enqueue(&huey).unwrap(), gentle::enqueue(&huey).unwrap()];
    run(&huey);
    for one in both {
        assert_eq!(one.get().unwrap_err().ending(), Some(JobState::Canceled));
        assert_eq!(heard.of(one.id()), "enqueued executing canceled");
    }
    assert_eq!(stage.notes().len(), 0, "no body ran");
    let canceled = format!("after {:?}", AttemptOutcome::Canceled("closed".into()));
    assert_eq!(lock(&notes).iter().filter(|note| **note == canceled).count(), 2);
}

#[test]
fn an_error_or_a_panic_of_a_hook_before_an_attempt_is_an_attempt_that_failed() {
    for panics in [false, true] {
        let (huey, heard, stage) = queue_with(|builder| {
            builder.pre_execute(move |ctx| match ctx.attempt() {
                1 if panics => panic!("not ready"),
                1 => Err("not ready".into()),
                _ => Ok(()),
            })
        });
        let both = [plain::job().retries(1).enqueue(&huey).unwrap(), gentle::job().retries(1).enqueue(&huey).unwrap()];
        run(&huey);
        for one in both {
            assert_eq!(heard.of(one.id()), "enqueued executing error retrying executing complete");
        }
        assert_eq!(stage.notes().len(), 2);
        let error = heard.all().into_iter().find_map(|signal| signal.error).unwrap();
        assert!(error.message.contains("not ready") && error.panicked == panics, "{error:?}");
    }
}

#[test]
fn a_hook_after_an_attempt_that_fails_harms_nothing() {
    let (huey, ..) = queue_with(|builder| {
        builder
            .post_execute(|_, _| -> () { panic!("a post-execute hook that panics") })
            .post_execute(|_, _| Err("logged"))
    });
    let both = [plain::enqueue(&huey).unwrap(), gentle::enqueue(&huey).unwrap()];
    let consumer = huey.consumer().workers(1).start().unwrap();
    for one in both {
        one.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

struct Absent;

#[task(queue = "vault")]
fn needs_what_is_absent(#[data] _absent: &Absent) {}

#[test]
fn a_claimed_job_whose_data_is_missing_is_parked_with_the_name_of_the_type() {
    let (huey, heard, _) = queue_with(|builder| builder);
    // Its task is of a queue that the consumer does not serve, so that it starts.
    let job = needs_what_is_absent::job().queue("default").enqueue(&huey).unwrap();
    run(&huey);
    let row = huey.info(job.id()).unwrap().unwrap();
    assert_eq!((row.state, row.attempts), (JobState::Parked, 0));
    assert!(row.cause.unwrap().contains("execute_hooks::Absent"));
    assert_eq!(heard.of(job.id()), "enqueued parked");
}
