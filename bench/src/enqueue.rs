//! What it costs to put jobs in.

use huey::{BoxError, Durability, task};

use crate::args::Args;
use crate::figure::Figure;
use crate::place::{Place, rate};
use crate::raw;

const ROUNDS: usize = 5;
const RELAXED: u32 = 100_000;
const SYNCED: u32 = 1_500;
const CALLERS: u32 = 64;
/// Jobs in one bulk.
pub(crate) const MANY: u32 = 1_000;

#[task]
pub(crate) fn carry(load: Vec<u8>) {
    drop(load);
}

/// The arguments of every job that is measured.
pub(crate) fn load() -> Vec<u8> {
    vec![7; 100]
}

/// Jobs a second that one thread enqueues.
fn rate_of(args: &Args, durability: Durability, times: u32) -> Result<f64, BoxError> {
    let place = Place::new(args.work())?;
    let huey = place.open(durability)?;
    let measured = rate(times, || {
        for _ in 0..times {
            let _ = carry::enqueue(&huey, load())?;
        }
        // As the baseline does: what is owed to the disk belongs to the price.
        Ok(huey.close()?)
    })?;
    Ok(measured)
}

pub(crate) fn one_by_one(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (mut relaxed, mut synced) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = Place::new(args.work())?;
        relaxed.push((rate_of(args, Durability::Relaxed, RELAXED)?, raw::inserts(place.folder(), RELAXED)?));
        let place = Place::new(args.work())?;
        synced.push((rate_of(args, Durability::Synced, SYNCED)?, raw::synced(place.folder(), SYNCED)?));
    }
    Ok(vec![
        Figure::beside("enqueue/relaxed", "jobs/s", "relaxed", "sled, single inserts", &relaxed),
        Figure::beside("enqueue/synced", "jobs/s", "synced", "sled, insert + flush + fsync", &synced),
    ])
}

pub(crate) fn threads(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    let each = 10 * SYNCED / CALLERS;
    for _ in 0..ROUNDS {
        let one = rate_of(args, Durability::Synced, SYNCED)?;
        let place = Place::new(args.work())?;
        bare.push((raw::shared_writes(place.folder(), CALLERS, each)?, one));
        let huey = place.open(Durability::Synced)?;
        let all = rate(each * CALLERS, || {
            std::thread::scope(|scope| {
                let callers: Vec<_> = (0..CALLERS)
                    .map(|_| scope.spawn(|| (0..each).try_for_each(|_| carry::enqueue(&huey, load()).map(drop))))
                    .collect();
                for caller in callers {
                    caller.join().map_err(|_| "a caller panicked")??;
                }
                Ok::<(), BoxError>(())
            })
        })?;
        rounds.push((all, one));
    }
    Ok(vec![
        Figure::beside("enqueue-threads/synced", "jobs/s", "synced", "one caller", &rounds),
        // What so many threads come to that share a write and a sync, and do nothing else.
        Figure::beside("enqueue-threads/bare", "writes/s", "synced", "one caller", &bare),
    ])
}

pub(crate) fn many(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (mut rounds, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let place = Place::new(args.work())?;
        let huey = place.open(Durability::Relaxed)?;
        let all = rate(RELAXED, || {
            for _ in 0..RELAXED / MANY {
                let _ = carry::map(&huey, (0..MANY).map(|_| load()))?;
            }
            Ok(huey.close()?)
        })?;
        let single = raw::inserts(place.folder(), RELAXED)?;
        rounds.push((all, single));
        bare.push((raw::bulks(place.folder(), RELAXED, load)?, single));
    }
    Ok(vec![
        Figure::beside("enqueue-many/relaxed", "jobs/s", "relaxed", "sled, single inserts", &rounds),
        // What encoding the arguments and writing the bytes alone would allow.
        Figure::beside("enqueue-many/bare", "jobs/s", "relaxed", "sled, single inserts", &bare),
    ])
}
