//! The custom decorator: options and hooks that tasks share, nested, and under a team's own name.
//!
//! `cargo run --example decorator`
#![expect(clippy::unnecessary_wraps, reason = "a hook may refuse, one of these does not")]

use critical::critical;
use huey::{Decision, Decorator, EnqueueOutcome, EnqueueRequest, HookResult, Huey, Memory, task};

/// Every task of the house says who asked, and tells what came of it.
fn house_rules(request: &mut EnqueueRequest<'_>) -> HookResult {
    request.header("asked-by", "the example");
    let task = request.task();
    request.after_commit(move |outcome| match outcome {
        EnqueueOutcome::Stored(id) => println!("{task}: stored as {id}"),
        EnqueueOutcome::Existing(id) => println!("{task}: {id} is there already"),
        EnqueueOutcome::Refused { hook, reason } => println!("{task}: refused by {hook}: {reason}"),
        other => println!("{task}: {other:?}"),
    });
    Ok(Decision::Go)
}

/// What is critical is not done for nothing.
fn no_empty_orders(request: &mut EnqueueRequest<'_>) -> HookResult {
    match request.args::<charge>() {
        Some(args) if args.cents == 0 => Err("an order of nothing".into()),
        _ => Ok(Decision::Go),
    }
}

static HOUSE: Decorator = Decorator::new().retries(1).hooks(&[&house_rules]);
static CRITICAL: Decorator = Decorator::new().within(&HOUSE).retries(9).priority(50).hooks(&[&no_empty_orders]);

/// The plain spelling: the decorator is named in the attribute.
#[task(HOUSE)]
fn tidy_up() -> u32 {
    3
}

/// The team's spelling, see `examples/critical`. A key beside it wins over the decorator's.
#[critical(unique(by(order)))]
fn charge(order: u64, cents: u64) -> String {
    format!("order {order}: {cents} cents charged")
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder().open(Memory::new())?;
    let tidied = tidy_up::enqueue(&huey)?;
    let charged = charge::enqueue(&huey, 17, 500)?;
    let again = charge::enqueue(&huey, 17, 500)?;
    if let Err(refused) = charge::enqueue(&huey, 18, 0) {
        println!("{refused}");
    }
    assert!(charged.is_new() && !again.is_new());
    if let Some(job) = charged.info()? {
        println!("{} has priority {} and headers {:?}", job.task, job.priority, job.headers);
    }
    huey.consumer().workers(1).run_until_idle()?;
    println!("{:?} things tidied; {:?}", tidied.get()?, charged.get()?);
    Ok(())
}
