//! A worker thread: claims a plain job, runs it, settles it.

use std::sync::Arc;
use std::time::Duration;

use super::crew::Crew;
use crate::execute::End;
use crate::signal::WorkerMark;
use crate::store::{StorageError, Tasks};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Works until the crew stops claiming.
pub(crate) fn work(crew: &Arc<Crew>, name: &Arc<str>) {
    let _mark = WorkerMark::new(crew.executor.waiters.key());
    let mut pause = FIRST_PAUSE;
    while !crew.is_stopping() {
        match turn(crew, name) {
            Ok(true) => pause = FIRST_PAUSE,
            Ok(false) => crew.bell.wait(None),
            Err(StorageError::Closed) => return,
            Err(error) => {
                tracing::error!(worker = %name, %error, "nothing could be claimed; trying again");
                crew.bell.wait(Some(pause));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// One job, or none: whether there was one.
fn turn(crew: &Arc<Crew>, name: &Arc<str>) -> Result<bool, StorageError> {
    let claimed = crew.claim(Tasks::Except(crew.async_tasks.clone()), 1)?;
    let found = !claimed.is_empty();
    if found {
        // There may be more, for the next one who sleeps.
        crew.bell.ring();
    }
    for job in claimed {
        let (place, kit, attempt) = crew.begin(job, name);
        let end = match attempt {
            Ok(attempt) => attempt.run(),
            Err(end) => end,
        };
        let begun = !matches!(end, End::NotBegun);
        crew.settle(place, kit, end);
        if !begun {
            // The job went back, and would be claimed again at once.
            return Err(StorageError::Unavailable("the beginning of an attempt could not be noted".into()));
        }
    }
    Ok(found)
}
