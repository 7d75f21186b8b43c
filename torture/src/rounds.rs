//! Growth: jobs are enqueued and drained in rounds, with others scheduled far ahead behind them, and what they leave on
//! the disk and in memory is measured after each round.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use huey::testing::Inspector;
use huey::{BoxError, Durability, Huey, Result, task};
use huey_sled::SledMedium;

use crate::args::Args;
use crate::child::{Process, arguments};
use crate::report::Report;
use crate::tasks::open_inspected;

const PRODUCERS: u64 = 2;
const LOAD: usize = 100;
const MIB: f64 = 1024.0 * 1024.0;
/// A year.
const FAR: Duration = Duration::from_hours(365 * 24);

/// How often a round that is drained while it is enqueued is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long those who enqueue wait for the consumer.
const PATIENCE: Duration = Duration::from_mins(1);

static RUN: AtomicU64 = AtomicU64::new(0);

/// A job of the rounds.
#[task(durability = relaxed, queue = "rounds")]
fn carry(number: u64, load: Vec<u8>) -> u64 {
    RUN.fetch_add(1, Ordering::Relaxed);
    number + load.len() as u64
}

/// How results are kept: so many of them, or, where that is not 0, for so many seconds whatever their number.
#[derive(Clone, Copy)]
struct Keeping {
    results: u64,
    seconds: u64,
}

impl Keeping {
    fn of(args: &Args) -> Result<Self, BoxError> {
        Ok(Self { results: args.number("results", 100_000)?, seconds: args.number("kept", 0)? })
    }
}

fn open(folder: &Path, keeping: Keeping) -> Result<(Huey, Inspector)> {
    let builder = Huey::builder().durability(Durability::Relaxed);
    let builder = match keeping {
        Keeping { seconds: 1.., .. } => builder.max_results(u64::MAX).retention(Duration::from_secs(keeping.seconds)),
        Keeping { results: 0, .. } => builder.retention(Duration::ZERO),
        Keeping { results, .. } => builder.max_results(results),
    };
    open_inspected(builder, SledMedium::new(folder.to_owned(), 32 * 1024 * 1024)?)
}

/// What a process found at the end of one round, or of all of its rounds.
#[derive(Default)]
struct Figures {
    /// Disk and memory at the end of each round, in MiB.
    ends: Vec<(f64, f64)>,
    written: f64,
    run: u64,
    /// Bytes of memory for each scheduled job.
    scheduled: f64,
    /// How often disk and memory were past what they may come to, where results are kept for a time.
    past: (u64, u64),
}

/// Runs the first half of the rounds in one process and the second in another, which opens what the first left full.
pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let (jobs, round): (u64, u64) = (args.number("jobs", 5_000_000)?, args.number("round", 500_000)?);
    let scheduled: u64 = args.number("scheduled", 100_000)?;
    let keeping = Keeping::of(args)?;
    // A round begins so many seconds after the last one, so that what is kept for a time is as much at the end of each.
    let every: u64 = args.number("every", 0)?;
    // So many jobs wait before a round is drained, and at most so many while the rest of it comes.
    let ahead = args.number("ahead", round)?.min(round);
    let work = args.work()?;
    let folder = work.join("queue");
    let rounds = (jobs / round.max(1)).max(2);
    println!(
        "{rounds} rounds of {round} jobs of {LOAD} bytes, {ahead} of them waiting, {scheduled} scheduled, {} results kept, or those \
         of {} s, in {}",
        keeping.results,
        keeping.seconds,
        folder.display()
    );
    let mut found = Figures::default();
    for (first, last) in [(1, rounds / 2), (rounds / 2 + 1, rounds)] {
        let numbers = [
            ("round", round),
            ("scheduled", scheduled),
            ("results", keeping.results),
            ("kept", keeping.seconds),
            ("every", every),
            ("ahead", ahead),
            ("first", first),
            ("last", last),
            ("rounds", rounds),
        ]
        .map(|(name, number)| (name, number.to_string()));
        let folder = ("folder", folder.display().to_string());
        // Threads come and go with the rounds, and the system's allocator gives each an arena of its own, which keeps what
        // it once held: one arena shows what the queue holds, and not how many threads there were.
        let mut process =
            Process::start_with("half", &[("MALLOC_ARENA_MAX", "1")], &arguments(numbers.into_iter().chain([folder])))?;
        while let Some(line) = process.line() {
            match line.strip_prefix(FIGURE) {
                Some(figure) => found.read(figure)?,
                None => println!("{line}"),
            }
        }
        if !process.end()?.0 {
            return Err(format!("the rounds {first} to {last} failed").into());
        }
    }
    let (second, last) = (found.ends.get(1), found.ends.last());
    let (second, last) = second.copied().zip(last.copied()).ok_or("no rounds were run")?;
    let begun = Instant::now();
    let (huey, inspector) = open(&folder, keeping)?;
    let counts = huey.counts()?;
    let reopened = begun.elapsed().as_secs_f64();
    drop((huey, inspector));
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let per_byte = found.written / (rounds * round * LOAD as u64) as f64;
    let mut report = Report::new();
    report.add("jobs", rounds * round);
    report.add("torn", u64::from(found.run != rounds * round || counts.scheduled != scheduled || counts.queued != 0));
    report.set("disk_ratio", last.0 / second.0);
    report.set("memory_ratio", last.1 / second.1);
    report.set("written_per_byte", per_byte);
    report.set("reopen_seconds", reopened);
    println!(
        "last against second round: disk {:.2}, memory {:.2}; {per_byte:.1} bytes written for each byte of job; reopened \
         at the end in {reopened:.2} s",
        last.0 / second.0,
        last.1 / second.1
    );
    report.set("bytes_scheduled", found.scheduled);
    let (disk_over, memory_over) = found.past;
    report.add("disk_over", disk_over);
    report.add("memory_over", memory_over);
    println!(
        "{:.0} bytes of memory for each scheduled job; how often past their bounds: disk {disk_over}, memory {memory_over}",
        found.scheduled
    );
    report.publish(args)?;
    fs::remove_dir_all(work)?;
    Ok(report.is_clean() && disk_over + memory_over == 0)
}

const FIGURE: &str = "figure ";

impl Figures {
    fn read(&mut self, line: &str) -> Result<(), BoxError> {
        match *line.split(' ').collect::<Vec<_>>() {
            ["end", disk, memory] => self.ends.push((disk.parse()?, memory.parse()?)),
            ["written", bytes] => self.written += bytes.parse::<f64>()?,
            ["scheduled", bytes] => self.scheduled = bytes.parse()?,
            ["past", disk, memory] => {
                self.past = (self.past.0 + disk.parse::<u64>()?, self.past.1 + memory.parse::<u64>()?);
            }
            ["run", jobs] => self.run += jobs.parse::<u64>()?,
            _ => return Err(format!("`{line}` is no figure").into()),
        }
        Ok(())
    }
}

/// The rounds from `--first` to `--last`; what the next process begins with is enqueued before this one ends.
pub(crate) fn half(args: &Args) -> Result<(), BoxError> {
    let number = |name| args.number::<u64>(name, 0);
    let (first, last, rounds) = (number("first")?, number("last")?, number("rounds")?);
    let (round, scheduled, ahead, keeping) =
        (number("round")?, number("scheduled")?, number("ahead")?, Keeping::of(args)?);
    let folder = args.needed_path("folder")?;
    let begun = Instant::now();
    let (huey, inspector) = open(&folder, keeping)?;
    if first == 1 {
        let before = resident()?;
        for number in 0..scheduled {
            let _ = carry::job(number, load(number)).delay(FAR).enqueue(&huey)?;
        }
        println!("{FIGURE}scheduled {}", bytes_each(resident()? - before, scheduled));
    } else {
        let counts = huey.counts()?;
        println!(
            "reopened in {:.2} s with {} queued and {} scheduled, memory {:.1} MiB",
            begun.elapsed().as_secs_f64(),
            counts.queued,
            counts.scheduled,
            resident()?
        );
        if counts.queued != ahead || counts.scheduled != scheduled {
            return Err("jobs are missing".into());
        }
    }
    let every = Duration::from_secs(number("every")?);
    let (written_before, base) = (written()?, resident()?);
    for number in first..=last {
        let round_begun = Instant::now();
        if number == 1 || number > first {
            enqueue(&huey, number * round, ahead)?;
        }
        let (enqueued, full) = (round_begun.elapsed().as_secs_f64(), resident()?);
        let mut looks = Looks { folder: &folder, inspector: &inspector, keeping, scheduled, most: 0.0, past: (0, 0) };
        let (begun, run) = (Instant::now(), RUN.load(Ordering::Relaxed));
        let consumer = huey.consumer().queues(["rounds"]).workers(2).periodic(false).start()?;
        if ahead < round {
            looks.while_enqueued(&huey, (number * round + ahead, round - ahead), run)?;
        }
        consumer.wait_idle()?;
        consumer.shutdown().wait()?;
        let drained = begun.elapsed().as_secs_f64();
        let Look { disk, memory, total, live, results } = looks.look(&huey)?;
        println!(
            "round {number}: disk {disk:.1} MiB, memory {memory:.1} MiB ({full:.1} when full, {:.1} at most when looked), \
             journal {total:.1} MiB, live {live:.1} MiB, enqueued in {enqueued:.1} s, drained in {drained:.1} s",
            looks.most
        );
        println!("{FIGURE}end {disk} {memory}");
        println!("{FIGURE}past {} {}", looks.past.0, looks.past.1);
        if keeping.seconds > 0 {
            println!(
                "with {results} results, {:.1} bytes more for each than before the first; memory may come to {:.1} MiB",
                bytes_each(memory - base, results),
                memory_bound(scheduled, results)
            );
        }
        std::thread::sleep(every.saturating_sub(round_begun.elapsed()));
    }
    if last < rounds {
        enqueue(&huey, (last + 1) * round, ahead)?;
    }
    drop(inspector);
    huey.close()?;
    println!("{FIGURE}written {}", written()? - written_before);
    println!("{FIGURE}run {}", RUN.load(Ordering::Relaxed));
    Ok(())
}

/// What is looked at while a round is drained, and at its end.
struct Looks<'a> {
    folder: &'a Path,
    inspector: &'a Inspector,
    keeping: Keeping,
    scheduled: u64,
    /// The most memory, in MiB.
    most: f64,
    /// How often disk and memory were past what they may come to.
    past: (u64, u64),
}

/// One look: sizes are in MiB.
struct Look {
    disk: f64,
    memory: f64,
    total: f64,
    live: f64,
    results: u64,
}

impl Looks<'_> {
    #[expect(clippy::cast_precision_loss, reason = "shown in MiB")]
    fn look(&mut self, huey: &Huey) -> Result<Look, BoxError> {
        let sizes = self.inspector.sizes()?;
        let results = huey.counts()?.results;
        let (disk, memory) = (used(self.folder)?, resident()?);
        let (total, live) = (sizes.total as f64 / MIB, sizes.live as f64 / MIB);
        self.most = self.most.max(memory);
        if self.keeping.seconds > 0 {
            self.past.0 += u64::from(disk > 3.0 * live + 100.0);
            self.past.1 += u64::from(memory > memory_bound(self.scheduled, results));
        }
        Ok(Look { disk, memory, total, live, results })
    }

    /// Enqueues `left`, the first of them and how many, beside the consumer, and looks meanwhile. No more wait than did when so
    /// many were `run`.
    fn while_enqueued(&mut self, huey: &Huey, left: (u64, u64), run: u64) -> Result<(), BoxError> {
        std::thread::scope(|scope| {
            let may = |done| RUN.load(Ordering::Relaxed) >= run + done;
            let producer = scope.spawn(move || enqueue_while(huey, left.0, left.1, &may));
            while !producer.is_finished() {
                self.look(huey)?;
                std::thread::sleep(LOOK);
            }
            producer.join().map_err(|_| "the producers panicked")?
        })
    }
}

/// Memory in MiB, as bytes for each of so many.
#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn bytes_each(mib: f64, many: u64) -> f64 {
    mib * MIB / many.max(1) as f64
}

/// What a queue may take of memory, in MiB: 120 bytes for each scheduled job, 16 for each result, and 100 MiB.
#[expect(clippy::cast_precision_loss, reason = "shown in MiB")]
fn memory_bound(scheduled: u64, results: u64) -> f64 {
    (120 * scheduled + 16 * results) as f64 / MIB + 100.0
}

fn load(number: u64) -> Vec<u8> {
    let mut random = huey::testing::Random::new(number);
    (0..=LOAD / 8).flat_map(|_| random.number().to_le_bytes()).take(LOAD).collect()
}

fn enqueue(huey: &Huey, first: u64, many: u64) -> Result<(), BoxError> {
    enqueue_while(huey, first, many, &|_| true)
}

/// Enqueues so many, each once it is `in_turn` after those before it.
fn enqueue_while(huey: &Huey, first: u64, many: u64, in_turn: &(dyn Fn(u64) -> bool + Sync)) -> Result<(), BoxError> {
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|producer| {
                scope.spawn(move || {
                    (first + producer..first + many).step_by(usize::try_from(PRODUCERS).unwrap_or(1)).try_for_each(
                        |number| {
                            let begun = Instant::now();
                            while !in_turn(number - first) {
                                if begun.elapsed() > PATIENCE {
                                    return Err("the consumer takes no more jobs".into());
                                }
                                std::thread::sleep(Duration::from_millis(1));
                            }
                            Ok(carry::enqueue(huey, number, load(number)).map(drop)?)
                        },
                    )
                })
            })
            .collect();
        producers.into_iter().try_for_each(|producer| match producer.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// What the folder takes on the disk, in MiB. What is removed meanwhile takes nothing.
pub(crate) fn used(folder: &Path) -> io::Result<f64> {
    fn unless_gone<T>(found: io::Result<T>) -> io::Result<Option<T>> {
        match found {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }
    let mut sum = 0.0;
    for entry in unless_gone(fs::read_dir(folder))?.into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sum += used(&entry.path())?;
        } else if let Some(file) = unless_gone(entry.metadata())? {
            #[expect(clippy::cast_precision_loss, reason = "shown in MiB")]
            let bytes = (file.blocks() * 512) as f64;
            sum += bytes / MIB;
        }
    }
    Ok(sum)
}

/// Memory of this process, in MiB.
pub(crate) fn resident() -> Result<f64, BoxError> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split(' ').nth(1).ok_or("statm has no second field")?.parse()?;
    Ok(pages * 4096.0 / MIB)
}

/// Bytes that this process had the system write to the disk.
fn written() -> Result<u64, BoxError> {
    let text = fs::read_to_string("/proc/self/io")?;
    let line = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line.ok_or("io has no write_bytes")?.trim().parse()?)
}
