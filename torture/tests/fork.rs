//! A process that was forked while a queue was open: what it does with the queue is an error, and nothing is harmed.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unsafe_code, reason = "a fork has no safe form")]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use huey::{ConsumerHandle, Durability, Error, Huey, JobHandle, JobState, Sled, Subscription, task};

const LONG: Duration = Duration::from_secs(30);

#[task]
fn double(number: u64) -> u64 {
    number * 2
}

#[task(queue = "unserved")]
fn stays() {}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// In the fork: does all that one can do with a queue, and says what came of it.
fn use_it(
    said: &Path,
    huey: Huey,
    consumer: ConsumerHandle,
    ended: &JobHandle<u64>,
    waits: &JobHandle<()>,
    heard: &Subscription,
) {
    let mut told = std::fs::File::create(said).unwrap();
    let mut note = |what: &str, error: Option<Error>| {
        let fits = error.as_ref().is_some_and(|error| error.to_string().contains("open it after the fork"));
        let text = error.map_or_else(|| "no error".to_owned(), |error| error.to_string());
        writeln!(told, "{} {what}: {text}", if fits { "good" } else { "BAD" }).unwrap();
    };
    note("enqueue", double::enqueue(&huey, 1).err());
    note("relaxed", double::job(1).durability(Durability::Relaxed).enqueue(&huey).err());
    let waker = Waker::from(Arc::new(Nobody));
    match pin!(double::enqueue_async(&huey, 1)).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(enqueued) => note("enqueue_async", enqueued.err()),
        Poll::Pending => note("enqueue_async hangs", None),
    }
    note("map", double::map(&huey, [1, 2]).err());
    note("put", huey.put("key", &1_u64).err());
    note("get", huey.get::<u64>("key").err());
    note("counts", huey.counts().err());
    note("cancel", huey.cancel(waits.id()).err());
    note("cancel_all", huey.jobs().cancel_all().err());
    note("pause", huey.queue("unserved").pause().err());
    note("explain", huey.explain(waits.id()).err());
    note("backup", huey.backup(&mut Vec::new()).err());
    note("a handle's get", ended.get().err());
    note("a handle's wait", waits.wait(Duration::from_secs(5)).err());
    note("a handle's status", waits.status().err());
    note("a new consumer", huey.consumer().workers(1).start().err());
    note("run_until_idle", huey.consumer().workers(1).run_until_idle().err());
    note("wait_idle", consumer.wait_idle().err());
    note("subscribe", huey.subscribe(8).err());
    note("a handle's subscribe", waits.subscribe(8).err());
    note("shutdown", consumer.shutdown().wait().err());
    note("close", huey.close().err());
    drop(huey);
    let nothing = heard.recv().is_none() && heard.recv_timeout(LONG).is_none() && heard.try_recv().is_none();
    writeln!(told, "{} a subscription of before the fork", if nothing { "good" } else { "BAD" }).unwrap();
}

#[test]
fn a_forked_process_that_uses_the_queue_gets_an_error_and_harms_nothing() {
    let folder = std::env::temp_dir().join(format!("huey-fork-{}", std::process::id()));
    let huey = Huey::builder().open(Sled::at(folder.join("queue"))).unwrap();
    let ended = double::enqueue(&huey, 4).unwrap();
    let heard = huey.subscribe(8).unwrap();
    let waits = stays::enqueue(&huey).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    assert_eq!(ended.wait(LONG).unwrap(), 8);
    let (said, parent) = (folder.join("said"), std::process::id());

    // SAFETY: the fork runs on this thread alone, and ends without returning from here.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // A hang is an end by SIGALRM.
        // SAFETY: neither takes a pointer, and nothing is left to be done when the process ends so.
        unsafe { libc::alarm(20) };
        let used = AssertUnwindSafe(|| use_it(&said, huey, consumer, &ended, &waits, &heard));
        let panicked = catch_unwind(used).is_err();
        // SAFETY: as above.
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    assert!(child > 0, "it cannot be forked");
    let mut status = 0;
    // SAFETY: the status is there for it to write.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the fork hangs or fails: {:?}", std::fs::read_to_string(&said));
    let told = std::fs::read_to_string(&said).unwrap();
    assert!(told.lines().count() == 23 && told.lines().all(|line| line.starts_with("good ")), "{told}");

    // The process that was forked goes on as if nothing had been.
    assert_eq!(std::process::id(), parent);
    assert_eq!(double::enqueue(&huey, 5).unwrap().wait(LONG).unwrap(), 10);
    consumer.shutdown().wait().unwrap();
    assert_eq!(waits.status().unwrap(), JobState::Queued);
    huey.close().unwrap();
    drop((huey, ended, waits, heard));
    assert!(huey::verify(folder.join("queue")).unwrap().is_sound());
    let again = Huey::builder().open(Sled::at(folder.join("queue"))).unwrap();
    assert_eq!((again.counts().unwrap().queued, again.jobs().task::<double>().count()), (1, 2));
    drop(again);
    std::fs::remove_dir_all(&folder).unwrap();
}
