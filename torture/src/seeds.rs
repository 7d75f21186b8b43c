//! The inputs that [`fuzz`](crate::fuzz) begins with: what a queue writes in which every feature was used once, at three
//! instants of its life. To be made anew whenever a stored format changes: inputs that were kept for what they reached are
//! gone then, and `torture/fuzz` finds new ones.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use huey::testing::hostile::Paper;
use huey::{BoxError, Context, Durability, Huey, Result, Revocation, Schedule, group, task};

use crate::fuzz::{corpus, names};
use crate::tasks::open_inspected;

const CRONS: [&str; 8] = [
    "* * * * *",
    "*/5 9-17 * * MON-FRI",
    "0 0 29 FEB *",
    "@daily",
    "30 2 1,15 JAN-DEC SUN",
    "59 23 31 12 7",
    "0 0 30 2 *",
    "0-59/7,3 */2 1-31/3 6-8 *",
];

/// What is written at an instant at which a body runs.
type Instants = Mutex<Vec<Vec<u8>>>;

#[task(queue = "seeds", lock("ledger", by(number)), rate(100, "1s"), max_running = 2, unique(by(number)))]
fn bound(
    #[ctx] ctx: &Context,
    #[data] paper: &Paper,
    #[data] instants: &Instants,
    number: u64,
) -> Result<u64, BoxError> {
    let guard = ctx.lock("seed")?;
    ctx.progress(1, 2, "half")?;
    instants.lock().map_err(|_| "another body panicked")?.push(paper.held());
    drop(guard);
    Ok(number)
}

#[task(queue = "seeds", retries = 2, retry_delay = "1h")]
fn fail(number: u64) -> Result<u64, String> {
    Err(format!("{number} is not possible"))
}

#[task(queue = "seeds")]
fn mourn(error: huey::TaskError) -> String {
    error.to_string()
}

#[task(queue = "seeds")]
fn add(number: u64, other: u64) -> u64 {
    number + other
}

#[task(queue = "seeds")]
fn sum(numbers: Vec<u64>) -> u64 {
    numbers.iter().sum()
}

/// Far ahead: it is declared in every process of this program, and those under attack have a schedule of their own.
#[task(name = "seeds::leap", queue = "seeds", cron = "0 0 29 2 *")]
fn leap() {}

pub(crate) fn run() -> Result<(), BoxError> {
    let (paper, instants) = (Paper::default(), Arc::new(Instants::default()));
    let builder = Huey::builder().durability(Durability::Relaxed).data(paper.clone()).data_arc(Arc::clone(&instants));
    let (huey, inspector) = open_inspected(builder, paper.clone())?;
    enqueue(&huey)?;
    inspector.check()?;
    let mut journals = vec![paper.held()];
    let mut exports = vec![exported(&huey)?];
    huey.consumer().queues(["seeds"]).workers(2).run_until_idle()?;
    huey.queue("later").pause()?;
    inspector.check()?;
    journals.push(paper.held());
    exports.push(exported(&huey)?);
    journals.extend(instants.lock().map_err(|_| "a body panicked")?.pop());
    let envelopes =
        exports.iter().flat_map(|export| stored(export, "\"head\":\"").chain(stored(export, "\"rest\":\"")));
    let envelopes: BTreeSet<Vec<u8>> = envelopes.filter(|bytes| !bytes.is_empty()).collect();
    let envelopes = envelopes.into_iter().collect();
    let crons = CRONS.iter().map(|cron| cron.as_bytes().to_vec()).collect();
    let exports = exports.into_iter().map(String::into_bytes).collect();
    for (target, inputs) in names().zip([envelopes, journals, exports, crons]) {
        let folder = corpus(target);
        if target != "cron" {
            // What was kept is of another format.
            let _ = fs::remove_dir_all(&folder);
        }
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
        println!("{target}: {} inputs in {}", inputs.len(), folder.display());
    }
    Ok(())
}

fn enqueue(huey: &Huey) -> Result<()> {
    for number in 0..3 {
        let _ = bound::enqueue(huey, number)?;
        let _ = fail::job(number).header("by", "seeds").on_error(mourn::with()).enqueue(huey)?;
    }
    let _ = add::job(1, 2).then(add::with(3)).then(add::with(4)).enqueue(huey)?;
    let _ = group((0..3).map(|number| add::job(number, 1))).then(sum::with()).enqueue(huey)?;
    let _ = group((0..2).map(|number| add::job(number, 1))).enqueue(huey)?;
    let _ = add::job(7, 8).delay(Duration::from_hours(24)).priority(9).timeout(Duration::from_secs(5)).enqueue(huey)?;
    let _ = add::job(9, 9).queue("later").expires(Duration::from_hours(2)).enqueue(huey)?;
    huey.values().put("seed/value", &vec![1_u8, 2, 3])?;
    huey.values().ttl(Duration::from_hours(1)).incr("seed/count", 7)?;
    huey.revoke::<sum>(Revocation::Once)?;
    huey.schedules().add("by hand", Schedule::cron("0 3 * * *")?.tz("Europe/Berlin"), add::job(1, 1))?;
    huey.schedules().pause("seeds::leap")
}

fn exported(huey: &Huey) -> Result<String, BoxError> {
    let mut text = Vec::new();
    huey.backup(&mut text)?;
    Ok(String::from_utf8(text)?)
}

/// The bytes that stand as digits behind a mark.
fn stored<'a>(export: &'a str, mark: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
    export.split(mark).skip(1).map(|rest| {
        let digits: Vec<u8> = rest
            .bytes()
            .map_while(|digit| char::from(digit).to_digit(16))
            .filter_map(|d| u8::try_from(d).ok())
            .collect();
        digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
    })
}
