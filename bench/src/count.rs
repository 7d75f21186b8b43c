//! Work of a fixed size for a counter of instructions: see the folder's `guard`.
//!
//! Instructions do not depend on what else the machine does. The guard runs each twice, with different numbers of
//! times, and the difference of the two is what so many more of it take, without what opening and closing take.
//! Nothing is flushed because time has passed: under a counter it passes for fewer jobs.

use std::time::Duration;

use huey::store::{Claimed, Commit, Outcome, Settlement, Storage, Tasks, Transition, Verdict};
use huey::{BoxError, Durability, HueyBuilder};

use crate::args::Args;
use crate::backlog::Queue;
use crate::enqueue::{MANY, carry, load};
use crate::figure::Figure;
use crate::place::Place;
use crate::raw;

/// Jobs that are claimed, and settled, together.
const TOGETHER: u32 = 64;

pub(crate) fn enqueue(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(untimed)?;
    for _ in 0..args.times() {
        let _ = carry::enqueue(&huey, load())?;
    }
    huey.close()?;
    Ok(Vec::new())
}

/// Jobs put in so many at a time.
pub(crate) fn bulk(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(untimed)?;
    for _ in 0..args.times() / MANY {
        let _ = carry::map(&huey, (0..MANY).map(|_| load()))?;
    }
    huey.close()?;
    Ok(Vec::new())
}

fn untimed(builder: HueyBuilder) -> HueyBuilder {
    builder.durability(Durability::Relaxed).flush_interval(Duration::from_hours(24))
}

/// Jobs put in together, then claimed and settled together.
pub(crate) fn drain(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let queue = Queue::open_with(&place, untimed)?;
    let _ = carry::map(&queue.huey, (0..args.times()).map(|_| load()))?;
    while settle_some(&*queue.storage)? > 0 {}
    queue.huey.close()?;
    Ok(Vec::new())
}

/// Jobs put in together, then run by a worker.
pub(crate) fn work(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(|builder| untimed(builder).retention(Duration::ZERO))?;
    let _ = carry::map(&huey, (0..args.times()).map(|_| load()))?;
    huey.consumer().workers(1).run_until_idle()?;
    huey.close()?;
    Ok(Vec::new())
}

fn settle_some(storage: &dyn Storage) -> Result<usize, BoxError> {
    let (queues, tasks, keep) = (vec!["default".to_owned()], Tasks::ALL, Duration::ZERO);
    let claim = Transition::Claim { queues, tasks, most: TOGETHER, many: Tasks::ALL, keep };
    let Outcome::Claimed { claimed, .. } = storage.commit(claim, Commit::RELAXED)? else {
        return Err("a claim gave something else".into());
    };
    let complete = |job: &Claimed| {
        let verdict = Verdict::Complete { output: vec![].into(), signature: 1, keep, next: None };
        Settlement { lease: job.lease, verdict }
    };
    storage.commit(Transition::Settle(claimed.iter().map(complete).collect()), Commit::RELAXED)?;
    Ok(claimed.len())
}

pub(crate) fn raw_inserts(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    raw::inserts(place.folder(), args.times())?;
    Ok(Vec::new())
}
