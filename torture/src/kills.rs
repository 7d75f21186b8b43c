//! Kills: a process under traffic gets SIGKILL at a random instant, one time in four while it opens the queue, and is
//! started again on the same folder. It reports each acknowledgement through a pipe. Each life begins with a comparison
//! with all that was acknowledged since the folder was new; a last life drains the queue, and the next folder is begun.
//!
//! A kill loses nothing that the system has, so this is about the process; power cuts are the matter of
//! [`images`](crate::images).
//!
//! With `--crash-limit 3` jobs are given up that ran at three kills, and each that is must have done so.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use huey::testing::Random;
use huey::{BoxError, JobState};

use crate::args::Args;
use crate::book::{Book, line, micros};
use crate::child::{Process, arguments};
use crate::report::Report;

const PATIENCE: Duration = Duration::from_mins(2);
/// How long a relaxed write may stay off the disk here, in milliseconds.
const INTERVAL: u64 = 50;
/// Kills of one folder. Each life looks at all that was ever acknowledged there.
const EACH: u64 = 50;

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let (seed, kills, work) = (args.seed()?, args.number("kills", 100)?, args.work()?);
    let limit: u8 = args.number("crash-limit", 0)?;
    println!("seed {seed}, {kills} kills, crash limit {limit}, in {}", work.display());
    let report = attack(&work, seed, kills, limit)?;
    report.publish(args)?;
    if report.is_clean() {
        fs::remove_dir_all(work)?;
    }
    Ok(report.is_clean())
}

/// Kills so often, in folders below `work`.
pub(crate) fn attack(work: &Path, seed: u64, kills: u64, limit: u8) -> Result<Report, BoxError> {
    let mut random = Random::new(seed);
    let mut report = Report::new();
    let mut made = 0;
    while made < kills {
        let many = EACH.min(kills - made);
        let folder = Folder::new(work.join(format!("folder-{made}")), limit)?;
        // A loss is found in every later life again.
        let mut findings = BTreeSet::new();
        let mut book = Book::default();
        for kill in 1..=many {
            folder.life(&mut random, &mut book, &mut findings)?;
            report.add("kills", 1);
            let bad: Vec<_> = findings.iter().filter(|line| is_bad(line)).collect();
            if (made + kill).is_multiple_of(100) {
                println!("{} kills, bad findings in this folder: {} {:?}", made + kill, bad.len(), bad.first());
            }
        }
        folder.drain(&mut findings)?;
        findings.append(&mut book.wrong);
        for line in &findings {
            report.add(line.split(' ').next().unwrap_or_default(), 1);
            if is_bad(line) {
                println!("{line}");
            }
        }
        let dead = book.jobs.values().filter(|known| known.end == Some(JobState::Dead)).count();
        report.add("dead", dead as u64);
        report.add("acknowledged", book.acknowledged());
        if !findings.iter().any(|line| is_bad(line)) {
            fs::remove_dir_all(folder.root)?;
        }
        made += many;
    }
    Ok(report)
}

/// A queue, and the lines said of it.
struct Folder {
    root: PathBuf,
    limit: u8,
}

impl Folder {
    fn new(root: PathBuf, limit: u8) -> Result<Self, BoxError> {
        fs::create_dir_all(&root)?;
        fs::write(root.join("acks"), "")?;
        Ok(Self { root, limit })
    }

    fn arguments(&self) -> Vec<(&'static str, String)> {
        vec![
            ("folder", self.root.join("queue").display().to_string()),
            ("acks", self.root.join("acks").display().to_string()),
            ("interval", INTERVAL.to_string()),
            ("crash-limit", self.limit.to_string()),
        ]
    }

    /// One life, up to its kill.
    fn life(&self, random: &mut Random, book: &mut Book, findings: &mut BTreeSet<String>) -> Result<(), BoxError> {
        let mut more = self.arguments();
        more.extend([
            ("seed", random.number().to_string()),
            ("seconds", "100000".to_owned()),
            ("burst", "300000".to_owned()),
            ("check", String::new()),
            ("pipe", String::new()),
        ]);
        let mut child = Process::start("traffic", &arguments(more))?;
        let mut stopped = false;
        if random.one_in(4) {
            thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        } else {
            stopped = !child.wait_for("ready", PATIENCE);
            thread::sleep(Duration::from_millis(random.below(400) as u64));
        }
        let at = micros();
        child.kill();
        let (_, heard) = child.end()?;
        if stopped {
            findings.insert("torn a life did not begin".to_owned());
        }
        let mut acks = String::new();
        for line in heard.into_iter().filter(|line| line != "ready") {
            // What is said of a job begins with one letter.
            if line.get(1..2) == Some(" ") {
                acks.push_str(&line);
                acks.push('\n');
            } else {
                findings.insert(line);
            }
        }
        acks.push_str(&line('K', '-', '-', at));
        acks.lines().for_each(|line| book.hear(line));
        OpenOptions::new().append(true).open(self.root.join("acks"))?.write_all(acks.as_bytes())?;
        Ok(())
    }

    /// A life without a kill, in which all that is there must come to its end.
    fn drain(&self, findings: &mut BTreeSet<String>) -> Result<(), BoxError> {
        let mut last = self.arguments();
        last.push(("drain", String::new()));
        let mut child = Process::start("check", &arguments(last))?;
        if !child.wait_for("done", PATIENCE) {
            findings.insert("torn the last life did not end".to_owned());
            child.kill();
        }
        findings.extend(child.end()?.1);
        Ok(())
    }
}

pub(crate) fn is_bad(line: &str) -> bool {
    !line.starts_with("lost_relaxed ") && !line.starts_with("uncertain ")
}
