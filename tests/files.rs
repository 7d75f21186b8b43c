//! What is done with a queue as files: verify, export, import, backup.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod child;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use child::{Folder, Lines, child, role};
use huey::store::Medium;
use huey::{
    Cancel, Context, Durability, Findings, Huey, JobHandle, JobId, JobState, Memory, Revocation, Schedule, Sled,
    TaskError, export, group, import, task, verify,
};
use huey_sled::SledMedium;
use support::{LONG, Stage, lock};

#[task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[task(retention = "1d")]
fn show(text: String) -> String {
    format!("<{text}>")
}

#[task(retry_delay = "1h")]
fn fails(why: String) -> Result<u64, String> {
    Err(why)
}

#[task]
fn cancels() -> Result<(), Cancel> {
    Err(Cancel::because("not \"wanted\""))
}

#[task(unique(by(user), scope = window("1h")))]
fn welcome(user: u64, name: String) {
    let _ = (user, name);
}

#[task]
fn discarded() {}

struct Nothing;

#[task(queue = "elsewhere")]
fn needs(#[data] nothing: &Nothing) {
    let _ = nothing;
}

#[task]
fn sum(values: Vec<u64>) -> u64 {
    values.iter().sum()
}

#[task]
fn count(values: Vec<Result<u64, TaskError>>) -> usize {
    values.len()
}

#[task]
fn stays(#[ctx] ctx: &Context, #[data] stage: &Stage) -> huey::Result<()> {
    ctx.progress(1, 3, "stays")?;
    stage.note("runs");
    stage.pass();
    Ok(())
}

#[task(delivery = at_most_once)]
fn once(#[data] stage: &Stage) {
    stage.note("once");
    stage.pass();
}

/// Fills a queue with items of every kind, and jobs in every state.
fn fill(huey: &Huey, times: u64) -> Vec<JobId> {
    let later = Duration::from_secs(1_000_000);
    let mut ids = Vec::new();
    for n in 0..times {
        ids.push(show::enqueue(huey, format!("{n} \u{1f980} \"\\ \u{7f}\u{0}")).unwrap().id());
        ids.push(fails::job("no \u{2028} route".into()).enqueue(huey).unwrap().id());
        ids.push(fails::job("later".into()).retries(1).enqueue(huey).unwrap().id());
        ids.push(cancels::enqueue(huey).unwrap().id());
        ids.push(needs::job().queue("default").enqueue(huey).unwrap().id());
        ids.push(welcome::enqueue(huey, n, "Ada".into()).unwrap().id());
    }
    huey.revoke::<discarded>(Revocation::Always).unwrap();
    ids.push(discarded::enqueue(huey).unwrap().id());
    ids.push(add::job(1, 2).expires(Duration::ZERO).enqueue(huey).unwrap().id());
    huey.consumer().workers(1).run_until_idle().unwrap();
    for n in 0..times {
        let member = |k| add::job(n, k).delay(if k == 0 { Duration::ZERO } else { later });
        group((0..3).map(member)).then(sum::with()).enqueue(huey).unwrap();
        group((0..3).map(member)).then_settled(count::with()).enqueue(huey).unwrap();
        add::job(n, 1).delay(later).then(add::with(3)).then(show::job("end".into())).enqueue(huey).unwrap();
    }
    huey.consumer().workers(1).run_until_idle().unwrap();
    huey.schedules().add("hourly", Schedule::every(Duration::from_hours(1)).unwrap(), discarded::job()).unwrap();
    huey.queue("closed").pause().unwrap();
    for n in 0..times {
        ids.push(show::job(n.to_string()).priority(-3).queue("other").header("n", "1").enqueue(huey).unwrap().id());
        ids.push(add::job(n, n).delay(later).enqueue(huey).unwrap().id());
    }
    ids
}

fn open(folder: &Path) -> Huey {
    open_with(folder, &Stage::new())
}

/// Its hook leaves a value with every job.
fn open_with(folder: &Path, stage: &Arc<Stage>) -> Huey {
    let hook = |request: &mut huey::EnqueueRequest<'_>| {
        request.put(&format!("seen/{}", request.id()), &"yes")?;
        Ok(huey::Decision::Go)
    };
    Huey::builder().data_arc(Arc::clone(stage)).hook(hook).open(Sled::at(folder)).unwrap()
}

fn exported(folder: &Path) -> (String, Findings) {
    let mut text = Vec::new();
    let findings = export(folder, &mut text).unwrap();
    (String::from_utf8(text).unwrap(), findings)
}

/// The kinds of the lines between the first and the last.
fn kinds(text: &str) -> BTreeSet<&str> {
    text.lines().map(|line| line.split('"').nth(1).unwrap()).filter(|kind| !["huey", "end"].contains(kind)).collect()
}

/// The names in a folder and what the files hold, but for the lock.
fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "huey.lock")
        .map(|entry| {
            let bytes = if entry.path().is_dir() { Vec::new() } else { fs::read(entry.path()).unwrap() };
            (entry.file_name().into_string().unwrap(), bytes)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn an_export_imported_and_exported_again_is_the_same_bytes_with_jobs_in_every_state() {
    let work = Folder::new();
    let (first, second) = (work.join("first"), work.join("second"));
    let jobs = std::env::var("HUEY_EXPORT_JOBS").map_or(1_000, |jobs| jobs.parse().unwrap());
    let huey = open(&first);
    let ids = fill(&huey, jobs / 17 + 1);
    let states: Vec<JobState> = ids.iter().map(|id| huey.status(*id).unwrap()).collect();
    let counts = huey.counts().unwrap();
    drop(huey);

    let (text, findings) = exported(&first);
    assert!(findings.is_sound(), "{findings}");
    assert!(findings.jobs + findings.results >= jobs, "{findings}");
    let every = [
        "Arrival",
        "Body",
        "Chord",
        "Flow",
        "Meta",
        "Name",
        "Note",
        "Pause",
        "Result",
        "Revocation",
        "Schedule",
        "Unique",
        "Value",
        "Work",
    ];
    assert_eq!(kinds(&text), every.into_iter().collect());
    assert_eq!(text.lines().count() as u64, findings.items + 2);
    let imported = import(&second, &mut text.as_bytes()).unwrap();
    assert_eq!((imported.items, imported.jobs, imported.results), (findings.items, findings.jobs, findings.results));
    assert!(exported(&second).0 == text, "the second export differs");

    // It is a queue like any other, with the same ids.
    let stage = Stage::new();
    let huey = open_with(&second, &stage);
    assert_eq!(ids.iter().map(|id| huey.status(*id).unwrap()).collect::<Vec<_>>(), states);
    assert_eq!(huey.counts().unwrap(), counts);
    let repeated = welcome::enqueue(&huey, 0, "Grace".into()).unwrap();
    assert!(!repeated.is_new(), "the unique key is still held");
    let shown: JobHandle<String> = huey.handle::<show>(ids[0]).unwrap();
    assert!(shown.get().unwrap().unwrap().starts_with("<0 \u{1f980}"));
    let new = add::enqueue(&huey, 1, 2).unwrap();
    assert!(!ids.contains(&new.id()));
    drop((huey, shown, repeated, new));
    assert!(verify(&second).unwrap().is_sound());
}

#[test]
fn a_cut_or_changed_export_is_refused_with_its_line_and_leaves_an_empty_folder() {
    let work = Folder::new();
    let huey = open(&work.join("first"));
    fill(&huey, 1);
    drop(huey);
    let (text, _) = exported(&work.join("first"));
    let target = work.join("second");
    let refused = |text: &str| {
        let error = import(&target, &mut text.as_bytes()).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
        let left: Vec<_> = content(&target).into_iter().map(|(name, _)| name).collect();
        assert!(left.is_empty(), "{left:?}");
        error.to_string()
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for cut in [0, 1, 2, lines.len() / 2, lines.len() - 1] {
        let error = refused(&lines[..cut].concat());
        assert!(error.contains(&format!("line {} of the export", cut + 1)), "{error}");
    }
    assert!(refused(&text[..text.len() - 1]).contains("cut off"));
    let value = lines.iter().position(|line| line.contains("Value")).unwrap();
    let swapped = [&lines[..value], &lines[value + 1..]].concat().concat();
    assert!(refused(&swapped).contains("not those that were written"));
    let newer = text.replacen("\"format\":1", "\"format\":2", 1);
    assert!(refused(&newer).contains("newer huey"));
    assert!(refused("once upon a time\n").contains("no export of huey"));
    let renamed = text.replacen("{\"Value\"", "{\"Treasure\"", 1);
    assert!(refused(&renamed).contains("unknown variant `Treasure`"));
    // And what is whole is taken by the same folder.
    import(&target, &mut text.as_bytes()).unwrap();
}

#[test]
fn an_import_into_a_folder_that_holds_something_is_refused_and_changes_nothing() {
    let work = Folder::new();
    let huey = open(&work.join("queue"));
    add::enqueue(&huey, 1, 2).unwrap();
    drop(huey);
    fs::create_dir(work.join("letters")).unwrap();
    fs::write(work.join("letters").join("dear.txt"), "Ada").unwrap();
    let (text, _) = exported(&work.join("queue"));
    for name in ["queue", "letters"] {
        let before = content(&work.join(name));
        let error = import(work.join(name), &mut text.as_bytes()).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
        assert!(error.to_string().contains(work.join(name).to_str().unwrap()), "{error}");
        assert!(content(&work.join(name)) == before);
    }
}

#[test]
fn a_folder_whose_import_did_not_end_opens_as_no_queue() {
    let work = Folder::new();
    let folder = work.join("queue");
    drop(open(&folder));
    fs::write(folder.join("huey.format"), "huey-sled importing\n").unwrap();
    let error = huey::open(&folder).unwrap_err();
    assert!(error.is_damaged(), "{error}");
    assert!(error.to_string().contains("import that did not come to its end: remove the folder"), "{error}");
    assert!(verify(&folder).unwrap_err().is_damaged());
}

#[test]
fn verify_and_export_change_nothing_and_need_the_folder_for_themselves() {
    let work = Folder::new();
    let folder = work.join("queue");
    let huey = open(&folder);
    fill(&huey, 3);
    assert!(verify(&folder).unwrap_err().is_in_use());
    assert!(export(&folder, &mut Vec::new()).unwrap_err().is_in_use());
    drop(huey);
    let before = content(&folder);
    assert!(verify(&folder).unwrap().is_sound());
    exported(&folder);
    assert!(content(&folder) == before);
    assert_eq!(fs::read_dir(work.join("")).unwrap().count(), 1, "no copy is left beside it");
    let missing = verify(work.join("nowhere")).unwrap_err();
    assert!(missing.is_unavailable() && missing.to_string().contains("no such folder"), "{missing}");
    assert!(!work.join("nowhere").exists());
}

#[test]
fn a_journal_that_ends_below_its_mark_opens_for_export_only() {
    let work = Folder::new();
    let folder = work.join("queue");
    let huey = open(&folder);
    let id = add::enqueue(&huey, 1, 2).unwrap().id();
    drop(huey);
    let medium = SledMedium::new(folder.clone(), 1 << 20).unwrap();
    let known = medium.marked().unwrap() + 7;
    medium.mark(known).unwrap();
    drop(medium);
    let error = huey::open(&folder).unwrap_err();
    assert!(error.is_damaged(), "{error}");
    for word in
        [folder.to_str().unwrap(), &format!("entry {known} was written safely"), "nothing was deleted", "export"]
    {
        assert!(error.to_string().contains(word), "{error}");
    }
    let (text, findings) = exported(&folder);
    assert_eq!(findings.flaws.len(), 1, "{findings}");
    assert!(findings.flaws[0].contains(&format!("entry {known} was written safely")), "{findings}");
    assert_eq!(verify(&folder).unwrap().flaws, findings.flaws);
    import(work.join("rescued"), &mut text.as_bytes()).unwrap();
    assert_eq!(open(&work.join("rescued")).status(id).unwrap(), JobState::Queued);
}

#[test]
fn a_mark_that_cannot_be_read_is_named_and_not_passed_over() {
    let work = Folder::new();
    let folder = work.join("queue");
    drop(open(&folder));
    fs::write(folder.join("huey.mark"), "").unwrap();
    let error = huey::open(&folder).unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("huey.mark"), "{error}");
    let findings = verify(&folder).unwrap();
    assert!(findings.flaws.len() == 1 && findings.flaws[0].contains("huey.mark"), "{findings}");
    fs::remove_file(folder.join("huey.mark")).unwrap();
    drop(open(&folder));
}

#[test]
fn a_backup_taken_while_eight_workers_drain_holds_every_job_acknowledged_before_it() {
    let work = Folder::new();
    let huey = open(&work.join("queue"));
    let consumer = huey.consumer().workers(8).start().unwrap();
    let (known, over) = (std::sync::Mutex::new(Vec::new()), AtomicBool::new(false));
    let ready = Stage::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (huey, known, over, ready) = (&huey, &known, &over, &ready);
            scope.spawn(move || {
                let mut n = 0;
                while !over.load(Ordering::SeqCst) {
                    let id = show::enqueue(huey, format!("{thread} {n}")).unwrap().id();
                    let mut known = lock(known);
                    known.push(id);
                    // Small, so that the old end of the journal moves meanwhile.
                    if known.len().is_multiple_of(200) {
                        ready.note("more");
                    }
                    n += 1;
                }
            });
        }
        for round in 1..=3 {
            ready.wait_notes(round * 2);
            let before = lock(&known).clone();
            let mut text = Vec::new();
            let findings = huey.backup(&mut text).unwrap();
            assert!(findings.is_sound() && findings.jobs + findings.results >= before.len() as u64, "{findings}");
            let copy = work.join(&format!("copy-{round}"));
            import(&copy, &mut text.as_slice()).unwrap();
            let opened = open(&copy);
            for id in &before {
                let state = opened.status(*id).unwrap();
                assert!(matches!(state, JobState::Queued | JobState::Complete), "{id} is {state:?}");
            }
            opened.consumer().workers(2).run_until_idle().unwrap();
            assert_eq!(opened.counts().unwrap().queued, 0);
            for id in &before {
                assert_eq!(opened.status(*id).unwrap(), JobState::Complete);
            }
        }
        over.store(true, Ordering::SeqCst);
    });
    consumer.shutdown().wait().unwrap();
    // What was enqueued too late for them.
    huey.consumer().workers(2).run_until_idle().unwrap();
    for id in lock(&known).iter() {
        huey.handle::<show>(*id).unwrap().wait(LONG).unwrap();
    }
    drop(huey);
    assert!(verify(work.join("queue")).unwrap().is_sound());
}

#[test]
fn running_jobs_wait_again_in_a_backup_and_one_that_may_run_only_once_is_lost() {
    let work = Folder::new();
    let stage = Stage::new();
    let huey = open_with(&work.join("queue"), &stage);
    let (stays, once) = (stays::enqueue(&huey).unwrap(), once::enqueue(&huey).unwrap());
    let consumer = huey.consumer().workers(2).start().unwrap();
    stage.wait_notes(2);
    let mut text = Vec::new();
    huey.backup(&mut text).unwrap();
    stage.open();
    consumer.shutdown().wait().unwrap();

    import(work.join("copy"), &mut text.as_slice()).unwrap();
    let stage = Stage::new();
    stage.open();
    let copy = open_with(&work.join("copy"), &stage);
    assert_eq!(copy.status(stays.id()).unwrap(), JobState::Queued);
    copy.consumer().workers(1).run_until_idle().unwrap();
    assert_eq!(copy.status(stays.id()).unwrap(), JobState::Complete);
    assert_eq!(copy.status(once.id()).unwrap(), JobState::Lost);
    assert_eq!(stage.notes(), ["runs"]);
}

#[test]
fn a_backup_of_memory_becomes_a_queue_on_disk() {
    let work = Folder::new();
    let huey = Huey::builder().data_arc(Stage::new()).open(Memory::new()).unwrap();
    let id = add::enqueue(&huey, 20, 22).unwrap().id();
    let mut text = Vec::new();
    assert!(huey.backup(&mut text).unwrap().is_sound());
    import(work.join("queue"), &mut text.as_slice()).unwrap();
    let huey = open(&work.join("queue"));
    huey.consumer().workers(1).run_until_idle().unwrap();
    assert_eq!(huey.handle::<add>(id).unwrap().get().unwrap(), Some(42));
}

#[test]
fn a_backup_that_cannot_be_written_is_an_error_and_the_queue_goes_on() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let huey = Huey::builder().data_arc(Stage::new()).open(Memory::new()).unwrap();
    add::enqueue(&huey, 1, 2).unwrap();
    let error = huey.backup(&mut Full).unwrap_err();
    assert!(error.is_unavailable() && error.to_string().contains("could not be written"), "{error}");
    huey.consumer().workers(1).run_until_idle().unwrap();
    assert_eq!(huey.counts().unwrap().queued, 0);
}

#[test]
fn what_is_acknowledged_survives_an_exit_without_close_as_its_level_says() {
    if let Some(folder) = role("exit") {
        let huey = huey::Huey::builder()
            .flush_interval(std::time::Duration::from_hours(1))
            .open(huey::Sled::at(folder))
            .unwrap();
        let synced = add::enqueue(&huey, 1, 2).unwrap();
        let relaxed = add::job(3, 4).durability(Durability::Relaxed).enqueue(&huey).unwrap();
        println!("\nID {}\nID {}", synced.id(), relaxed.id());
        std::process::exit(0);
    }
    let work = Folder::new();
    let queue = work.join("queue");
    let test = "what_is_acknowledged_survives_an_exit_without_close_as_its_level_says";
    let mut running = child(&[], test, "exit", &queue).spawn().unwrap();
    let mut said = Lines::of(&mut running);
    let ids: Vec<JobId> = (0..2).map(|_| said.next("ID ").unwrap().parse().unwrap()).collect();
    assert!(running.wait().unwrap().success());
    let huey = huey::open(&queue).unwrap();
    let (Some(synced), Some(relaxed)) = (ids.first(), ids.get(1)) else { panic!("two were told of: {ids:?}") };
    assert_eq!(huey.status(*synced).unwrap(), JobState::Queued);
    // Within the interval: it may be lost, and is there whole if it is there.
    let found = huey.status(*relaxed).unwrap();
    assert!(matches!(found, JobState::Queued | JobState::Gone | JobState::NeverExisted), "{found:?}");
}

#[cfg(unix)]
#[test]
fn folder_and_files_are_for_their_owner_alone_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;

    let test = "folder_and_files_are_for_their_owner_alone_whatever_the_umask";
    if let Some(folder) = role("modes") {
        // The second open writes a snapshot. The third time it is an import.
        for _ in 0..2 {
            let huey = open(&folder);
            add::enqueue(&huey, 1, 2).unwrap();
            huey.close().unwrap();
        }
        let huey = open(&folder);
        let mut backup = Vec::new();
        huey.backup(&mut backup).unwrap();
        import(folder.with_extension("copy"), &mut backup.as_slice()).unwrap();
        return;
    }
    let work = Folder::new();
    // One that somebody made for it, open to all.
    let queue = work.join("queue.sled");
    fs::create_dir(&queue).unwrap();
    fs::set_permissions(&queue, fs::Permissions::from_mode(0o777)).unwrap();
    let open_to_all = ["sh", "-c", "umask 000; exec \"$0\" \"$@\""];
    assert!(child(&open_to_all, test, "modes", &queue).stdout(Stdio::null()).status().unwrap().success());
    for folder in [&queue, &work.join("queue.copy")] {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
        let mut names = BTreeSet::new();
        let volume = folder.join("volume.00000000000000000001");
        for entry in [folder, &volume].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(Result::unwrap)
        {
            let wanted = if entry.path().is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&entry.path()), wanted, "{}", entry.path().display());
            let name = entry.file_name().into_string().unwrap();
            names.insert(name.split('.').take(2).collect::<Vec<_>>().join("."));
        }
        for name in [
            "volume.00000000000000000001",
            "blobs",
            "conf",
            "db",
            "huey.format",
            "huey.lock",
            "huey.mark",
            "huey.running",
        ] {
            assert!(names.contains(name), "{name} is not among {names:?}");
        }
    }
}
