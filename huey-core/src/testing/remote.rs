//! A storage behind a bad network.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::random::Random;
use crate::codec;
use crate::id::JobId;
use crate::store::{
    Answer, Commit, Done, Findings, Lease, OnWork, Outcome, Query, Settlement, Storage, StorageError, Transition,
    Verdict, Version,
};
use crate::task::Durability;
use crate::time::{Clock, Timestamp};

/// A client of a storage that others use too: every call is encoded, and from a seed requests are lost, answers are
/// lost although it happened, requests arrive twice, and what nobody waits for arrives late and in another order.
///
/// The leases of a claim whose answer was lost come back with the next [`Transition::Reclaim`], as a storage does
/// whose leases expire. Nothing sleeps: what is held back arrives with a later call, or when the client is dropped.
///
/// ```
/// use huey_core::store::{Memory, OpenStorage, Query, StorageOptions};
/// use huey_core::testing::Remote;
///
/// let server = Memory::new().open_storage(StorageOptions::default())?;
/// let (one, two) = (Remote::new(server.clone(), 1), Remote::new(server, 2));
/// # use huey_core::store::Storage;
/// while one.read(Query::all_counts()).is_err() {}
/// # drop(two);
/// # Ok::<(), huey_core::Error>(())
/// ```
pub struct Remote {
    server: Arc<dyn Storage>,
    line: Mutex<Line>,
}

struct Line {
    random: Random,
    late: Vec<Late>,
    /// Leases that were given to nobody.
    orphans: Vec<Lease>,
}

/// What is on its way.
enum Late {
    Submit(Vec<u8>, Commit, Done),
    Answer(Done, Result<Outcome, StorageError>),
    Release(Vec<JobId>),
}

/// What becomes of a request.
#[derive(Clone, Copy)]
enum Fate {
    Arrives,
    Lost,
    AnswerLost,
    Twice,
}

/// What the other side reads.
fn sent<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, StorageError> {
    let refused = |error: crate::Error| StorageError::Refused(error.to_string());
    codec::decode(&codec::encode(value).map_err(refused)?).map_err(refused)
}

fn lost() -> StorageError {
    StorageError::Unknown("the connection was lost".into())
}

impl Remote {
    /// A client of `server`. What goes wrong comes from `seed`.
    #[must_use]
    pub fn new(server: Arc<dyn Storage>, seed: u64) -> Self {
        let line = Line { random: Random::new(seed), late: Vec::new(), orphans: Vec::new() };
        Self { server, line: Mutex::new(line) }
    }

    fn with_line<T>(&self, act: impl FnOnce(&mut Line) -> T) -> T {
        act(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fate(&self) -> Fate {
        self.with_line(|line| match line.random.below(16) {
            0 | 1 => Fate::Lost,
            2 | 3 => Fate::AnswerLost,
            4 | 5 => Fate::Twice,
            _ => Fate::Arrives,
        })
    }

    /// Lets some of what is on its way arrive, in any order; all of it if asked to.
    fn deliver(&self, all: bool) {
        loop {
            let next = self.with_line(|line| {
                let stays = line.late.is_empty() || (!all && line.random.one_in(3));
                (!stays).then(|| line.late.swap_remove(line.random.below(line.late.len())))
            });
            match next {
                None => return,
                Some(Late::Release(jobs)) => self.server.release(&jobs),
                Some(Late::Answer(done, outcome)) => done(outcome),
                Some(Late::Submit(bytes, how, done)) => {
                    let outcome = codec::decode(&bytes)
                        .map_err(|error| StorageError::Refused(error.to_string()))
                        .and_then(|transition| self.request(&transition, how));
                    self.with_line(|line| line.late.push(Late::Answer(done, outcome)));
                }
            }
        }
    }

    fn serve(&self, transition: &Transition, how: Commit) -> Result<Outcome, StorageError> {
        self.server.commit(sent(transition)?, sent(&how)?)
    }

    fn request(&self, transition: &Transition, how: Commit) -> Result<Outcome, StorageError> {
        let fate = self.fate();
        if matches!(fate, Fate::Lost) {
            return Err(lost());
        }
        let outcome = sent(&self.serve(transition, how))?;
        match fate {
            Fate::Twice => self.forget(self.serve(transition, how)),
            Fate::AnswerLost => {
                self.forget(outcome);
                return Err(lost());
            }
            Fate::Lost | Fate::Arrives => {}
        }
        outcome
    }

    /// An outcome that nobody hears of. The leases in it are nobody's.
    fn forget(&self, outcome: Result<Outcome, StorageError>) {
        if let Ok(Outcome::Claimed { claimed, .. }) = outcome {
            self.with_line(|line| line.orphans.extend(claimed.iter().map(|one| one.lease)));
        }
    }

    fn reclaim(&self) -> Result<Outcome, StorageError> {
        let orphans = self.with_line(|line| std::mem::take(&mut line.orphans));
        let back = |lease| Settlement { lease, verdict: Verdict::Returned { started: false } };
        let transition = Transition::Settle(orphans.into_iter().map(back).collect());
        match self.server.commit(transition, Commit { durability: Durability::Synced, hold: false })? {
            Outcome::Settled(all) => {
                let count = all.iter().flatten().count();
                Ok(Outcome::Reclaimed(u32::try_from(count).unwrap_or(u32::MAX)))
            }
            other => Ok(other),
        }
    }
}

impl Storage for Remote {
    fn commit(&self, transition: Transition, how: Commit) -> Result<Outcome, StorageError> {
        self.deliver(false);
        match transition {
            Transition::Reclaim => self.reclaim(),
            transition => self.request(&transition, how),
        }
    }

    fn submit(&self, transition: Transition, how: Commit, done: Done) {
        self.deliver(false);
        match codec::encode(&transition) {
            Ok(bytes) => self.with_line(|line| line.late.push(Late::Submit(bytes, how, done))),
            Err(error) => done(Err(StorageError::Refused(error.to_string()))),
        }
    }

    fn release(&self, jobs: &[JobId]) {
        self.with_line(|line| line.late.push(Late::Release(jobs.to_vec())));
    }

    fn read(&self, query: Query) -> Result<Answer, StorageError> {
        self.deliver(false);
        if matches!(self.fate(), Fate::Lost | Fate::AnswerLost) {
            return Err(StorageError::Unavailable("the connection was lost".into()));
        }
        sent(&self.server.read(sent(&query)?))?
    }

    fn wait(&self, since: Version, until: Timestamp) -> Version {
        self.deliver(true);
        self.server.wait(since, until)
    }

    fn wait_due(&self, since: Version, until: Timestamp) -> Option<Version> {
        self.deliver(true);
        self.server.wait_due(since, until)
    }

    fn on_work(&self, listener: Weak<dyn OnWork>) {
        self.server.on_work(listener);
    }

    fn wake(&self) {
        self.server.wake();
    }

    fn export(&self, out: &mut dyn Write) -> Result<Findings, StorageError> {
        self.deliver(true);
        self.server.export(out)
    }

    fn begin(&self, slot: usize, lease: Lease, durability: Durability) -> Result<(), StorageError> {
        self.server.begin(slot, lease, durability)
    }

    fn end(&self, slot: usize) {
        self.server.end(slot);
    }

    fn clock(&self) -> Clock {
        self.server.clock()
    }

    fn offers(&self) -> &[Durability] {
        self.server.offers()
    }

    fn close(&self) -> Result<(), StorageError> {
        self.deliver(true);
        self.server.close()
    }

    fn name(&self) -> String {
        format!("{} behind a bad network", self.server.name())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.deliver(true);
    }
}
