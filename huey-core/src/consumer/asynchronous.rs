//! Async tasks: a runtime on a thread of the consumer's own, which claims as many jobs as it has places for.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::crew::Crew;
use super::late::Back;
use super::places::{Places, Seat};
use crate::execute::{AsyncBody, End};
use crate::signal::{WorkerMark, take_await};
use crate::store::{Claimed, StorageError, Tasks};

/// Claimed at a time: no more than a transition should carry.
const MOST: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the runtime until the crew stops claiming and all that was claimed has been settled.
pub(crate) fn run(crew: &Arc<Crew>, name: &Arc<str>, limit: usize) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A body that blocks this thread until another job ends may wait for itself; it can `.await` that.
    let _mark = WorkerMark::new(crew.executor.waiters.key());
    crew.executor.hooks.startup(name);
    runtime.block_on(claim_loop(crew, name, limit));
    crew.executor.hooks.shutdown(name);
    // Bodies are settled or given back by now; what blocks in one must not hold up the stop.
    runtime.shutdown_background();
    Ok(())
}

async fn claim_loop(crew: &Arc<Crew>, name: &Arc<str>, limit: usize) {
    let places = Places::new(limit);
    let mut turn = 0;
    loop {
        let free = places.free();
        if crew.is_stopping() && places.is_empty() {
            return;
        }
        if crew.is_stopping() || free == 0 {
            crew.calls.async_bell.notified().await;
            continue;
        }
        let most = u32::try_from(free.min(MOST)).unwrap_or(1);
        match crew.claim(&crew.queues_in_turn(turn), Tasks::Only(crew.async_tasks.clone()), most, Tasks::ALL) {
            Ok((claimed, _)) if claimed.is_empty() => {
                crew.calls.async_bell.notified().await;
            }
            Ok((claimed, _)) => {
                turn += 1;
                let mut begun = true;
                for job in claimed {
                    begun &= start(crew, name, job, &places);
                }
                if !begun {
                    // Jobs went back, and would be claimed again at once.
                    tokio::time::sleep(PAUSE).await;
                }
                // Lets the bodies begin before more is claimed.
                tokio::task::yield_now().await;
            }
            Err(StorageError::Closed) => return,
            Err(error) => {
                tracing::error!(worker = %name, %error, "nothing could be claimed; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Starts a claimed job, and says whether its beginning could be noted.
fn start(crew: &Arc<Crew>, name: &Arc<str>, job: Claimed, places: &Arc<Places>) -> bool {
    let (place, kit, attempt) = crew.begin(None, job, name);
    let body = match attempt.and_then(crate::execute::Attempt::start) {
        Ok(started) => started,
        Err(end) => {
            let begun = !matches!(end, End::NotBegun);
            crew.settle(place, kit, end);
            return begun;
        }
    };
    let cancel = Arc::new(Notify::new());
    crew.cancel_with(place.slot, Arc::clone(&cancel));
    let mut seat = places.take();
    let crew = Arc::clone(crew);
    tokio::spawn(async move {
        let end = attend(body, Some((&mut seat, &crew)), &cancel).await;
        if let Back::InTime(place) = crew.back(place, false) {
            crew.settle(place, kit, end);
        }
        drop(seat);
        crew.calls.call_async();
    });
    true
}

/// The body's end, or what came before it. Where places are counted it runs only while it has one.
pub(super) async fn attend(mut body: AsyncBody, mut place: Option<(&mut Seat, &Crew)>, cancel: &Notify) -> End {
    let deadline = body.deadline();
    let mut canceled = pin!(cancel.notified());
    let mut late = pin!(async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    });
    let end = poll_fn(|context| {
        // A body goes on only while it has a place, and gives it back while it waits for a job.
        if place.as_mut().is_none_or(|(seat, _)| seat.poll_sit(context)) {
            take_await();
            if let Poll::Ready(end) = Pin::new(&mut body).poll(context) {
                return Poll::Ready(end);
            }
            if take_await()
                && let Some((seat, crew)) = &mut place
            {
                seat.leave();
                crew.calls.call_async();
            }
        }
        if late.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Late);
        }
        canceled.as_mut().poll(context).map(|()| End::Interrupted)
    })
    .await;
    body.over(&end);
    end
}
