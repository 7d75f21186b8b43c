//! The program of yesterday: stores jobs of every kind that a change of code can meet, and prints their ids.

use std::time::Duration;

use huey::{Huey, Result, Schedule, Sled, Unique, task};

/// Will have another parameter.
#[task(name = "shop::resize")]
fn resize(image: u64, side: u32) -> u64 {
    image * u64::from(side)
}

/// Will have another name, and goes by a key.
#[task(name = "shop::greet", unique(by(name)))]
fn greet(name: String) -> String {
    format!("hello {name}")
}

/// Will be gone.
#[task(name = "shop::dismiss")]
fn dismiss(name: String) {
    let _ = name;
}

/// Will have another parameter, and nobody says how.
#[task(name = "shop::charge")]
fn charge(cents: u32) -> u32 {
    cents
}

/// Will have a version, and the same parameters by another name.
#[task(name = "shop::pack", version = 1)]
fn pack(order: u64) -> u64 {
    order
}

/// Stays as it is.
#[task(name = "shop::count")]
fn count(words: Vec<String>) -> usize {
    words.len()
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_default();
    let huey = Huey::builder().open(Sled::at(folder))?;
    let print = |name: &str, id: huey::JobId| println!("{name} {id}");

    // One that has run already, and whose result is kept.
    let done = count::enqueue(&huey, vec!["one".into(), "two".into()])?;
    huey.consumer().workers(1).run_until_idle()?;
    print("counted", done.id());

    print("resize", resize::enqueue(&huey, 7, 3)?.id());
    print("greet", greet::enqueue(&huey, "Ada".into())?.id());
    print("dismiss", dismiss::enqueue(&huey, "Grace".into())?.id());
    print("charge", charge::enqueue(&huey, 250)?.id());
    print("pack", pack::enqueue(&huey, 41)?.id());
    print("count", count::enqueue(&huey, vec!["three".into()])?.id());
    // A chain whose later steps are of a task with another form, and of one that is renamed.
    let chain =
        count::job(vec!["a".into(); 4]).then(resize::job(2, 5)).then(greet::job("Alan".into())).enqueue(&huey)?;
    chain.ids().iter().for_each(|id| print("step", *id));
    let later = resize::job(1, 1).delay(Duration::from_hours(24)).unique(Unique::by("later")).enqueue(&huey)?;
    print("later", later.id());
    if huey.schedules().list()?.is_empty() {
        huey.schedules().add("nightly", Schedule::every(Duration::from_hours(1))?, resize::job(9, 9))?;
    }
    huey.close()
}
