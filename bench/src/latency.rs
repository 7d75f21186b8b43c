//! How long a job takes from its enqueue to its first line, and back to who waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use huey::{BoxError, Durability, task};

use crate::args::Args;
use crate::enqueue::load;
use crate::figure::{Figure, median, percentile};
use crate::place::{Place, rate};
use crate::raw;

const ROUNDS: usize = 5;
const TRIPS: u32 = 20_000;
const STARTS: u32 = 1_000;
const LATE: u32 = 10_000;
const OVER: Duration = Duration::from_secs(10);

#[task]
fn echo(load: Vec<u8>) -> Vec<u8> {
    load
}

/// When each job was begun, by its number.
#[derive(Default)]
struct Begun(Mutex<Vec<(u32, Instant)>>);

impl Begun {
    fn take(&self) -> Vec<(u32, Instant)> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[task(queue = "timed")]
fn mark(#[data] begun: &Begun, number: u32) {
    let now = Instant::now();
    if let Ok(mut begun) = begun.0.lock() {
        begun.push((number, now));
    }
}

pub(crate) fn roundtrip(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = Place::new(args.work())?;
        let single = raw::inserts(place.folder(), 5 * TRIPS)?;
        let place = Place::new(args.work())?;
        bare.push((raw::trips(place.folder(), TRIPS)?, single));
        let place = Place::new(args.work())?;
        let huey = place.open(Durability::Relaxed)?;
        let consumer = huey.consumer().workers(2).start()?;
        let trips = rate(TRIPS, || {
            for _ in 0..TRIPS {
                echo::enqueue(&huey, load())?.wait(Duration::from_mins(1))?;
            }
            Ok(())
        })?;
        consumer.shutdown().wait()?;
        rounds.push((trips, single));
    }
    Ok(vec![
        Figure::beside("roundtrip/relaxed", "jobs/s", "relaxed", "sled, single inserts", &rounds),
        // What waking another thread, and what it writes, alone would allow.
        Figure::beside("roundtrip/bare", "jobs/s", "relaxed", "sled, single inserts", &bare),
    ])
}

pub(crate) fn idle(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (mut middle, mut bare, mut call) = (Vec::new(), Vec::new(), Vec::new());
    let (mut high, mut worst) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let hops = raw::hops(STARTS);
        let place = Place::new(args.work())?;
        let begun = Arc::new(Begun::default());
        let huey = place.open_with(|builder| builder.durability(Durability::Relaxed).data_arc(Arc::clone(&begun)))?;
        let consumer = huey.consumer().workers(2).queues(["timed"]).start()?;
        let (mut all, mut calls) = (Vec::new(), Vec::new());
        for number in 0..STARTS {
            // So that the consumer sleeps when the job comes.
            std::thread::sleep(Duration::from_millis(1));
            let sent = Instant::now();
            let handle = mark::enqueue(&huey, number)?;
            calls.push(sent.elapsed().as_secs_f64() * 1e6);
            handle.wait(Duration::from_mins(1))?;
            all.push((number, sent));
        }
        consumer.shutdown().wait()?;
        let begun = begun.take();
        let took: Vec<f64> = all
            .iter()
            .zip(&begun)
            .map(|((_, sent), (_, begun))| begun.saturating_duration_since(*sent).as_secs_f64() * 1e6)
            .collect();
        let hop = percentile(hops, 50);
        middle.push((percentile(took.clone(), 50), hop));
        let place = Place::new(args.work())?;
        bare.push((percentile(raw::starts(place.folder(), STARTS)?, 50), hop));
        high.push(percentile(took.clone(), 99));
        worst.push(percentile(took, 100));
        call.push(percentile(calls, 50));
    }
    let worst = median(worst.into_iter());
    Ok(vec![
        Figure::beside("latency/p50", "us", "relaxed", "a hop over a channel, p50", &middle),
        // What waking another thread, and what it writes, alone would take.
        Figure::beside("latency/bare", "us", "relaxed", "a hop over a channel, p50", &bare),
        Figure::alone("latency/p99", median(high.into_iter()), "us", "relaxed"),
        Figure::alone("latency/worst", worst, "us", "relaxed"),
        // How much of it is over when the caller goes on; the threads may have begun beside it by then.
        Figure::alone("latency/call", median(call.into_iter()), "us", "relaxed"),
    ])
}

pub(crate) fn lateness(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let begun = Arc::new(Begun::default());
    let huey = place.open_with(|builder| builder.durability(Durability::Relaxed).data_arc(Arc::clone(&begun)))?;
    let mut due = Vec::new();
    for number in 0..LATE {
        let delay = Duration::from_secs(2) + OVER * number / LATE;
        due.push(Instant::now() + delay);
        let _ = mark::job(number).delay(delay).enqueue(&huey)?;
    }
    let consumer = huey.consumer().workers(2).queues(["timed"]).start()?;
    while huey.counts()?.scheduled > 0 {
        std::thread::sleep(Duration::from_millis(100));
    }
    consumer.wait_idle()?;
    consumer.shutdown().wait()?;
    let begun = begun.take();
    let late: Vec<f64> = begun
        .iter()
        .filter_map(|(number, at)| {
            let due = due.get(usize::try_from(*number).ok()?)?;
            Some(at.saturating_duration_since(*due).as_secs_f64() * 1e3)
        })
        .collect();
    Ok(vec![
        Figure::alone("lateness/p50", percentile(late.clone(), 50), "ms", "relaxed"),
        Figure::alone("lateness/p99", percentile(late, 99), "ms", "relaxed"),
    ])
}
