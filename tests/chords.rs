//! Groups, jobs side by side, and chords: what follows all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "support/steps.rs"]
mod steps;
mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::store::{Commit, OpenStorage, Settlement, Storage, StorageOptions, Transition, Verdict};
use huey::testing::{Fault, SimDisk, inspected};
use huey::{
    Chain, Decision, EnqueueOutcome, Group, Huey, JobId, JobState, Origin, Result, Revocation, SignalKind, TaskError,
    as_completed, group, task,
};
use steps::{add, alone, cancels, fails, plain, regret, times};
use support::{Heard, LONG, Stage, block_on, claim_one, queue, queue_with, run};

#[task]
async fn twice(value: i64) -> i64 {
    std::future::ready(value * 2).await
}

#[task]
fn sum(values: Vec<i64>, start: i64) -> i64 {
    values.iter().sum::<i64>() + start
}

#[task]
fn list(values: Vec<i64>) -> String {
    format!("{values:?}")
}

#[task(durability = relaxed)]
fn quick(value: i64) -> i64 {
    value
}

#[task]
fn settled(values: Vec<std::result::Result<i64, TaskError>>) -> Vec<String> {
    let show = |value: std::result::Result<i64, TaskError>| match value {
        Ok(value) => value.to_string(),
        Err(error) => error.message,
    };
    values.into_iter().map(show).collect()
}

#[test]
fn a_group_keeps_its_handles_in_the_order_of_declaration() {
    let (huey, heard, _) = queue();
    let handles = group((0..5).map(|number| add::job(number, 10))).enqueue(&huey).unwrap();
    let mixed = Group::new().with(add::job(1, 2)).with(twice::job(4)).with(add::job(1, 1).then(times::with(5)));
    let mixed = mixed.enqueue(&huey).unwrap();
    let none = group(Vec::<huey::Job<add>>::new()).enqueue(&huey).unwrap();
    assert_eq!(
        huey.status(mixed[2].id()).unwrap(),
        JobState::Awaiting,
        "a member that is a chain ends with its last step"
    );
    run(&huey);
    assert_eq!(handles.wait(LONG).unwrap(), [10, 11, 12, 13, 14]);
    assert_eq!(block_on(mixed.clone()).unwrap(), [3, 8, 10]);
    assert!(none.is_empty() && none.wait(LONG).unwrap().is_empty());
    let origins: BTreeSet<_> = handles.iter().map(|one| one.info().unwrap().unwrap().origin.unwrap().kind()).collect();
    assert_eq!(origins, BTreeSet::from(["group member"]));
    assert_eq!(as_completed(handles).map(|(_, result)| result.unwrap()).sum::<i64>(), 60);
    assert_eq!(heard.of(mixed[1].id()), "enqueued executing complete");
}

#[test]
fn a_group_is_stored_whole_or_not_at_all() {
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(|request| match request.args::<add>() {
            Some(args) if args.a == 3 => Err("no threes".into()),
            _ => Ok(Decision::Go),
        })
    });
    let refused = group((0..5).map(|number| add::job(number, 10))).enqueue(&huey).unwrap_err();
    assert!(refused.is_refused() && refused.to_string().contains("member 3 of the group"), "{refused}");
    let refused = group((0..5).map(|number| add::job(number, 10))).then(sum::with(0)).enqueue(&huey).unwrap_err();
    assert!(refused.is_refused() && refused.to_string().contains("member 3 of the group"), "{refused}");
    assert_eq!((huey.counts().unwrap().queued, heard.list().as_str()), (0, "rejected rejected"));
}

#[test]
fn a_member_whose_key_is_held_is_answered_with_the_holder_unless_something_follows() {
    let (huey, ..) = queue();
    let holder = alone::job(1).delay(Duration::from_hours(1)).enqueue(&huey).unwrap();
    let handles = Group::new().with(add::job(1, 2)).with(alone::job(2)).enqueue(&huey).unwrap();
    assert_eq!((handles[1].id(), handles[1].is_new(), handles[0].is_new()), (holder.id(), false, true));
    let refused = Group::new().with(add::job(1, 2)).with(alone::job(2)).then(sum::with(0)).enqueue(&huey).unwrap_err();
    assert!(refused.is_conflict() && refused.to_string().contains(&holder.id().to_string()), "{refused}");
    assert_eq!(huey.counts_of::<add>().unwrap().queued, 1, "nothing of it was stored");
    holder.cancel().unwrap();
    let twins = group([alone::job(1), alone::job(2)]).then(sum::with(0)).enqueue(&huey).unwrap_err();
    assert!(twins.is_conflict(), "{twins}");
}

#[test]
fn a_chords_callback_takes_what_its_members_yield_in_the_order_of_declaration() {
    let (huey, heard, _) = queue();
    let members = Group::new()
        .with(add::job(1, 2).priority(-5))
        .with(twice::job(4))
        .with(add::job(1, 1).then(times::with(5)).then(times::with(2)));
    let chord = members.then(list::with()).enqueue(&huey).unwrap();
    assert_eq!((chord.ids().len(), chord.members().len()), (6, 3));
    assert_eq!(chord.status().unwrap(), JobState::Awaiting);
    assert_eq!(huey.handle::<list>(chord.id()).unwrap().id(), *chord.ids().last().unwrap());
    run(&huey);
    assert_eq!(chord.get().unwrap().as_deref(), Some("[3, 8, 20]"));
    assert_eq!(huey.info(chord.id()).unwrap().unwrap().origin, Some(Origin::ChordCallback));
    assert_eq!(heard.of(chord.id()), "enqueued executing complete");
    assert_eq!(huey.jobs().collect::<Result<Vec<_>>>().unwrap().len(), 6, "the chord itself is no job of anybody's");
    let counts = huey.counts().unwrap();
    assert_eq!((counts.queued, counts.scheduled, counts.running), (0, 0, 0));
}

#[test]
fn the_signals_of_a_chord_of_two() {
    let (huey, heard, _) = queue();
    let two = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(100)).then(times::with(2));
    let chord = two.enqueue(&huey).unwrap();
    assert_eq!(heard.list(), "enqueued enqueued");
    run(&huey);
    assert_eq!(chord.get().unwrap(), Some(220));
    for id in chord.ids() {
        assert_eq!(heard.of(*id), "enqueued executing complete");
    }
    // The settle of a synced job waits for the disk while the worker goes on, so that two members may overlap.
    let all = heard.all();
    let at = |id: JobId, kind: SignalKind| all.iter().position(|one| one.id == id && one.kind == kind).unwrap();
    let callback = at(chord.ids()[2], SignalKind::Enqueued);
    assert!(chord.members().iter().all(|member| at(*member, SignalKind::Complete) < callback));
    assert!(at(chord.ids()[2], SignalKind::Complete) < at(chord.ids()[3], SignalKind::Enqueued));
}

#[test]
fn a_callback_may_ignore_what_the_members_yield_and_an_empty_group_is_complete_at_once() {
    let (huey, heard, _) = queue();
    let ignoring = group([add::job(1, 2), add::job(3, 4)]).then(plain::job()).enqueue(&huey).unwrap();
    let empty = group(Vec::<huey::Job<add>>::new()).then(sum::with(7)).then(times::with(2)).enqueue(&huey).unwrap();
    let settled_empty = group(Vec::<huey::Job<add>>::new()).then_settled(settled::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((ignoring.get().unwrap(), empty.get().unwrap()), (Some(()), Some(14)));
    assert_eq!(settled_empty.get().unwrap(), Some(Vec::new()));
    assert_eq!(heard.of(empty.ids()[0]), "enqueued executing complete");
    let nested = Group::new().with(group(Vec::<huey::Job<add>>::new()).then(sum::with(7))).with(add::job(1, 1));
    let nested = nested.then(sum::with(0)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(nested.get().unwrap(), Some(9));
}

#[test]
fn a_member_that_ends_otherwise_than_complete_cancels_the_callback_with_the_cause() {
    let (huey, heard, _) = queue();
    let dead = Group::new().with(add::job(1, 2)).with(fails::job(1, "no route".into())).with(add::job(5, 6));
    let dead = dead.then(sum::with(0)).then(times::with(2)).enqueue(&huey).unwrap();
    let inside = Group::new().with(fails::job(1, "no route".into()).then(times::with(1))).with(add::job(1, 2));
    let inside = inside.then(sum::with(0)).enqueue(&huey).unwrap();
    let asked = group([cancels::job(1), cancels::job(2)]).then(sum::with(0)).enqueue(&huey).unwrap();
    run(&huey);
    for (chord, why) in [(&dead, "member 1"), (&inside, "member 0"), (&asked, "member 0")] {
        let end = chord.get().unwrap_err();
        assert_eq!(end.ending(), Some(JobState::Canceled), "{end}");
        assert!(end.to_string().contains(why), "{end}");
    }
    assert_eq!(dead.ids()[3..].iter().map(|id| heard.of(*id)).collect::<Vec<_>>(), ["canceled", "canceled"]);
    assert_eq!(huey.handle::<add>(dead.members()[2]).unwrap().get().unwrap(), Some(11), "the others run on");
    // By hand, revoked, expired: also while nobody settles anything.
    let by_hand = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(0)).enqueue(&huey).unwrap();
    huey.cancel(by_hand.members()[1]).unwrap();
    huey.revoke::<add>(Revocation::Once).unwrap();
    let revoked = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(0)).enqueue(&huey).unwrap();
    let late = group([twice::job(1).expires(Duration::ZERO), twice::job(2)]).then(sum::with(0)).enqueue(&huey).unwrap();
    run(&huey);
    for (chord, why) in [(by_hand, "canceled by a caller"), (late, "is expired")] {
        let end = chord.get().unwrap_err();
        assert!(end.ending() == Some(JobState::Canceled) && end.to_string().contains(why), "{end}");
    }
    // The mark was used up by the first `add` that was picked up: one of the chord before.
    assert_eq!(revoked.get().unwrap(), Some(10));
}

#[test]
fn a_settled_callback_runs_whatever_became_of_the_members() {
    let (huey, ..) = queue();
    let members = Group::new()
        .with(add::job(1, 2))
        .with(fails::job(1, "no route".into()))
        .with(cancels::job(1))
        .with(add::job(1, 2).expires(Duration::ZERO))
        .with(fails::job(1, "early".into()).then(times::with(2)));
    let chord = members.then_settled(settled::with()).enqueue(&huey).unwrap();
    run(&huey);
    let got = chord.get().unwrap().unwrap();
    assert_eq!((got[0].as_str(), got[1].as_str(), got[4].as_str()), ("3", "no route", "early"));
    assert!(got[2].contains("is canceled") && got[3].contains("is expired"), "{got:?}");
}

#[test]
fn on_error_of_a_chord_runs_once_for_a_dead_member_or_a_dead_step() {
    let (huey, heard, _) = queue();
    let made = || heard.all().iter().filter(|s| &*s.task == regret::NAME && s.kind == SignalKind::Enqueued).count();
    let both = group([fails::job(1, "one".into()), fails::job(2, "two".into())]);
    let both = both.then(sum::with(0)).on_error(regret::with("Ada".into())).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!((made(), both.status().unwrap()), (1, JobState::Canceled));
    let follow_up = heard.all().into_iter().find(|signal| &*signal.task == regret::NAME).unwrap();
    assert_eq!(follow_up.origin.kind(), "error follow-up");
    assert_eq!(huey.handle::<regret>(follow_up.id).unwrap().get().unwrap().as_deref(), Some("Ada: one"));
    let callback = group([add::job(1, 2)]).then(plain::job()).then(fails::job(1, "late".into()));
    let _ = callback.on_error(regret::with("Bob".into())).enqueue(&huey).unwrap();
    let canceled = group([cancels::job(1)]).then(sum::with(0)).on_error(regret::with("Eve".into())).enqueue(&huey);
    run(&huey);
    assert_eq!((made(), canceled.unwrap().status().unwrap()), (2, JobState::Canceled));
    // An inner flow that fails fails the outer one, and each tells its own.
    let inner = group([fails::job(1, "deep".into())]).then(sum::with(0)).on_error(regret::with("inner".into()));
    let outer = Group::new().with(inner).then(sum::with(0)).on_error(regret::with("outer".into()));
    outer.enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(made(), 4);
}

#[test]
fn chords_stand_in_chords_to_a_depth_of_64() {
    let (huey, ..) = queue();
    let nest = |depth: usize| {
        let mut chain: Chain<sum> = group([add::job(1, 0), add::job(2, 0)]).then(sum::with(0));
        for _ in 1..depth {
            chain = Group::new().with(chain).with(add::job(1, 0)).then(sum::with(0));
        }
        chain
    };
    let deep = nest(64).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(deep.get().unwrap(), Some(66));
    for depth in [65, 100_000] {
        let error = nest(depth).enqueue(&huey).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("64 deep"), "{error}");
    }
}

#[test]
fn hooks_see_members_and_callbacks_with_their_origin_and_may_refuse_a_callback() {
    let origins: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let outcomes: Arc<Mutex<Vec<EnqueueOutcome>>> = Arc::default();
    let (seen, told) = (Arc::clone(&origins), Arc::clone(&outcomes));
    let (huey, heard, _) = queue_with(|builder| {
        builder.hook(move |request| {
            let name = request.task().rsplit("::").next().unwrap_or_default().to_owned();
            seen.lock().unwrap().push((name, request.origin().kind().to_owned()));
            if let Some(args) = request.args_mut::<sum>() {
                args.values.push(1000);
                let told = Arc::clone(&told);
                request.after_commit(move |outcome| told.lock().unwrap().push(outcome.clone()));
            }
            match request.args::<list>() {
                Some(args) => Err(format!("not {:?}", args.values).into()),
                None => Ok(Decision::Go),
            }
        })
    });
    let chord = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(0)).then(times::with(2)).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(chord.get().unwrap(), Some(2020));
    let seen: Vec<_> = origins.lock().unwrap().iter().map(|(name, origin)| format!("{name} {origin}")).collect();
    assert_eq!(seen, ["add group member", "add group member", "sum chord callback", "times chain"]);
    assert_eq!(*outcomes.lock().unwrap(), [EnqueueOutcome::Stored(chord.ids()[2])]);
    let refused = group([add::job(1, 2)]).then(list::with()).then(plain::job()).enqueue(&huey).unwrap();
    run(&huey);
    let ids = refused.ids();
    assert_eq!((heard.of(ids[1]).as_str(), heard.of(ids[2]).as_str()), ("rejected", "canceled"));
    let end = huey.handle::<list>(ids[1]).unwrap().get().unwrap_err();
    assert!(end.ending() == Some(JobState::Canceled) && end.to_string().contains("not [3]"), "{end}");
    assert_eq!(huey.handle::<add>(ids[0]).unwrap().get().unwrap(), Some(3), "the member's outcome is not harmed");
}

#[test]
fn a_step_can_be_canceled_before_its_turn_has_come() {
    let (huey, heard, _) = queue();
    let chain = add::job(1, 2).then(times::with(2)).then(times::with(3)).then(times::with(4)).enqueue(&huey).unwrap();
    let ids = chain.ids().to_vec();
    assert_eq!(huey.cancel(ids[2]).unwrap(), JobState::Canceled);
    assert_eq!(ids.iter().map(|id| heard.of(*id)).collect::<Vec<_>>(), ["enqueued", "", "canceled", "canceled"]);
    run(&huey);
    assert_eq!(huey.handle::<times>(ids[1]).unwrap().get().unwrap(), Some(6), "the steps before it run");
    assert_eq!(heard.of(ids[2]), "canceled");
    let chord = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(0)).then(times::with(2)).enqueue(&huey).unwrap();
    chord.cancel().unwrap();
    run(&huey);
    assert_eq!(huey.handle::<sum>(chord.ids()[2]).unwrap().get().unwrap(), Some(10));
    let member = Group::new().with(add::job(1, 2).then(times::with(2))).with(add::job(3, 4));
    let member = member.then(sum::with(0)).enqueue(&huey).unwrap();
    huey.cancel(member.members()[0]).unwrap();
    run(&huey);
    let end = member.get().unwrap_err();
    assert!(end.to_string().contains("member 0"), "{end}");
}

#[test]
fn a_member_that_is_moved_keeps_its_place_and_a_parked_one_is_no_ending() {
    let (storage, _) = inspected(SimDisk::new(3).medium(), StorageOptions::default()).unwrap();
    let huey = Huey::builder().open(Open(Arc::clone(&storage))).unwrap();
    let members = [add::job(1, 2).delay(Duration::from_hours(1)), add::job(3, 4)];
    let chord = group(members).then(list::with()).enqueue(&huey).unwrap();
    // Parked, as by a consumer of a program that does not have the task.
    let settlement = Settlement { lease: claim_one(&*storage), verdict: Verdict::Parked { cause: "unknown".into() } };
    storage.commit(Transition::Settle(vec![settlement]), Commit::default()).unwrap();
    assert_eq!(huey.status(chord.members()[1]).unwrap(), JobState::Parked);
    // This program has it.
    run(&huey);
    assert_eq!(huey.status(chord.members()[1]).unwrap(), JobState::Complete);
    assert_eq!(chord.status().unwrap(), JobState::Awaiting);
    huey.reschedule(chord.members()[0], huey::Timestamp::default()).unwrap();
    run(&huey);
    assert_eq!(chord.get().unwrap().as_deref(), Some("[3, 7]"));
}

#[task(retention = "1h")]
fn kept_list(values: Vec<i64>) -> String {
    format!("{values:?}")
}

#[test]
fn what_members_yielded_is_there_though_no_result_is_kept() {
    let (huey, ..) = queue_with(|builder| builder.retention(Duration::ZERO));
    let chord = group((0..40).map(|number| add::job(number, 1))).then(kept_list::with()).enqueue(&huey).unwrap();
    run(&huey);
    assert_eq!(huey.status(chord.members()[0]).unwrap(), JobState::Gone);
    let all: Vec<i64> = (1..=40).collect();
    assert_eq!(chord.get().unwrap(), Some(format!("{all:?}")));
}

#[test]
fn a_chord_of_ten_thousand_completes_once() {
    let (huey, heard, _) = queue();
    let chord = group((0..10_000).map(quick::job)).then(sum::with(0)).enqueue(&huey).unwrap();
    huey.consumer().workers(4).run_until_idle().unwrap();
    assert_eq!(chord.get().unwrap(), Some(49_995_000));
    assert_eq!(heard.of(chord.id()), "enqueued executing complete");
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

fn nested() -> Chain<times> {
    let inner = group([add::job(1, 2), add::job(3, 4)]).then(sum::with(0)).then(times::with(10));
    Group::new().with(inner).with(quick::job(7)).then(sum::with(1000)).then(times::with(2))
}

/// Whatever call of the disk fails, the flow goes on in the same process, and every job of it runs to one end.
#[test]
fn a_chord_goes_on_where_a_write_failed() {
    for nth in 0..60 {
        let disk = SimDisk::new(nth);
        let heard = Heard::default();
        let (huey, inspector) = open(&disk, &heard);
        let chord = nested().enqueue(&huey).unwrap();
        disk.fault_at(nth, Fault::Fail);
        run(&huey);
        disk.no_fault();
        while huey.counts().is_err() {
            std::thread::yield_now();
        }
        run(&huey);
        // A relaxed member may be run again, but each job comes to one end.
        assert_eq!(chord.wait(LONG).unwrap(), 2 * 1107, "call {nth} failed");
        for id in chord.ids() {
            assert!(heard.of(*id).contains("complete"), "call {nth} failed: {}", heard.of(*id));
        }
        inspector.check().unwrap();
    }
}
