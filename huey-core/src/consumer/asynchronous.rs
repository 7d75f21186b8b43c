//! Async tasks: a runtime on a thread of the consumer's own, which claims as many jobs as it has places for.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::crew::Crew;
use crate::execute::{AsyncBody, End};
use crate::signal::WorkerMark;
use crate::store::{Claimed, StorageError, Tasks};

/// Claimed at a time: no more than a transition should carry.
const MOST: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// Runs the runtime until the crew stops claiming and all that was claimed has been settled.
pub(crate) fn run(crew: &Arc<Crew>, name: &Arc<str>, limit: usize) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // A body that blocks this thread until another job ends may wait for itself; it can `.await` that.
    let _mark = WorkerMark::new(crew.executor.waiters.key());
    runtime.block_on(claim_loop(crew, name, limit));
    // Bodies are settled or given back by now; what blocks in one must not hold up the stop.
    runtime.shutdown_background();
    Ok(())
}

async fn claim_loop(crew: &Arc<Crew>, name: &Arc<str>, limit: usize) {
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let free = limit.saturating_sub(busy.load(Ordering::SeqCst));
        if crew.is_stopping() && free == limit {
            return;
        }
        if crew.is_stopping() || free == 0 {
            crew.async_bell.notified().await;
            continue;
        }
        let most = u32::try_from(free.min(MOST)).unwrap_or(1);
        match crew.claim(Tasks::Only(crew.async_tasks.clone()), most, Tasks::ALL) {
            Ok(claimed) if claimed.is_empty() => {
                crew.bell.idle_elsewhere(true);
                crew.async_bell.notified().await;
                crew.bell.idle_elsewhere(false);
            }
            Ok(claimed) => {
                let mut begun = true;
                for job in claimed {
                    begun &= start(crew, name, job, &busy);
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
fn start(crew: &Arc<Crew>, name: &Arc<str>, job: Claimed, busy: &Arc<AtomicUsize>) -> bool {
    let (place, kit, attempt) = crew.begin(None, job, name);
    let (body, context) = match attempt.and_then(crate::execute::Attempt::start) {
        Ok(started) => started,
        Err(end) => {
            let begun = !matches!(end, End::NotBegun);
            crew.settle(place, kit, end);
            return begun;
        }
    };
    let cancel = Arc::new(Notify::new());
    crew.cancel_with(place.slot, Arc::clone(&cancel));
    let deadline = context.deadline();
    busy.fetch_add(1, Ordering::SeqCst);
    let (crew, busy) = (Arc::clone(crew), Arc::clone(busy));
    tokio::spawn(async move {
        let end = attend(body, deadline, &cancel).await;
        crew.settle(place, kit, end);
        busy.fetch_sub(1, Ordering::SeqCst);
        crew.async_bell.notify_one();
    });
    true
}

/// The body's end, or what came before it.
pub(super) async fn attend(body: AsyncBody, deadline: Option<std::time::Instant>, cancel: &Notify) -> End {
    let mut body = pin!(body);
    let mut canceled = pin!(cancel.notified());
    let mut late = pin!(async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    });
    poll_fn(|context| {
        if let Poll::Ready(end) = body.as_mut().poll(context) {
            return Poll::Ready(end);
        }
        if late.as_mut().poll(context).is_ready() {
            return Poll::Ready(End::Late);
        }
        canceled.as_mut().poll(context).map(|()| End::Interrupted)
    })
    .await
}
