//! Who is woken for a job that may be claimed: one worker that sleeps, or the claimer of async tasks.

use super::bell::Bell;
use crate::store::{Claimed, HandOver, OnWork, Roused};
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

    fn promise(&self, queue: &str, task: &str) -> Option<HandOver> {
        let calls = &self.0;
        if calls.is_async(task) || calls.is_stuck() {
            return None;
        }
        let pool = calls.pools(queue).find(|pool| calls.bell.promise(*pool))?;
        let promise = Promise { calls: Arc::clone(calls), pool, is_kept: false };
        Some(Box::new(move |job| promise.keep(job)))
    }
}

/// What one who sleeps was promised.
struct Promise {
    calls: Arc<Calls>,
    pool: usize,
    is_kept: bool,
}

impl Promise {
    fn keep(mut self, job: Claimed) {
        self.is_kept = true;
        self.calls.bell.hand(self.pool, job);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.is_kept {
            self.calls.bell.let_go(self.pool);
        }
    }
}

#[cfg(all(test, feature = "testing", not(huey_races)))]
mod tests {
    use super::super::claims::tests::claimed;
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
    fn a_job_is_promised_to_one_who_sleeps_and_can_run_it_and_is_handed_over_or_does_not_come() {
        let calls = Arc::new(Calls::new(vec![vec!["a".into()], vec!["b".into()]], vec!["apart".into()], 2));
        let listener = Listener(Arc::clone(&calls));
        assert!(listener.promise("b", "now").is_none(), "nobody sleeps");
        assert!((0..2).all(|pool| calls.bell.take(pool)), "at the start");
        // They begin to sleep at some time.
        let promise = || std::iter::repeat_with(|| listener.promise("b", "now")).flatten().next();
        std::thread::scope(|scope| {
            let sleepers = [(); 2].map(|()| scope.spawn(|| calls.bell.wait(1, None)));
            let (first, second) = (promise(), promise());
            assert!(first.is_some() && second.is_some());
            assert!(listener.promise("b", "now").is_none(), "each is promised one");
            drop(first);
            for (queue, task) in [("a", "now"), ("c", "now"), ("b", "apart")] {
                assert!(listener.promise(queue, task).is_none(), "{task} in {queue}");
            }
            calls.late.store(2, Ordering::SeqCst);
            assert!(listener.promise("b", "now").is_none(), "all bodies are late");
            calls.late.store(0, Ordering::SeqCst);
            let first = promise();
            calls.bell.ring(1);
            if let Some(second) = second {
                second(claimed(2));
            }
            drop(first);
            let mut handed: Vec<_> = sleepers.map(|sleeper| sleeper.join().ok().flatten()).into();
            handed.sort_by_key(Option::is_some);
            assert_eq!(handed, [None, Some(claimed(2))]);
        });
    }
}
