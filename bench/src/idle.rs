//! What a consumer costs that has nothing to do.

use std::fs;
use std::time::Duration;

use huey::{BoxError, Durability};

use crate::args::Args;
use crate::enqueue::{carry, load};
use crate::figure::Figure;
use crate::place::Place;

const FOR: Duration = Duration::from_secs(10);
/// The system counts time in hundredths of a second.
const TICKS: f64 = 100.0;

fn ticks() -> Result<f64, BoxError> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let rest = text.rsplit(") ").next().ok_or("stat has no name")?;
    let field = |at: usize| -> Result<f64, BoxError> { Ok(rest.split(' ').nth(at).ok_or("stat is short")?.parse()?) };
    Ok(field(11)? + field(12)?)
}

fn switches() -> Result<f64, BoxError> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.ok_or("no switches")?.trim().parse::<f64>()?;
    }
    Ok(sum)
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open(Durability::Relaxed)?;
    let _ = carry::job(load()).delay(Duration::from_hours(1)).enqueue(&huey)?;
    let consumer = huey.consumer().workers(2).start()?;
    // Until what was written has been synced and everybody sleeps.
    std::thread::sleep(Duration::from_secs(3));
    let (before, woken) = (ticks()?, switches()?);
    std::thread::sleep(FOR);
    let (after, woken_after) = (ticks()?, switches()?);
    consumer.shutdown().wait()?;
    Ok(vec![
        Figure::alone("idle/cpu", (after - before) / TICKS / FOR.as_secs_f64() * 100.0, "%", "relaxed"),
        Figure::alone("idle/wake-ups", (woken_after - woken) / FOR.as_secs_f64(), "1/s", "relaxed"),
    ])
}
