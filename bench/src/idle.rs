//! What a consumer costs that has nothing to do.

use std::fs;
use std::time::Duration;

use huey::{BoxError, Durability};

use crate::args::Args;
use crate::enqueue::{carry, load};
use crate::figure::Figure;
use crate::place::Place;
use crate::raw;

const FOR: Duration = Duration::from_secs(10);

/// Seconds that all threads but this one have run, and without those of sled's pool, by the scheduler, which counts nanoseconds where
/// the ticks of the clock are hundredths of a second: one of those would be a tenth of a percent here.
fn run_times() -> Result<(f64, f64), BoxError> {
    let (mut all, mut own) = (0.0, 0.0);
    let main = std::process::id().to_string();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name() == *main {
            continue;
        }
        let text = fs::read_to_string(task.path().join("schedstat"))?;
        let seconds = text.split(' ').next().ok_or("schedstat is empty")?.parse::<f64>()? / 1e9;
        all += seconds;
        if !fs::read_to_string(task.path().join("comm"))?.starts_with("sled-io") {
            own += seconds;
        }
    }
    Ok((all, own))
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

/// What this process takes while nobody asks anything of it.
struct Rest {
    /// Percent of a processor, of all threads but the one that measures.
    all: f64,
    /// The same without those of sled's pool.
    own: f64,
    /// Wake-ups a second.
    woken: f64,
}

fn rest() -> Result<Rest, BoxError> {
    // Until what was written has been synced and everybody sleeps.
    std::thread::sleep(Duration::from_secs(3));
    let (before, woken) = (run_times()?, switches()?);
    std::thread::sleep(FOR);
    let (after, woken_after) = (run_times()?, switches()?);
    let (percent, seconds) = (100.0 / FOR.as_secs_f64(), FOR.as_secs_f64());
    Ok(Rest {
        all: (after.0 - before.0) * percent,
        own: (after.1 - before.1) * percent,
        woken: (woken_after - woken) / seconds,
    })
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let sled = raw::at_rest(place.folder(), rest)??;
    let huey = place.open(Durability::Relaxed)?;
    let _ = carry::job(load()).delay(Duration::from_hours(1)).enqueue(&huey)?;
    let consumer = huey.consumer().workers(2).start()?;
    let queue = rest()?;
    consumer.shutdown().wait()?;
    Ok(vec![
        Figure::alone("idle/cpu", queue.all, "%", "relaxed"),
        // Without the threads of sled's pool, each of which looks at its queue once a second.
        Figure::alone("idle/own", queue.own, "%", "relaxed"),
        // A database of sled's that holds one value, and no queue.
        Figure::alone("idle/sled", sled.all, "%", "relaxed"),
        Figure::alone("idle/wake-ups", queue.woken, "1/s", "relaxed"),
    ])
}
