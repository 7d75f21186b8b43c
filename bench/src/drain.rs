//! What it costs to run jobs that do nothing.

use std::time::{Duration, Instant};

use huey::{BoxError, Durability, Huey, task};

use crate::args::Args;
use crate::enqueue::load;
use crate::figure::{Figure, median};
use crate::place::Place;
use crate::raw;

const ROUNDS: usize = 3;
const JOBS: u32 = 200_000;
const SYNCED: u32 = 20_000;
const WRITES: u32 = 1_500;

#[task]
fn nothing(load: Vec<u8>) {
    drop(load);
}

#[task]
#[expect(clippy::unused_async, reason = "what an async task costs that does nothing")]
async fn nothing_async(load: Vec<u8>) {
    drop(load);
}

struct Way {
    durability: Durability,
    retention: Duration,
    jobs: u32,
    workers: usize,
    is_async: bool,
}

/// A name, a number of workers, and the rounds: jobs a second, and the baseline's.
type Measured = (&'static str, usize, Vec<(f64, f64)>);

/// Jobs a second.
fn rate(args: &Args, way: &Way) -> Result<f64, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(|builder| builder.durability(way.durability).retention(way.retention))?;
    fill(&huey, way)?;
    let begun = Instant::now();
    huey.consumer().workers(way.workers).run_until_idle()?;
    // What is owed to the disk belongs to the price, as in the baseline.
    huey.close()?;
    Ok(f64::from(way.jobs) / begun.elapsed().as_secs_f64())
}

fn fill(huey: &Huey, way: &Way) -> Result<(), BoxError> {
    for _ in 0..way.jobs {
        if way.is_async {
            let _ = nothing_async::job(load()).durability(way.durability).enqueue(huey)?;
        } else {
            let _ = nothing::job(load()).durability(way.durability).enqueue(huey)?;
        }
    }
    Ok(())
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (discarded, kept) = (Duration::ZERO, Duration::from_hours(1));
    let mut ways = Vec::new();
    for (retention, name) in [(discarded, "drain/discarded"), (kept, "drain/kept")] {
        for workers in [1, 2, 8] {
            ways.push((name, Way { durability: Durability::Relaxed, retention, jobs: JOBS, workers, is_async: false }));
        }
    }
    ways.push((
        "drain/async",
        Way { durability: Durability::Relaxed, retention: discarded, jobs: JOBS, workers: 1, is_async: true },
    ));
    let mut all: Vec<Measured> = Vec::new();
    let mut noted = Vec::new();
    for _ in 0..ROUNDS {
        let place = Place::new(args.work())?;
        let base = raw::drains(place.folder(), JOBS)?;
        let place = Place::new(args.work())?;
        noted.push((raw::noted(place.folder(), JOBS)?, base));
        for (name, way) in &ways {
            let measured = (rate(args, way)?, base);
            match all.iter_mut().find(|(known, workers, _)| known == name && *workers == way.workers) {
                Some((.., rounds)) => rounds.push(measured),
                None => all.push((*name, way.workers, vec![measured])),
            }
        }
    }
    let mut figures = Vec::new();
    for name in ["drain/discarded", "drain/kept", "drain/async"] {
        // The best number of workers, by the median.
        let of_name = all.iter().filter(|(known, ..)| known == &name);
        let best = of_name.max_by(|(.., one), (.., other)| {
            let ratio = |rounds: &[(f64, f64)]| median(rounds.iter().map(|(value, base)| value / base));
            ratio(one).total_cmp(&ratio(other))
        });
        if let Some((_, workers, rounds)) = best {
            let beside = match workers {
                1 => "sled, four operations a job; 1 worker",
                2 => "sled, four operations a job; 2 workers",
                _ => "sled, four operations a job; 8 workers",
            };
            figures.push(Figure::beside(name, "jobs/s", "relaxed", beside, rounds));
        }
    }
    // What the system's part of it alone would allow.
    figures.push(Figure::beside("drain/noted", "jobs/s", "relaxed", "sled, four operations a job", &noted));
    let mut synced = Vec::new();
    for _ in 0..ROUNDS {
        let way =
            Way { durability: Durability::Synced, retention: discarded, jobs: SYNCED, workers: 2, is_async: false };
        let place = Place::new(args.work())?;
        synced.push((synced_rate(args, &way)?, raw::writes(place.folder(), WRITES)?));
    }
    figures.push(Figure::beside("drain/synced", "jobs/s", "synced", "write + fdatasync", &synced));
    Ok(figures)
}

/// Jobs a second whose settles are synced; 64 callers put them in.
fn synced_rate(args: &Args, way: &Way) -> Result<f64, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(|builder| builder.durability(way.durability).retention(way.retention))?;
    let part = Way { jobs: way.jobs / 64, ..*way };
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64)
            .map(|_| {
                let (huey, part) = (&huey, &part);
                scope.spawn(move || fill(huey, part).map_err(|error| error.to_string()))
            })
            .collect();
        for caller in callers {
            caller.join().map_err(|_| "a caller panicked")??;
        }
        Ok::<(), BoxError>(())
    })?;
    let begun = Instant::now();
    huey.consumer().workers(way.workers).run_until_idle()?;
    huey.close()?;
    Ok(f64::from(way.jobs / 64 * 64) / begun.elapsed().as_secs_f64())
}
