//! A worker whose lease was given away: nothing that it does counts.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use huey::store::{
    Commit, Lease, Memory, OpenStorage, Outcome, Settlement, Storage, StorageOptions, Transition, Verdict,
};
use huey::{BoxError, Context, Huey, JobId, JobState, SignalKind, task};
use support::{Heard, LONG, Stage};

/// Two attempts of one job at once, each with a gate of its own.
struct Two {
    calls: AtomicU32,
    first: Arc<Stage>,
    second: Arc<Stage>,
}

#[task]
fn held(#[ctx] ctx: &Context, #[data] two: &Two) -> Result<String, BoxError> {
    let guard = ctx.lock("ledger")?;
    if two.calls.fetch_add(1, Ordering::SeqCst) > 0 {
        two.second.note("begun");
        two.second.pass();
        return Ok("the second".into());
    }
    two.first.note("begun");
    two.first.pass();
    ctx.progress(1, 2, "of the first")?;
    two.first.note(format!("stopped: {}", ctx.checkpoint().is_err()));
    two.first.note(format!("unlocked: {}", guard.unlock().is_ok()));
    two.first.note(format!("locked again: {}", ctx.lock("other").is_ok()));
    Ok("the first".into())
}

#[task(lock = "ledger")]
fn book() {}

#[task]
fn probe() {}

/// Memory, shown to the test beside the queue.
struct Shown(Arc<OnceLock<Arc<dyn Storage>>>);

impl OpenStorage for Shown {
    fn open_storage(self, options: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
        let storage = Memory::new().open_storage(options)?;
        Ok(Arc::clone(self.0.get_or_init(|| storage)))
    }
}

/// Gives the lease of a running job back, as a storage does that has not heard of its holder for too long.
fn give_away(storage: &dyn Storage, id: JobId) {
    let taken = (1..100).any(|claim| {
        let back = Settlement { lease: Lease { id, claim }, verdict: Verdict::Returned { started: true } };
        let settled = storage.commit(Transition::Settle(vec![back]), Commit::default()).unwrap();
        matches!(settled, Outcome::Settled(all) if all.iter().all(Option::is_some))
    });
    assert!(taken, "the job does not run");
}

#[test]
fn a_worker_whose_lease_was_given_away_can_neither_settle_nor_report_nor_unlock() {
    let (first, second, heard) = (Stage::new(), Stage::new(), Heard::default());
    let storage = Arc::default();
    let builder = heard.listen(Huey::builder()).data(Two {
        calls: AtomicU32::new(0),
        first: Arc::clone(&first),
        second: Arc::clone(&second),
    });
    let huey = builder.open(Shown(Arc::clone(&storage))).unwrap();
    let consumer = huey.consumer().workers(2).start().unwrap();
    let job = held::enqueue(&huey).unwrap();
    first.wait_notes(1);
    give_away(&**storage.get().unwrap(), job.id());
    second.wait_notes(1);
    // Waits for the lock, which the second attempt has now.
    let waits = book::enqueue(&huey).unwrap();

    first.open();
    let said = first.wait_notes(4);
    assert_eq!(said, ["begun", "stopped: true", "unlocked: false", "locked again: false"]);
    // Only the worker of the first attempt is free to look at them, once it has settled that.
    heard.wait(SignalKind::Locked, 1);
    probe::enqueue(&huey).unwrap().wait(LONG).unwrap();
    assert_eq!(job.status().unwrap(), JobState::Running);
    assert!(job.progress().unwrap().is_none());
    assert_eq!(waits.status().unwrap(), JobState::Queued, "the lock is held");

    second.open();
    assert_eq!(job.wait(LONG).unwrap(), "the second");
    waits.wait(LONG).unwrap();
    consumer.shutdown().wait().unwrap();
    let ends = heard.all().into_iter().filter(|signal| signal.id == job.id() && signal.kind == SignalKind::Complete);
    assert_eq!(ends.count(), 1);
}
