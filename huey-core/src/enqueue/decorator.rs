//! Reusable bundles of options and hooks.

use std::time::Duration;

use super::hook::EnqueueHook;
use crate::task::{Delivery, Durability, LimitRule, OnConflict, Options, Scope, UniqueRule};

/// A bundle of options and hooks that tasks name: `#[task(CRITICAL)]`.
///
/// Keep it in a `static`. Decorators nest: what the inner one leaves open is taken from the outer one, and the outer
/// one's hooks run first.
///
/// ```
/// use huey_core::{Decision, Decorator, EnqueueRequest, HookResult};
///
/// fn audit(request: &mut EnqueueRequest<'_>) -> HookResult {
///     request.header("actor", "signup");
///     Ok(Decision::Go)
/// }
///
/// static CRITICAL: Decorator = Decorator::new().retries(9).hooks(&[&audit]);
/// static PAYMENTS: Decorator = Decorator::new().within(&CRITICAL).priority(50);
/// ```
pub struct Decorator {
    options: Options,
    hooks: &'static [&'static dyn EnqueueHook],
    outer: Option<&'static Decorator>,
}

impl Decorator {
    /// A decorator that changes nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { options: Options::NONE, hooks: &[], outer: None }
    }

    /// The hooks, in the order in which they run.
    #[must_use]
    pub const fn hooks(mut self, hooks: &'static [&'static dyn EnqueueHook]) -> Self {
        self.hooks = hooks;
        self
    }

    /// Puts this decorator inside `outer`.
    #[must_use]
    pub const fn within(mut self, outer: &'static Decorator) -> Self {
        self.outer = Some(outer);
        self
    }

    /// How many more attempts a failed one is given.
    #[must_use]
    pub const fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// The wait before the first retry.
    #[must_use]
    pub const fn retry_delay(mut self, delay: Duration) -> Self {
        self.options.retry_delay = Some(delay);
        self
    }

    /// What each wait is multiplied by to give the next one.
    #[must_use]
    pub const fn backoff(mut self, factor: f64) -> Self {
        self.options.backoff = Some(factor);
        self
    }

    /// The longest wait before a retry.
    #[must_use]
    pub const fn max_delay(mut self, delay: Duration) -> Self {
        self.options.max_delay = Some(delay);
        self
    }

    /// The part of a wait, 0 to 1, by which it may be shortened or lengthened at random.
    #[must_use]
    pub const fn jitter(mut self, part: f64) -> Self {
        self.options.jitter = Some(part);
        self
    }

    /// Higher runs first.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        self.options.priority = Some(priority);
        self
    }

    /// Discards a job that has not been picked up within `after` of its enqueueing.
    #[must_use]
    pub const fn expires(mut self, after: Duration) -> Self {
        self.options.expires = Some(after);
        self
    }

    /// How long one attempt may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How often a job may be started.
    #[must_use]
    pub const fn delivery(mut self, delivery: Delivery) -> Self {
        self.options.delivery = Some(delivery);
        self
    }

    /// How long a result is kept; zero keeps none.
    #[must_use]
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.options.retention = Some(retention);
        self
    }

    /// What must have happened before an enqueue returns.
    #[must_use]
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = Some(durability);
        self
    }

    /// At most one job of the task holds its key; see [`Unique`](crate::Unique).
    #[must_use]
    pub const fn unique(mut self, scope: Scope, on_conflict: OnConflict) -> Self {
        self.options.unique = Some(UniqueRule { key: |_| Some(Vec::new()), scope, on_conflict });
        self
    }

    /// One job at a time holds the lock of this name while it runs, whatever its task.
    #[must_use]
    pub const fn lock(mut self, name: &'static str) -> Self {
        self.options.lock = Some(LimitRule::lock(Some(name), |_| Some(Vec::new())));
        self
    }

    /// At most so many jobs of each task run at once; 1 or more.
    ///
    /// # Panics
    ///
    /// For 0; in a `static`, when the program is compiled.
    #[must_use]
    pub const fn max_running(mut self, most: u32) -> Self {
        self.options.max_running = Some(LimitRule::running(most, |_| Some(Vec::new())));
        self
    }

    /// At most so many jobs are claimed in any span of this length, counted under this name for all tasks that give it.
    ///
    /// # Panics
    ///
    /// For 0 jobs or a span of no length; in a `static`, when the program is compiled.
    #[must_use]
    pub const fn rate(mut self, name: &'static str, most: u32, per: Duration) -> Self {
        self.options.rate = Some(LimitRule::rate(Some(name), most, per, |_| Some(Vec::new())));
        self
    }

    /// The queue of the jobs.
    #[must_use]
    pub const fn queue(mut self, queue: &'static str) -> Self {
        self.options.queue = Some(queue);
        self
    }

    /// In how many lives of a consumer a job may be running when they end without stopping, before it is dead; 0 for
    /// any number.
    #[must_use]
    pub const fn crash_limit(mut self, limit: u8) -> Self {
        self.options.crash_limit = Some(limit);
        self
    }

    /// The options of this decorator and those it stands within.
    pub(crate) fn options(&self) -> Options {
        self.outer.map_or(self.options, |outer| self.options.or(outer.options()))
    }

    /// The hooks, outermost first.
    pub(crate) fn each_hook(&self, each: &mut dyn FnMut(&'static dyn EnqueueHook)) {
        if let Some(outer) = self.outer {
            outer.each_hook(each);
        }
        for hook in self.hooks {
            each(*hook);
        }
    }
}

impl Default for Decorator {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Decorator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decorator").field("options", &self.options()).finish_non_exhaustive()
    }
}
