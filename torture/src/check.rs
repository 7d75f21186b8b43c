//! Opens a queue after a crash and compares it with the book.
//!
//! What is found is printed, a line each: `FINDING WHAT`. A check that has seen everything ends with `done`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use huey::testing::Inspector;
use huey::{BoxError, Huey, JobId, JobState, Result};

use crate::args::Args;
use crate::book::{Book, line};
use crate::interpose;
use crate::judge::{Fate, Rules, judge};
use crate::tasks::{self, QUEUES, Setup, Voice, moody, single};
use crate::traffic::{medium, setup};

/// How long a queue may need to run all that it holds.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn run(args: &Args) -> Result<(), BoxError> {
    if let Some(log) = args.path("log") {
        interpose::watch(&args.needed_path("folder")?, &log)?;
        interpose::die_at(args.number("die-at", 0)?);
    }
    let lines = std::fs::read_to_string(args.needed_path("acks")?)?;
    let book = Book::read(&lines);
    let heard = Arc::new(Mutex::new(String::new()));
    let ear = Arc::clone(&heard);
    let voice = Arc::new(Voice::new(move |line| ear.lock().unwrap_or_else(PoisonError::into_inner).push_str(line)));
    let setup = setup(args)?;
    let (huey, inspector) = match medium(args).and_then(|medium| Ok(tasks::open(medium, &voice, setup)?)) {
        Ok(open) => open,
        Err(error) => {
            // Whatever it held is lost with it.
            let mut found = String::new();
            for (id, known) in book.jobs.iter().filter(|(_, known)| known.is_synced() && known.enqueued.is_some()) {
                writeln!(found, "lost_synced {id} {} in a queue that does not open", known.task)?;
            }
            println!("torn {error}\n{found}done");
            return Ok(());
        }
    };
    let missing = look(&huey, &inspector, &book, setup, &voice)?;
    if args.is_set("drain") {
        drain(&huey, &inspector, &book, setup, &missing)?;
        let said = heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for finding in Book::read(&(lines + "\n" + &said)).wrong {
            println!("{finding}");
        }
    }
    drop(inspector);
    huey.close()?;
    println!("done");
    Ok(())
}

/// Compares what is there before anything runs, writes off what is lost and may be, and gives what is not as it should
/// be.
pub(crate) fn look(
    huey: &Huey,
    inspector: &Inspector,
    book: &Book,
    setup: Setup,
    voice: &Voice,
) -> Result<BTreeSet<JobId>, BoxError> {
    let mut found = String::new();
    let mut missing = BTreeSet::new();
    if let Err(error) = inspector.check() {
        writeln!(found, "torn {error}")?;
    }
    let rules = Rules { interval: u64::try_from(setup.interval.as_micros())?, crash_limit: setup.crash_limit };
    for (id, known) in &book.jobs {
        let state = huey.status(*id)?;
        let fate = judge(book, known, state, rules);
        let Some(finding) = fate.finding() else { continue };
        missing.insert(*id);
        writeln!(found, "{finding} {id} {} is {state}", known.task)?;
        if fate == Fate::Forgotten || fate == Fate::ForgottenLate {
            voice.say(&line('L', id, &known.task, 0));
        }
    }
    let revoked = huey.revocation::<moody>()?.is_some();
    if let (known, false) = book.revoked
        && known != revoked
    {
        writeln!(found, "lost_synced the task moody is revoked: {revoked}, and was: {known}")?;
    }
    let mut holders = BTreeSet::new();
    for job in huey.jobs().task::<single>() {
        let job = job?;
        let key = job.header("key").map(str::to_owned);
        if matches!(job.state, JobState::Queued | JobState::Scheduled | JobState::Running) && !holders.insert(key) {
            writeln!(found, "torn {} holds a unique key that another holds", job.id)?;
        }
    }
    print!("{found}");
    Ok(missing)
}

/// Runs everything, and looks where it has come to.
fn drain(
    huey: &Huey,
    inspector: &Inspector,
    book: &Book,
    setup: Setup,
    missing: &BTreeSet<JobId>,
) -> Result<(), BoxError> {
    let until = Instant::now() + PATIENCE;
    let consumer = huey.consumer().queues(QUEUES).workers(2).start()?;
    loop {
        let counts = huey.counts()?;
        if counts.queued + counts.scheduled + counts.running == 0 {
            break;
        }
        if Instant::now() > until {
            println!("torn not drained: {counts:?}");
            break;
        }
        thread::sleep(Duration::from_millis(2));
    }
    consumer.shutdown().wait()?;
    for (id, known) in book.jobs.iter().filter(|(id, known)| known.is_synced() && !missing.contains(*id)) {
        let state = huey.status(*id)?;
        // What was only begun may be of a job whose enqueue was not acknowledged.
        let ended = match state {
            JobState::Complete | JobState::Gone => true,
            JobState::Revoked => known.task == "moody",
            JobState::Canceled => known.canceled || setup.crash_limit > 0,
            JobState::Dead => setup.crash_limit > 0 && known.kills >= u32::from(setup.crash_limit),
            _ => false,
        };
        if !ended && known.enqueued.is_some() {
            println!("torn {id} {} is {state} after all ran", known.task);
        }
    }
    if let Err(error) = inspector.check() {
        println!("torn {error} after all ran");
    }
    Ok(())
}
