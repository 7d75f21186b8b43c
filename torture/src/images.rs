//! Power cuts: a process under traffic is logged, and at random points of the log the disk is built as it may be after a
//! cut there, in the way of [`image`](mod@crate::image). Each image is opened in a process of its own, compared with what had
//! been acknowledged before the cut, and drained.
//!
//! Half of the runs go on from an image of the run before.
//!
//! With `--without-sealing` a volume is not synced before the next one is begun. Its images must lose something that was
//! acknowledged, or show a queue that calls itself damaged; or this attack shows nothing: then the exit status is 1 if
//! they do not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use huey::BoxError;
use huey::testing::Random;

use crate::args::Args;
use crate::book::Book;
use crate::child::{Process, arguments};
use crate::disk::Disk;
use crate::image::{self, Model};
use crate::kills::is_bad;
use crate::record::{Kind, Record, Records};
use crate::report::Report;

/// Images of one run.
const EACH: usize = 20;
const ACKS: &str = "acks";
/// How the folders of volumes begin.
const VOLUME: &str = "queue/volume.";
const PATIENCE: Duration = Duration::from_mins(2);

struct Attack<'a> {
    args: &'a Args,
    work: PathBuf,
    images: PathBuf,
    unsealed: bool,
    report: Report,
    random: Random,
    /// How long a relaxed write of this run may stay off the disk, in milliseconds.
    interval: u64,
}

/// The disk and the lines said, at a point of a log.
#[derive(Default)]
struct Moment {
    disk: Disk,
    lines: String,
    /// Volumes that were begun, and that were removed.
    begun: u64,
    removed: u64,
}

/// The root of the next run, and the end of this one.
type Cut = (Option<PathBuf>, Moment);

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let (seed, wanted, work) = (args.seed()?, args.number("images", 300)?, args.work()?);
    let unsealed = args.is_set("without-sealing");
    println!("seed {seed}, {wanted} images{}", if unsealed { " without the sealing of volumes" } else { "" });
    let report = attack(args, &work, seed, wanted)?;
    report.publish(args)?;
    let lost = report.get("images_with_loss") + report.get("torn") > 0.0;
    let shown = if unsealed { lost } else { report.is_clean() };
    if shown {
        fs::remove_dir_all(&work)?;
    }
    Ok(shown)
}

/// Makes so many images, in folders below `work`.
pub(crate) fn attack(args: &Args, work: &Path, seed: u64, wanted: usize) -> Result<Report, BoxError> {
    let images = args.path("images-in").unwrap_or_else(|| work.to_owned());
    let unsealed = args.is_set("without-sealing");
    let (report, random) = (Report::new(), Random::new(seed));
    let mut attack = Attack { args, work: work.to_owned(), images, unsealed, report, random, interval: 0 };
    let mut made = 0;
    let mut from = None;
    while made < wanted {
        let many = EACH.min(wanted - made);
        from = attack.round(made, many, from)?;
        made += many;
        if made.is_multiple_of(5 * EACH) || made == wanted {
            println!(
                "{made} images: lost_synced in {}, torn {}, settled twice {}",
                attack.report.get("images_with_loss"),
                attack.report.get("torn"),
                attack.report.get("lease_settled_twice"),
            );
        }
    }
    Ok(attack.report)
}

impl Attack<'_> {
    /// One run and its images; gives the root of the next run, if that is to begin with an image.
    fn round(&mut self, first: usize, many: usize, from: Option<PathBuf>) -> Result<Option<PathBuf>, BoxError> {
        let (root, log) = (self.work.join(format!("run-{first}")), self.work.join(format!("log-{first}")));
        let goes_on = from.is_some();
        match from {
            Some(image) => fs::rename(image, &root)?,
            None => fs::create_dir_all(&root)?,
        }
        let mut begin = Moment { disk: Disk::holding(&root)?, ..Moment::default() };
        if goes_on {
            begin.lines = fs::read_to_string(root.join(ACKS))?;
        }
        self.traffic(&root, &log)?;
        let mut records = 0;
        let mut spoken = None;
        for record in Records::open(&log)? {
            if record?.name == ACKS {
                spoken.get_or_insert(records);
            }
            records += 1;
        }
        let spoken = spoken.ok_or("a run acknowledged nothing")?;
        // Also cuts of the opening, where there is something to lose.
        let from = if goes_on { 0 } else { spoken };
        let mut cuts: Vec<usize> = (0..many).map(|_| from + self.random.below(records - from)).collect();
        cuts.sort_unstable();
        let (next, end) = self.cut(begin, &log, &cuts, first)?;
        let book = Book::read(&end.lines);
        self.report.add("acknowledged", book.acknowledged());
        self.report.add("volumes_begun", end.begun);
        self.report.add("volumes_removed", end.removed);
        for line in &book.wrong {
            println!("{line}");
            self.report.add(line.split(' ').next().unwrap_or_default(), 1);
        }
        // A log that missed something would make images of a disk that never was.
        if let Some(name) = end.disk.differs_from(&root)? {
            return Err(format!("the log of the run in {} does not lead to its `{name}`", root.display()).into());
        }
        fs::remove_dir_all(&root)?;
        fs::remove_file(&log)?;
        Ok(next)
    }

    fn traffic(&mut self, root: &Path, log: &Path) -> Result<(), BoxError> {
        self.interval = if self.unsealed { 5_000 } else { *self.random.pick(&[50, 500, 5_000]) };
        let burst = self.args.number("burst", if self.unsealed { 20_000_000 } else { 2_000_000 })?;
        let mut args = arguments([
            ("root", root.display().to_string()),
            ("folder", root.join("queue").display().to_string()),
            ("acks", root.join(ACKS).display().to_string()),
            ("log", log.display().to_string()),
            ("seed", self.random.number().to_string()),
            ("seconds", self.args.number("seconds", 3.0)?.to_string()),
            ("interval", self.interval.to_string()),
            ("burst", burst.to_string()),
        ]);
        if self.unsealed {
            args.push("--without-sealing".into());
        }
        match Process::start("traffic", &args)?.end()? {
            (true, _) => Ok(()),
            (false, heard) => Err(format!("a run failed: {heard:?}").into()),
        }
    }

    /// Goes through the log and checks an image at each cut.
    fn cut(&mut self, mut now: Moment, log: &Path, cuts: &[usize], first: usize) -> Result<Cut, BoxError> {
        let mut rest = cuts.iter().enumerate().peekable();
        let mut next = None;
        for (number, record) in Records::open(log)?.enumerate() {
            while let Some((image, _)) = rest.next_if(|(_, cut)| **cut == number) {
                let image = first + image;
                self.check(&now, image, number)?;
                if rest.peek().is_none() && !self.unsealed && self.random.one_in(2) {
                    let root = self.work.join(format!("next-{image}"));
                    image::write(&now.disk, &root, Model::Cache, &mut self.random)?;
                    fs::write(root.join(ACKS), now.lines_at_cut())?;
                    next = Some(root);
                }
            }
            now.take(record?);
        }
        Ok((next, now))
    }

    fn check(&mut self, now: &Moment, image: usize, cut: usize) -> Result<(), BoxError> {
        let model = if image.is_multiple_of(2) { Model::Cache } else { Model::Growth };
        let root = self.images.join(format!("image-{}-{image}", std::process::id()));
        image::write(&now.disk, &root, model, &mut self.random)?;
        let kept = self.images.join(format!("kept-{}-{image}", std::process::id()));
        let lines = now.lines_at_cut();
        fs::write(root.join(ACKS), &lines)?;
        copy(&root, &kept)?;
        self.report.add("images", 1);
        self.report.add("acknowledgements_checked", Book::read(&lines).acknowledged());
        let mut args = arguments([
            ("folder", root.join("queue").display().to_string()),
            ("acks", root.join(ACKS).display().to_string()),
            ("interval", self.interval.to_string()),
        ]);
        args.push("--drain".into());
        let mut child = Process::start("check", &args)?;
        let done = child.wait_for("done", PATIENCE);
        if !done {
            child.kill();
        }
        let (_, mut found) = child.end()?;
        if !done {
            found.push("torn the check did not end".into());
        }
        let findings: Vec<&String> = found.iter().filter(|line| *line != "ready").collect();
        for line in &findings {
            self.report.add(line.split(' ').next().unwrap_or_default(), 1);
        }
        let lost = findings.iter().any(|line| line.starts_with("lost_synced"));
        self.report.add("images_opened", u64::from(!findings.iter().any(|line| line.starts_with("torn"))));
        self.report.add("images_with_loss", u64::from(lost));
        let bad: Vec<_> = findings.into_iter().filter(|line| is_bad(line)).collect();
        fs::remove_dir_all(&root)?;
        if let Some(first) = bad.first() {
            println!("image {image}, {model:?}, cut {cut}: {} findings, first {first:?}", bad.len());
        }
        if bad.is_empty() || self.unsealed {
            fs::remove_dir_all(&kept)?;
        } else {
            println!("  kept {}", kept.display());
        }
        Ok(())
    }
}

pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

impl Moment {
    fn take(&mut self, record: Record) {
        let of_volume = record.name.strip_prefix(VOLUME).is_some_and(|number| !number.contains('/'));
        match record.kind {
            Kind::Append if record.name == ACKS => {
                self.lines.push_str(&String::from_utf8_lossy(&record.data));
            }
            Kind::Folder if of_volume => self.begun += 1,
            Kind::Rename if of_volume => self.removed += 1,
            _ => {}
        }
        self.disk.apply(record);
    }

    /// What was said, and that the power went off then: not before the last time that is told of.
    fn lines_at_cut(&self) -> String {
        let told = |line: &str| {
            let mut words = line.split(' ');
            words.next().filter(|event| matches!(*event, "E" | "S" | "C" | "K"))?;
            words.nth(2)?.parse::<u64>().ok()
        };
        let last = self.lines.lines().rev().take(1_000).filter_map(told).max().unwrap_or(0);
        format!("{}\nK - - {last}\n", self.lines)
    }
}
