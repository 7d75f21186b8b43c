use huey::task;

#[task(cron = "0 25 * * *")]
fn hour() {}

#[task(cron = "* * * *")]
fn four_fields() {}

#[task(every = "500ms")]
fn often() {}

#[task(cron = "@daily", every = "5m")]
fn both() {}

#[task(every = "5m", tz = "Europe/Berlin")]
fn zone_of_nothing() {}

#[task(overlap = skip)]
fn no_schedule() {}

#[task(cron = "@daily", overlap = queue)]
fn overlap() {}

#[task(cron = "@daily", missed = all)]
fn missed() {}

#[task(cron = "@daily")]
fn arguments(user: u64) {
    let _ = user;
}

fn main() {}
