//! Damage: every file of a queue's folder is changed in many ways, one at a time, and the queue is looked at, exported and
//! opened in a process of its own. It may refuse, or work with all that it had; what it lost it must have named, unless that
//! was younger than the mark of a queue that was killed.
//!
//! The queue has several volumes, and the table tells the oldest and the newest from those between. Each whole volume is
//! taken away as well, filled with another one's files, and given another number.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use huey::testing::Random;
use huey::{BoxError, Huey, JobId, Sled, task};

use crate::args::Args;
use crate::child::{Process, arguments};
use crate::images::copy;
use crate::report::Report;

const PATIENCE: Duration = Duration::from_mins(2);
/// Jobs before the mark of a base, and behind it.
const JOBS: (u64, u64) = (250, 50);
/// What is done to a file.
const KINDS: [&str; 6] = ["bit", "bytes", "zeros", "cut", "foreign", "gone"];
/// What is done to a whole volume.
const VOLUME_KINDS: [&str; 3] = ["gone", "foreign", "renamed"];
const VOLUME: &str = "volume.";
/// What may come of it.
const ENDS: [&str; 7] = ["right", "error", "reported", "young", "unreported", "panic", "hang"];

/// Yields its number, if its load is what it was.
#[task(queue = "kept", retention = "30d")]
fn kept(n: u64, load: Vec<u8>) -> Option<u64> {
    (load == load_of(n)).then_some(n)
}

/// Some large ones fill the volumes.
fn load_of(n: u64) -> Vec<u8> {
    (0..n * 3_701 % if n.is_multiple_of(3) { 3_000 } else { 140_000 })
        .map(|at| u8::try_from((n + at) % 251).unwrap_or(0))
        .collect()
}

pub(crate) fn run(args: &Args) -> Result<bool, BoxError> {
    let seed = args.seed()?;
    let mut random = Random::new(seed);
    let corruptions: usize = args.number("corruptions", 500)?;
    let only = args.path("file");
    let work = args.work()?;
    println!("seed {seed}, {corruptions} corruptions of every kind of file, in {}", work.display());
    let mut report = Report::new();
    for closed in [true, false] {
        let base = if closed { "closed" } else { "killed" };
        let folder = work.join(base);
        make(&folder, closed)?;
        let volumes = volumes(&folder)?;
        println!("{base}: {} volumes", volumes.len());
        if volumes.len() < 3 {
            return Err("the queue to be damaged has no volume between its oldest and its newest".into());
        }
        let mut harms = harms(&folder, &volumes, corruptions, &mut random)?;
        harms.retain(|harm| only.as_ref().is_none_or(|only| *only == harm.path || *only == Path::new(&harm.shown)));
        let attack = Attack { work: &work, folder, closed, base, left: Mutex::new(harms), found: Mutex::default() };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        std::thread::scope(|scope| {
            let attack = &attack;
            let all: Vec<_> = (0..threads).map(|number| scope.spawn(move || attack.go(number))).collect();
            all.into_iter().try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        let found = attack.found.into_inner().unwrap_or_else(PoisonError::into_inner);
        println!("{base}: {}", ENDS.join(" "));
        for ((name, kind), ends) in &found.table {
            println!("{base} {name} {kind}: {}", ends.map(|end| end.to_string()).join(" "));
        }
        for (key, many) in found.counts {
            report.add(&key, many);
        }
    }
    report.publish(args)?;
    let clean = report.get("bad") == 0.0;
    if clean {
        fs::remove_dir_all(work)?;
    }
    Ok(clean)
}

/// What is done to a copy.
struct Harm {
    path: PathBuf,
    /// What stands for its name in the table.
    shown: String,
    kind: &'static str,
    random: Random,
}

/// All that is done to a queue, the last first: so many things to each kind of file, wherever there is one.
fn harms(folder: &Path, volumes: &[String], corruptions: usize, random: &mut Random) -> Result<Vec<Harm>, BoxError> {
    let mut names = Vec::new();
    files(folder, "", &mut names)?;
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names {
        rows.entry(shown(volumes, &name)).or_default().push(name);
    }
    let mut harms = Vec::new();
    let mut add = |name: &String, shown: String, kind| {
        harms.push(Harm { path: name.into(), shown, kind, random: Random::new(random.number()) });
    };
    for (row, names) in &rows {
        for number in 0..corruptions {
            let name = names.get(number / KINDS.len() % names.len()).unwrap_or(row);
            add(name, row.clone(), KINDS.get(number % KINDS.len()).unwrap_or(&"bit"));
        }
    }
    for volume in volumes {
        for kind in VOLUME_KINDS {
            add(volume, shown(volumes, volume), kind);
        }
    }
    Ok(harms)
}

/// What is done to one queue, by several threads.
struct Attack<'a> {
    work: &'a Path,
    folder: PathBuf,
    closed: bool,
    base: &'static str,
    left: Mutex<Vec<Harm>>,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// How often what was done to a kind of file ended how.
    table: BTreeMap<(String, &'static str), [u64; ENDS.len()]>,
    counts: BTreeMap<String, u64>,
    bad: u64,
}

impl Attack<'_> {
    fn go(&self, thread: usize) -> Result<(), BoxError> {
        let copy = self.work.join(format!("copy-{thread}"));
        loop {
            let next = self.left.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(harm) = next else { return Ok(()) };
            self.damage(&copy, harm)?;
        }
    }

    /// Damages a copy, and looks at it.
    fn damage(&self, damaged: &Path, mut harm: Harm) -> Result<(), BoxError> {
        copy(&self.folder, damaged)?;
        fs::copy(listed(&self.folder), listed(damaged))?;
        let file = damaged.join(&harm.path);
        if file.is_dir() {
            corrupt_volume(damaged, &file, harm.kind, &mut harm.random)?;
        } else {
            corrupt(&file, harm.kind, &mut harm.random)?;
        }
        let (end, said) = look(damaged)?;
        let lost = matches!(end, "unreported" | "panic" | "hang") || (self.closed && end == "young");
        let missed = said.iter().any(|line| line == "verify missed");
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let at = ENDS.iter().position(|known| *known == end).unwrap_or(0);
        if let Some(count) = found.table.entry((harm.shown, harm.kind)).or_default().get_mut(at) {
            *count += 1;
        }
        *found.counts.entry(format!("{}_{end}", self.base)).or_default() += 1;
        *found.counts.entry("verify_missed".to_owned()).or_default() += u64::from(missed);
        *found.counts.entry("bad".to_owned()).or_default() += u64::from(lost || missed);
        if lost || missed {
            found.bad += 1;
            let kept = self.work.join(format!("found-{}-{}", self.base, found.bad));
            fs::rename(damaged, &kept)?;
            fs::rename(listed(damaged), listed(&kept))?;
            let name = harm.path.display();
            println!("{} {name} {}: {end}, {said:?}, in {}", self.base, harm.kind, kept.display());
        } else {
            drop(found);
            fs::remove_dir_all(damaged)?;
        }
        Ok(())
    }
}

/// The folders of volumes, oldest first.
fn volumes(folder: &Path) -> Result<Vec<String>, BoxError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with(VOLUME) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What stands for a name in the table: which volume of a kind it is in, and what kind of file it is.
fn shown(volumes: &[String], name: &str) -> String {
    let (folder, file) = name.split_once('/').unwrap_or((name, ""));
    let Some(at) = volumes.iter().position(|volume| volume == folder) else { return name.to_owned() };
    let volume = match at {
        0 => "oldest",
        _ if at + 1 == volumes.len() => "newest",
        _ => "middle",
    };
    let file = if file.starts_with("snap.") { "snap" } else { file };
    format!("{volume}/{file}")
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

/// The files below a folder, by their paths from there.
fn files(folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), BoxError> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(&entry.path(), &format!("{name}/"), names)?;
        } else {
            names.push(name);
        }
    }
    Ok(())
}

/// Changes a whole volume: it is gone, or has the files of another one, or the number of its second entry.
fn corrupt_volume(folder: &Path, volume: &Path, kind: &str, random: &mut Random) -> Result<(), BoxError> {
    match kind {
        "renamed" => {
            let number = volume.extension().and_then(|number| number.to_str()).ok_or("no volume has that name")?;
            let next = number.parse::<u64>()? + 1;
            fs::rename(volume, folder.join(format!("{VOLUME}{next:020}")))?;
        }
        "foreign" => {
            let mut others = volumes(folder)?;
            others.retain(|other| !volume.ends_with(other));
            fs::remove_dir_all(volume)?;
            copy(&folder.join(random.pick(&others)), volume)?;
        }
        _ => fs::remove_dir_all(volume)?,
    }
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
