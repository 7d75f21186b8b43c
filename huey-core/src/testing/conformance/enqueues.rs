//! Enqueueing: what is stored, once, and what a caller may ask of it.

use super::kit::{Kit, RELAXED, SYNCED, complete};
use super::{Check, Subject};
use crate::state::JobState;
use crate::store::{Answer, List, Missing, NewJob, Outcome, Query, StorageError, Tasks, Transition, Verdict};
use crate::testing::job_id;
use std::time::Duration;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a job comes out as it went in", run: round_trip },
    Check { name: "an enqueue that is repeated changes nothing", run: put_if_absent },
    Check { name: "a job that ran and left no trace is not brought back by a repeated enqueue", run: not_revived },
    Check { name: "values are stored with the jobs of their commit, and not again when it is repeated", run: values },
    Check { name: "keys are listed in order, by prefix, and in pages", run: keys },
    Check { name: "a listing has every job once, page by page", run: listing },
    Check { name: "counts tell queues and states apart", run: counts },
    Check {
        name: "a job that is gone is told from one that never existed and from one of another store",
        run: missing,
    },
    Check { name: "ids of counters that were not set aside are refused", run: foreign },
    Check { name: "arguments of a mebibyte come back whole", run: large },
    Check { name: "many jobs in one commit keep their order", run: bulk },
    Check { name: "hundreds of names of tasks and queues are told apart", run: names },
];

fn round_trip(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let mut job = kit.job();
    (job.priority, job.expires) = (-7, Some(kit.now() + Duration::from_mins(1)));
    kit.enqueue(vec![job.clone()]);
    let row = kit.row(job.id);
    assert_eq!((row.state, row.priority, row.attempts, row.crashes), (JobState::Queued, -7, 0, 0));
    assert_eq!((&*row.task, &*row.queue, row.at, row.expires), ("send", "default", job.run_at, job.expires));
    assert_eq!(row.head, job.body.head);
    let claimed = kit.claim_one();
    assert_eq!((claimed.lease.id, &claimed.body, claimed.attempt), (job.id, &job.body, 1));
    assert_eq!((claimed.priority, claimed.retried, claimed.crashes, claimed.rescued), (-7, 0, 0, false));
    assert_eq!((claimed.started, claimed.durability), (kit.now(), job.durability));
    assert_eq!(kit.state(job.id), JobState::Running);
}

fn put_if_absent(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let first = kit.job();
    let mut other = first.clone();
    other.priority = 9;
    kit.enqueue(vec![first.clone()]);
    kit.enqueue(vec![first.clone()]);
    let beside = kit.job();
    kit.enqueue(vec![other, beside.clone()]);
    assert_eq!(kit.row(first.id).priority, 0, "the first one stands");
    assert_eq!(kit.state(beside.id), JobState::Queued, "a new one beside it is stored");
    assert_eq!(kit.counts().queued, 2);
    let claimed = kit.claim(1).remove(0);
    kit.enqueue(vec![first.clone()]);
    assert_eq!(kit.state(first.id), JobState::Running, "nor does it come back while it runs");
    kit.settle(claimed.lease, complete(b"done"));
    kit.enqueue(vec![first.clone()]);
    assert_eq!(kit.state(first.id), JobState::Complete, "nor after it ended");
}

fn not_revived(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let job = kit.job();
    kit.enqueue(vec![job.clone()]);
    let claimed = kit.claim_one();
    let keep = Duration::ZERO;
    kit.settle(claimed.lease, Verdict::Complete { output: Vec::new().into(), signature: 0, keep, next: None });
    kit.enqueue(vec![job.clone()]);
    assert_eq!((kit.state(job.id), kit.claim(9).len()), (JobState::Gone, 0));
}

fn values(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let writes = vec![("a".into(), vec![1].into()), ("b".into(), vec![2; 20_000].into())];
    let transition = Transition::enqueue(vec![NewJob { writes, ..kit.job() }]);
    kit.commit(transition.clone(), SYNCED);
    assert_eq!((kit.value("a"), kit.value("b")), (Some(vec![1]), Some(vec![2; 20_000])));
    assert_eq!(kit.value("c"), None);
    kit.write("a", &[3]);
    kit.commit(transition, RELAXED);
    assert_eq!(kit.value("a"), Some(vec![3]), "the later value stands");
    let writes = vec![("d".into(), vec![4].into())];
    let foreign = NewJob { id: job_id(kit.now(), 1 << 40, kit.salt()), ..kit.job() };
    let refused = Transition::enqueue(vec![NewJob { writes, ..kit.job() }, foreign]);
    let answer = kit.commit_at(&*kit.storage, refused, SYNCED);
    assert!(matches!(answer, Err(StorageError::Refused(_))), "{answer:?}");
    assert_eq!((kit.value("d"), kit.counts().queued), (None, 1), "all or nothing");
}

fn keys(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for key in ["b/2", "a/1", "b/10", "b", "b/1", "c"] {
        kit.write(key, b"x");
    }
    let list = |prefix: &str, after: Option<&str>, most| match kit.read(Query::Keys {
        prefix: prefix.into(),
        after: after.map(str::to_owned),
        most,
    }) {
        Answer::Keys(keys) => keys,
        other => panic!("asked for keys, got {other:?}"),
    };
    assert_eq!(list("", None, 99), ["a/1", "b", "b/1", "b/10", "b/2", "c"]);
    assert_eq!(list("b/", None, 2), ["b/1", "b/10"]);
    assert_eq!(list("b/", Some("b/10"), 2), ["b/2"]);
    assert_eq!(list("b/", Some("a"), 1), ["b/1"], "a key before the prefix skips nothing");
    assert!(list("b/", Some("c"), 9).is_empty() && list("d", None, 9).is_empty() && list("b", None, 0).is_empty());
}

fn counts(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for queue in ["default", "default", "default", "mail"] {
        kit.add(|job| job.queue = queue.into());
    }
    kit.add(|job| job.run_at = job.run_at + Duration::from_secs(5));
    let claimed = kit.claim(2);
    kit.settle(claimed[0].lease, complete(b"x"));
    let counts = kit.counts();
    assert_eq!((counts.queued, counts.scheduled, counts.running, counts.results), (2, 1, 1, 1));
    let ask = |queues: &[&str], tasks: &[&str]| {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        match kit.read(Query::Counts { queues: names(queues), tasks: names(tasks) }) {
            Answer::Counts(counts) => counts,
            other => panic!("asked for counts, got {other:?}"),
        }
    };
    let of = |queue: &str| ask(&[queue], &[]);
    assert_eq!((of("mail").queued, of("mail").running, of("nobody's").queued), (1, 0, 0));
    let other = kit.add(|job| job.task = "other".into());
    assert_eq!(
        (ask(&[], &["other"]).queued, ask(&["mail"], &["other"]).queued, ask(&[], &["no task"]).queued),
        (1, 0, 0)
    );
    let (claimed, _) = kit.claim_from(&["default"], Tasks::Only(vec!["other".into()]), 1);
    assert_eq!(claimed.first().map(|job| job.lease.id), Some(other));
    assert_eq!((ask(&[], &["other"]).running, ask(&["default"], &["other"]).queued), (1, 0));
    kit.settle(claimed[0].lease, complete(b"y"));
    kit.advance(5);
    let counts = kit.counts();
    assert_eq!((counts.queued, counts.scheduled), (3, 0), "what is due is not scheduled any more");
}

fn listing(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..700).map(|_| kit.add(|job| job.queue = "long".into())).collect();
    let last = kit.add(|job| job.task = "other".into());
    let page = |list: List| match kit.read(Query::List(list)) {
        Answer::List(rows) => rows,
        other => panic!("asked for a list, got {other:?}"),
    };
    let (mut all, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        let rows = page(List { queues: vec!["long".into()], from: next, most: 300, ..List::default() });
        assert!(rows.rows.len() <= 300);
        all.extend(rows.rows.iter().map(|row| row.id));
        from = rows.next;
    }
    assert_eq!(all, jobs, "each once, in order");
    let (claimed, _) = kit.claim_from(&["default"], Tasks::ALL, 1);
    kit.settle(claimed[0].lease, complete(b"x"));
    let rows = |list: List| page(List { from: last.counter(), most: 9, ..list }).rows;
    let found: Vec<_> = rows(List { tasks: vec!["other".into()], ..List::default() });
    assert_eq!(found.iter().map(|row| (row.id, row.state)).collect::<Vec<_>>(), [(last, JobState::Complete)]);
    assert!(rows(List { states: vec![JobState::Queued], ..List::default() }).is_empty());
    assert!(rows(List { tasks: vec!["no task".into()], ..List::default() }).is_empty());
}

fn missing(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    let claimed = kit.claim_one();
    kit.settle(claimed.lease, Verdict::Canceled { cause: "no".into(), keep: Duration::ZERO });
    assert_eq!(kit.find(id), Err(Missing::Gone));
    assert_eq!(
        kit.find(job_id(kit.now(), id.counter(), kit.salt() ^ 1)),
        Err(Missing::NeverExisted),
        "another store's"
    );
    assert_eq!(kit.find(job_id(kit.now(), 1 << 40, kit.salt())), Err(Missing::NeverExisted), "never set aside");
    let kept = kit.add(|_| ());
    let claimed = kit.claim_one();
    kit.settle(claimed.lease, complete(b"kept"));
    let same_counter = job_id(kit.now() + Duration::from_secs(9), kept.counter(), kit.salt());
    assert_eq!(kit.find(same_counter), Err(Missing::NeverExisted), "another time in the id");
    assert_eq!(kit.commit(Transition::Take { id: same_counter }, SYNCED), Outcome::Taken(None));
    assert_eq!(kit.state(kept), JobState::Complete, "and its result was not taken");
}

fn foreign(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for id in [job_id(kit.now(), 1 << 40, kit.salt()), job_id(kit.now(), kit.id().counter(), kit.salt() ^ 1)] {
        let mut job = kit.job();
        job.id = id;
        let answer = kit.commit_at(&*kit.storage, Transition::enqueue(vec![job]), SYNCED);
        assert!(matches!(answer, Err(StorageError::Refused(_))), "{answer:?}");
        assert_eq!(kit.find(id), Err(Missing::NeverExisted));
    }
}

fn large(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let args: Vec<u8> = (0..1_048_576_u32).map(|at| at.to_le_bytes()[1] ^ at.to_le_bytes()[2]).collect();
    let id = kit.add(|job| job.body.args = args.clone().into());
    kit.add(|_| ());
    let claimed = kit.claim(1).remove(0);
    assert!(claimed.lease.id == id && *claimed.body.args == *args);
    kit.settle(claimed.lease, complete(&args));
    assert!(kit.row(id).ended.output.as_deref() == Some(&*args));
}

fn bulk(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..3_000).map(|_| kit.job()).collect();
    let expected: Vec<_> = jobs.iter().map(|job| job.id).collect();
    kit.enqueue(jobs);
    let mut claimed = Vec::new();
    while claimed.len() < expected.len() {
        let some = kit.claim(64);
        assert!(!some.is_empty(), "{} of {} jobs were claimed", claimed.len(), expected.len());
        claimed.extend(some);
    }
    let mut got = super::kit::ids(&claimed);
    // A claim whose answer was lost comes back, so the order is one of the jobs and not of the answers.
    got.sort_unstable();
    assert_eq!(got, expected);
}

fn names(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for at in 0..300 {
        kit.add(|job| (job.task, job.queue) = (format!("task {at}").into(), format!("queue {}", at % 150).into()));
    }
    for at in [0, 149, 77] {
        let queue = format!("queue {at}");
        let (claimed, _) = kit.claim_from(&[&queue], Tasks::Except(Vec::new()), 64);
        let tasks: Vec<String> = claimed.iter().map(|one| one.task.to_string()).collect();
        assert_eq!(tasks, [format!("task {at}"), format!("task {}", at + 150)]);
        assert!(claimed.iter().all(|one| *one.queue == *queue));
    }
}
