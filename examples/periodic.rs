//! Tasks that run by themselves: declared in the code, added and steered at run time.
//!
//! Run it with `cargo run --example periodic`; it takes about four seconds.

use std::time::Duration;

use huey::{Huey, Memory, Missed, Origin, Overlap, Schedule, SignalKind, task};

/// Every second, counted from the Unix epoch. While one still runs, the next tick is skipped.
#[task(every = "1s")]
fn heartbeat() {
    println!("  heartbeat");
}

/// At half past two in Berlin, also on the day on which that time does not exist.
#[task(cron = "30 2 * * *", tz = "Europe/Berlin", overlap = queue_one, missed = once)]
fn nightly_report() {
    println!("  the report of the night");
}

#[task]
fn remind(user: String) {
    println!("  {user} is reminded");
}

fn main() -> huey::Result<()> {
    let huey = Huey::builder()
        .on(SignalKind::Skipped, |signal| {
            if let Some(skipped) = &signal.skipped {
                println!("  {} skipped: {} ticks ({})", skipped.schedule, skipped.count, skipped.reason.name());
            }
        })
        .open(Memory::new())?;
    let schedules = huey.schedules();

    // A schedule for a job with arguments and options, added at run time. It would survive a restart.
    let every_two = Schedule::every(Duration::from_secs(2))?.overlap(Overlap::Allow).missed(Missed::All(10));
    schedules.add("remind ada", every_two, remind::job("Ada".into()).priority(5))?;

    println!("the schedules:");
    for schedule in schedules.list()? {
        println!("  {schedule}");
    }

    println!("a running consumer makes their jobs:");
    let ends = huey.subscribe(100)?;
    let consumer = huey.consumer().workers(2).start()?;
    let mut left = 3;
    while left > 0 {
        let Some(signal) = ends.recv() else { break };
        if signal.kind == SignalKind::Complete && matches!(signal.origin, Origin::Periodic { .. }) {
            left -= 1;
        }
    }

    println!("paused, changed and triggered by hand:");
    schedules.pause(heartbeat::NAME)?;
    schedules.change("remind ada", &Schedule::cron("0 9 * * MON-FRI")?.tz("America/New_York"))?;
    let report = schedules.trigger(nightly_report::NAME)?;
    huey.handle::<nightly_report>(report)?.wait(Duration::from_secs(5))?;
    for schedule in schedules.list()? {
        println!("  {schedule}");
    }
    consumer.shutdown().wait()
}
