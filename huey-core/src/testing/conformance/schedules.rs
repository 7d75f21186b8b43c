//! Schedules: each tick is decided once, with its jobs or without.

use std::time::Duration;

use super::kit::{Kit, SYNCED, complete, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{Answer, NewJob, Outcome, Placed, Plan, Query, ScheduleRow, Tick, Ticked, Transition};
use crate::task::Overlap;
use crate::time::Timestamp;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a tick is decided once, by whoever finds the schedule where it saw it", run: once },
    Check { name: "a tick's decision can be repeated, whatever others decided since", run: repeated },
    Check { name: "the jobs of a tick are stored with its decision, or none is", run: together },
    Check { name: "active jobs of the task stand in the way of a tick as its overlap says", run: overlap },
    Check { name: "choices for a schedule are made by whoever saw the last ones", run: choices },
    Check { name: "schedules survive their storage being opened again", run: again },
];

const NAME: &str = "nightly";

fn rows(kit: &Kit<'_>) -> Vec<ScheduleRow> {
    match kit.read(Query::Schedules) {
        Answer::Schedules(rows) => rows,
        other => panic!("the schedules are {other:?}"),
    }
}

fn row(kit: &Kit<'_>) -> ScheduleRow {
    rows(kit).into_iter().find(|row| row.name == NAME).expect("the schedule is there")
}

fn plan(kit: &Kit<'_>, seen: u64, choices: Option<&[u8]>, from: Option<Timestamp>) -> bool {
    let choices = choices.map(|bytes| bytes.to_vec().into());
    let plan = Plan { schedule: NAME.into(), seen, choices, from };
    match kit.commit(Transition::Plan(plan), SYNCED) {
        Outcome::Planned(planned) => planned,
        other => panic!("a plan gave {other:?}"),
    }
}

/// A store with a schedule whose ticks count from now.
fn planned(subject: &dyn Subject) -> Kit<'_> {
    let kit = Kit::new(subject);
    plan(&kit, 0, Some(b"choices"), Some(kit.now()));
    kit
}

fn tick(kit: &Kit<'_>, by: u64, seen: Timestamp, upto: Timestamp, jobs: Vec<NewJob>) -> Tick {
    let (schedule, task) = (NAME.into(), "send".into());
    Tick {
        schedule,
        by,
        id: kit.id(),
        seen,
        upto,
        newest: Some(upto),
        tasks: vec![task],
        overlap: Overlap::Allow,
        jobs,
    }
}

fn commit(kit: &Kit<'_>, tick: &Tick) -> Ticked {
    match kit.commit(Transition::Tick(tick.clone()), SYNCED) {
        Outcome::Ticked(ticked) => ticked,
        other => panic!("a tick gave {other:?}"),
    }
}

fn minutes(many: u64) -> Duration {
    Duration::from_mins(many)
}

fn once(subject: &dyn Subject) {
    let kit = planned(subject);
    let start = row(&kit).upto;
    let (one, two) = (kit.job(), kit.job());
    let (first, second) = (one.id, two.id);
    let ours = tick(&kit, 1, start, start + minutes(1), vec![one]);
    let theirs = tick(&kit, 2, start, start + minutes(1), vec![two]);
    assert_eq!(commit(&kit, &ours), Ticked::Decided(vec![Placed::New]));
    assert_eq!(commit(&kit, &theirs), Ticked::Overtaken);
    let late = tick(&kit, 2, start, start + minutes(2), Vec::new());
    assert_eq!(commit(&kit, &late), Ticked::Overtaken, "it saw less than was decided");
    assert_eq!((row(&kit).upto, row(&kit).newest), (start + minutes(1), Some(start + minutes(1))));
    assert_eq!(kit.state(first), JobState::Queued);
    assert!(kit.find(second).is_err());
    let none = Tick { schedule: "no such schedule".into(), ..tick(&kit, 1, start, start + minutes(1), Vec::new()) };
    assert_eq!(commit(&kit, &none), Ticked::Overtaken);
}

fn repeated(subject: &dyn Subject) {
    let kit = planned(subject);
    let start = row(&kit).upto;
    let job = kit.job();
    let id: JobId = job.id;
    let stored = tick(&kit, 1, start, start + minutes(1), vec![job]);
    let skipped = tick(&kit, 2, start + minutes(1), start + minutes(2), Vec::new());
    let kept_out =
        Tick { overlap: Overlap::Skip, ..tick(&kit, 3, start + minutes(2), start + minutes(3), vec![kit.job()]) };
    for _ in 0..2 {
        assert_eq!(commit(&kit, &stored), Ticked::Decided(vec![Placed::New]));
        assert_eq!(commit(&kit, &skipped), Ticked::Decided(Vec::new()));
        assert_eq!(commit(&kit, &kept_out), Ticked::Overlapped);
    }
    assert_eq!(row(&kit).upto, start + minutes(3));
    assert_eq!(kit.counts().queued, 1);
    let lease = kit.claim_one().lease;
    assert_eq!(lease.id, id);
    kit.settle(lease, complete(b""));
    assert_eq!(commit(&kit, &stored), Ticked::Decided(vec![Placed::New]), "also once the job has ended");
    assert_eq!(kit.counts().queued, 0);
}

fn together(subject: &dyn Subject) {
    let kit = planned(subject);
    let start = row(&kit).upto;
    let writes = vec![("tick".to_owned(), b"1".to_vec().into())];
    let jobs = vec![NewJob { writes, ..kit.job() }, kit.job(), kit.job()];
    let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
    let all = tick(&kit, 1, start, start + minutes(3), jobs);
    assert_eq!(commit(&kit, &all), Ticked::Decided(vec![Placed::New; 3]));
    assert_eq!(kit.value("tick").as_deref(), Some(b"1".as_slice()));
    assert_eq!(super::kit::ids(&kit.claim(9)), ids, "in the order of their ticks");
}

fn overlap(subject: &dyn Subject) {
    let kit = planned(subject);
    let mut at = row(&kit).upto;
    let mut stands = |kit: &Kit<'_>, overlap| {
        let wanted = Tick { overlap, ..tick(kit, 1, at, at + minutes(1), vec![kit.job()]) };
        at = at + minutes(1);
        commit(kit, &wanted) == Ticked::Overlapped
    };
    let later = kit.add(|job| job.run_at = kit.now() + minutes(60));
    let _ = kit.add(|job| job.task = "another".into());
    assert!(!stands(&kit, Overlap::Skip), "one that is scheduled for later does not, nor one of another task");
    assert!(stands(&kit, Overlap::Skip) && stands(&kit, Overlap::QueueOne), "a waiting one does");
    let claimed = kit.claim(9);
    let lease = claimed.iter().find(|one| &*one.task == "send").expect("it was claimed").lease;
    assert!(stands(&kit, Overlap::Skip), "a running one does");
    assert!(!stands(&kit, Overlap::QueueOne), "and lets one wait");
    assert!(!stands(&kit, Overlap::Allow));
    for waits in kit.claim(9) {
        kit.settle(waits.lease, complete(b""));
    }
    kit.settle(lease, retry(600));
    assert!(stands(&kit, Overlap::Skip) && stands(&kit, Overlap::QueueOne), "one that waits for a retry does");
    kit.advance(3_600);
    assert_eq!(kit.state(later), JobState::Queued);
    assert!(stands(&kit, Overlap::Skip));
}

fn choices(subject: &dyn Subject) {
    let kit = planned(subject);
    let first = row(&kit);
    assert_eq!((first.revision, first.choices.to_vec(), first.newest), (1, b"choices".to_vec(), None));
    assert!(!plan(&kit, 0, Some(b"others"), None), "somebody has chosen before");
    assert!(!plan(&kit, 7, None, None));
    assert_eq!(row(&kit), first);
    kit.advance(60);
    let changed = plan(&kit, 1, Some(b"others"), None);
    // Over a network the answer may be lost: then one looks again.
    assert!(changed || !kit.is_sure());
    let second = row(&kit);
    assert_eq!((second.revision, second.choices.to_vec(), second.upto), (2, b"others".to_vec(), first.upto));
    plan(&kit, 2, Some(b"others"), Some(kit.now()));
    assert_eq!(row(&kit).upto, kit.now());
    plan(&kit, 3, None, None);
    assert_eq!(rows(&kit), []);
}

fn again(subject: &dyn Subject) {
    for kill in [false, true] {
        let kit = planned(subject);
        let start = row(&kit).upto;
        let decided = tick(&kit, 1, start, start + minutes(1), vec![kit.job()]);
        commit(&kit, &decided);
        let before = row(&kit);
        let Some(kit) = kit.again(kill) else { return };
        assert_eq!(row(&kit), before);
        assert_eq!(commit(&kit, &decided), Ticked::Decided(vec![Placed::New]), "a repeated one is known");
        assert_eq!(kit.counts().queued, 1);
    }
}
