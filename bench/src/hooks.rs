//! What three hooks add to an enqueue.
#![expect(clippy::unnecessary_wraps, reason = "a hook may refuse, these do not")]

use huey::{BoxError, Decision, Durability, EnqueueRequest, HookResult, Huey, task};

use crate::args::Args;
use crate::enqueue::load;
use crate::figure::Figure;
use crate::place::{Place, rate};

const ROUNDS: usize = 9;
const JOBS: u32 = 100_000;

fn tagged(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.header("host", "web-1");
    Ok(Decision::Go)
}

fn polite(args: &mut hooked, _: &mut EnqueueRequest<'_>) -> HookResult {
    args.number += 1;
    Ok(Decision::Go)
}

fn counted(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.after_commit(|outcome| {
        std::hint::black_box(outcome);
    });
    Ok(Decision::Go)
}

#[task(hooks(tagged, polite, counted))]
fn hooked(number: u64, load: Vec<u8>) {
    drop((number, load));
}

#[task]
fn plain(number: u64, load: Vec<u8>) {
    drop((number, load));
}

/// Microseconds for each enqueue.
fn price(args: &Args, enqueue: impl Fn(&Huey) -> huey::Result<()>) -> Result<f64, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open(Durability::Relaxed)?;
    let measured = rate(JOBS, || Ok((0..JOBS).try_for_each(|_| enqueue(&huey))?))?;
    Ok(1e6 / measured)
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let with = price(args, |huey| hooked::enqueue(huey, 1, load()).map(drop))?;
        let without = price(args, |huey| plain::enqueue(huey, 1, load()).map(drop))?;
        rounds.push((with, without));
    }
    Ok(vec![Figure::beside("hooks/three", "us", "relaxed", "the same without hooks", &rounds)])
}
