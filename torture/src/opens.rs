//! Kills while a queue opens: the process dies in place of the first change that opening and closing make to the folder,
//! then in place of the second, and so on, each time on the same folder, until it gets through. Each time the queue must
//! open afterwards and hold all that was acknowledged.
//!
//! The folder is one that was killed under traffic, and one that is not there yet.

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
    traffic(&killed, &mut Random::new(seed))?;
    for root in [&killed, &fresh] {
        let changes = every_change(root, &mut report)?;
        println!("{}: died in place of each of {changes} changes", root.display());
        report.add("kills", changes);
        let book = Book::read(&fs::read_to_string(root.join("acks"))?);
        report.add("acknowledged", book.acknowledged());
    }
    report.publish(args)?;
    if report.is_clean() {
        fs::remove_dir_all(work)?;
    }
    Ok(report.is_clean())
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
            let mut child = Process::start("check", &arguments(common(&trial)))?;
            if !child.wait_for("done", PATIENCE) {
                findings.insert("torn the life after it did not end".to_owned());
                child.kill();
            }
            findings.extend(child.end()?.1);
        }
        for line in &findings {
            report.add(line.split(' ').next().unwrap_or_default(), 1);
        }
        if let Some(first) = findings.iter().find(|line| is_bad(line)) {
            println!("change {change}: {first}");
        }
        fs::remove_dir_all(&trial)?;
        if survived {
            return Ok(change - 1);
        }
    }
}
