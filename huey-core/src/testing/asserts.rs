//! What a test asks about the jobs that were enqueued.

/// Fails unless a job of a task was enqueued into a [`TestQueue`](crate::testing::TestQueue), whatever became of it since. A
/// predicate on its arguments may narrow that; they are those that were stored, after the hooks. A failure lists what was enqueued
/// instead, with the arguments where their types have `Debug`.
///
/// ```
/// # mod huey { pub use huey_core::*; }
/// # fn show<welcome: huey::Registered>(queue: &huey::testing::TestQueue) where welcome: Named {
/// use huey::assert_enqueued;
///
/// assert_enqueued!(queue, welcome);
/// assert_enqueued!(queue, welcome, |args| args.name() == "Ada");
/// # }
/// # trait Named { fn name(&self) -> &str; }
/// ```
#[macro_export]
macro_rules! assert_enqueued {
    ($queue:expr, $task:ty $(,)?) => {
        $queue.expect_enqueued::<$task>(::core::option::Option::None, |_| true)
    };
    ($queue:expr, $task:ty, $wanted:expr $(,)?) => {
        $queue.expect_enqueued::<$task>(::core::option::Option::Some(::core::stringify!($wanted)), $wanted)
    };
}

/// Fails if a job of a task was enqueued into a [`TestQueue`](crate::testing::TestQueue): the opposite of
/// [`assert_enqueued!`](crate::assert_enqueued), with the same forms.
///
/// ```
/// # mod huey { pub use huey_core::*; }
/// # fn show<welcome: huey::Registered>(queue: &huey::testing::TestQueue) {
/// use huey::refute_enqueued;
///
/// refute_enqueued!(queue, welcome);
/// # }
/// ```
#[macro_export]
macro_rules! refute_enqueued {
    ($queue:expr, $task:ty $(,)?) => {
        $queue.expect_not_enqueued::<$task>(::core::option::Option::None, |_| true)
    };
    ($queue:expr, $task:ty, $wanted:expr $(,)?) => {
        $queue.expect_not_enqueued::<$task>(::core::option::Option::Some(::core::stringify!($wanted)), $wanted)
    };
}
