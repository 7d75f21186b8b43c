//! Each attack in many orders of its steps: at random, and with few changes of thread at the worst places.

use huey_races::{
    a_change_wakes_all_who_wait, all_who_wait_for_the_disk_are_told_the_truth,
    no_job_lies_while_workers_wait_at_the_bell,
};

/// Orders of each kind.
const ORDERS: usize = 1_000;

fn attack(body: impl Fn() + Clone + Send + Sync + 'static) {
    shuttle::check_random(body.clone(), ORDERS);
    shuttle::check_pct(body, ORDERS, 3);
}

#[test]
fn no_order_of_steps_loses_a_change_that_is_waited_for() {
    attack(a_change_wakes_all_who_wait);
}

#[test]
fn no_order_of_steps_lets_a_job_lie_while_workers_sleep() {
    attack(no_job_lies_while_workers_wait_at_the_bell);
}

#[test]
fn no_order_of_steps_lets_a_caller_hang_or_believe_what_is_not_durable() {
    attack(|| all_who_wait_for_the_disk_are_told_the_truth(false));
}

#[test]
fn no_order_of_steps_hides_a_failure_from_those_who_wait() {
    attack(|| all_who_wait_for_the_disk_are_told_the_truth(true));
}
