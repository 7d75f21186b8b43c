//! Damage: every file of a queue's folder is changed in many ways, one at a time, and the queue is looked at, exported and
//! opened in a process of its own. It may refuse, or work with all that it had; what it lost it must have named, unless that
//! was younger than the mark of a queue that was killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use huey::testing::Random;
use huey::{BoxError, Huey, JobId, Sled, task};

use crate::args::Args;
use crate::child::{Process, arguments};
use crate::report::Report;

const PATIENCE: Duration = Duration::from_mins(2);
/// Jobs before the mark of a base, and behind it.
const JOBS: (u64, u64) = (300, 60);
/// What is done to a file.
const KINDS: [&str; 6] = ["bit", "bytes", "zeros", "cut", "foreign", "gone"];
/// What may come of it.
const ENDS: [&str; 7] = ["right", "error", "reported", "young", "unreported", "panic", "hang"];

/// Yields its number, if its load is what it was.
#[task(queue = "kept", retention = "30d")]
fn kept(n: u64, load: Vec<u8>) -> Option<u64> {
    (load == load_of(n)).then_some(n)
}

fn load_of(n: u64) -> Vec<u8> {
    (0..n * 37 % 3_000).map(|at| u8::try_from((n + at) % 251).unwrap_or(0)).collect()
}

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let seed = args.seed()?;
    let mut random = Random::new(seed);
    let corruptions: usize = args.number("corruptions", 500)?;
    let only = args.path("file");
    let work = args.work()?;
    println!("seed {seed}, {corruptions} corruptions of every file, in {}", work.display());
    let mut report = Report::new();
    let mut bad = 0;
    for closed in [true, false] {
        let base = if closed { "closed" } else { "killed" };
        let folder = work.join(base);
        make(&folder, closed)?;
        let mut table: BTreeMap<(String, &str), [u64; ENDS.len()]> = BTreeMap::new();
        for name in files(&folder)? {
            if only.as_ref().is_some_and(|only| *only != Path::new(&name)) {
                continue;
            }
            for number in 0..corruptions {
                let kind = KINDS.get(number % KINDS.len()).copied().unwrap_or("bit");
                let copy = work.join("copy");
                copy_all(&folder, &copy)?;
                corrupt(&copy.join(&name), kind, &mut random)?;
                let (end, said) = look(&copy)?;
                let shown = if name.starts_with("snap.") { "snap" } else { &name };
                let at = ENDS.iter().position(|known| *known == end).unwrap_or(0);
                if let Some(count) = table.entry((shown.to_owned(), kind)).or_default().get_mut(at) {
                    *count += 1;
                }
                report.add(&format!("{base}_{end}"), 1);
                let lost = matches!(end, "unreported" | "panic" | "hang") || (closed && end == "young");
                let missed = said.iter().any(|line| line == "verify missed");
                report.add("verify_missed", u64::from(missed));
                if lost || missed {
                    bad += 1;
                    let kept = work.join(format!("found-{bad}"));
                    fs::rename(&copy, &kept)?;
                    println!("{base} {name} {kind}: {end}, {said:?}, in {}", kept.display());
                }
                let _ = fs::remove_dir_all(&copy);
            }
        }
        println!("{base}: {}", ENDS.join(" "));
        for ((name, kind), ends) in &table {
            println!("{base} {name} {kind}: {}", ends.map(|end| end.to_string()).join(" "));
        }
    }
    report.add("bad", bad);
    report.publish(args)?;
    if bad == 0 {
        fs::remove_dir_all(work)?;
    }
    Ok(bad == 0)
}

/// A queue whose mark lies behind the first jobs and, if it was killed, before the others.
fn make(folder: &Path, closed: bool) -> Result<(), BoxError> {
    for life in 0..2 {
        let mut more = vec![("folder", folder.display().to_string()), ("life", life.to_string())];
        if closed || life == 0 {
            more.push(("drain", String::new()));
        }
        let mut child = Process::start("fill", &arguments(more))?;
        if !child.wait_for("filled", PATIENCE) {
            return Err("the queue to be damaged was not filled".into());
        }
        if !closed && life == 1 {
            child.kill();
        }
        child.end()?;
    }
    Ok(())
}

/// In a child: enqueues, runs half of it, and closes if it is to.
pub(crate) fn fill(args: &Args) -> Result<(), BoxError> {
    let folder = args.needed_path("folder")?;
    let life: u64 = args.number("life", 0)?;
    let huey = Huey::builder().open(Sled::at(&folder))?;
    let (from, many) = if life == 0 { (0, JOBS.0) } else { (JOBS.0, JOBS.1) };
    let mut ids = fs::File::options().append(true).create(true).open(listed(&folder))?;
    for n in from..from + many {
        let id = kept::enqueue(&huey, n, load_of(n))?.id();
        writeln!(ids, "{id} {n}")?;
        if n == many / 2 {
            huey.consumer().queues(["kept"]).workers(2).run_until_idle()?;
        }
    }
    if args.is_set("drain") {
        huey.close()?;
    }
    println!("filled");
    if !args.is_set("drain") {
        std::thread::sleep(PATIENCE);
    }
    Ok(())
}

/// Where the ids of a base are listed: beside it.
fn listed(folder: &Path) -> PathBuf {
    folder.with_extension("ids")
}

/// Starts a child that looks at a folder: what came of it, and what it said.
fn look(folder: &Path) -> Result<(&'static str, Vec<String>), BoxError> {
    let mut child = Process::start("look", &arguments([("folder", folder.display().to_string())]))?;
    if !child.wait_for("looked", PATIENCE) {
        child.kill();
        let (_, said) = child.end()?;
        let panicked = said.iter().any(|line| line.starts_with("panic"));
        return Ok((if panicked { "panic" } else { "hang" }, said));
    }
    let (_, said) = child.end()?;
    let end = said.iter().find_map(|line| line.strip_prefix("end "));
    Ok((ENDS.into_iter().find(|known| Some(*known) == end).unwrap_or("hang"), said))
}

/// In a child: verifies, exports, opens and uses a folder, and says what came of it.
pub(crate) fn look_at(args: &Args) -> Result<(), BoxError> {
    let folder = args.needed_path("folder")?;
    // Those of sled, which end within the storage.
    std::panic::set_hook(Box::new(|_| ()));
    let end = catch_unwind(AssertUnwindSafe(|| {
        let verified = huey::verify(&folder);
        let sound = verified.as_ref().is_ok_and(huey::Findings::is_sound);
        match verified {
            Ok(findings) => println!("verify {findings}"),
            Err(error) => println!("verify {error}"),
        }
        match huey::export(&folder, &mut std::io::sink()) {
            Ok(findings) => println!("export {findings}"),
            Err(error) => println!("export {error}"),
        }
        let end = used(&folder);
        if sound && end != "right" && end != "young" {
            println!("verify missed");
        }
        end
    }));
    match end {
        Ok(end) => println!("end {end}\nlooked"),
        Err(_) => println!("panic across the API"),
    }
    Ok(())
}

/// Opens and drains the queue, and compares it with what was acknowledged.
fn used(folder: &Path) -> &'static str {
    let huey = match Huey::builder().open(Sled::at(folder)) {
        Ok(huey) => huey,
        Err(error) => {
            println!("open {error}");
            return "error";
        }
    };
    let mut told = huey.consumer().queues(["kept"]).workers(2).run_until_idle().is_err();
    let base = fs::read_to_string(folder.with_extension("ids")).unwrap_or_default();
    let (mut old, mut young) = (0, 0);
    for line in base.lines() {
        let Some((Ok(id), Ok(n))) = line.split_once(' ').map(|(id, n)| (id.parse::<JobId>(), n.parse::<u64>())) else {
            continue;
        };
        let found = huey.handle::<kept>(id).and_then(|handle| handle.get());
        told |= found.as_ref().is_err_and(huey::Error::is_damaged);
        if found.ok().flatten().flatten() != Some(n) {
            *(if n < JOBS.0 { &mut old } else { &mut young }) += 1;
        }
    }
    told |= huey.close().is_err();
    println!("lost {old} {young}");
    match (old, young, told) {
        (0, 0, _) if !base.is_empty() => "right",
        (.., true) => "reported",
        (0, 1.., false) => "young",
        _ => "unreported",
    }
}

/// The names of the files in a folder.
fn files(folder: &Path) -> Result<Vec<String>, BoxError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn copy_all(folder: &Path, to: &Path) -> Result<(), BoxError> {
    fs::create_dir_all(to.join("blobs"))?;
    for name in files(folder)? {
        fs::copy(folder.join(&name), to.join(&name))?;
    }
    fs::copy(listed(folder), listed(to))?;
    Ok(())
}

/// Changes a file, where it is used.
fn corrupt(file: &Path, kind: &str, random: &mut Random) -> Result<(), BoxError> {
    let mut bytes = fs::read(file)?;
    // sled writes its file ahead, and nobody reads the zeros at its end.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = random.below(used.max(1));
    let range = at..used.min(at + 1 + random.below(4096));
    match kind {
        "bit" => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        "bytes" => bytes.iter_mut().take(range.end).skip(at).step_by(7).for_each(|byte| *byte ^= 0x55),
        "zeros" => bytes.iter_mut().take(range.end).skip(at).for_each(|byte| *byte = 0),
        "cut" => bytes.truncate(at),
        "foreign" => bytes = (0..random.below(8_192)).map(|_| u8::try_from(random.below(256)).unwrap_or(0)).collect(),
        _ => return Ok(fs::remove_file(file)?),
    }
    Ok(fs::write(file, bytes)?)
}
