//! Chains: jobs that follow one another, each with what the one before it yields.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "support/steps.rs"]
mod steps;
mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::store::{Commit, OpenStorage, Settlement, Storage, StorageOptions, Transition, Verdict};
use huey::testing::{Fault, SimDisk, inspected};
use huey::{
    Decision, Durability, EnqueueOutcome, Huey, HueyBuilder, JobId, JobState, Origin, Result, Retry, Revocation,
    SignalKind, Timestamp, VirtualClock, task,
};
use steps::{add, alone, cancels, fails, plain, regret, times};
use support::{Heard, LONG, Stage, block_on, claim_one, queue, queue_with, run};

#[task]
async fn show(value: i64) -> String {
    std::future::ready(value.to_string()).await
}

#[task(durability = relaxed)]
fn quick(value: i64) -> i64 {
    value + 1
}

#[task(retries = 1)]
fn second_time(#[ctx] ctx: &huey::Context, value: i64) -> std::result::Result<i64, Retry> {
    if ctx.attempt() == 1 { Err(Retry::after(Duration::ZERO)) } else { Ok(value) }
}

fn of_all(heard: &Heard, ids: &[JobId]) -> Vec<String> {
    ids.iter().map(|id| heard.of(*id)).collect()
}

#[test]
fn each_step_gets_what_the_one_before_it_yields() {
    let (huey, heard, _) = queue();
    let chain =
        add::job(1, 2).then(times::with(10)).then(second_time::with()).then(show::with()).enqueue(&huey).unwrap();
    let ids = chain.ids().to_vec();
    assert_eq!(ids.len(), 4);
    run(&huey);
    assert_eq!(chain.wait(LONG).unwrap(), "30");
    assert_eq!(block_on(&chain).unwrap(), "30");
    assert_eq!(huey.handle::<times>(ids[1]).unwrap().get().unwrap(), Some(30));
    assert_eq!(
        of_all(&heard, &ids),
        [
            "enqueued executing complete",
            "enqueued executing complete",
            "enqueued executing retrying executing complete",
            "enqueued executing complete"
        ]
    );
    let (first, second) = (&ids[0], &ids[1]);
    let order: Vec<_> =
        heard.all().iter().filter(|s| [first, second].contains(&&s.id)).map(|s| s.kind.name()).collect();
    assert_eq!(order.join(" "), "enqueued executing complete enqueued executing complete");
}

#[test]
fn a_job_behind_another_may_ignore_what_that_yields() {
    let (huey, ..) = queue();
    let chain = show::job(7).then(add::job(1, 2)).then(plain::job()).then(quick::job(1)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(chain.get().unwrap(), Some(2));
    assert_eq!(huey.handle::<add>(chain.ids()[1]).unwrap().get().unwrap(), Some(3));
}

#[test]
fn later_steps_await_their_turn_and_can_be_waited_for_from_the_start() {
    let (huey, ..) = queue();
    let chain = add::job(1, 2).then(times::with(10)).enqueue(&huey).unwrap();
    let (first, last) = (chain.ids()[0], chain.ids()[1]);
    assert_eq!((huey.status(first).unwrap(), huey.status(last).unwrap()), (JobState::Queued, JobState::Awaiting));
    assert_eq!(huey.counts().unwrap().queued, 1, "only one step is a job at a time");
    let early = huey.handle::<times>(last).unwrap();
    assert!(huey.handle::<add>(last).unwrap_err().is_bad_input(), "an id of another task is an error");
    assert_eq!(early.get().unwrap(), None);
    let waiter = std::thread::spawn(move || early.wait(LONG));
    run(&huey);
    assert_eq!(waiter.join().unwrap().unwrap(), 30);
    let info = huey.info(last).unwrap().unwrap();
    assert_eq!((info.origin, info.parent()), (Some(Origin::Chain { parent: first }), Some(first)));
}

#[test]
fn a_later_steps_delay_counts_from_the_end_of_the_one_before() {
    let clock = VirtualClock::starting_at(Timestamp::from_micros(1_000_000_000));
    let (huey, heard, _) = queue_with(|builder| builder.clock(clock.clock()));
    let chain = add::job(1, 2).then(times::with(10).delay(Duration::from_mins(1)).priority(3)).enqueue(&huey).unwrap();
    clock.advance(Duration::from_hours(1));
    run(&huey);
    let info = huey.info(chain.id()).unwrap().unwrap();
    assert_eq!((info.state, info.priority), (JobState::Scheduled, 3));
    assert_eq!(info.due, Some(clock.clock().now() + Duration::from_mins(1)));
    assert_eq!(heard.of(chain.id()), "enqueued scheduled");
    clock.advance(Duration::from_mins(1));
    run(&huey);
    assert_eq!(chain.get().unwrap(), Some(30));
}

#[test]
fn every_ending_but_complete_cancels_the_later_steps_with_the_cause() {
    let (huey, heard, _) = queue();
    let check = |ids: &[JobId], first: &str, why: &str| {
        let end = huey.handle::<show>(ids[2]).unwrap().get().unwrap_err();
        assert_eq!(end.ending(), Some(JobState::Canceled), "{end}");
        assert!(end.to_string().contains(why) && end.to_string().contains(&ids[0].to_string()), "{end}");
        assert_eq!(of_all(&heard, ids), [first, "canceled", "canceled"]);
    };
    let tail = |first: huey::Chain<times>| first.then(show::with()).enqueue(&huey).unwrap().ids().to_vec();
    let dead = tail(fails::job(1, "no route".into()).then(times::with(2)));
    let asked = tail(cancels::job(1).then(times::with(2)));
    run(&huey);
    check(&dead, "enqueued executing error dead", "is dead");
    check(&asked, "enqueued executing canceled", "is canceled");
    let by_hand = tail(add::job(1, 2).then(times::with(2)));
    huey.cancel(by_hand[0]).unwrap();
    check(&by_hand, "enqueued canceled", "canceled by a caller");
    huey.revoke::<add>(Revocation::Once).unwrap();
    let revoked = tail(add::job(1, 2).then(times::with(2)));
    let expired = tail(add::job(1, 2).expires(Duration::ZERO).then(times::with(2)));
    run(&huey);
    check(&revoked, "enqueued revoked", "is revoked");
    check(&expired, "enqueued expired", "is expired");
}

#[test]
fn a_waiter_of_a_later_step_hears_of_its_cancel() {
    let (huey, ..) = queue();
    let chain = fails::job(1, "no route".into()).then(times::with(2)).then(show::with()).enqueue(&huey).unwrap();
    let last = chain.last().clone();
    let waiter = std::thread::spawn(move || last.wait(LONG));
    run(&huey);
    assert_eq!(waiter.join().unwrap().unwrap_err().ending(), Some(JobState::Canceled));
}

#[test]
fn a_refused_step_is_rejected_and_the_parents_outcome_stands() {
    let refuse = |builder: HueyBuilder| {
        builder.hook(|request| if request.task() == times::NAME { Err("over quota".into()) } else { Ok(Decision::Go) })
    };
    let (huey, heard, _) = queue_with(refuse);
    let chain = add::job(1, 2).then(times::with(10)).then(show::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(of_all(&heard, chain.ids()), ["enqueued executing complete", "rejected", "canceled"]);
    assert_eq!(huey.handle::<add>(chain.ids()[0]).unwrap().get().unwrap(), Some(3));
    let end = huey.handle::<times>(chain.ids()[1]).unwrap().get().unwrap_err();
    assert_eq!(end.ending(), Some(JobState::Canceled));
    assert!(end.to_string().contains("rejected by") && end.to_string().contains("over quota"), "{end}");
}

#[test]
fn a_step_whose_unique_key_is_held_ends_the_chain() {
    let (huey, heard, _) = queue();
    let holder = alone::job(5).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    let chain = add::job(1, 2).then(alone::with()).then(show::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(of_all(&heard, chain.ids()), ["enqueued executing complete", "canceled", "canceled"]);
    let end = huey.handle::<alone>(chain.ids()[1]).unwrap().get().unwrap_err();
    assert!(end.to_string().contains(&format!("duplicate of {}", holder.id())), "{end}");
    let first = alone::job(1).then(show::with()).enqueue(&huey).unwrap_err();
    assert!(first.is_conflict() && first.to_string().contains(&holder.id().to_string()), "{first}");
}

#[test]
fn hooks_see_each_step_once_and_hear_what_became_of_it() {
    let outcomes: Arc<Mutex<Vec<EnqueueOutcome>>> = Arc::default();
    let heard = Arc::clone(&outcomes);
    let (huey, ..) = queue_with(|builder| {
        builder.hook(move |request| {
            let (task, origin) = (request.task(), request.origin().kind());
            if task == quick::NAME {
                let value = request.args::<quick>().map(|args| args.value);
                assert!(value.is_some(), "the arguments are there, with what the step before yielded");
                request.args_mut::<quick>().unwrap().value += 100;
            }
            request.header("origin", origin);
            // A panic there would be contained, so it is judged below.
            let heard = Arc::clone(&heard);
            request.after_commit(move |outcome| heard.lock().unwrap().push(outcome.clone()));
            Ok(Decision::Go)
        })
    });
    let chain = add::job(1, 2).then(quick::with()).then(quick::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(chain.get().unwrap(), Some(205));
    let origins: Vec<String> =
        chain.ids().iter().map(|id| huey.info(*id).unwrap().unwrap().header("origin").unwrap().to_owned()).collect();
    assert_eq!(origins, ["call", "chain", "chain"]);
    let stored: Vec<_> = chain.ids().iter().map(|id| EnqueueOutcome::Stored(*id)).collect();
    assert_eq!(*outcomes.lock().unwrap(), stored, "each once, in the order of the steps");
}

#[test]
fn a_dead_step_is_followed_by_the_job_that_on_error_names() {
    let (huey, heard, _) = queue();
    let steps = || fails::job(1, "no route".into()).then(times::with(2));
    let chain = steps().on_error(regret::with("Ada".into())).enqueue(&huey).unwrap();
    run(&huey);
    let follow_up = heard.all().into_iter().find(|signal| &*signal.task == regret::NAME).unwrap();
    assert_eq!(follow_up.origin, Origin::ErrorFollowUp { parent: chain.ids()[0] });
    assert_eq!(huey.handle::<regret>(follow_up.id).unwrap().get().unwrap().as_deref(), Some("Ada: no route"));
    let order: Vec<_> = heard.all().iter().map(|signal| signal.kind.name()).collect();
    assert_eq!(order.join(" "), "enqueued executing error dead canceled enqueued executing complete");
    // Once, and for a dead step alone.
    let made = || heard.all().iter().filter(|s| &*s.task == regret::NAME && s.kind == SignalKind::Enqueued).count();
    let _ = fails::job(1, String::new())
        .then(fails::with("late".into()))
        .on_error(regret::with("Bob".into()))
        .enqueue(&huey);
    run(&huey);
    assert_eq!(made(), 2);
    let canceled = cancels::job(1).on_error(regret::with("Eve".into())).enqueue(&huey).unwrap();
    let done = add::job(1, 2).on_error(plain::job()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((made(), canceled.status().unwrap(), done.get().unwrap()), (2, JobState::Canceled, Some(3)));
}

#[test]
fn a_step_at_its_crash_limit_is_followed_up_as_well() {
    let disk = SimDisk::new(9);
    let id = {
        let (storage, _) = inspected(disk.medium(), StorageOptions::default()).unwrap();
        let huey = Huey::builder().crash_limit(1).open(Open(Arc::clone(&storage))).unwrap();
        let chain = add::job(1, 2).then(times::with(2)).on_error(regret::with("Ada".into())).enqueue(&huey).unwrap();
        // An attempt that began, and whose process died.
        storage.begin(0, claim_one(&*storage), Durability::Relaxed).unwrap();
        disk.kill();
        chain.ids()[0]
    };
    let (storage, inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    let heard = Heard::default();
    let huey = heard.listen(Huey::builder().crash_limit(1)).open(Open(storage)).unwrap();
    run(&huey);
    assert_eq!(heard.of(id), "rescued dead");
    assert_eq!(huey.info(id).unwrap().unwrap().attempts, 1);
    let order: Vec<_> = heard.all().iter().map(|signal| signal.kind.name()).collect();
    assert_eq!(order.join(" "), "rescued dead canceled enqueued executing complete");
    inspector.check().unwrap();
}

#[test]
fn a_replay_of_a_dead_step_is_outside_its_chain() {
    let (huey, ..) = queue();
    let chain = fails::job(1, "no route".into()).then(times::with(2)).enqueue(&huey).unwrap();
    run(&huey);
    let replayed = huey.replay(chain.ids()[0]).unwrap();
    assert_eq!(huey.info(replayed).unwrap().unwrap().origin, Some(Origin::Replay { of: chain.ids()[0] }));
    run(&huey);
    assert_eq!(chain.status().unwrap(), JobState::Canceled, "a replay is outside the chain");
}

#[test]
fn a_chain_of_a_thousand_steps_completes() {
    let (huey, ..) = queue();
    let mut chain = add::job(0, 0).then(quick::with());
    for _ in 0..998 {
        chain = chain.then(quick::with());
    }
    let chain = chain.enqueue(&huey).unwrap();
    assert_eq!(chain.ids().len(), 1_000);
    run(&huey);
    assert_eq!(chain.get().unwrap(), Some(999));
}

struct Open(Arc<dyn Storage>);

impl OpenStorage for Open {
    fn open_storage(self, _: StorageOptions) -> Result<Arc<dyn Storage>> {
        Ok(self.0)
    }
}

fn open(disk: &SimDisk, heard: &Heard) -> (Huey, huey::testing::Inspector) {
    let (storage, inspector) = inspected(disk.medium(), StorageOptions::default()).unwrap();
    let builder = heard.listen(Huey::builder().data_arc(Stage::new()).crash_limit(0));
    (builder.open(Open(storage)).unwrap(), inspector)
}

/// Whatever call of the disk fails, the chain goes on in the same process, and each step runs to one end.
#[test]
fn a_chain_goes_on_where_a_write_failed() {
    let mut seen = 0;
    for nth in 0..60 {
        let disk = SimDisk::new(nth);
        let heard = Heard::default();
        let (huey, inspector) = open(&disk, &heard);
        let level = if nth % 3 == 0 { Durability::Relaxed } else { Durability::Synced };
        let steps = add::job(1, 2).durability(level).then(times::with(10)).then(quick::with()).then(show::with());
        let chain = steps.enqueue(&huey).unwrap();
        disk.fault_at(nth % 30, Fault::Fail);
        run(&huey);
        disk.no_fault();
        while huey.counts().is_err() {
            std::thread::yield_now();
        }
        run(&huey);
        let states: Vec<JobState> = chain.ids().iter().map(|id| huey.status(*id).unwrap()).collect();
        if level == Durability::Relaxed && states[0] != JobState::Complete {
            continue;
        }
        seen += 1;
        assert_eq!(states, [JobState::Complete; 4], "call {nth} failed");
        assert_eq!(chain.get().unwrap().as_deref(), Some("31"));
        for id in chain.ids() {
            assert!(heard.of(*id).contains("complete"), "call {nth} failed: {}", heard.of(*id));
        }
        inspector.check().unwrap();
    }
    assert!(seen > 30, "{seen} chains went on");
}

#[test]
fn a_listing_shows_the_step_whose_turn_it_is() {
    let (huey, heard, _) = queue();
    let chain = add::job(1, 2).then(times::with(10)).enqueue(&huey).unwrap();
    let listed: Vec<JobId> = huey.jobs().map(|job| job.unwrap().id).collect();
    assert_eq!(listed, chain.ids()[..1]);
    assert!(heard.find(SignalKind::Enqueued).is_some());
}

#[test]
fn a_task_that_is_unique_may_follow_itself() {
    let (huey, ..) = queue();
    let chain = alone::job(1).then(alone::with()).then(alone::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(chain.get().unwrap(), Some(1), "the step before lets go of the key in the same commit");
}

#[test]
fn purging_or_replaying_a_parked_step_ends_its_chain_and_tells_who_waits() {
    for purged in [true, false] {
        let (storage, _) = inspected(SimDisk::new(3).medium(), StorageOptions::default()).unwrap();
        let heard = Heard::default();
        let huey = heard.listen(Huey::builder()).open(Open(Arc::clone(&storage))).unwrap();
        let chain = add::job(1, 2).then(times::with(10)).enqueue(&huey).unwrap();
        let first = chain.ids()[0];
        // Parked, as by a consumer of a program that does not have the task.
        let settlement =
            Settlement { lease: claim_one(&*storage), verdict: Verdict::Parked { cause: "unknown".into() } };
        storage.commit(Transition::Settle(vec![settlement]), Commit::default()).unwrap();
        assert_eq!(huey.status(first).unwrap(), JobState::Parked);
        assert_eq!(chain.status().unwrap(), JobState::Awaiting, "a parked step is no ending");
        let last = chain.last().clone();
        let waiter = std::thread::spawn(move || last.wait(LONG));
        if purged {
            assert!(huey.purge(first).unwrap());
        } else {
            huey.replay(first).unwrap();
        }
        assert_eq!(waiter.join().unwrap().unwrap_err().ending(), Some(JobState::Canceled));
        assert_eq!(heard.of(chain.id()), "canceled");
        assert_eq!(chain.status().unwrap(), JobState::Canceled);
    }
}
