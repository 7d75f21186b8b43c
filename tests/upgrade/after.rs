//! The program of today: runs what that of yesterday stored, and prints what became of each id that it is given.

use std::time::Duration;

use huey::{Error, Huey, JobId, Result, SignalKind, Sled, StoredArgs, Task, task};

#[task(name = "shop::resize", version = 2, upgrade = squares)]
fn resize(image: u64, width: u32, height: u32) -> u64 {
    image * u64::from(width) * u64::from(height)
}

/// A square was told by its side.
fn squares(old: &StoredArgs<'_>) -> Result<resize> {
    assert_eq!((old.version(), old.task()), (0, "shop::resize"));
    let (image, side) = old.decode()?;
    Ok(resize { image, width: side, height: side })
}

#[task(name = "shop::welcome", alias = "shop::greet", unique(by(name)))]
fn welcome(name: String) -> String {
    format!("welcome {name}")
}

#[task(name = "shop::charge")]
fn charge(cents: u32, currency: String) -> String {
    format!("{cents} {currency}")
}

#[task(name = "shop::pack", version = 1)]
fn pack(order_number: u64) -> u64 {
    order_number + 1
}

#[task(name = "shop::count")]
fn count(words: Vec<String>) -> usize {
    words.len()
}

fn show<T: Task<Output: std::fmt::Debug>>(huey: &Huey, id: JobId) -> Result<String> {
    let handle = huey.handle::<T>(id)?;
    Ok(match handle.get()? {
        Some(value) => format!("{} {value:?}", handle.status()?),
        None => format!("{} {}", handle.status()?, handle.info()?.and_then(|info| info.cause).unwrap_or_default()),
    })
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_default();
    let parked = |signal: &huey::Signal| println!("parked {}", signal.id);
    let huey = Huey::builder().on(SignalKind::Parked, parked).open(Sled::at(folder))?;
    // A key that is held under the old name is held under the new one.
    let again = welcome::enqueue(&huey, "Ada".into())?;
    println!("again {} {}", again.id(), again.is_new());
    huey.consumer().workers(1).run_until_idle()?;
    while let (Some(name), Some(id)) = (arguments.next(), arguments.next()) {
        let id: JobId = id.parse()?;
        let shown = match name.as_str() {
            "resize" | "later" => show::<resize>(&huey, id),
            "greet" => show::<welcome>(&huey, id),
            "charge" => show::<charge>(&huey, id),
            "pack" => show::<pack>(&huey, id),
            "count" | "counted" => show::<count>(&huey, id),
            _ => huey.status(id).map(|state| state.to_string()),
        };
        println!("{name} {}", shown.unwrap_or_else(|error: Error| format!("error: {error}")));
    }
    for schedule in huey.schedules().list()? {
        println!("schedule {} {}", schedule.name, schedule.task);
    }
    let later = Duration::from_secs(1);
    println!("triggered {:?}", huey.schedules().trigger("nightly").map(|_| later));
    huey.consumer().workers(1).run_until_idle()?;
    println!("{} waiting, {} parked", huey.counts()?.scheduled, huey.counts()?.parked);
    huey.close()
}
