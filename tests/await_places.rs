//! Async tasks that wait for other jobs: they need no place meanwhile.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use huey::{BoxError, Context, task};
use support::{LONG, Stage, queue_with};

#[task]
async fn nested(#[ctx] ctx: &Context, depth: u32) -> Result<u32, BoxError> {
    if depth == 0 {
        return Ok(0);
    }
    Ok(nested::enqueue_async(ctx.huey()?, depth - 1).await?.await? + 1)
}

#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    async fn stay(&self) {
        self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[task]
async fn last(#[data] stage: &Stage) {
    stage.note("last");
    stage.pass_async().await;
}

#[task]
async fn waits(
    #[data] stage: &Stage,
    #[data] crowd: &Crowd,
    #[ctx] ctx: &Context,
    id: huey::JobId,
) -> Result<(), BoxError> {
    crowd.stay().await;
    stage.note("waits");
    ctx.huey()?.handle::<last>(id)?.await?;
    crowd.stay().await;
    Ok(())
}

#[test]
fn an_async_task_that_awaits_another_gives_its_place_back() {
    let (huey, ..) = queue_with(|builder| builder.data(Crowd::default()));
    let consumer = huey.consumer().workers(0).async_limit(1).start().unwrap();
    assert_eq!(nested::enqueue(&huey, 5).unwrap().wait(LONG).unwrap(), 5);
    consumer.shutdown().wait().unwrap();
}

#[test]
fn a_task_takes_a_place_again_before_it_goes_on() {
    let crowd = Arc::new(Crowd::default());
    let (huey, _, stage) = queue_with(|builder| builder.data_arc(Arc::clone(&crowd)));
    let end = last::enqueue(&huey).unwrap();
    let all: Vec<_> = (0..9).map(|_| waits::enqueue(&huey, end.id()).unwrap()).collect();
    let consumer = huey.consumer().workers(0).async_limit(2).start().unwrap();
    // All nine wait at once, with two places, one of which is taken for good.
    stage.wait_notes(10);
    stage.open();
    for one in all {
        one.wait(LONG).unwrap();
    }
    assert!(crowd.most.load(Ordering::SeqCst) <= 2);
    consumer.shutdown().wait().unwrap();
}
