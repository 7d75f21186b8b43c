//! The consumer command, as a process of its own.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod child;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, Command, ExitCode, Output, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use child::{Folder, Lines, role};
use huey::{Huey, JobState, SignalKind, Sled, task};

#[task]
fn greets(name: String) {
    println!("greets {name}");
}

#[task(queue = "mail")]
fn mails(name: String) {
    println!("mails {name}");
}

#[task(every = "1s")]
fn ticks() {
    println!("ticks");
}

#[task]
fn fails() -> Result<(), &'static str> {
    Err("no route")
}

/// Ends only beside another one.
#[task]
fn meets() {
    static BOTH: Barrier = Barrier::new(2);
    BOTH.wait();
}

/// Ends when the test says so.
#[task]
fn waits() {
    println!("begun");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Never looks at its context.
#[task]
fn hears_nothing() {
    println!("begun");
    loop {
        std::thread::park();
    }
}

/// The command: this very program, in a role, with options from its environment.
fn command(test: &str, folder: &Folder, options: &str) -> Command {
    let mut command = child::child(&[], test, "consumer", &folder.join("queue"));
    command.env("HUEY_OPTIONS", options).stderr(Stdio::piped());
    command
}

/// In the child: is the command, and does not return.
fn be_the_command() {
    let Some(folder) = role("consumer") else { return };
    // The harness has not ended its line.
    println!();
    let options = std::env::var("HUEY_OPTIONS").unwrap();
    let args = std::iter::once("consumer").chain(options.split_whitespace());
    let status = huey::cli::main_from(args, || {
        println!("opened");
        Huey::builder().on(SignalKind::Complete, |_| println!("complete")).open(Sled::at(folder))
    });
    // A status can be given to the system, and cannot be looked at.
    let code = (0..=2).find(|code| status == ExitCode::from(*code)).unwrap_or(99);
    std::process::exit(code.into());
}

fn open(folder: &Folder) -> Huey {
    Huey::builder().open(Sled::at(folder.join("queue"))).unwrap()
}

fn fill<T>(folder: &Folder, fill: impl FnOnce(&Huey) -> T) -> T {
    let huey = open(folder);
    let filled = fill(&huey);
    huey.close().unwrap();
    filled
}

fn terminate(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

/// What a command logs.
struct Log {
    rest: BufReader<ChildStderr>,
    said: String,
}

impl Log {
    fn of(child: &mut Child) -> Self {
        Self { rest: BufReader::new(child.stderr.take().unwrap()), said: String::new() }
    }

    /// The line with these words, waiting for it.
    fn line(&mut self, words: &str) -> String {
        loop {
            if let Some(line) = self.said.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let mut line = String::new();
            assert_ne!(self.rest.read_line(&mut line).unwrap(), 0, "it never says `{words}`: {}", self.said);
            self.said.push_str(&line);
        }
    }

    /// The exit status, and all that it has said.
    fn end(mut self, mut child: Child) -> (Option<i32>, String) {
        self.rest.read_to_string(&mut self.said).unwrap();
        (child.wait().unwrap().code(), self.said)
    }
}

fn output(test: &str, folder: &Folder, options: &str) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command(test, folder, options).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_command_serves_the_queues_that_it_is_given_until_sigterm() {
    be_the_command();
    let folder = Folder::new();
    let (ada, grace) = fill(&folder, |huey| {
        let ada = greets::enqueue(huey, "ada".into()).unwrap().id();
        (ada, mails::enqueue(huey, "grace".into()).unwrap().id())
    });
    let test = "a_command_serves_the_queues_that_it_is_given_until_sigterm";
    let mut child = command(test, &folder, "--queues images,mail --queues slow").spawn().unwrap();
    let (mut lines, mut log) = (Lines::of(&mut child), Log::of(&mut child));
    assert!(log.line("started").contains("queues=\"images,mail,slow\" periodic=true grace=10s"));
    assert_eq!((lines.next("mails "), lines.next("complete")), (Some("grace".into()), Some(String::new())));
    terminate(&child);
    log.line("stopping");
    log.line("stopped");
    let (status, said) = log.end(child);
    assert_eq!(status, Some(0), "{said}");
    let huey = open(&folder);
    assert_eq!((huey.status(ada).unwrap(), huey.status(grace).unwrap()), (JobState::Queued, JobState::Complete));
}

#[test]
fn a_command_has_as_many_workers_as_it_is_told_and_logs_as_it_is_told() {
    be_the_command();
    let folder = Folder::new();
    fill(&folder, |huey| {
        meets::enqueue(huey).unwrap();
        meets::enqueue(huey).unwrap();
        fails::enqueue(huey).unwrap();
    });
    let test = "a_command_has_as_many_workers_as_it_is_told_and_logs_as_it_is_told";
    let mut child = command(test, &folder, "-w 2 -v --log-format json").spawn().unwrap();
    let (mut lines, mut log) = (Lines::of(&mut child), Log::of(&mut child));
    assert_eq!((lines.next("complete"), lines.next("complete")), (Some(String::new()), Some(String::new())));
    log.line("an attempt failed");
    terminate(&child);
    let (status, said) = log.end(child);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.lines().all(|line| line.starts_with("{\"timestamp\":") && line.ends_with('}')), "{said}");
    assert_eq!(said.matches("\"message\":\"an attempt begins\"").count(), 3, "{said}");
    assert!(said.contains("\"level\":\"WARN\"") && said.contains("\"error\":\"no route\""), "{said}");

    fill(&folder, |huey| fails::enqueue(huey).unwrap());
    let mut child = command(test, &folder, "--workers 1").spawn().unwrap();
    let mut log = Log::of(&mut child);
    assert!(log.line("started").contains("workers=1 "));
    let failed = log.line("an attempt failed");
    assert!(failed.contains("WARN attempt{job=") && failed.contains("task=\"cli::fails\""), "{failed}");
    terminate(&child);
    let (_, said) = log.end(child);
    assert!(!said.contains("an attempt begins"), "only at `-v`: {said}");
}

#[test]
fn a_command_makes_the_jobs_of_schedules_unless_told_otherwise() {
    be_the_command();
    let folder = Folder::new();
    let test = "a_command_makes_the_jobs_of_schedules_unless_told_otherwise";
    let mut child = command(test, &folder, "").spawn().unwrap();
    let (mut lines, log) = (Lines::of(&mut child), Log::of(&mut child));
    assert_eq!(lines.next("ticks"), Some(String::new()));
    terminate(&child);
    assert_eq!(log.end(child).0, Some(0));
    for option in ["-n", "--no-periodic"] {
        fill(&folder, |huey| {
            huey.jobs().task::<ticks>().cancel_all().unwrap();
            greets::job("ada".into()).delay(Duration::from_millis(1_100)).enqueue(huey).unwrap();
        });
        let mut child = command(test, &folder, option).spawn().unwrap();
        let (mut lines, log) = (Lines::of(&mut child), Log::of(&mut child));
        let first = std::iter::from_fn(|| lines.next("")).find(|line| line.starts_with("greets") || line == "ticks");
        assert_eq!(first.as_deref(), Some("greets ada"), "a tick's time has passed by then");
        terminate(&child);
        assert!(log.end(child).1.contains("periodic=false"), "{option}");
    }
}

#[test]
fn a_stop_waits_for_the_grace_that_it_is_told() {
    be_the_command();
    let folder = Folder::new();
    let id = fill(&folder, |huey| waits::enqueue(huey).unwrap().id());
    let test = "a_stop_waits_for_the_grace_that_it_is_told";
    let mut child = command(test, &folder, "--grace 10m").spawn().unwrap();
    let (mut lines, mut log) = (Lines::of(&mut child), Log::of(&mut child));
    assert!(log.line("started").contains("grace=600s"));
    assert_eq!(lines.next("begun"), Some(String::new()));
    terminate(&child);
    log.line("stopping");
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    assert_eq!(lines.next("complete"), Some(String::new()));
    assert_eq!(log.end(child).0, Some(0));
    assert_eq!(open(&folder).status(id).unwrap(), JobState::Complete);

    let deaf = fill(&folder, |huey| hears_nothing::enqueue(huey).unwrap().id());
    let mut child = command(test, &folder, "--workers 1 --grace 0").spawn().unwrap();
    let (mut lines, log) = (Lines::of(&mut child), Log::of(&mut child));
    assert!(lines.next("begun").is_some());
    terminate(&child);
    let (status, said) = log.end(child);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&deaf.to_string()) && said.contains("did not look at its context"), "{said}");
}

#[test]
fn a_queue_that_cannot_be_opened_is_an_error_that_is_logged() {
    be_the_command();
    let folder = Folder::new();
    let _holder = open(&folder);
    let test = "a_queue_that_cannot_be_opened_is_an_error_that_is_logged";
    let (status, _, said) = output(test, &folder, "");
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("ERROR") && said.contains("the consumer ended error=") && said.contains("queue"), "{said}");
}

#[test]
fn wrong_options_open_no_queue_and_say_what_to_write() {
    be_the_command();
    let folder = Folder::new();
    let test = "wrong_options_open_no_queue_and_say_what_to_write";
    for (wrong, words) in [
        ("--workers many", "invalid value 'many' for '--workers <N>': write a whole number, such as 4"),
        ("-w -3", "invalid value '-3' for '--workers <N>': write a whole number, such as 4"),
        ("--workers", "a value is required for '--workers <N>'"),
        ("--workers 2 -w 3", "'--workers <N>' cannot be used multiple times"),
        ("--queues mail,,images", "a value is required for '--queues <NAME,..>'"),
        (
            "--grace soon",
            "invalid value 'soon' for '--grace <TIME>': write a whole number and ms, s, m, h or d, such as 30s",
        ),
        ("--grace 1.5h", "write a whole number and ms, s, m, h or d"),
        ("--grace 99999999999999999d", "longer than can be counted"),
        ("--log-format xml", "[possible values: text, json]"),
        ("mail", "unexpected argument 'mail' found"),
        ("--worker 3", "unexpected argument '--worker' found"),
    ] {
        let (status, out, said) = output(test, &folder, wrong);
        assert!(status == Some(2) && said.contains(words), "{wrong} gives {status:?}: {said}");
        assert!(!out.contains("opened"), "{wrong}");
    }
    let (status, out, said) = output(test, &folder, "--help");
    assert_eq!((status, said.as_str()), (Some(0), ""));
    let help = out.split_once("Runs the jobs").unwrap().1;
    for word in [
        "Usage: consumer [OPTIONS]",
        "--workers <N>",
        "--queues <NAME,..>",
        "--no-periodic",
        "--grace <TIME>",
        "-v, ",
        "--log-format",
        "Exit status",
    ] {
        assert!(help.contains(word), "{word}: {help}");
    }
    assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    assert!(!out.contains("opened"));
}
