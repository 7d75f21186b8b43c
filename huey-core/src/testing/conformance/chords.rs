//! Chords: a group's callback is stored once, after what it depends on has ended.

use std::time::Duration;

use super::kit::{Kit, SYNCED, ids};
use super::{Check, Subject};
use crate::id::JobId;
use crate::state::JobState;
use crate::store::{
    Answer, Arrival, Arrivals, CHORD, Flow, NewChord, NewJob, Next, Outcome, Query, Settlement, Transition, Verdict,
};
use crate::task::Durability;
use crate::testing::task_error;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "a chord is due once its last member has ended", run: gathers },
    Check {
        name: "a chord is due at once when a member fails, unless it is to be whatever becomes of them",
        run: fails,
    },
    Check { name: "an empty chord is due at once", run: empty },
    Check { name: "a chord survives its storage being opened again", run: again },
    Check { name: "a step may be canceled before its turn has come", run: cut },
];

const KEEP: Duration = Duration::from_mins(1);

struct Three {
    members: Vec<JobId>,
    chord: JobId,
    callback: JobId,
}

/// Stores a chord of so many members.
fn chord(kit: &Kit<'_>, many: usize, settled: bool) -> Three {
    let flow =
        |tasks: &[&str]| Flow { tasks: tasks.iter().map(ToString::to_string).collect(), keep: KEEP, follow_up: false };
    let members: Vec<JobId> = (0..many).map(|_| kit.id()).collect();
    let jobs = members.iter().map(|id| NewJob { id: *id, flow: Some(flow(&[])), ..kit.job() }).collect();
    let (chord, callback) = (kit.id(), kit.id());
    let new = NewChord {
        id: chord,
        members: members.iter().map(|id| id.counter()).collect(),
        settled,
        queue: "default".into(),
        durability: Durability::Synced,
        crash_limit: 3,
        flow: flow(&["sum"]),
        rest: vec![1, 2, 3].into(),
    };
    kit.commit(Transition::Enqueue { jobs, chords: vec![new] }, SYNCED);
    Three { members, chord, callback }
}

/// Settles the job whose turn it is, and says which it was.
fn settle(kit: &Kit<'_>, verdict: Verdict) -> JobId {
    let lease = kit.claim(1)[0].lease;
    kit.commit(Transition::Settle(vec![Settlement { lease, verdict }]), SYNCED);
    lease.id
}

fn complete(kit: &Kit<'_>, output: u8) -> JobId {
    settle(kit, Verdict::Complete { output: vec![output].into(), signature: 1, keep: Duration::ZERO, next: None })
}

fn arrivals(kit: &Kit<'_>, chord: JobId) -> Arrivals {
    match kit.read(Query::Arrivals { chord, from: 0 }) {
        Answer::Arrivals(page) => page,
        other => panic!("arrivals are {other:?}"),
    }
}

fn gathers(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let three = chord(&kit, 3, false);
    assert_eq!(kit.state(three.callback), JobState::Awaiting);
    for output in [7, 8] {
        complete(&kit, output);
        assert_eq!(kit.state(three.callback), JobState::Awaiting);
    }
    complete(&kit, 9);
    let page = arrivals(&kit, three.chord);
    let outputs = |output: u8| Arrival::Complete { output: vec![output].into() };
    assert_eq!(
        page,
        Arrivals { settled: false, members: vec![(0, outputs(7)), (1, outputs(8)), (2, outputs(9))], next: None }
    );
    let claimed = kit.claim(9).remove(0);
    assert_eq!((claimed.lease.id, &*claimed.task, &*claimed.body.rest), (three.chord, CHORD, &[1, 2, 3][..]));
    let job = NewJob { id: three.callback, flow: Some(Flow { keep: KEEP, ..Flow::default() }), ..kit.job() };
    let verdict = Verdict::Gathered { next: Next::Job(Box::new(job)) };
    let again = verdict.clone();
    kit.commit(Transition::Settle(vec![Settlement { lease: claimed.lease, verdict }]), SYNCED);
    assert_eq!(kit.state(three.callback), JobState::Queued);
    let refused = kit.commit(Transition::Settle(vec![Settlement { lease: claimed.lease, verdict: again }]), SYNCED);
    assert_eq!(refused, Outcome::Settled(vec![None]), "a lease settles once");
    assert_eq!(ids(&kit.claim(9)), [three.callback]);
    assert_eq!(arrivals(&kit, three.chord), Arrivals::default());
}

fn fails(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    for settled in [false, true] {
        let two = chord(&kit, 2, settled);
        settle(&kit, Verdict::Dead { error: task_error("no route"), next: None });
        let [(0, Arrival::Failed { cause, error })] = &*arrivals(&kit, two.chord).members else { panic!("it arrived") };
        assert!(cause.contains(&two.members[0].to_string()) && error.is_some(), "{cause}");
        assert_eq!(kit.counts().queued, if settled { 1 } else { 2 }, "the other member, and the chord if it failed");
        if settled {
            complete(&kit, 1);
        }
        let cause = "a member is dead".to_owned();
        let verdict = Verdict::Gathered { next: Next::Failed { cause, error: None, follow_up: None } };
        assert_eq!(settle(&kit, verdict), two.chord, "before anything else");
        assert_eq!(kit.state(two.callback), JobState::Canceled);
        if !settled {
            complete(&kit, 1);
        }
        assert_eq!(kit.counts().queued, 0);
    }
}

fn empty(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let none = chord(&kit, 0, false);
    assert_eq!((kit.state(none.callback), kit.claim_one().lease.id), (JobState::Awaiting, none.chord));
}

fn again(subject: &dyn Subject) {
    for kill in [false, true] {
        let kit = Kit::new(subject);
        let two = chord(&kit, 2, false);
        complete(&kit, 7);
        let Some(kit) = kit.again(kill) else { return };
        assert_eq!(arrivals(&kit, two.chord).members.len(), 1);
        complete(&kit, 8);
        let Some(kit) = kit.again(kill) else { return };
        assert_eq!(arrivals(&kit, two.chord).members.len(), 2);
        assert_eq!((kit.state(two.callback), kit.claim_one().lease.id), (JobState::Awaiting, two.chord));
    }
}

fn cut(subject: &dyn Subject) {
    let kit = Kit::new(subject);
    let one = chord(&kit, 1, false);
    kit.commit(Transition::Cancel { id: one.callback, keep: KEEP }, SYNCED);
    assert_eq!(kit.state(one.callback), JobState::Canceled);
    complete(&kit, 1);
    let job = NewJob { id: one.callback, ..kit.job() };
    assert_eq!(settle(&kit, Verdict::Gathered { next: Next::Job(Box::new(job)) }), one.chord);
    assert_eq!((kit.state(one.callback), kit.counts().queued), (JobState::Canceled, 0));
}
