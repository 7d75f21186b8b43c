//! Who is woken for a job that may be claimed: one worker that sleeps, or the claimer of async tasks.

use super::bell::Bell;
use crate::store::{Claimed, Hand, OnWork, Roused};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Calls {
    /// What each pool of workers serves.
    queues: Vec<Vec<String>>,
    /// Names of the async tasks, in order.
    async_tasks: Vec<String>,
    pub(super) bell: Bell<Claimed>,
    workers: usize,
    /// How many bodies run on though their attempts are settled.
    pub(super) late: AtomicUsize,
    #[cfg(feature = "tokio")]
    pub(super) async_bell: tokio::sync::Notify,
}

impl Calls {
    pub(crate) fn new(queues: Vec<Vec<String>>, mut async_tasks: Vec<String>, workers: usize) -> Self {
        async_tasks.sort_unstable();
        Self {
            bell: Bell::new(queues.len()),
            queues,
            async_tasks,
            workers,
            late: AtomicUsize::new(0),
            #[cfg(feature = "tokio")]
            async_bell: tokio::sync::Notify::new(),
        }
    }

    /// Wakes whoever can claim what may be claimed now.
    pub(crate) fn call(&self, roused: &Roused) {
        let Roused::Lane { queue, task } = roused else { return self.call_all() };
        if self.is_async(task) {
            return self.call_async();
        }
        for pool in self.pools(queue) {
            self.bell.ring(pool);
        }
    }

    fn is_async(&self, task: &str) -> bool {
        self.async_tasks.binary_search_by(|name| (**name).cmp(task)).is_ok()
    }

    /// The pools that serve a queue.
    fn pools(&self, queue: &str) -> impl Iterator<Item = usize> {
        let all = self.queues.iter().enumerate();
        all.filter(move |(_, queues)| queues.iter().any(|served| served == queue)).map(|(pool, _)| pool)
    }

    /// Whether so many bodies ignore their deadlines that no plain job is claimed.
    pub(super) fn is_stuck(&self) -> bool {
        self.workers > 0 && self.late.load(Ordering::SeqCst) >= self.workers
    }

    fn call_all(&self) {
        self.bell.ring_all();
        if !self.async_tasks.is_empty() {
            self.call_async();
        }
    }

    /// Wakes the claimer of async tasks.
    #[cfg_attr(
        not(feature = "tokio"),
        expect(clippy::unused_self, reason = "it has somebody to call where there is a runtime")
    )]
    pub(crate) fn call_async(&self) {
        #[cfg(feature = "tokio")]
        self.async_bell.notify_one();
    }
}

/// A consumer as the storage knows it.
pub(super) struct Listener(pub(super) Arc<Calls>);

impl OnWork for Listener {
    fn roused(&self, roused: &Roused) {
        self.0.call(roused);
    }

    fn keep(&self, queue: &str, task: &str) -> Option<Hand> {
        let calls = &self.0;
        if calls.is_async(task) || calls.is_stuck() {
            return None;
        }
        let pool = calls.pools(queue).find(|pool| calls.bell.keep(*pool))?;
        let mut kept = Kept { calls: Arc::clone(calls), pool, is_handed: false };
        Some(Box::new(move |job| {
            kept.is_handed = true;
            kept.calls.bell.hand(pool, job);
        }))
    }
}

/// One who sleeps, and is kept for a job.
struct Kept {
    calls: Arc<Calls>,
    pool: usize,
    is_handed: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        if !self.is_handed {
            self.calls.bell.let_go(self.pool);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_calls_those_who_can_claim_it_and_nobody_else() {
        let calls =
            Calls::new(vec![vec!["a".into(), "b".into()], vec!["b".into()]], vec!["later".into(), "apart".into()], 0);
        let called = || (calls.bell.take(0), calls.bell.take(1));
        let lane = |queue: &str, task: &str| Roused::Lane { queue: queue.into(), task: task.into() };
        assert_eq!(called(), (true, true), "at the start");
        for (roused, expected) in [
            (lane("a", "now"), (true, false)),
            (lane("b", "now"), (true, true)),
            (lane("c", "now"), (false, false)),
            (lane("b", "apart"), (false, false)),
            (Roused::All, (true, true)),
        ] {
            calls.call(&roused);
            assert_eq!(called(), expected, "{roused:?}");
        }
    }

    #[test]
    fn a_job_keeps_one_who_sleeps_and_can_run_it_until_it_is_handed_over_or_does_not_come() {
        let calls = Arc::new(Calls::new(vec![vec!["a".into()], vec!["b".into()]], vec!["apart".into()], 2));
        let listener = Listener(Arc::clone(&calls));
        assert!(listener.keep("b", "now").is_none(), "nobody sleeps");
        assert!((0..2).all(|pool| calls.bell.take(pool)), "at the start");
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| calls.bell.wait(1, None));
            // It begins to sleep at some time.
            let kept = std::iter::repeat_with(|| listener.keep("b", "now")).flatten().next();
            assert!(listener.keep("b", "now").is_none(), "it is kept for another");
            drop(kept);
            for (queue, task) in [("a", "now"), ("c", "now"), ("b", "apart")] {
                assert!(listener.keep(queue, task).is_none(), "{task} in {queue}");
            }
            calls.late.store(2, Ordering::SeqCst);
            assert!(listener.keep("b", "now").is_none(), "all bodies are late");
            calls.late.store(0, Ordering::SeqCst);
            assert!(listener.keep("b", "now").is_some());
            calls.bell.ring(1);
            assert!(sleeper.join().is_ok_and(|handed| handed.is_none()));
        });
    }
}
