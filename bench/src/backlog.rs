//! What an operation costs when many jobs wait, and what they take of memory, of time to open, and of the disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use huey::store::{
    Claimed, Commit, OpenStorage, Outcome, Settlement, Storage, StorageOptions, Tasks, Transition, Verdict,
};
use huey::{BoxError, Durability, Huey, HueyBuilder, Sled};

use crate::args::Args;
use crate::enqueue::{carry, load};
use crate::figure::Figure;
use crate::place::{Place, resident};

const FEW: u32 = 1_000;
const MORE: u32 = 100_000;
const MANY: u32 = 1_000_000;
const ROUNDS: usize = 5;
/// Operations of each kind in a round.
const TIMES: u32 = 2_000;
const BULK: u32 = 1_000;
/// The operations whose price is taken, and the names of their figures beside 1,000,000 and 100,000 jobs.
const OPERATIONS: [(&str, &str); 5] = [
    ("backlog/enqueue", "backlog/enqueue-100k"),
    ("backlog/status", "backlog/status-100k"),
    ("backlog/claim", "backlog/claim-100k"),
    ("backlog/settle", "backlog/settle-100k"),
    ("backlog/cancel", "backlog/cancel-100k"),
];

/// Microseconds of each operation, in their order.
type Prices = [f64; OPERATIONS.len()];

/// Opens what it holds, and keeps a hand on it.
struct Tapped<'a>(Sled, &'a mut Option<Arc<dyn Storage>>);

impl OpenStorage for Tapped<'_> {
    fn open_storage(self, options: StorageOptions) -> huey::Result<Arc<dyn Storage>> {
        let storage = self.0.open_storage(options)?;
        *self.1 = Some(Arc::clone(&storage));
        Ok(storage)
    }
}

/// A queue, and the storage under it.
pub(crate) struct Queue {
    pub(crate) huey: Huey,
    pub(crate) storage: Arc<dyn Storage>,
}

impl Queue {
    pub(crate) fn open(place: &Place) -> Result<Self, BoxError> {
        Self::open_with(place, |builder| builder)
    }

    pub(crate) fn open_with(place: &Place, set: impl FnOnce(HueyBuilder) -> HueyBuilder) -> Result<Self, BoxError> {
        let mut storage = None;
        let sled = Sled::at(place.folder().join("queue"));
        let builder = set(Huey::builder().durability(Durability::Relaxed));
        let huey = builder.open(Tapped(sled, &mut storage))?;
        Ok(Self { huey, storage: storage.ok_or("nothing was opened")? })
    }

    /// Puts jobs in, a bulk at a time.
    fn fill(&self, jobs: u32) -> Result<(), BoxError> {
        for _ in 0..jobs / BULK {
            let _ = carry::map(&self.huey, (0..BULK).map(|_| load()))?;
        }
        Ok(())
    }

    fn drain(&self) -> Result<(), BoxError> {
        Ok(self.huey.consumer().workers(2).run_until_idle()?)
    }

    /// What each operation takes. As many jobs wait afterwards as before.
    fn prices(&self) -> Result<Prices, BoxError> {
        let Self { huey, storage } = self;
        let each = |begun: Instant| begun.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES);
        let enqueue_all = || (0..TIMES).map(|_| carry::enqueue(huey, load())).collect::<Result<Vec<_>, _>>();
        let begun = Instant::now();
        let handles = enqueue_all()?;
        let enqueue = each(begun);
        let begun = Instant::now();
        for handle in &handles {
            std::hint::black_box(handle.status()?);
        }
        let status = each(begun);
        let begun = Instant::now();
        let claimed = (0..TIMES).map(|_| claim(&**storage)).collect::<Result<Vec<_>, _>>()?;
        let claim = each(begun);
        let begun = Instant::now();
        for job in &claimed {
            settle(&**storage, job)?;
        }
        let settle = each(begun);
        let handles = enqueue_all()?;
        let begun = Instant::now();
        for handle in &handles {
            let cancel = Transition::Cancel { id: handle.id(), keep: Duration::ZERO };
            storage.commit(cancel, Commit::RELAXED)?;
        }
        Ok([enqueue, status, claim, settle, each(begun)])
    }
}

fn claim(storage: &dyn Storage) -> Result<Claimed, BoxError> {
    let (queues, tasks) = (vec!["default".to_owned()], Tasks::ALL);
    let claim = Transition::Claim { queues, tasks, most: 1, many: Tasks::ALL, keep: Duration::ZERO };
    match storage.commit(claim, Commit::RELAXED)? {
        Outcome::Claimed { claimed, .. } => Ok(claimed.into_iter().next().ok_or("nothing was claimed")?),
        other => Err(format!("a claim gave {other:?}").into()),
    }
}

fn settle(storage: &dyn Storage, job: &Claimed) -> Result<(), BoxError> {
    let keep = Duration::from_hours(1);
    let verdict = Verdict::Complete { output: vec![7; 8].into(), signature: 1, keep, next: None };
    storage.commit(Transition::Settle(vec![Settlement { lease: job.lease, verdict }]), Commit::RELAXED)?;
    Ok(())
}

/// Rounds of a queue with many jobs beside one with few.
fn compare(many: &Queue, few: &Queue) -> Result<Vec<(Prices, Prices)>, BoxError> {
    (0..ROUNDS).map(|_| Ok((many.prices()?, few.prices()?))).collect()
}

#[expect(clippy::cast_precision_loss, reason = "no disk is that large")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

pub(crate) fn run(args: &Args) -> Result<Vec<Figure>, BoxError> {
    let (small, large) = (Place::new(args.work())?, Place::new(args.work())?);
    let (few, many) = (Queue::open(&small)?, Queue::open(&large)?);
    few.fill(FEW)?;
    many.fill(FEW)?;
    let lean = resident()?;
    many.fill(MORE - FEW)?;
    let some = compare(&many, &few)?;
    many.fill(MANY - MORE)?;
    let memory = (resident()? - lean) / f64::from(MANY - FEW);
    let all = compare(&many, &few)?;
    few.huey.close()?;
    many.huey.close()?;
    drop((few, many));

    let timed = |place: &Place| -> Result<(Queue, f64), BoxError> {
        let begun = Instant::now();
        let queue = Queue::open(place)?;
        Ok((queue, begun.elapsed().as_secs_f64()))
    };
    let (queue, opened) = timed(&large)?;
    queue.drain()?;
    queue.huey.close()?;
    drop(queue);
    let (queue, with_results) = timed(&large)?;
    let counts = queue.huey.counts()?;
    if counts.queued != 0 || counts.results < u64::from(MANY) {
        return Err(format!("the backlog was not drained: {counts:?}").into());
    }
    let before = large.used()?;
    queue.fill(MANY)?;
    let full = large.used()?;
    queue.drain()?;
    let after = large.used()?;
    queue.huey.close()?;

    let mut figures = Vec::new();
    for (at, (name, name_100k)) in OPERATIONS.into_iter().enumerate() {
        let of = |rounds: &[(Prices, Prices)]| -> Vec<(f64, f64)> {
            let one = |prices: &Prices| prices.get(at).copied().unwrap_or(f64::NAN);
            rounds.iter().map(|(many, few)| (one(many), one(few))).collect()
        };
        let beside = "the same with 1,000 waiting";
        figures.push(Figure::beside(name, "us", "relaxed", beside, &of(&all)));
        figures.push(Figure::beside(name_100k, "us", "relaxed", beside, &of(&some)));
    }
    figures.extend([
        Figure::alone("backlog/memory", memory, "bytes/job", "relaxed"),
        Figure::alone("backlog/open", opened, "s", "relaxed"),
        Figure::alone("backlog/open-results", with_results, "s", "relaxed"),
        Figure::alone("backlog/disk-full", mib(full), "MiB", "relaxed"),
        Figure::beside("backlog/disk", "MiB", "relaxed", "before the second round", &[(mib(after), mib(before))]),
    ]);
    Ok(figures)
}
