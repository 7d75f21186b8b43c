//! Kills while a queue opens: the process dies in place of the first change that opening and closing make to the folder,
//! then in place of the second, and so on, each time on the same folder, until it gets through. Each time the queue must
//! open afterwards and hold all that was acknowledged.
//!
//! The folder is one that was killed under traffic, and one that is not there yet.
//!
//! Then the same while volumes are begun and removed under traffic: in place of each of the changes from there on.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use huey::BoxError;
use huey::testing::Random;

use crate::args::Args;
use crate::book::{Book, micros};
use crate::child::{Process, arguments};
use crate::images::copy;
use crate::kills::is_bad;
use crate::report::Report;

const PATIENCE: Duration = Duration::from_mins(2);
/// As long as all that is relaxed is allowed to be lost by the last kill.
const INTERVAL: u64 = 50;
/// As many changes as it takes to begin a volume, and some that come then.
const CHANGES: u64 = 40;

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let seed = args.seed()?;
    let work = args.work()?;
    println!("seed {seed}, in {}", work.display());
    let mut report = Report::new();
    let (killed, fresh) = (work.join("killed"), work.join("fresh"));
    for root in [&killed, &fresh] {
        fs::create_dir_all(root.join("queue"))?;
        fs::write(root.join("acks"), "")?;
    }
    let mut random = Random::new(seed);
    traffic(&killed, &mut random)?;
    for root in [&killed, &fresh] {
        let changes = every_change(root, &mut report)?;
        println!("{}: died in place of each of {changes} changes", root.display());
        report.add("kills", changes);
        let book = Book::read(&fs::read_to_string(root.join("acks"))?);
        report.add("acknowledged", book.acknowledged());
    }
    let turns = args.number("turns", 3)?;
    let root = work.join("turning");
    // The first one is begun when the queue is opened.
    for (turn, change) in (2..turns + 2).flat_map(|turn| (1..=CHANGES).map(move |change| (turn, change))) {
        turning(&root, turn, change, &mut random, &mut report)?;
    }
    println!("died in place of each of {CHANGES} changes from each of {turns} volumes on, begun or removed");
    report.publish(args)?;
    if report.is_clean() {
        fs::remove_dir_all(work)?;
    }
    Ok(report.is_clean())
}

/// A life under traffic that ends while volumes are begun or removed, and one after it.
fn turning(root: &Path, turn: u64, change: u64, random: &mut Random, report: &mut Report) -> Result<(), BoxError> {
    fs::create_dir_all(root)?;
    let folder = root.join("queue").display().to_string();
    let mut dying = common(root);
    dying.extend([
        ("root", folder),
        ("log", root.with_extension("log").display().to_string()),
        ("seed", random.number().to_string()),
        ("seconds", PATIENCE.as_secs().to_string()),
        ("burst", "2000000".to_owned()),
        ("turn", turn.to_string()),
        ("die-at", change.to_string()),
    ]);
    let (well, said) = Process::start("traffic", &arguments(dying))?.end()?;
    let mut findings = BTreeSet::new();
    if !well {
        findings.insert(format!("torn the life before it failed: {said:?}"));
    }
    let at = micros();
    OpenOptions::new().append(true).open(root.join("acks"))?.write_all(format!("\nK - - {at}\n").as_bytes())?;
    let mut after = common(root);
    after.push(("drain", String::new()));
    look(&after, &mut findings)?;
    report.add("kills", 1);
    tell(&format!("turn {turn}, change {change}"), &findings, report);
    let book = Book::read(&fs::read_to_string(root.join("acks"))?);
    report.add("acknowledged", book.acknowledged());
    if findings.iter().any(|line| is_bad(line)) {
        let kept = root.with_extension(format!("{turn}-{change}"));
        println!("  kept {}", kept.display());
        fs::rename(root, kept)?;
    } else {
        fs::remove_dir_all(root)?;
    }
    Ok(())
}

/// A life after a kill, in which all that is asked for is there.
fn look(words: &[(&'static str, String)], findings: &mut BTreeSet<String>) -> Result<(), BoxError> {
    let mut child = Process::start("check", &arguments(words.iter().cloned()))?;
    if !child.wait_for("done", PATIENCE) {
        findings.insert("torn the life after it did not end".to_owned());
        child.kill();
    }
    findings.extend(child.end()?.1);
    Ok(())
}

fn tell(place: &str, findings: &BTreeSet<String>, report: &mut Report) {
    for line in findings {
        report.add(line.split(' ').next().unwrap_or_default(), 1);
    }
    if let Some(first) = findings.iter().find(|line| is_bad(line)) {
        println!("{place}: {first}");
    }
}

fn traffic(root: &Path, random: &mut Random) -> Result<(), BoxError> {
    let mut more = common(root);
    more.extend([
        ("seed", random.number().to_string()),
        ("seconds", "100000".to_owned()),
        ("burst", "300000".to_owned()),
    ]);
    let mut child = Process::start("traffic", &arguments(more))?;
    if !child.wait_for("ready", PATIENCE) {
        return Err("the traffic did not begin".into());
    }
    thread::sleep(Duration::from_millis(1_500));
    let at = micros();
    child.kill();
    child.end()?;
    OpenOptions::new().append(true).open(root.join("acks"))?.write_all(format!("\nK - - {at}\n").as_bytes())?;
    Ok(())
}

fn common(root: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("folder", root.join("queue").display().to_string()),
        ("acks", root.join("acks").display().to_string()),
        ("interval", INTERVAL.to_string()),
    ]
}

/// Gives how many changes there were to die at.
fn every_change(root: &Path, report: &mut Report) -> Result<u64, BoxError> {
    let trial = root.with_extension("trial");
    let log = root.with_extension("log");
    let mut change = 0;
    loop {
        change += 1;
        copy(root, &trial)?;
        let mut dying = common(&trial);
        dying.extend([("log", log.display().to_string()), ("die-at", change.to_string())]);
        let mut child = Process::start("check", &arguments(dying))?;
        let survived = child.wait_for("done", PATIENCE);
        let mut findings: BTreeSet<String> = child.end()?.1.into_iter().collect();
        if !survived {
            look(&common(&trial), &mut findings)?;
        }
        tell(&format!("change {change}"), &findings, report);
        fs::remove_dir_all(&trial)?;
        if survived {
            return Ok(change - 1);
        }
    }
}
