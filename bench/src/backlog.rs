//! What an operation costs when many jobs wait, and what they take.

use std::time::{Duration, Instant};

use huey::{BoxError, Durability, Huey};

use crate::args::Args;
use crate::enqueue::{carry, load};
use crate::figure::{Figure, median};
use crate::place::{Place, resident};

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
const ROUNDS: usize = 5;
const TIMES: u32 = 2_000;

/// Microseconds for each of some operations with a backlog behind them.
struct Prices {
    enqueue: f64,
    status: f64,
    drain: f64,
}

fn prices(huey: &Huey) -> Result<Prices, BoxError> {
    let mut ids = Vec::new();
    let each = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
    let begun = Instant::now();
    for _ in 0..TIMES {
        ids.push(carry::job(load()).delay(Duration::ZERO).priority(9).queue("side").enqueue(huey)?);
    }
    let enqueue = each(begun);
    let begun = Instant::now();
    for handle in &ids {
        std::hint::black_box(handle.status()?);
    }
    let status = each(begun);
    let begun = Instant::now();
    huey.consumer().workers(1).queues(["side"]).run_until_idle()?;
    Ok(Prices { enqueue, status, drain: each(begun) })
}

fn fill(huey: &Huey, jobs: u32) -> Result<(), BoxError> {
    for _ in 0..jobs {
        let _ = carry::enqueue(huey, load())?;
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let small = Place::new(args.work())?;
    let few = small.open(Durability::Relaxed)?;
    fill(&few, FEW)?;
    let lean = resident()?;
    let large = Place::new(args.work())?;
    let many = large.open(Durability::Relaxed)?;
    fill(&many, MANY)?;
    let memory = (resident()? - lean) / f64::from(MANY - FEW);
    let (mut enqueue, mut status, mut drain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (few, many) = (prices(&few)?, prices(&many)?);
        enqueue.push((many.enqueue, few.enqueue));
        status.push((many.status, few.status));
        drain.push((many.drain, few.drain));
    }
    many.close()?;
    drop(many);
    let begun = Instant::now();
    let many = large.open(Durability::Relaxed)?;
    let opened = begun.elapsed().as_secs_f64();
    let disk = large.used()?;
    huey_drains(&many)?;
    many.close()?;
    drop(many);
    let begun = Instant::now();
    let kept = large.open(Durability::Relaxed)?;
    let with_results = begun.elapsed().as_secs_f64();
    let counts = kept.counts()?;
    if counts.queued != 0 || counts.results == 0 {
        return Err(format!("the backlog was not drained: {counts:?}").into());
    }
    // A second such round.
    let before = large.used()?;
    fill(&kept, MANY)?;
    huey_drains(&kept)?;
    let after = large.used()?;
    #[expect(clippy::cast_precision_loss, reason = "no disk is that large")]
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let beside = "the same with 1,000 waiting";
    Ok(vec![
        Figure::beside("backlog/enqueue", "us", "relaxed", beside, &enqueue),
        Figure::beside("backlog/claim+settle", "us", "relaxed", beside, &drain),
        Figure::beside("backlog/status", "us", "relaxed", beside, &status),
        Figure::alone("backlog/memory", memory, "bytes/job", "relaxed"),
        Figure::alone("backlog/open", opened, "s", "relaxed"),
        Figure::alone("backlog/open-results", with_results, "s", "relaxed"),
        Figure::alone("backlog/disk-full", mib(disk), "MiB", "relaxed"),
        Figure::beside(
            "backlog/disk",
            "MiB",
            "relaxed",
            "at the start of the second round",
            &[(median([mib(after)].into_iter()), mib(before))],
        ),
    ])
}

fn huey_drains(huey: &Huey) -> Result<(), BoxError> {
    Ok(huey.consumer().workers(2).run_until_idle()?)
}
