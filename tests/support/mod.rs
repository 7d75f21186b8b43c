//! What the tests of behaviours share: a stage that bodies act on, and the list of the signals heard.
#![allow(dead_code, reason = "each test program uses its part")]

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use huey::store::{Commit, Lease, Outcome, Storage, Tasks, Transition};
use huey::{Huey, HueyBuilder, JobId, Memory, Signal, SignalKind};

/// Longer than anything here takes, unless it hangs.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where bodies tell what they do and wait for the test.
pub(crate) struct Stage {
    state: Mutex<State>,
    moved: Condvar,
    gate: tokio::sync::Semaphore,
}

#[derive(Default)]
struct State {
    notes: Vec<String>,
    open: bool,
}

impl Stage {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), moved: Condvar::new(), gate: tokio::sync::Semaphore::new(0) })
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        lock(&self.state).notes.push(text.into());
        self.moved.notify_all();
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        lock(&self.state).notes.clone()
    }

    /// Blocks until so many notes were made.
    pub(crate) fn wait_notes(&self, many: usize) -> Vec<String> {
        self.wait(|state| state.notes.len() >= many).notes.clone()
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        lock(&self.state).open = true;
        self.moved.notify_all();
        self.gate.add_permits(100_000);
    }

    /// Blocks a plain body until the gate is open.
    pub(crate) fn pass(&self) {
        drop(self.wait(|state| state.open));
    }

    /// As [`pass`](Self::pass), for an async body.
    pub(crate) async fn pass_async(&self) {
        self.gate.acquire().await.expect("the gate is never closed").forget();
    }

    fn wait(&self, ready: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let until = Instant::now() + LONG;
        let mut state = lock(&self.state);
        while !ready(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing came: {:?}", state.notes);
            state = self.moved.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state
    }
}

/// The signals that a catch-all receiver has heard.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<(Mutex<Vec<Signal>>, Condvar)>);

impl Heard {
    pub(crate) fn listen(&self, builder: HueyBuilder) -> HueyBuilder {
        let heard = self.clone();
        builder.on_any(move |signal| {
            lock(&heard.0.0).push(signal.clone());
            heard.0.1.notify_all();
        })
    }

    pub(crate) fn all(&self) -> Vec<Signal> {
        lock(&self.0.0).clone()
    }

    /// The kinds of all signals in order, as `enqueued executing complete`.
    pub(crate) fn list(&self) -> String {
        names(&self.all())
    }

    /// The kinds of one job's signals.
    pub(crate) fn of(&self, id: JobId) -> String {
        let of: Vec<Signal> = self.all().into_iter().filter(|signal| signal.id == id).collect();
        names(&of)
    }

    pub(crate) fn find(&self, kind: SignalKind) -> Option<Signal> {
        self.all().into_iter().find(|signal| signal.kind == kind)
    }

    /// Blocks until so many signals of a kind were heard.
    pub(crate) fn wait(&self, kind: SignalKind, many: usize) {
        self.wait_for(|heard| heard.iter().filter(|signal| signal.kind == kind).count() >= many);
    }

    /// Blocks until what was heard is as it should be.
    pub(crate) fn wait_for(&self, ready: impl Fn(&[Signal]) -> bool) {
        let until = Instant::now() + LONG;
        let mut heard = lock(&self.0.0);
        while !ready(&heard) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "what was waited for was not heard: {}", names(&heard));
            heard = self.0.1.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn names(signals: &[Signal]) -> String {
    signals.iter().map(|signal| signal.kind.name()).collect::<Vec<_>>().join(" ")
}

/// A queue in memory, what is heard of it, and the stage of its bodies.
pub(crate) fn queue_with(set_up: impl FnOnce(HueyBuilder) -> HueyBuilder) -> (Huey, Heard, Arc<Stage>) {
    let (heard, stage) = (Heard::default(), Stage::new());
    let builder = set_up(heard.listen(Huey::builder().data_arc(Arc::clone(&stage))));
    (builder.open(Memory::new()).expect("a queue in memory opens"), heard, stage)
}

pub(crate) fn queue() -> (Huey, Heard, Arc<Stage>) {
    queue_with(|builder| builder)
}

/// Runs everything that can run now, on one worker.
pub(crate) fn run(huey: &Huey) {
    huey.consumer().workers(1).run_until_idle().expect("the consumer runs");
}

/// The simplest executor: parks the thread until it is woken.
pub(crate) fn block_on<F: IntoFuture>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future.into_future());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return output;
        }
        std::thread::park_timeout(LONG);
    }
}

/// Runs a future where a program of tokio's would.
pub(crate) fn in_tokio<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(future)
}

/// Takes the only job that can be claimed, as a worker would.
pub(crate) fn claim_one(storage: &dyn Storage) -> Lease {
    let (queues, tasks) = (vec!["default".into()], Tasks::ALL);
    let claim = Transition::Claim { queues, tasks, most: 1, many: Tasks::ALL, keep: Duration::ZERO };
    match storage.commit(claim, Commit::default()) {
        Ok(Outcome::Claimed { claimed, .. }) => claimed.first().expect("a job").lease,
        other => panic!("a claim gave {other:?}"),
    }
}
