//! How each test runs: in many orders of its steps.

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

/// Runs `body` in so many orders: half of them at random, half with few changes of thread, at the worst places.
pub(crate) fn attack(orders: usize, body: impl Fn() + Clone + Send + Sync + 'static) {
    let mut config = Config::new();
    // A transition takes more than the little that a thread has there.
    config.stack_size = 1024 * 1024;
    Runner::new(RandomScheduler::new(orders / 2), config.clone()).run(body.clone());
    Runner::new(PctScheduler::new(3, orders / 2), config).run(body);
}
