//! What the last member of a chord adds to its settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use huey::store::{
    Claimed, Commit, Flow, NewChord, NewJob, OpenStorage, Outcome, Settlement, Storage, StorageOptions, Tasks,
    Transition, Verdict,
};
use huey::testing::{job_id, new_job};
use huey::{BoxError, Durability, Sled};

use crate::args::Args;
use crate::figure::Figure;
use crate::place::Place;

const ROUNDS: usize = 9;
const FEW: u64 = 100;
const MANY: u64 = 10_000;

fn claim(storage: &dyn Storage, most: u32) -> Result<Vec<Claimed>, BoxError> {
    let (queues, tasks) = (vec!["default".to_owned()], Tasks::ALL);
    let claim = Transition::Claim { queues, tasks, most, many: Tasks::ALL, keep: Duration::ZERO };
    match storage.commit(claim, Commit::RELAXED)? {
        Outcome::Claimed { claimed, .. } => Ok(claimed),
        other => Err(format!("a claim gave {other:?}").into()),
    }
}

fn settle(storage: &dyn Storage, claimed: &[Claimed]) -> Result<(), BoxError> {
    let one = |job: &Claimed| {
        let keep = Duration::from_hours(1);
        let verdict = Verdict::Complete { output: vec![7; 100].into(), signature: 1, keep, next: None };
        Settlement { lease: job.lease, verdict }
    };
    storage.commit(Transition::Settle(claimed.iter().map(one).collect()), Commit::RELAXED)?;
    Ok(())
}

/// Microseconds of the settle that completes a chord of so many.
fn last_settle(storage: &dyn Storage, members: u64) -> Result<f64, BoxError> {
    let count = u32::try_from(members + 2)?;
    let Outcome::Reserved { first, salt } = storage.commit(Transition::Reserve { count }, Commit::RELAXED)? else {
        return Err("no counters".into());
    };
    let now = storage.clock().now();
    let flow = |tasks: &[&str]| Flow {
        tasks: tasks.iter().map(ToString::to_string).collect(),
        keep: Duration::from_hours(1),
        follow_up: false,
    };
    let member = |counter| NewJob { flow: Some(flow(&[])), ..new_job(job_id(now, counter, salt)) };
    let chord = NewChord {
        id: job_id(now, first + members, salt),
        members: (first..first + members).collect(),
        settled: false,
        queue: "default".into(),
        durability: Durability::Relaxed,
        crash_limit: 3,
        flow: flow(&["sum"]),
        rest: vec![0; 100].into(),
    };
    let jobs = (first..first + members).map(member).collect();
    storage.commit(Transition::Enqueue { jobs, chords: vec![chord] }, Commit::RELAXED)?;
    let mut left = members;
    while left > 1 {
        let most = u32::try_from((left - 1).min(64))?;
        let claimed = claim(storage, most)?;
        left -= claimed.len() as u64;
        settle(storage, &claimed)?;
    }
    let claimed = claim(storage, 1)?;
    let begun = Instant::now();
    settle(storage, &claimed)?;
    let took = begun.elapsed().as_secs_f64() * 1e6;
    let due = claim(storage, 1)?;
    if due.first().is_none_or(|job| job.lease.id.counter() != first + members) {
        return Err(format!("the chord is not due: {due:?}").into());
    }
    Ok(took)
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let storage: Arc<dyn Storage> = Sled::at(place.folder().join("queue")).open_storage(StorageOptions::default())?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let few = last_settle(&*storage, FEW)?;
        rounds.push((last_settle(&*storage, MANY)?, few));
    }
    Ok(vec![Figure::beside("chord/last-settle", "us", "relaxed", "of 100 members, this of 10,000", &rounds)])
}
