//! Jobs that are handed, as they are stored, to somebody who waits for one.

use super::*;
use crate::machine::{self, Effect, Phase};
use crate::store::{Claimed, Flow, Lease, Limit, LimitKind, Next, OnWork, Revocation, UniqueKey};
use crate::task::{OnConflict, Scope};
use crate::testing::{Fault, Sleeper};

/// What becomes of an enqueue while somebody waits: whether that one was asked for, and what he was handed.
fn while_one_waits(bench: &mut Bench, transition: Transition, how: Commit) -> (bool, Option<Claimed>) {
    let sleeper = Sleeper::default();
    sleeper.sleep();
    let asked = std::cell::Cell::new(false);
    let promise = |queue: &str, task: &str| {
        assert_eq!((queue, task), ("default", "send"));
        asked.set(true);
        sleeper.promise(queue, task)
    };
    let mut answer = None;
    bench.core.serve(transition, how, NOW, &mut answer, &promise).unwrap();
    if let Some(handed) = answer.unwrap().unwrap().handed {
        handed.over();
    }
    bench.check();
    (asked.get(), sleeper.wake())
}

/// One whose names are known, and nothing else.
fn bench() -> Bench {
    let mut bench = Bench::new();
    let first = bench.enqueue(10);
    let [_, claimed] = bench.serve([first, claim()]);
    bench.serve([complete(&claimed)]);
    drop(bench.core.take_stir());
    bench
}

#[test]
fn who_waits_is_handed_a_job_as_it_is_stored_and_nobody_is_told_of_it() {
    for bytes in [10, 30_000] {
        let mut bench = bench();
        let enqueue = bench.enqueue(bytes);
        let (_, handed) = while_one_waits(&mut bench, enqueue, RELAXED);
        let job = handed.unwrap();
        assert_eq!((job.attempt, job.body.args.len(), &*job.body.head), (1, bytes, &[1][..]));
        assert!(bench.core.take_stir().work.is_none(), "there is nothing to claim");
        let [none] = bench.serve([claim()]);
        assert!(matches!(none, Outcome::Claimed { claimed, .. } if claimed.is_empty()));
        let verdict = Verdict::Complete { output: vec![].into(), signature: 0, keep: Duration::ZERO, next: None };
        let [settled] = bench.serve([Transition::Settle(vec![Settlement { lease: job.lease, verdict }])]);
        assert!(matches!(&settled, Outcome::Settled(all) if all.len() == 1 && all[0].is_some()), "{settled:?}");
    }
}

#[test]
fn what_was_handed_over_and_not_begun_comes_back_as_if_it_had_not_been() {
    let mut bench = bench();
    let enqueue = bench.enqueue(10);
    let job = while_one_waits(&mut bench, enqueue, RELAXED).1.unwrap();
    bench.core.sync().unwrap();
    drop(bench.core);
    bench.core = Core::open(&bench.disk.medium(), &StorageOptions::default(), &Arc::default(), None).unwrap();
    let [again] = bench.serve([claim()]);
    let Outcome::Claimed { claimed, .. } = again else { panic!("a claim gave {again:?}") };
    let [again] = &claimed[..] else { panic!("claimed {claimed:?}") };
    assert_eq!((again.lease.id, again.attempt, again.crashes), (job.lease.id, 1, 0));
    assert!(again.lease.claim > job.lease.claim);
}

/// What is done before a job comes.
type Before = fn(&mut Bench);
/// How that job differs from one that is handed over.
type Change = fn(&mut NewJob);

#[test]
fn a_job_is_handed_over_only_where_a_claim_would_start_it_and_no_other() {
    let nothing: Before = |_| ();
    let as_it_is: Change = |_| ();
    let held = Commit { hold: true, ..RELAXED };
    let synced = Commit { durability: Durability::Synced, ..RELAXED };
    let cases: &[(&str, Before, Change, Commit)] = &[
        ("held for what is to be announced first", nothing, as_it_is, held),
        ("not on the disk yet", nothing, as_it_is, synced),
        ("due later", nothing, |job| job.run_at = NOW + Duration::from_secs(1), RELAXED),
        ("expired", nothing, |job| job.expires = Some(Timestamp::from_micros(NOW.as_micros() - 1)), RELAXED),
        ("not to start before its claim is on the disk", nothing, |job| job.at_most_once = true, RELAXED),
        (
            "bound by a limit",
            nothing,
            |job| job.limits = vec![Limit { key: vec![1].into(), kind: LimitKind::Lock }],
            RELAXED,
        ),
        (
            "in a queue that is paused",
            |bench| {
                bench.serve([Transition::Pause { queue: "default".into(), paused: true }]);
            },
            as_it_is,
            RELAXED,
        ),
        (
            "of a task that is revoked",
            |bench| {
                bench.serve([Transition::Revoke { task: "send".into(), mark: Some(Revocation::Always) }]);
            },
            as_it_is,
            RELAXED,
        ),
        (
            "behind another",
            |bench| {
                let other = bench.enqueue(10);
                bench.serve([other]);
            },
            as_it_is,
            RELAXED,
        ),
        (
            "before another, which is for whoever looks next",
            |bench| {
                let other = bench.enqueue(10);
                bench.serve([other]);
            },
            |job| job.priority = 9,
            RELAXED,
        ),
        ("beside a suspect", |bench| suspect(bench, Phase::Running), as_it_is, RELAXED),
        ("with a suspect that is due later", |bench| suspect(bench, Phase::Waiting), as_it_is, RELAXED),
        ("of a name that is new", nothing, |job| job.task = "new".into(), RELAXED),
    ];
    for (case, before, change, how) in cases {
        let mut bench = bench();
        before(&mut bench);
        let Transition::Enqueue { mut jobs, .. } = bench.enqueue(10) else { panic!("no job") };
        change(&mut jobs[0]);
        let came_to = while_one_waits(&mut bench, Transition::enqueue(jobs), *how);
        assert_eq!(came_to, (false, None), "{case}");
    }
}

/// A job that is one crash short of its limit.
fn suspect(bench: &mut Bench, phase: Phase) {
    let enqueue = bench.enqueue(10);
    bench.serve([enqueue, claim()]);
    let work = bench.core.state().all_work().next().unwrap();
    let at = NOW + Duration::from_secs(u64::from(phase == Phase::Waiting));
    let work = WorkItem { crashes: 2, crash_limit: 3, phase, at, ..work.item };
    bench.core.load(Item::Work(work)).unwrap();
}

#[test]
fn no_job_is_handed_over_before_the_end_of_a_suspect_is_on_the_disk() {
    let mut bench = bench();
    suspect(&mut bench, Phase::Running);
    let work = bench.core.state().all_work().next().unwrap();
    let lease = Lease { id: work.item.id(bench.salt), claim: work.item.claim };
    let verdict = Verdict::Complete { output: vec![].into(), signature: 0, keep: Duration::ZERO, next: None };
    let synced = Commit { durability: Durability::Synced, ..RELAXED };
    let held = served(&mut bench.core, Transition::Settle(vec![Settlement { lease, verdict }]), synced).held;
    assert!(bench.core.state().suspects.is_empty());
    let enqueue = bench.enqueue(10);
    assert_eq!(while_one_waits(&mut bench, enqueue, RELAXED), (false, None));
    bench.core.sync().unwrap();
    bench.core.show(&held);
    bench.serve([claim()]);
    let enqueue = bench.enqueue(10);
    assert!(while_one_waits(&mut bench, enqueue, RELAXED).0);
}

#[test]
fn jobs_that_come_together_or_again_are_not_handed_over() {
    let mut bench = bench();
    let (Transition::Enqueue { mut jobs, .. }, Transition::Enqueue { jobs: second, .. }) =
        (bench.enqueue(10), bench.enqueue(10))
    else {
        panic!("no jobs");
    };
    jobs.extend(second);
    let twice = Transition::enqueue(jobs);
    assert_eq!(while_one_waits(&mut bench, twice.clone(), RELAXED), (false, None));
    assert_eq!(while_one_waits(&mut bench, twice, RELAXED), (false, None));
    let [claimed] = bench.serve([claim()]);
    assert!(matches!(claimed, Outcome::Claimed { claimed, .. } if claimed.len() == 2));
}

#[test]
fn what_waits_in_another_queue_or_is_replaced_holds_up_no_job() {
    let mut bench = bench();
    let unique = UniqueKey {
        key: vec![1].into(),
        scope: Scope::Pending,
        on_conflict: OnConflict::Replace,
        keep: Duration::from_secs(9),
    };
    let changes: [Change; 2] = [|job| job.queue = "other".into(), |job| job.run_at = NOW + Duration::from_secs(1)];
    for change in changes {
        let Transition::Enqueue { mut jobs, .. } = bench.enqueue(10) else { panic!("no job") };
        change(&mut jobs[0]);
        jobs[0].unique = (&*jobs[0].queue == "default").then(|| unique.clone());
        bench.serve([Transition::enqueue(jobs)]);
    }
    let Transition::Enqueue { mut jobs, .. } = bench.enqueue(20) else { panic!("no job") };
    jobs[0].unique = Some(unique);
    let id = jobs[0].id;
    let job = while_one_waits(&mut bench, Transition::enqueue(jobs), RELAXED).1.unwrap();
    assert_eq!((job.lease.id, job.body.args.len()), (id, 20));
    let left: Vec<_> = bench.core.state().all_work().map(|work| work.item.phase).collect();
    assert_eq!(left, [Phase::Waiting, Phase::Running], "the other queue's and this one");
}

/// Its worker looks for more at once, and need not wait for another to wake.
#[test]
fn the_next_step_of_a_chain_is_left_to_who_ran_the_one_before() {
    let mut bench = bench();
    let (Transition::Enqueue { mut jobs, .. }, Transition::Enqueue { jobs: mut next, .. }) =
        (bench.enqueue(10), bench.enqueue(10))
    else {
        panic!("no jobs");
    };
    let flow = Flow { keep: Duration::from_secs(9), ..Flow::default() };
    jobs[0].flow = Some(Flow { tasks: vec!["send".into()], ..flow.clone() });
    next[0].flow = Some(flow);
    let job = while_one_waits(&mut bench, Transition::enqueue(jobs), RELAXED).1.unwrap();
    let next = next.pop().map(|job| Next::Job(Box::new(job)));
    let verdict = Verdict::Complete { output: vec![].into(), signature: 0, keep: Duration::ZERO, next };
    let settle = Transition::Settle(vec![Settlement { lease: job.lease, verdict }]);
    assert_eq!(while_one_waits(&mut bench, settle, RELAXED), (false, None));
    assert!(bench.core.take_stir().work.is_some(), "it is told of");
}

#[test]
fn only_work_that_waits_and_comes_with_its_body_is_handed_over() {
    let mut bench = bench();
    let enqueue = bench.enqueue(10);
    bench.serve([enqueue]);
    let waiting = bench.core.state().all_work().next().unwrap().item;
    let [claimed] = bench.serve([claim()]);
    bench.serve([complete(&claimed)]);
    let is_sole = |work: WorkItem, body: u64| {
        let mut effects = [Effect::Put(Item::Body(body, Body::default())), Effect::Put(Item::Work(work))];
        machine::sole(bench.core.state(), &mut effects, NOW).is_some()
    };
    assert!(is_sole(waiting, waiting.counter));
    assert!(!is_sole(waiting, waiting.counter + 1), "the body is that of another");
    assert!(!is_sole(WorkItem { phase: Phase::Awaiting, ..waiting }, waiting.counter), "its time has not come");
}

#[test]
fn who_was_promised_a_job_that_the_log_did_not_take_is_handed_nothing() {
    let disk = SimDisk::new(5);
    let storage = engine(disk.medium(), StorageOptions::default()).unwrap();
    let Outcome::Reserved { first, salt } = storage.commit(Transition::Reserve { count: 9 }, RELAXED).unwrap() else {
        panic!("no counters");
    };
    let job = |counter, bytes| NewJob {
        body: Body { args: vec![2; bytes].into(), ..Body::default() },
        ..new_job(job_id(storage.clock().now(), counter, salt))
    };
    storage.commit(Transition::enqueue(vec![job(first, 1)]), RELAXED).unwrap();
    storage.commit(claim(), RELAXED).unwrap();
    let sleeper = Sleeper::of(&*storage);
    sleeper.sleep();
    disk.fault_at(0, Fault::Fail);
    // So large that it goes to the log at once.
    let failed = storage.commit(Transition::enqueue(vec![job(first + 1, 100_000)]), RELAXED);
    assert!(matches!(failed, Err(StorageError::Unknown(_))), "{failed:?}");
    assert_eq!(sleeper.wake(), None);
    disk.no_fault();
    storage.close().unwrap();
}
