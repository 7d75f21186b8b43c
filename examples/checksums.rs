//! Hashes every regular file below a folder, one job a file, and writes a manifest that `sha256sum -c` accepts.
//!
//! ```text
//! cargo run --release --example checksums -- FOLDER --out FILE [--workers N] [--queue FOLDER]
//! ```
//!
//! Killed at any point and started again, it goes on where it was: what is left is in the queue's folder, and what was
//! not enqueued yet is found by walking the tree again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use huey::{BoxError, Decision, EnqueueRequest, HookResult, Huey, JobHandle, JobId, SignalKind, Sled, task};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

const USAGE: &str = "usage: checksums FOLDER --out FILE [--workers N] [--queue FOLDER]";

/// Every job leaves its path under its id, in its own commit: that is how the next run knows what is there.
fn remember(args: &mut checksum, request: &mut EnqueueRequest<'_>) -> HookResult {
    request.put(&format!("file/{}", request.id()), &args.path)?;
    Ok(Decision::Go)
}

/// A path is bytes: not every file's name is text. A job lost to a power cut is enqueued again by the next run, so none
/// has to wait for the disk.
#[task(retries = 3, retry_delay = "100ms", backoff = 2.0, retention = "3650d", durability = relaxed, hooks(remember))]
fn checksum(path: Vec<u8>) -> io::Result<String> {
    let mut file = File::open(PathBuf::from(std::ffi::OsString::from_vec(path)))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hash.update(buffer.get(..read).unwrap_or_default()),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |sum, byte| sum + &format!("{byte:02x}")))
}

struct Options {
    folder: PathBuf,
    out: PathBuf,
    queue: PathBuf,
    workers: usize,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = std::ffi::OsString>) -> Result<Self, BoxError> {
        let (mut folder, mut out, mut queue) = (None, None, None);
        let mut workers = std::thread::available_parallelism().map_or(2, usize::from);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{} needs a value", arg.display()));
            match arg.to_str() {
                Some("--out") => out = Some(PathBuf::from(value()?)),
                Some("--queue") => queue = Some(PathBuf::from(value()?)),
                Some("--workers") => {
                    let text = value()?.to_string_lossy().into_owned();
                    workers = text
                        .parse()
                        .ok()
                        .filter(|workers| *workers > 0)
                        .ok_or_else(|| format!("`{text}` is no number of workers: write 1 or more"))?;
                }
                Some(flag) if flag.starts_with("--") => return Err(format!("unknown option `{flag}`").into()),
                _ if folder.is_none() => folder = Some(PathBuf::from(arg)),
                _ => return Err(format!("one folder is enough, and {} is another", arg.display()).into()),
            }
        }
        let (folder, out) = (folder.ok_or("no folder was named")?, out.ok_or("no --out was named")?);
        let queue = queue.unwrap_or_else(|| {
            let mut name = out.clone().into_os_string();
            name.push(".queue");
            name.into()
        });
        Ok(Self { folder, out, queue, workers })
    }
}

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("checksums: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("checksums: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every file could be read.
fn run(options: &Options) -> Result<bool, BoxError> {
    if !options.folder.is_dir() {
        return Err(format!("{} is no folder", options.folder.display()).into());
    }
    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left")?);
    let (done, gone) = (bar.clone(), bar.clone());
    let root = options.folder.as_os_str().as_bytes().to_vec();
    let tree = root.clone();
    let huey = Huey::builder()
        .crash_limit(0) // being killed by its user is its normal life
        .flush_interval(Duration::from_millis(50)) // what a kill may take back
        .max_results(u64::MAX)
        .hook(move |request| request.put("tree", &tree).map(|()| Decision::Go).map_err(Into::into))
        .on(SignalKind::Complete, move |_| done.inc(1))
        .on(SignalKind::Dead, move |_| gone.inc(1))
        .open(Sled::at(&options.queue))?;
    if huey.get::<Vec<u8>>("tree")?.is_some_and(|other| other != root) {
        let queue = options.queue.display();
        return Err(format!(
            "{queue} holds the unfinished run of another folder: finish that, or name another --queue"
        )
        .into());
    }
    let mut jobs = known_jobs(&huey)?;
    let consumer = huey.consumer().workers(options.workers).start()?;
    let mut faults = enqueue_new(&huey, options, &mut jobs)?;
    bar.set_length(jobs.len() as u64);

    let mut sums = BTreeMap::new();
    let mut ended_before = 0;
    for (path, handle) in jobs {
        let known = handle.is_new() || handle.get().is_ok_and(|sum| sum.is_none());
        ended_before += u64::from(!known);
        match handle.wait(Duration::MAX) {
            Ok(sum) => drop(sums.insert(path, sum)),
            Err(error) => match error.task_error() {
                Some(failure) => faults.push(format!("{}: {failure}", shown(&path))),
                None => return Err(error.into()),
            },
        }
    }
    bar.finish_and_clear();
    consumer.shutdown().wait()?;
    write_manifest(&options.out, &sums)?;
    for fault in &faults {
        eprintln!("checksums: {fault}");
    }
    let resumed = if ended_before > 0 { format!(", {ended_before} of them by an earlier run") } else { String::new() };
    println!("{}: {} files hashed{resumed}, {} not read", options.out.display(), sums.len(), faults.len());
    // The manifest is whole: the next run starts anew.
    huey.close()?;
    fs::remove_dir_all(&options.queue)?;
    Ok(faults.is_empty())
}

type Jobs = BTreeMap<Vec<u8>, JobHandle<String>>;

/// The jobs of a run that was killed, by path.
fn known_jobs(huey: &Huey) -> huey::Result<Jobs> {
    let mut jobs = Jobs::new();
    for key in huey.keys("file/")? {
        let id: JobId = key.trim_start_matches("file/").parse()?;
        if let Some(path) = huey.get::<Vec<u8>>(&key)? {
            jobs.insert(path, huey.handle::<checksum>(id)?);
        }
    }
    Ok(jobs)
}

/// Enqueues a job for each regular file that has none, and says what could not be walked.
fn enqueue_new(huey: &Huey, options: &Options, jobs: &mut Jobs) -> Result<Vec<String>, BoxError> {
    // The run's own files are not part of the tree.
    let own: HashSet<PathBuf> = [&options.queue, &options.out, &part_of(&options.out)]
        .into_iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let mut faults = Vec::new();
    let is_own = |path: &Path| fs::canonicalize(path).is_ok_and(|path| own.contains(&path));
    let names: HashSet<_> = [&options.queue, &options.out].into_iter().filter_map(|path| path.file_name()).collect();
    let walk = WalkDir::new(&options.folder).sort_by_file_name().into_iter();
    for entry in walk.filter_entry(|entry| !(names.contains(entry.file_name()) && is_own(entry.path()))) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                let path = entry.path().as_os_str().as_bytes().to_vec();
                if let Entry::Vacant(place) = jobs.entry(path.clone()) {
                    place.insert(checksum::enqueue(huey, path)?);
                }
            }
            Ok(_) => {}
            Err(error) => faults.push(error.to_string()),
        }
    }
    Ok(faults)
}

fn part_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Writes the lines in the order of their paths, as `sha256sum` does: a name with a backslash or a line break is
/// escaped, and its line begins with a backslash.
fn write_manifest(out: &Path, sums: &BTreeMap<Vec<u8>, String>) -> io::Result<()> {
    let part = part_of(out);
    let mut file = BufWriter::new(File::create(&part)?);
    for (path, sum) in sums {
        if path.iter().any(|byte| b"\\\n\r".contains(byte)) {
            file.write_all(b"\\")?;
        }
        write!(file, "{sum}  ")?;
        for byte in path {
            match byte {
                b'\\' => file.write_all(b"\\\\")?,
                b'\n' => file.write_all(b"\\n")?,
                b'\r' => file.write_all(b"\\r")?,
                byte => file.write_all(&[*byte])?,
            }
        }
        file.write_all(b"\n")?;
    }
    file.into_inner()?.sync_all()?;
    fs::rename(part, out)
}
