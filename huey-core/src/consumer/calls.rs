//! Who is woken for a job that may be claimed: one worker that sleeps, or the claimer of async tasks.

use super::bell::Bell;
use crate::store::Roused;

pub(crate) struct Calls {
    /// What each pool of workers serves.
    queues: Vec<Vec<String>>,
    /// Names of the async tasks, in order.
    async_tasks: Vec<String>,
    pub(super) bell: Bell,
    #[cfg(feature = "tokio")]
    pub(super) async_bell: tokio::sync::Notify,
}

impl Calls {
    pub(crate) fn new(queues: Vec<Vec<String>>, mut async_tasks: Vec<String>) -> Self {
        async_tasks.sort_unstable();
        Self {
            bell: Bell::new(queues.len()),
            queues,
            async_tasks,
            #[cfg(feature = "tokio")]
            async_bell: tokio::sync::Notify::new(),
        }
    }

    /// Wakes whoever can claim what may be claimed now.
    pub(crate) fn call(&self, roused: &Roused) {
        let Roused::Lane { queue, task } = roused else { return self.call_all() };
        if self.async_tasks.binary_search_by(|name| (**name).cmp(task)).is_ok() {
            return self.call_async();
        }
        for (pool, queues) in self.queues.iter().enumerate() {
            if queues.iter().any(|served| **served == **queue) {
                self.bell.ring(pool);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_calls_those_who_can_claim_it_and_nobody_else() {
        let calls =
            Calls::new(vec![vec!["a".into(), "b".into()], vec!["b".into()]], vec!["later".into(), "apart".into()]);
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
}
