//! Two queues, one of them flooded: how long jobs of the other wait that has a worker of its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use huey::{BoxError, Durability, task};

use crate::args::Args;
use crate::figure::{Figure, percentile};
use crate::place::Place;

const FLOOD: u32 = 100_000;
const CALM: usize = 1_000;
const BUSY: Duration = Duration::from_micros(200);

#[task(queue = "flood")]
fn busy() {
    let begun = Instant::now();
    while begun.elapsed() < BUSY {
        std::hint::spin_loop();
    }
}

/// When the jobs of the calm queue began.
#[derive(Default)]
struct Begun(Mutex<Vec<Instant>>);

#[task(queue = "calm")]
fn calm(#[data] begun: &Begun) {
    let now = Instant::now();
    begun.0.lock().unwrap_or_else(PoisonError::into_inner).push(now);
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let begun = Arc::new(Begun::default());
    let huey = place.open_with(|builder| builder.durability(Durability::Relaxed).data_arc(Arc::clone(&begun)))?;
    for _ in 0..FLOOD / 10_000 {
        huey.enqueue_many((0..10_000).map(|_| busy::job()))?;
    }
    let consumer = huey.consumer().workers(2).queues(["flood"]).queue("calm", 1).start()?;
    let mut sent = Vec::with_capacity(CALM);
    for _ in 0..CALM {
        std::thread::sleep(Duration::from_millis(1));
        sent.push(Instant::now());
        calm::enqueue(&huey)?.wait(Duration::from_mins(1))?;
    }
    if huey.counts()?.queued == 0 {
        return Err("the flooded queue ran dry before the other was measured".into());
    }
    consumer.shutdown().wait()?;
    let begun = std::mem::take(&mut *begun.0.lock().unwrap_or_else(PoisonError::into_inner));
    let waits: Vec<f64> = begun
        .iter()
        .zip(&sent)
        .map(|(begun, sent)| begun.saturating_duration_since(*sent).as_secs_f64() * 1e3)
        .collect();
    Ok(vec![
        Figure::alone("queues/p50 beside a flood", percentile(waits.clone(), 50), "ms", "relaxed"),
        Figure::alone("queues/p99 beside a flood", percentile(waits, 99), "ms", "relaxed"),
    ])
}
