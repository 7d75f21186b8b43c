//! A rate of 100 in a second over 5 seconds, with 8 workers: the most claims in any second, and how many there are of those
//! that there may be.

use std::time::Duration;

use huey::{BoxError, Timestamp, task};

use crate::args::Args;
use crate::figure::Figure;
use crate::place::Place;

const MOST: usize = 100;
const SECONDS: usize = 5;
const SECOND: Duration = Duration::from_secs(1);

#[task(rate(100, "1s"))]
fn limited() {}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open_with(|builder| builder)?;
    let handles = limited::map(&huey, (0..MOST * (SECONDS + 1)).map(|_| ()))?;
    let consumer = huey.consumer().workers(8).start()?;
    for handle in &handles {
        handle.wait(Duration::from_mins(1))?;
    }
    consumer.shutdown().wait()?;
    let mut claims: Vec<Timestamp> = Vec::with_capacity(handles.len());
    for handle in &handles {
        let started = huey.info(handle.id())?.and_then(|info| info.started);
        claims.push(started.ok_or("a job has ended and was never claimed")?);
    }
    claims.sort_unstable();
    let within = |first: Timestamp, span| claims.iter().filter(|at| **at >= first && at.since(first) < span).count();
    let most = claims.iter().map(|first| within(*first, SECOND)).max().unwrap_or_default();
    if most > MOST {
        return Err(format!("{most} jobs were claimed in one second, and {MOST} may be").into());
    }
    let first = *claims.first().ok_or("nothing was claimed")?;
    let whole = within(first, SECOND * u32::try_from(SECONDS)?);
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let (most, per_second, rate) = (most as f64, whole as f64 / SECONDS as f64, MOST as f64);
    Ok(vec![
        Figure::beside("rate/most in a second", "jobs", "synced", "the rate", &[(most, rate)]),
        Figure::beside("rate/throughput", "jobs/s", "synced", "the rate", &[(per_second, rate)]),
    ])
}
