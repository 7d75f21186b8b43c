use huey::task;

#[task(delivery = "at_most_once", durability = "relaxed")]
fn quoted() {}

#[task(delivery = at_most_onec, durability = 3)]
fn misspelt() {}

#[task(delivery = "sometimes", durability = Durability::Synced)]
fn unknown() {}

fn main() {}
