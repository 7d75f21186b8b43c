//! The thread that runs async bodies for those who run jobs on their own threads.

use crate::sync::mpsc::{Sender, channel};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::asynchronous::attend;
use crate::execute::{Attempt, End};
use crate::signal::WorkerMark;

/// Told the end of a body that did not come to it at once.
type Later = Box<dyn FnOnce(End) + Send>;

/// A way to the helper thread, which ends with the last one.
#[derive(Clone)]
pub(crate) struct Helper(UnboundedSender<Start>);

struct Start {
    attempt: Attempt,
    cancel: Arc<Notify>,
    /// Told once: the end, or that the body waits for something.
    first: Sender<Option<End>>,
    later: Later,
}

impl Helper {
    /// Starts the thread, which works for the queue with that key.
    pub(crate) fn start(queue: usize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, mut receiver) = unbounded_channel::<Start>();
        crate::sync::thread::Builder::new().name("huey-async".into()).spawn(move || {
            let _mark = WorkerMark::new(queue);
            runtime.block_on(async {
                while let Some(start) = receiver.recv().await {
                    tokio::spawn(attempt(start));
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self(sender))
    }

    /// Runs a body until it ends or waits for something. Its end, or `None` if `later` will be told of it.
    pub(crate) fn run(&self, attempt: Attempt, cancel: Arc<Notify>, later: Later) -> Option<End> {
        let (first, told) = channel();
        if self.0.send(Start { attempt, cancel, first, later }).is_err() {
            return Some(End::NotBegun);
        }
        told.recv().unwrap_or(Some(End::Interrupted))
    }
}

async fn attempt(start: Start) {
    let Start { attempt, cancel, first, later } = start;
    // Who asked waits for the first answer, so sending it cannot fail.
    let body = match attempt.start() {
        Ok(started) => started,
        Err(end) => return drop(first.send(Some(end))),
    };
    let mut attended = pin!(attend(body, None, &cancel));
    let at_once = poll_fn(|context| match attended.as_mut().poll(context) {
        Poll::Ready(end) => Poll::Ready(Some(end)),
        Poll::Pending => Poll::Ready(None),
    });
    if let Some(end) = at_once.await {
        return drop(first.send(Some(end)));
    }
    drop(first.send(None));
    later(attended.await);
}
