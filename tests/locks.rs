//! Locks and bounds: who holds one, who waits, and what frees it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use huey::{BoxError, Context, Decorator, Huey, JobId, JobState, LockGuard, Reason, Retry, SignalKind, task};
use support::{LONG, Stage, queue, queue_with, run};

#[task(lock = "ledger")]
fn book(#[data] stage: &Stage, number: u32) {
    stage.note(format!("book {number}"));
    stage.pass();
}

#[task(lock("ledger", by(account)))]
fn book_of(#[data] stage: &Stage, account: u64) {
    stage.note(format!("account {account}"));
    stage.pass();
}

static LEDGER: Decorator = Decorator::new().lock("ledger").max_running(3);

#[task(LEDGER)]
fn audit(#[data] stage: &Stage) {
    stage.note("audit");
}

/// Takes the lock in its body.
#[task(retries = 1)]
fn take(#[ctx] ctx: &Context, #[data] stage: &Stage, number: u32) -> Result<u32, BoxError> {
    let guard = ctx.lock("ledger")?;
    stage.note(format!("take {number}"));
    stage.pass();
    drop(guard);
    Ok(number)
}

/// Leaves early while it holds the lock.
#[task]
fn leave(#[ctx] ctx: &Context, way: String) -> Result<(), BoxError> {
    let _guard = ctx.lock("ledger")?;
    match way.as_str() {
        "return" => Ok(()),
        "error" => Err("early".into()),
        "panic" => panic!("while it holds the lock"),
        _ => Err(Retry::after(Duration::from_hours(1)).into()),
    }
}

#[task(max_running = 2)]
fn bounded(#[data] stage: &Stage, number: u32) {
    stage.note(format!("bounded {number}"));
    stage.pass();
}

#[task(max_running(1, by(user)))]
fn one_for_each(#[data] stage: &Stage, user: u32, number: u32) {
    stage.note(format!("user {user} number {number}"));
    stage.pass();
}

#[test]
fn a_job_whose_declared_lock_is_held_waits_is_told_once_and_spends_no_attempt() {
    let (huey, heard, stage) = queue();
    let first = book::enqueue(&huey, 1).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(1);
    let second = book::enqueue(&huey, 2).unwrap();
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(second.status().unwrap(), JobState::Queued);
    assert_eq!(stage.notes(), ["book 1"]);
    let cause = heard.find(SignalKind::Locked).unwrap().cause.unwrap();
    assert_eq!(&*cause, format!("the job {} holds the lock", first.id()));
    stage.open();
    second.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert_eq!(heard.of(second.id()), "enqueued locked executing complete");
    let began = heard.all().into_iter().find(|signal| signal.id == second.id() && signal.kind == SignalKind::Executing);
    assert_eq!(began.unwrap().attempt, 1);
}

/// A job that was told of as `locked` stands in line once the receivers of that have returned.
fn stands_in_line(huey: &Huey, id: JobId) {
    while huey.explain(id).unwrap().reasons.contains(&Reason::Unannounced) {
        std::thread::yield_now();
    }
}

#[test]
fn those_who_wait_for_a_lock_get_it_by_priority_and_age_one_at_a_time() {
    let (huey, heard, stage) = queue();
    let _ = book::enqueue(&huey, 0).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(1);
    let mut handles = vec![];
    for (number, priority) in [(1, 0), (2, 5), (3, 0), (4, 5)] {
        handles.push(book::job(number).priority(priority).enqueue(&huey).unwrap());
    }
    heard.wait(SignalKind::Locked, 4);
    for handle in &handles {
        stands_in_line(&huey, handle.id());
    }
    stage.open();
    for handle in &handles {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
    assert_eq!(stage.notes(), ["book 0", "book 2", "book 4", "book 1", "book 3"]);
    assert_eq!(heard.all().iter().filter(|signal| signal.kind == SignalKind::Locked).count(), 4, "once each");
}

#[test]
fn a_lock_may_depend_on_arguments_and_be_shared_by_tasks() {
    let (huey, heard, stage) = queue();
    let _ = book_of::map(&huey, [1, 2]).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(2);
    let _ = book::enqueue(&huey, 9).unwrap();
    stage.wait_notes(3);
    let same = book_of::enqueue(&huey, 1).unwrap();
    let audit = audit::enqueue(&huey).unwrap();
    heard.wait(SignalKind::Locked, 2);
    let waits: Vec<_> = heard.all().into_iter().filter(|signal| signal.kind == SignalKind::Locked).collect();
    assert!(waits.iter().all(|signal| signal.id == same.id() || signal.id == audit.id()));
    stage.open();
    same.wait(LONG).unwrap();
    audit.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_body_that_finds_its_lock_held_ends_and_comes_again_with_it() {
    let (huey, heard, stage) = queue();
    let first = take::enqueue(&huey, 1).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(1);
    let second = take::enqueue(&huey, 2).unwrap();
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(
        (second.status().unwrap(), huey.info(second.id()).unwrap().unwrap().attempts),
        (JobState::Queued, 0),
        "refunded"
    );
    stage.open();
    assert_eq!((first.wait(LONG).unwrap(), second.wait(LONG).unwrap()), (1, 2));
    consumer.shutdown().wait().unwrap();
    assert_eq!(heard.of(second.id()), "enqueued executing locked executing complete");
}

#[test]
fn an_early_return_an_error_a_panic_and_a_retry_free_a_lock_at_once() {
    for way in ["return", "error", "panic", "retry"] {
        let (huey, heard, stage) = queue();
        stage.open();
        let first = leave::enqueue(&huey, way.into()).unwrap();
        let second = take::enqueue(&huey, 2).unwrap();
        run(&huey);
        assert_eq!(second.status().unwrap(), JobState::Complete, "{way}: {}", heard.list());
        assert_eq!(heard.of(second.id()), "enqueued executing complete", "{way}: nobody held it");
        assert!(!heard.of(first.id()).contains("locked"));
    }
}

/// Frees its lock by hand, and waits after that.
#[task]
fn frees(#[ctx] ctx: &Context, #[data] stage: &Stage) -> Result<(), BoxError> {
    let outer = ctx.lock("ledger")?;
    let inner = ctx.lock("ledger")?;
    inner.unlock()?;
    stage.note("inner freed");
    stage.wait_notes(2);
    stage.note("the outer goes");
    outer.unlock()?;
    stage.pass();
    Ok(())
}

#[test]
fn a_lock_that_is_taken_twice_is_free_once_both_guards_are_gone() {
    let (huey, heard, stage) = queue();
    let _ = frees::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(1);
    let waits = audit::enqueue(&huey).unwrap();
    heard.wait(SignalKind::Locked, 1);
    stage.note("it waits");
    waits.wait(LONG).unwrap();
    let notes = stage.wait_notes(4);
    assert_eq!((notes[2].as_str(), notes[3].as_str()), ("the outer goes", "audit"), "while the first body runs on");
    stage.open();
    consumer.shutdown().wait().unwrap();
}

static BOTH: AtomicU32 = AtomicU32::new(0);

/// Two of these want the same locks in opposite orders.
#[task]
fn both(#[ctx] ctx: &Context, turned: bool) -> Result<(), BoxError> {
    let (one, two) = if turned { ("b", "a") } else { ("a", "b") };
    let _first = ctx.lock(one)?;
    std::thread::yield_now();
    let _second = ctx.lock(two)?;
    assert_eq!(BOTH.fetch_add(1, Ordering::SeqCst), 0, "two at once");
    std::thread::yield_now();
    BOTH.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[test]
fn bodies_that_take_two_locks_in_opposite_orders_all_end_and_are_put_back_at_most_once_for_each() {
    let (huey, heard, _) = queue();
    let handles = both::map(&huey, (0..100).map(|number| number % 2 == 0)).unwrap();
    huey.consumer().workers(8).run_until_idle().unwrap();
    for handle in handles {
        assert_eq!(handle.status().unwrap(), JobState::Complete);
        let locked = heard.of(handle.id()).matches("locked").count();
        assert!(locked <= 2, "{}", heard.of(handle.id()));
    }
}

#[test]
fn a_guard_of_a_detached_context_holds_nothing_and_a_body_can_be_called_by_hand() {
    let stage = Stage::new();
    stage.open();
    let ctx = Context::detached();
    assert_eq!(take(&ctx, &stage, 7).unwrap(), 7);
    let (one, two) = (ctx.lock("ledger").unwrap(), ctx.lock("ledger").unwrap());
    one.unlock().unwrap();
    drop(two);
    assert!(ctx.lock(&"x".repeat(2_000)).unwrap_err().is_bad_input());
}

#[test]
fn so_many_of_a_task_run_at_once_as_it_allows() {
    let (huey, heard, stage) = queue();
    let handles = bounded::map(&huey, 0..5).unwrap();
    let other = one_for_each::enqueue(&huey, 1, 1).unwrap();
    let consumer = huey.consumer().workers(8).start().unwrap();
    let notes = stage.wait_notes(3);
    assert_eq!(huey.counts_of::<bounded>().unwrap().running, 2);
    assert!(notes.contains(&"user 1 number 1".to_owned()), "the waiting ones are passed: {notes:?}");
    stage.open();
    for handle in &handles {
        handle.wait(LONG).unwrap();
    }
    other.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    for handle in &handles {
        assert_eq!(heard.of(handle.id()), "enqueued executing complete", "nobody is told of a bound");
    }
    assert!(heard.all().iter().all(|signal| signal.attempt <= 1), "and it costs no attempt");
}

#[test]
fn so_many_of_a_key_run_at_once_as_it_allows() {
    let (huey, _, stage) = queue();
    let handles = one_for_each::map(&huey, [(1, 1), (1, 2), (2, 1), (2, 2)]).unwrap();
    let consumer = huey.consumer().workers(8).start().unwrap();
    let mut notes = stage.wait_notes(2);
    notes.sort();
    assert_eq!(notes, ["user 1 number 1", "user 2 number 1"]);
    assert_eq!(huey.counts().unwrap().running, 2);
    stage.open();
    for handle in &handles {
        handle.wait(LONG).unwrap();
    }
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_job_that_waits_for_a_lock_can_be_canceled_moved_revoked_and_replaced() {
    let (huey, heard, stage) = queue();
    let _ = book::enqueue(&huey, 1).unwrap();
    let consumer = huey.consumer().workers(4).start().unwrap();
    stage.wait_notes(1);
    let unique = || book::job(4).unique(huey::Unique::by(&4).on_conflict(huey::OnConflict::Replace));
    let (canceled, moved, replaced) =
        (book::enqueue(&huey, 2).unwrap(), book::enqueue(&huey, 3).unwrap(), unique().enqueue(&huey).unwrap());
    heard.wait(SignalKind::Locked, 3);
    for handle in [&canceled, &moved, &replaced] {
        stands_in_line(&huey, handle.id());
    }
    huey.cancel(canceled.id()).unwrap();
    huey.reschedule(moved.id(), std::time::UNIX_EPOCH).unwrap();
    let new = unique().enqueue(&huey).unwrap();
    assert_eq!(replaced.status().unwrap(), JobState::Canceled);
    assert_eq!(canceled.status().unwrap(), JobState::Canceled);
    stage.open();
    new.wait(LONG).unwrap();
    moved.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    assert!(!stage.notes().contains(&"book 2".to_owned()));
}

#[test]
fn a_job_that_is_late_expires_before_it_waits_for_a_lock() {
    let (huey, heard, stage) = queue_with(|builder| builder);
    let holder = book::enqueue(&huey, 1).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    stage.wait_notes(1);
    let late = book::job(2).expires(Duration::ZERO).enqueue(&huey).unwrap();
    assert_eq!(late.wait(LONG).unwrap_err().ending(), Some(JobState::Expired), "while the lock is held");
    assert_eq!(heard.of(late.id()), "enqueued expired");
    stage.open();
    holder.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}

#[test]
fn an_interrupted_attempt_frees_its_lock() {
    let (huey, _, stage) = queue_with(|builder| builder);
    let _ = book::enqueue(&huey, 1).unwrap();
    let consumer = huey.consumer().workers(1).grace(Duration::ZERO).start().unwrap();
    stage.wait_notes(1);
    // The body never looks: its job is given back.
    assert!(consumer.shutdown().wait().is_err());
    assert_eq!(huey.counts().unwrap().queued, 1);
    stage.open();
}

/// Where a body leaves a guard that it should have dropped.
static POCKET: Mutex<Option<LockGuard>> = Mutex::new(None);

#[task]
fn pockets(#[ctx] ctx: &Context) -> Result<(), BoxError> {
    *support::lock(&POCKET) = Some(ctx.lock("ledger")?);
    Ok(())
}

#[test]
fn a_guard_that_outlived_its_attempt_cannot_free_the_lock_of_another() {
    let (huey, heard, stage) = queue();
    let consumer = huey.consumer().workers(2).start().unwrap();
    pockets::enqueue(&huey).unwrap().wait(LONG).unwrap();
    let holder = take::enqueue(&huey, 1).unwrap();
    stage.wait_notes(1);
    let kept = support::lock(&POCKET).take().unwrap();
    let error = kept.unlock().unwrap_err();
    assert!(error.is_bad_input() && error.to_string().contains("does not hold this lock"), "{error}");
    let waits = audit::enqueue(&huey).unwrap();
    heard.wait(SignalKind::Locked, 1);
    assert_eq!(waits.status().unwrap(), JobState::Queued, "it is held as before");
    stage.open();
    holder.wait(LONG).unwrap();
    waits.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
}
