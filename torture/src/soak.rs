//! A soak: one process under the traffic of every feature for as long as it is told, measured ten times. What it takes of
//! memory, threads, open files and the disk may not creep: the last measurement is compared with the second.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use huey::BoxError;
use huey::testing::Random;
use huey_sled::SledMedium;

use crate::args::Args;
use crate::child::{Process, arguments};
use crate::report::Report;
use crate::rounds::{resident, used};
use crate::tasks::{self, QUEUES, Setup, Voice};
use crate::traffic::{CACHE, phase};

/// Measurements.
const TIMES: u32 = 10;
/// Bytes of a burst of relaxed jobs, at most.
const BURST: usize = 300_000;
const SAMPLE: &str = "sample ";
/// What is in the path of all that is in a volume.
const VOLUME: &str = "/volume.";

/// What the process takes: memory and disk in MiB, threads and open files by number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    memory: f64,
    disk: f64,
    threads: u64,
    /// Those of volumes are not among them, since volumes are opened when they are read.
    files: u64,
    /// Open files of volumes that are more than one for each volume.
    spare: u64,
}

impl Sample {
    fn take(folder: &Path) -> Result<Self, BoxError> {
        let status = fs::read_to_string("/proc/self/status")?;
        let threads = status.lines().find_map(|line| line.strip_prefix("Threads:")).ok_or("status has no threads")?;
        let is_volume = |path: &Path| path.to_string_lossy().contains(VOLUME);
        let open: Vec<_> = fs::read_dir("/proc/self/fd")?.flatten().map(|entry| fs::read_link(entry.path())).collect();
        let of_volumes = open.iter().flatten().filter(|path| is_volume(path)).count();
        let volumes = fs::read_dir(folder)?.flatten().filter(|entry| is_volume(&entry.path())).count();
        Ok(Self {
            memory: resident()?,
            disk: used(folder)?,
            threads: threads.trim().parse()?,
            files: (open.len() - of_volumes) as u64,
            spare: of_volumes.saturating_sub(volumes) as u64,
        })
    }

    fn line(&self) -> String {
        format!("{SAMPLE}{} {} {} {} {}", self.memory, self.disk, self.threads, self.files, self.spare)
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(SAMPLE)?.split(' ');
        let (memory, disk) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let mut number = || words.next()?.parse().ok();
        Some(Self { memory, disk, threads: number()?, files: number()?, spare: number()? })
    }

    /// What of it is more than what was there when the queue had come to its pace. Memory and disk go up and down with what
    /// is queued at the instant, and with how much the machine lets this process do: hence the megabytes that are allowed.
    fn creeps(&self, since: &Self) -> Vec<&'static str> {
        let all = [
            ("memory", self.memory > since.memory * 1.2 + 16.0),
            ("disk", self.disk > since.disk * 1.2 + 64.0),
            ("threads", self.threads > since.threads),
            ("files", self.files > since.files),
            // One that is just being closed, and one that is synced.
            ("volumes", self.spare > since.spare + 2),
        ];
        all.into_iter().filter_map(|(name, creeps)| creeps.then_some(name)).collect()
    }
}

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let (seed, minutes, work) = (args.seed()?, args.number("minutes", 10.0)?, args.work()?);
    println!("seed {seed}, {minutes} minutes, in {}", work.display());
    let words = [
        ("seed", seed.to_string()),
        ("minutes", minutes.to_string()),
        ("folder", work.join("queue").display().to_string()),
    ];
    // One arena of the system's allocator, for the reason that `rounds` has.
    let mut process = Process::start_with("soaking", &[("MALLOC_ARENA_MAX", "1")], &arguments(words))?;
    let mut samples = Vec::new();
    while let Some(line) = process.line() {
        samples.extend(Sample::read(&line));
        println!("{line}");
    }
    let well = process.end()?.0;
    let (second, last) = samples.get(1).zip(samples.last()).ok_or("nothing was measured")?;
    let creeping = last.creeps(second);
    println!("last against second measurement: {creeping:?} creep");
    let mut report = Report::new();
    report.set("memory_ratio", last.memory / second.memory);
    report.set("disk_ratio", last.disk / second.disk);
    report.add("threads", last.threads);
    report.add("files", last.files);
    report.add("torn", u64::from(!well));
    report.publish(args)?;
    fs::remove_dir_all(work)?;
    Ok(well && creeping.is_empty())
}

/// In a child: the traffic, and the measurements.
pub(crate) fn soak(args: &Args) -> Result<(), BoxError> {
    let folder = args.needed_path("folder")?;
    let span = Duration::from_secs_f64(args.number("minutes", 10.0)? * 60.0);
    let mut random = Random::new(args.seed()?);
    let voice = Arc::new(Voice::new(|_| ()));
    let setup = Setup { interval: Duration::from_millis(500), crash_limit: 3 };
    let (huey, inspector) = tasks::open(SledMedium::new(folder.clone(), CACHE)?, &voice, setup)?;
    let consumer = huey.consumer().queues(QUEUES).workers(4).start()?;
    let begun = Instant::now();
    for time in 1..=TIMES {
        while begun.elapsed() < span / TIMES * time {
            phase(&huey, &voice, &mut random, BURST)?;
        }
        println!("{}", Sample::take(&folder)?.line());
    }
    consumer.shutdown().wait()?;
    inspector.check()?;
    drop(inspector);
    huey.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_past_its_bound_creeps_and_what_goes_up_and_down_does_not() {
        let second = Sample { memory: 50.0, disk: 100.0, threads: 12, files: 30, spare: 1 };
        assert_eq!(Sample::read(&second.line()), Some(second));
        assert_eq!(second.creeps(&second), [] as [&str; 0]);
        let more = Sample { memory: 75.0, disk: 180.0, spare: 3, ..second };
        assert_eq!(more.creeps(&second), [] as [&str; 0]);
        let much = Sample { memory: 77.0, disk: 185.0, threads: 13, files: 31, spare: 4 };
        assert_eq!(much.creeps(&second), ["memory", "disk", "threads", "files", "volumes"]);
    }
}
