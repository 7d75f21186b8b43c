use huey::{Decorator, task};

static CRITICAL: u8 = 3;
static OUTER: Decorator = Decorator::new();

#[task(CRITICAL)]
fn first() {}

#[task(OUTER, CRITICAL)]
fn second() {}

#[task(OUTER, decorator = OUTER)]
fn third() {}

#[task(decorator = "OUTER")]
fn fourth() {}

fn main() {}
