//! Programs that have failed, as they were printed.

use crate::holds;
use crate::stage::On;
use crate::words::code::*;

#[test]
fn a_callback_that_was_canceled_is_not_rejected_as_well() {
    holds(
        &On::Memory,
        &[
            Begin(Flow {
                first: Settled(vec![]),
                steps: vec![Order { hook: Refuse, ..Order::default() }],
                mourned: false,
            }),
            Cancel(0),
        ],
    );
}

#[test]
fn a_job_that_gives_way_to_a_step_is_told_of_as_canceled() {
    let order = Order { unique: Some((2, Active, Replace)), ..Order::default() };
    holds(
        &On::Memory,
        &[
            Begin(Flow { first: Job(Order::default()), steps: vec![order], mourned: false }),
            Enqueue(Order { task: Next, unique: Some((2, Window(5), Existing)), ..Order::default() }),
        ],
    );
}

/// The journal ends where the first attempt runs, and the note of the second one survives.
#[test]
fn an_attempt_whose_claim_was_lost_counts_by_its_note() {
    holds(
        &On::Sim(7_002_347),
        &[
            Bulk(vec![Order::default(), Order { delay: 1, expires: Some(4), ..Order::default() }, Order::default()]),
            Cancel(0),
            Enqueue(Order { acts: vec![Fail, Die, Fail], retries: 1, relaxed: true, ..Order::default() }),
            Run,
            Advance(5),
        ],
    );
}
