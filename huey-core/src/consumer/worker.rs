//! A worker thread: takes plain jobs, runs them, settles them.

use std::sync::Arc;
use std::time::Duration;

use super::batch::Paces;
use super::crew::{Crew, Place};
use crate::execute::End;
use crate::signal::WorkerMark;
use crate::store::StorageError;
use crate::time::monotonic;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Works until the crew stops claiming.
pub(crate) fn work(crew: &Arc<Crew>, name: &Arc<str>) {
    let _mark = WorkerMark::new(crew.executor.waiters.key());
    let mut hand = Hand { crew, name, place: None, paces: Paces::default() };
    let mut pause = FIRST_PAUSE;
    while !crew.is_stopping() {
        match hand.turn() {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => crew.bell.wait(None),
            Err(StorageError::Closed) => break,
            Err(error) => {
                tracing::error!(worker = %name, %error, "nothing could be claimed; trying again");
                crew.bell.wait(Some(pause));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    hand.put_down();
}

/// What a worker holds from one job to the next.
struct Hand<'a> {
    crew: &'a Arc<Crew>,
    name: &'a Arc<str>,
    /// The place of the last attempt, while its end waits for others to be settled with.
    place: Option<Place>,
    paces: Paces,
}

impl Hand<'_> {
    /// One job, or none: whether there was one.
    fn turn(&mut self) -> Result<bool, StorageError> {
        let Some(job) = self.crew.next_job(|| self.paces.quick())? else {
            // Another worker may have taken what was left of those that were claimed together.
            self.settle();
            return Ok(false);
        };
        let task = Arc::clone(&job.task);
        let (place, kit, attempt) = self.crew.begin(self.place.take(), job, self.name);
        let begun = monotonic();
        let end = match attempt {
            Ok(attempt) => attempt.run(),
            Err(end) => end,
        };
        self.paces.note(&task, monotonic().duration_since(begun));
        let is_last = self.crew.shelf.is_empty();
        if matches!(end, End::NotBegun) {
            self.crew.settle(place, kit, end);
            // The job went back, and would be claimed again at once.
            return Err(StorageError::Unavailable("the beginning of an attempt could not be noted".into()));
        }
        if kit.is_relaxed() {
            self.crew.settle_with_others(&place, kit, end, is_last);
            self.place = Some(place).filter(|_| !is_last);
        } else {
            self.crew.settle(place, kit, end);
        }
        Ok(true)
    }

    /// Settles what was put off, and gives back the place.
    fn settle(&mut self) {
        self.crew.settle_all(self.crew.ends.take());
        self.place = None;
    }

    /// Leaves nothing behind that was begun or claimed.
    fn put_down(mut self) {
        self.settle();
        self.crew.clear_shelf();
    }
}
