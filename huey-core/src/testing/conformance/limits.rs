//! Locks, bounds and rates: what is claimed, what waits, and whose turn it is.

use std::time::Duration;

use super::kit::{Kit, RELAXED, SYNCED, complete, ids, retry};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{
    Canceled, Claimed, Lease, Limit, LimitKind, LimitedBy, Locking, Outcome, Progress, Tasks, Transition, Verdict,
};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a declared lock is held by one attempt at a time, in their order", run: declared },
    Check { name: "a job that waits for a limit is told of once", run: told },
    Check { name: "every end of an attempt frees its locks", run: ends },
    Check { name: "a lock that a body takes is its lease's until that ends or frees it", run: taken },
    Check { name: "a lease that was given away can neither report nor lock, unlock or beat", run: given_away },
    Check { name: "a job whose body found a lock held comes again when it is free, and has it", run: comes_again },
    Check { name: "so many run at once as their bound allows", run: bound },
    Check { name: "a job that waits can be canceled and moved like any other", run: by_hand },
    Check { name: "no span holds more claims than its rate, and each job has its turn", run: rate },
    Check { name: "a lock is free after its storage is opened again", run: again },
    Check { name: "a rate has counted what was claimed before its storage was opened again", run: counted },
    Check { name: "a job that is late is so before it waits for a lock", run: late },
];

fn limit(key: &str, kind: LimitKind) -> Limit {
    Limit { key: key.as_bytes().to_vec().into(), kind }
}

fn add(kit: &Kit<'_>, kind: LimitKind) -> JobId {
    kit.add(|job| job.limits = vec![limit("key", kind)])
}

fn lock(kit: &Kit<'_>, lease: Lease) -> Locking {
    match kit.commit(Transition::Lock { lease, key: b"key".to_vec().into() }, SYNCED) {
        Outcome::Locked(locking) => locking,
        other => panic!("a lock gave {other:?}"),
    }
}

fn unlock(kit: &Kit<'_>, lease: Lease) -> bool {
    match kit.commit(Transition::Unlock { lease, key: b"key".to_vec().into() }, RELAXED) {
        Outcome::Unlocked(unlocked) => unlocked,
        other => panic!("an unlock gave {other:?}"),
    }
}

fn declared(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs = [add(&kit, LimitKind::Lock), add(&kit, LimitKind::Lock), add(&kit, LimitKind::Lock)];
    let urgent = kit.add(|job| (job.priority, job.limits) = (9, vec![limit("key", LimitKind::Lock)]));
    let free = kit.add(|_| ());
    let first = kit.claim(64);
    assert_eq!(ids(&first), [urgent, free], "the others wait, and one that needs no lock does not");
    assert!(kit.claim(64).is_empty());
    assert_eq!(kit.state(jobs[0]), JobState::Queued);
    let mut holder = first[0].lease;
    for job in jobs {
        kit.settle(holder, complete(b""));
        let next = kit.claim(64);
        assert_eq!((ids(&next), next[0].attempt), (vec![job], 1));
        holder = next[0].lease;
    }
}

fn told(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (first, second) = (add(&kit, LimitKind::Lock), add(&kit, LimitKind::Lock));
    let mut told = Vec::new();
    for _ in 0..3 {
        let (queues, tasks, many) = (vec!["default".into()], Tasks::ALL, Tasks::ALL);
        let claim = Transition::Claim { queues, tasks, most: 64, many, keep: Duration::ZERO };
        let Outcome::Claimed { limited, .. } = kit.commit(claim, RELAXED) else { panic!("no claim") };
        told.extend(limited.iter().map(|limited| (limited.id, limited.by)));
    }
    // What an answer told that nobody heard is lost, as it would be with its claim.
    if kit.is_sure() {
        assert_eq!(told, [(second, LimitedBy::Lock(first))]);
    }
}

fn ends(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let error = || crate::testing::task_error("no");
    let verdicts = [
        complete(b""),
        Verdict::Dead { error: error(), next: None },
        Verdict::Lost { cause: "no".into() },
        Verdict::Canceled { cause: "no".into(), keep: Duration::ZERO },
        Verdict::Parked { cause: "no".into() },
        retry(60),
        Verdict::Returned { started: true },
    ];
    for verdict in verdicts {
        let first = add(&kit, LimitKind::Lock);
        let claimed = kit.claim_one();
        assert_eq!(claimed.lease.id, first);
        let second = kit.add(|job| (job.priority, job.limits) = (1, vec![limit("key", LimitKind::Lock)]));
        assert!(kit.claim(64).is_empty(), "{verdict:?}");
        kit.settle(claimed.lease, verdict.clone());
        let next = kit.claim_one();
        assert_eq!(next.lease.id, second, "{verdict:?}");
        kit.settle(next.lease, complete(b""));
        // The first may have come back.
        for job in kit.claim(64) {
            kit.settle(job.lease, complete(b""));
        }
        kit.advance(61);
        for job in kit.claim(64) {
            kit.settle(job.lease, complete(b""));
        }
    }
}

fn two(kit: &Kit<'_>) -> (Claimed, Claimed) {
    kit.add(|_| ());
    kit.add(|_| ());
    let mut claimed = kit.claim(64);
    assert_eq!(claimed.len(), 2);
    let second = claimed.remove(1);
    (claimed.remove(0), second)
}

fn taken(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (one, two) = two(&kit);
    assert_eq!(lock(&kit, one.lease), Locking::Taken);
    assert_eq!(lock(&kit, one.lease), Locking::Taken, "it has it");
    assert_eq!(lock(&kit, two.lease), Locking::Held(one.lease.id));
    assert!(!unlock(&kit, two.lease), "it is another's");
    let waits = add(&kit, LimitKind::Lock);
    assert!(kit.claim(64).is_empty());
    assert!(unlock(&kit, one.lease) || !kit.is_sure());
    let holder = kit.claim_one();
    assert_eq!(holder.lease.id, waits);
    assert_eq!(lock(&kit, holder.lease), Locking::Declared);
    assert_eq!(lock(&kit, two.lease), Locking::Held(waits));
    kit.settle(holder.lease, complete(b""));
    assert_eq!(lock(&kit, holder.lease), Locking::Stale);
    assert_eq!(lock(&kit, two.lease), Locking::Taken);
    kit.settle(two.lease, complete(b""));
    assert_eq!(lock(&kit, one.lease), Locking::Taken, "its holder ended");
}

fn given_away(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let id = kit.add(|_| ());
    let first = kit.claim_one().lease;
    assert_eq!(lock(&kit, first), Locking::Taken);
    kit.settle(first, Verdict::Returned { started: true });
    let second = kit.claim_one().lease;
    assert_eq!((second.id, lock(&kit, second)), (id, Locking::Taken), "it is free with the lease that had it");
    let waits = add(&kit, LimitKind::Lock);
    let report = Transition::Progress { lease: first, progress: Progress::new(1, 2, "late") };
    assert_eq!(kit.commit(report, SYNCED), Outcome::Noted(false));
    assert_eq!(kit.row(id).progress, None);
    assert_eq!(lock(&kit, first), Locking::Stale);
    assert!(!unlock(&kit, first) && kit.is_stale(first));
    assert_eq!(kit.commit(Transition::Heartbeat(vec![first, second]), SYNCED), Outcome::Alive(vec![false, true]));
    assert!(kit.claim(64).is_empty(), "the lock is held");
    kit.settle(second, complete(b""));
    assert_eq!(kit.claim_one().lease.id, waits);
}

fn comes_again(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let (one, two) = two(&kit);
    lock(&kit, one.lease);
    lock(&kit, two.lease);
    let state = kit.settle(two.lease, Verdict::Locked { keys: vec![b"key".to_vec().into()] });
    assert_eq!(state, JobState::Queued);
    assert!(kit.claim(64).is_empty());
    let later = add(&kit, LimitKind::Lock);
    kit.settle(one.lease, complete(b""));
    let again = kit.claim_one();
    assert_eq!((again.lease.id, again.attempt, again.refunds), (two.lease.id, 1, 0), "before the later one");
    assert_eq!(lock(&kit, again.lease), Locking::Taken);
    assert!(unlock(&kit, again.lease) || !kit.is_sure());
    assert_eq!(kit.claim_one().lease.id, later);
}

fn bound(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..5).map(|_| add(&kit, LimitKind::Running { most: 2 })).collect();
    let first = kit.claim(64);
    assert_eq!(ids(&first), jobs[..2]);
    assert!(kit.claim(64).is_empty());
    kit.settle(first[1].lease, retry(0));
    assert_eq!(kit.claim_one().lease.id, jobs[1], "it keeps its place");
    kit.settle(first[0].lease, complete(b""));
    assert_eq!(kit.claim_one().lease.id, jobs[2]);
    assert_eq!(kit.counts().queued, 2);
}

fn by_hand(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let jobs: Vec<_> = (0..4).map(|_| add(&kit, LimitKind::Lock)).collect();
    let holder = kit.claim_one();
    assert!(kit.claim(64).is_empty());
    let canceled = kit.commit(Transition::Cancel { id: jobs[1], keep: Duration::from_secs(9) }, SYNCED);
    assert!(matches!(canceled, Outcome::Canceled(Canceled::Ended(_) | Canceled::Over(_))), "{canceled:?}");
    kit.commit(Transition::Reschedule { id: jobs[2], at: kit.now() + Duration::from_mins(1) }, SYNCED);
    assert_eq!((kit.state(jobs[1]), kit.state(jobs[2])), (JobState::Canceled, JobState::Scheduled));
    kit.settle(holder.lease, complete(b""));
    let next = kit.claim_one();
    assert_eq!(next.lease.id, jobs[3]);
    kit.settle(next.lease, complete(b""));
    kit.advance(60);
    assert_eq!(kit.claim_one().lease.id, jobs[2]);
}

fn rate(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let per = Duration::from_secs(10);
    for _ in 0..5 {
        add(&kit, LimitKind::Rate { most: 2, per });
    }
    let first = kit.claim(64);
    // A claim whose answer was lost has counted.
    if !kit.is_sure() {
        assert!(first.len() <= 2);
        return;
    }
    assert_eq!(first.len(), 2);
    assert!(kit.claim(64).is_empty());
    assert_eq!((kit.counts().scheduled, kit.counts().queued), (3, 0), "they wait for their time");
    for one in first {
        kit.settle(one.lease, complete(b""));
    }
    let urgent = kit.add(|job| (job.priority, job.limits) = (9, vec![limit("key", LimitKind::Rate { most: 2, per })]));
    kit.advance(9);
    assert!(kit.claim(64).is_empty());
    kit.advance(1);
    let second = kit.claim(64);
    if kit.is_sure() {
        assert_eq!((second.len(), second[0].lease.id, second[0].attempt), (2, urgent, 1));
    }
}

fn again(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let kinds = [LimitKind::Lock, LimitKind::Running { most: 1 }];
    let limits: Vec<_> = kinds.iter().map(|kind| limit(&format!("{kind:?}"), *kind)).collect();
    let (first, second) =
        (kit.add(|job| job.limits.clone_from(&limits)), kit.add(|job| job.limits.clone_from(&limits)));
    let claimed = kit.claim_one();
    lock(&kit, claimed.lease);
    let Some(kit) = kit.again(true) else { return };
    let claimed = kit.claim_one();
    assert_eq!(claimed.lease.id, first, "it came back, and nobody holds its lock");
    kit.settle(claimed.lease, complete(b""));
    assert_eq!(kit.claim_one().lease.id, second);
}

fn counted(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let per = Duration::from_secs(100);
    for _ in 0..6 {
        add(&kit, LimitKind::Rate { most: 2, per });
    }
    // Claims whose answer was lost have counted, too.
    let claimed = kit.claim_from(&["default"], Tasks::ALL, 1).0.len();
    let Some(kit) = kit.again(true) else { return };
    assert!(claimed + kit.claim(64).len() <= 2, "the last life's claims count");
    assert!(kit.claim(64).is_empty());
    kit.advance(100);
    assert!(kit.claim(64).len() <= 2);
    assert_eq!(kit.claim(64).len(), 0);
    assert!(kit.counts().running <= 4);
}

fn late(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    add(&kit, LimitKind::Lock);
    let holder = kit.claim_one();
    let expires = Some(kit.now());
    let late = kit.add(|job| (job.expires, job.limits) = (expires, vec![limit("key", LimitKind::Lock)]));
    kit.advance(1);
    assert!(kit.claim(64).is_empty());
    assert_eq!(kit.state(late), JobState::Expired);
    kit.settle(holder.lease, complete(b""));
}
