//! Kills: a process under traffic gets SIGKILL at a random instant, one time in four while it opens the queue, and is
//! started again on the same folder. Each life begins with a comparison with all that was ever acknowledged. A last life
//! drains the queue.
//!
//! A kill loses nothing that the system has, so this is about the process; power cuts are the matter of
//! [`images`](crate::images).

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;
use std::time::Duration;

use huey::BoxError;
use huey::testing::Random;

use crate::args::Args;
use crate::book::{Book, micros};
use crate::child::{Process, arguments};
use crate::report::Report;

const PATIENCE: Duration = Duration::from_mins(2);
/// How long a relaxed write may stay off the disk here, in milliseconds.
const INTERVAL: u64 = 50;

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let seed = args.seed()?;
    let mut random = Random::new(seed);
    let kills: u64 = args.number("kills", 100)?;
    let work = args.work()?;
    let (folder, acks) = (work.join("queue"), work.join("acks"));
    fs::write(&acks, "")?;
    println!("seed {seed}, {kills} kills, in {}", work.display());
    let common = [
        ("folder", folder.display().to_string()),
        ("acks", acks.display().to_string()),
        ("interval", INTERVAL.to_string()),
    ];
    let mut report = Report::new();
    // A loss is found in every later life again.
    let mut findings = BTreeSet::new();
    for kill in 1..=kills {
        let mut more = common.to_vec();
        more.extend([
            ("seed", random.number().to_string()),
            ("seconds", "100000".to_owned()),
            ("burst", "300000".to_owned()),
            ("check", String::new()),
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
        findings.extend(heard.into_iter().filter(|line| line != "ready"));
        if stopped {
            findings.insert(format!("torn the life before kill {kill} did not begin"));
        }
        OpenOptions::new().append(true).open(&acks)?.write_all(format!("\nK - - {at}\n").as_bytes())?;
        if kill.is_multiple_of(20) {
            let bad: Vec<_> = findings.iter().filter(|line| is_bad(line)).collect();
            println!("{kill} kills, {} bad findings {:?}", bad.len(), bad.first());
        }
    }
    let mut last = common.to_vec();
    last.push(("drain", String::new()));
    let mut child = Process::start("check", &arguments(last))?;
    if !child.wait_for("done", PATIENCE) {
        findings.insert("torn the last life did not end".to_owned());
        child.kill();
    }
    findings.extend(child.end()?.1);

    let book = Book::read(&String::from_utf8_lossy(&fs::read(&acks)?));
    for (id, known) in &book.jobs {
        if known.twice {
            findings.insert(format!("lease_settled_twice {id} ran again"));
        }
    }
    for line in &findings {
        report.add(line.split(' ').next().unwrap_or_default(), 1);
        if is_bad(line) {
            println!("{line}");
        }
    }
    report.add("kills", kills);
    report.add("acknowledged", book.acknowledged());
    report.publish(args)?;
    if report.is_clean() {
        fs::remove_dir_all(work)?;
    }
    Ok(report.is_clean())
}

fn is_bad(line: &str) -> bool {
    !line.starts_with("lost_relaxed ") && !line.starts_with("uncertain ")
}
