//! A worker thread: takes plain jobs, runs them, settles them.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Paces;
use super::crew::{Crew, Place};
use super::late::Back;
use crate::execute::End;
use crate::signal::WorkerMark;
use crate::store::{Claimed, StorageError};
use crate::time::monotonic;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Works until the crew stops claiming.
pub(crate) fn work(crew: &Arc<Crew>, name: &Arc<str>, worker: usize) {
    let _mark = WorkerMark::new(crew.executor.waiters.key());
    let pool = crew.desks.get(worker).map_or(0, |desk| desk.pool);
    let mut hand = Hand { crew, name, worker, place: None, paces: Paces::default() };
    let (mut pause, mut handed) = (FIRST_PAUSE, None);
    crew.executor.hooks.startup(name);
    while !crew.is_stopping() {
        match hand.turn(handed.take()) {
            Ok(Turn::Ran) => pause = FIRST_PAUSE,
            // Its claim was void, as those of others may be that were made with it.
            Ok(Turn::NotBegun) if !crew.executor.trouble.begins_fail() => {}
            // The job went back, and has rung: it would be claimed again at once.
            Ok(Turn::NotBegun) => {
                crew.clear_shelf(worker);
                crew.calls.bell.rest(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Ok(Turn::Nothing) => handed = crew.calls.bell.wait(pool, None),
            Ok(Turn::Replaced) | Err(StorageError::Closed) => break,
            Err(error) => {
                tracing::error!(worker = %name, %error, "nothing could be claimed; trying again");
                handed = crew.calls.bell.wait(pool, Some(pause));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    if let Some(job) = handed {
        crew.executor.give_back(std::iter::once(job.lease));
    }
    hand.put_down();
    crew.executor.hooks.shutdown(name);
}

/// What came of looking for a job.
enum Turn {
    Ran,
    Nothing,
    /// It could not be noted that one begins.
    NotBegun,
    /// The body took so long that another thread is in this one's place.
    Replaced,
}

/// What a worker holds from one job to the next.
struct Hand<'a> {
    crew: &'a Arc<Crew>,
    name: &'a Arc<str>,
    worker: usize,
    /// The place of the last attempt, while its end waits for others to be settled with.
    place: Option<Place>,
    paces: Paces,
}

impl Hand<'_> {
    /// One job, that which was handed over if there is one, or none.
    fn turn(&mut self, handed: Option<Claimed>) -> Result<Turn, StorageError> {
        let job = match handed {
            Some(job) => {
                self.crew.was_handed();
                Some(job)
            }
            None => self.crew.next_job(self.worker, || self.paces.quick())?,
        };
        let Some(job) = job else {
            // Another worker may have taken what was left of those that were claimed together.
            self.settle();
            return Ok(Turn::Nothing);
        };
        let task = Arc::clone(&job.task);
        let (place, kit, attempt) = self.crew.begin(self.place.take(), job, self.name);
        let begun = monotonic();
        let end = match attempt {
            Ok(attempt) => attempt.run(),
            Err(end) => end,
        };
        let ended = monotonic();
        self.paces.note(&task, ended.duration_since(begun));
        let put_off = kit.is_relaxed() && !matches!(end, End::NotBegun);
        let place = match self.crew.back(place, put_off) {
            Back::InTime(place) => place,
            Back::Late { needed: true } => {
                self.crew.calls.bell.ring_all();
                return Ok(Turn::Ran);
            }
            Back::Late { needed: false } => {
                self.crew.calls.bell.ring_all();
                return Ok(Turn::Replaced);
            }
        };
        let is_last = self.crew.has_run_last(self.worker);
        if matches!(end, End::NotBegun) {
            self.crew.settle(place, kit, end);
            return Ok(Turn::NotBegun);
        }
        if put_off {
            self.crew.settle_with_others(self.worker, kit, end, ended, is_last);
            self.place = Some(place).filter(|_| !is_last);
        } else {
            self.crew.settle(place, kit, end);
        }
        Ok(Turn::Ran)
    }

    /// Settles what was put off, and gives back the place.
    fn settle(&mut self) {
        self.crew.settle_all(self.crew.ends.take(self.worker));
        self.place = None;
    }

    /// Leaves nothing behind that was begun or claimed.
    fn put_down(mut self) {
        self.settle();
        // What is claimed by one in whose place another works is that one's.
        if self.crew.is_stopping() {
            self.crew.clear_shelves();
        }
    }
}
