//! Hostile input: each place that reads bytes or texts is given changed ones, over and over. It may refuse them; it may not
//! panic, take long, or take much more memory than they have bytes.
//!
//! Inputs begin with those kept in `torture/corpus`. Where the program was built to count what an input reaches, as
//! `torture/fuzz` builds it, inputs that reach something new join them for the run, and with `--keep` for good. Each input
//! stands in the file `TARGET.input` below `--work` while it runs, so that one that ends the process is there as well.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use huey::testing::{Random, hostile};
use huey::{BoxError, Result};

use crate::allocations::most_during;
use crate::args::Args;
use crate::coverage::Coverage;
use crate::mutate::{Form, mutated};
use crate::report::Report;

/// An input takes no longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Memory that an input may cost whatever its length, and for each of its bytes. serde takes up to 1 MiB for each list within
/// a list before it reads what is in it; and a job that stands far from all others takes a block of 8 KiB of the index, and
/// can be told in few bytes.
const MEMORY: (u64, u64) = (8 * 1024 * 1024, 2048);
/// The longest input that is made.
const LONGEST: usize = 64 * 1024;

/// A place that reads what somebody else may have written.
struct Target {
    name: &'static str,
    form: Form,
    read: fn(&[u8]) -> Result<()>,
}

const TARGETS: [Target; 4] = [
    Target { name: "envelope", form: Form::Bytes, read: hostile::envelope },
    Target { name: "journal", form: Form::Entries, read: hostile::journal },
    Target { name: "import", form: Form::Export, read: hostile::imported },
    Target { name: "cron", form: Form::Text, read: |bytes| hostile::cron(&String::from_utf8_lossy(bytes)) },
];

/// The names of all targets.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TARGETS.iter().map(|target| target.name)
}

/// Where the inputs of a target are kept.
pub(crate) fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let seed = args.seed()?;
    let seconds = Duration::from_secs_f64(args.number("seconds", 60.0)?);
    let chosen: Vec<&Target> =
        TARGETS.iter().filter(|target| args.subject().is_none_or(|name| name == target.name)).collect();
    if chosen.is_empty() {
        return Err(format!("no target has that name: there are {}", names().collect::<Vec<_>>().join(", ")).into());
    }
    let work = args.work()?;
    println!("seed {seed}, {} s for each target, in {}", seconds.as_secs(), work.display());
    let mut report = Report::new();
    // The text of a panic is told with its input.
    std::panic::set_hook(Box::new(|panic| println!("panic: {panic}")));
    for target in chosen {
        let mut attack = Attack::new(target, &work, args.is_set("keep"))?;
        attack.go(seconds, &mut Random::new(seed))?;
        report.add("inputs", attack.ran);
        report.add("findings", attack.found);
        println!(
            "{}: {} inputs ran, {} were accepted, {} are kept, {} places reached, at most {} KiB for one; {} findings",
            target.name,
            attack.ran,
            attack.accepted,
            attack.inputs.len(),
            attack.coverage.reached(),
            attack.most / 1024,
            attack.found
        );
    }
    let _ = std::panic::take_hook();
    report.publish(args)?;
    let clean = report.get("findings") == 0.0;
    if clean {
        fs::remove_dir_all(work)?;
    }
    Ok(clean)
}

struct Attack<'a> {
    target: &'a Target,
    work: &'a Path,
    /// Whether inputs that reach something new are kept for good.
    keep: bool,
    /// The input that runs.
    current: File,
    inputs: Vec<Vec<u8>>,
    coverage: Coverage,
    ran: u64,
    accepted: u64,
    most: u64,
    found: u64,
    /// What was found already: the first of each kind is enough.
    known: BTreeSet<String>,
}

impl<'a> Attack<'a> {
    fn new(target: &'a Target, work: &'a Path, keep: bool) -> Result<Self, BoxError> {
        let current = File::create(work.join(format!("{}.input", target.name)))?;
        let (inputs, coverage, known) = Default::default();
        let (ran, accepted, most, found) = Default::default();
        Ok(Self { target, work, keep, current, inputs, coverage, ran, accepted, most, found, known })
    }

    fn go(&mut self, seconds: Duration, random: &mut Random) -> Result<(), BoxError> {
        let folder = corpus(self.target.name);
        let mut names: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        names.sort();
        for name in names {
            let input = fs::read(name)?;
            self.try_one(&input)?;
            self.inputs.push(input);
        }
        if self.accepted == 0 {
            return Err(format!(
                "none of what is kept in {} is accepted, so the format has changed: run `huey-torture seeds`",
                folder.display()
            )
            .into());
        }
        let until = Instant::now() + seconds;
        while Instant::now() < until {
            let input = mutated(self.target.form, &self.inputs, random);
            if input.len() <= LONGEST && self.try_one(&input)? {
                if self.keep {
                    fs::write(folder.join(format!("{:016x}", hash(&input))), &input)?;
                }
                self.inputs.push(input);
            }
        }
        Ok(())
    }

    /// Runs an input: whether it reached something new.
    fn try_one(&mut self, input: &[u8]) -> Result<bool, BoxError> {
        self.current.set_len(0)?;
        self.current.rewind()?;
        self.current.write_all(input)?;
        Coverage::begin();
        let begun = Instant::now();
        let read = self.target.read;
        let (read, most) = most_during(|| catch_unwind(AssertUnwindSafe(|| read(input))));
        let took = begun.elapsed();
        let new = self.coverage.end();
        self.ran += 1;
        self.most = self.most.max(most);
        if most > MEMORY.0 + MEMORY.1 * input.len() as u64 {
            self.find("memory", &format!("{most} bytes of memory for {} of input", input.len()), input)?;
        }
        if took > PATIENCE && self.is_slow(input) {
            self.find("time", &format!("{took:?}"), input)?;
        }
        match read {
            Ok(Ok(())) => self.accepted += 1,
            Ok(Err(_)) => {}
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map_or("", String::as_str).to_owned();
                let text = panic.downcast_ref::<&str>().map_or(text, |text| (*text).to_owned());
                self.find(&format!("panic {text}"), &text, input)?;
            }
        }
        Ok(new)
    }

    /// Whether an input takes long each time: others may have had the processor once.
    fn is_slow(&self, input: &[u8]) -> bool {
        (0..3).all(|_| {
            let begun = Instant::now();
            let _ = catch_unwind(AssertUnwindSafe(|| (self.target.read)(input)));
            begun.elapsed() > PATIENCE
        })
    }

    fn find(&mut self, kind: &str, what: &str, input: &[u8]) -> Result<(), BoxError> {
        self.found += 1;
        if self.known.insert(kind.to_owned()) {
            let file = self.work.join(format!("{}-found-{}", self.target.name, self.known.len()));
            fs::write(&file, input)?;
            println!("{}: {what}, by {}", self.target.name, file.display());
        }
        Ok(())
    }
}

fn hash(input: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(input);
    hasher.finish()
}
