//! The process under attack: bursts of relaxed jobs, synced ones between them, [flows](crate::flows), schedules, unique
//! keys, cancels and revocations, and workers that drain it all.
//!
//! Bursts are large, so that much is written between two acknowledgements, and volume comes after volume. Some jobs fail
//! and are retried, some wait for an instant, some leave no result, and more results come than are kept: entries die in
//! every order, compaction moves them, and volumes are removed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use huey::testing::Random;
use huey::{BoxError, Durability, Huey, Result};
use huey_sled::SledMedium;

use crate::args::Args;
use crate::book::{Book, line, micros};
use crate::flows::{change_mood, failures, produce_flows};
use crate::tasks::{QUEUES, Setup, Voice, bulk, fleeting, steady};
use crate::{check, interpose, tasks};

/// Pages that sled keeps in memory: few, so that it reads and writes more.
pub(crate) const CACHE: u64 = 8 * 1024 * 1024;
/// Enqueueing waits while more jobs than these are due.
const BACKLOG: u64 = 3_000;

pub(crate) fn run(args: &Args) -> Result<(), BoxError> {
    if let Some(log) = args.path("log") {
        interpose::watch(&args.needed_path("root")?, &log)?;
        interpose::die_in_turn(args.number("turn", 0)?, args.number("die-at", 0)?);
        if args.seed()?.is_multiple_of(2) {
            // The folder may have been made by somebody who did not see to it that it stays.
            std::fs::create_dir_all(args.needed_path("folder")?)?;
        }
    }
    attack(args)
}

pub(crate) fn medium(args: &Args) -> Result<SledMedium, BoxError> {
    let medium = SledMedium::new(args.needed_path("folder")?, CACHE)?;
    Ok(if args.is_set("without-sealing") { medium.without_sealing() } else { medium })
}

pub(crate) fn setup(args: &Args) -> Result<Setup, BoxError> {
    let interval = Duration::from_millis(args.number("interval", 500)?);
    Ok(Setup { interval, crash_limit: args.number("crash-limit", 0)? })
}

/// Says lines in one piece each: through the pipe to the parent, or at the end of a file, which a log of writes has in
/// order with those of the queue.
fn voice(acks: &Path, pipe: bool) -> Result<Voice, BoxError> {
    let file = OpenOptions::new().create(true).append(true).open(acks)?;
    Ok(Voice::new(move |line| {
        let said = if pipe { std::io::stdout().write_all(line.as_bytes()) } else { (&file).write_all(line.as_bytes()) };
        // What cannot be said must not be relied on.
        if said.is_err() {
            std::process::abort();
        }
    }))
}

fn attack(args: &Args) -> Result<(), BoxError> {
    let mut random = Random::new(args.seed()?);
    let acks = args.needed_path("acks")?;
    let voice = Arc::new(voice(&acks, args.is_set("pipe"))?);
    let setup = setup(args)?;
    let burst = args.number("burst", 1_500_000)?;
    let until = Instant::now() + Duration::from_secs_f64(args.number("seconds", 3.0)?);
    let half = Instant::now() + (until - Instant::now()) / 2;
    let reopens = random.one_in(2);
    let mut checks = args.is_set("check");
    for (until, last) in [(half, false), (until, true)] {
        let until = if reopens || last { until } else { Instant::now() };
        if until <= Instant::now() {
            continue;
        }
        let (huey, inspector) = tasks::open(medium(args)?, &voice, setup)?;
        if std::mem::take(&mut checks) {
            let book = Book::read(&std::fs::read_to_string(&acks)?);
            check::look(&huey, &inspector, &book, setup, &voice)?;
        }
        drop(inspector);
        println!("ready");
        let consumer = huey.consumer().queues(QUEUES).workers(2).start()?;
        while Instant::now() < until {
            phase(&huey, &voice, &mut random, burst)?;
        }
        if last {
            // As a crash would, but at an instant of our own.
            interpose::die();
        }
        consumer.shutdown().wait()?;
        huey.close()?;
    }
    interpose::die()
}

/// A burst of relaxed jobs, then some synced ones from several threads, then perhaps a rest.
pub(crate) fn phase(huey: &Huey, voice: &Voice, random: &mut Random, burst: usize) -> Result<()> {
    let bytes = if random.one_in(3) { 0 } else { random.below(burst) };
    let largest = *random.pick(&[100, 600, 3_000, 30_000]);
    let producers = 1 + random.below(2);
    let seeds: Vec<u64> = (0..producers).map(|_| random.number()).collect();
    fan(&seeds, |random| produce_bulk(huey, voice, random, bytes / producers, largest))?;
    let synced: Vec<u64> = (0..=random.below(4)).map(|_| random.number()).collect();
    fan(&synced, |random| {
        if random.one_in(2) { produce_synced(huey, voice, random) } else { produce_flows(huey, voice, random) }
    })?;
    if random.one_in(4) {
        change_mood(huey, voice, random)?;
    }
    while huey.counts()?.queued > BACKLOG {
        thread::sleep(Duration::from_millis(5));
    }
    if random.one_in(4) {
        thread::sleep(Duration::from_millis(random.below(20) as u64));
    }
    Ok(())
}

/// A thread for each seed.
fn fan(seeds: &[u64], act: impl Fn(&mut Random) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = seeds.iter().map(|seed| scope.spawn(move || act(&mut Random::new(*seed)))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn load(random: &mut Random, largest: usize) -> Vec<u8> {
    let length = 1 + random.below(largest);
    let mut load: Vec<u8> = Vec::with_capacity(length + 8);
    while load.len() < length {
        load.extend(random.number().to_le_bytes());
    }
    load.truncate(length);
    load
}

fn produce_bulk(huey: &Huey, voice: &Voice, random: &mut Random, bytes: usize, largest: usize) -> Result<()> {
    let mut made = 0;
    while made < bytes {
        let load = load(random, largest);
        // With what the journal adds for a job and its end.
        made += load.len() + 200;
        let handle = bulk::enqueue(huey, failures(random), load)?;
        voice.say(&line('E', handle.id(), "bulk", micros()));
    }
    Ok(())
}

fn produce_synced(huey: &Huey, voice: &Voice, random: &mut Random) -> Result<()> {
    for _ in 0..=random.below(20) {
        let load = load(random, 2_000);
        let delay = Duration::from_millis(if random.one_in(8) { random.below(400) as u64 } else { 0 });
        let begun = micros();
        let (id, task) = if random.one_in(3) {
            let job = fleeting::job(failures(random), load).durability(Durability::Synced).delay(delay);
            (job.enqueue(huey)?.id(), "fleeting")
        } else {
            let job = steady::job(failures(random), load).durability(Durability::Synced).delay(delay);
            (job.enqueue(huey)?.id(), "steady")
        };
        voice.say(&line('E', id, task, begun));
    }
    Ok(())
}
