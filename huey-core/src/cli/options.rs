//! The options of the command.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What a consumer is to be like; what is not there is as it is by itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) workers: Option<usize>,
    pub(super) queues: Vec<String>,
    pub(super) periodic: bool,
    pub(super) grace: Option<Duration>,
    pub(super) verbose: u8,
    pub(super) json: bool,
}

/// What the options ask for.
pub(super) enum Asked {
    Run(Options),
    /// Nothing is to be run: help was given, or a mistake named. The exit status.
    Told(u8),
}

pub(super) fn read<A: Into<OsString> + Clone>(args: impl IntoIterator<Item = A>) -> Asked {
    match command().try_get_matches_from(args) {
        Ok(matches) => Asked::Run(options(&matches)),
        Err(error) => {
            // Where nobody can be told, the status still says it.
            let _ = error.print();
            Asked::Told(u8::from(error.use_stderr()) * 2)
        }
    }
}

const ENDS: &str = "\
The first SIGTERM or SIGINT stops it gracefully, a second one at once.

Exit status: 0 it stopped cleanly, 1 it logged an error, 2 the options are wrong,
128 + n it ended at once at a second signal n";

fn command() -> Command {
    Command::new("consumer")
        .about("Runs the jobs of the queue until SIGTERM or SIGINT")
        .after_help(ENDS)
        .disable_help_flag(true)
        .arg(
            Arg::new("workers")
                .short('w')
                .long("workers")
                .value_name("N")
                .allow_negative_numbers(true)
                .value_parser(ValueParser::new(workers))
                .help("Threads for plain tasks [default: one for each core]"),
        )
        .arg(
            Arg::new("queues")
                .long("queues")
                .value_name("NAME,..")
                .value_delimiter(',')
                .action(ArgAction::Append)
                .value_parser(clap::builder::NonEmptyStringValueParser::new())
                .help("Queues to serve, the first one first [default: the program's]"),
        )
        .arg(
            Arg::new("no-periodic")
                .short('n')
                .long("no-periodic")
                .action(ArgAction::SetTrue)
                .help("Makes no jobs of schedules"),
        )
        .arg(
            Arg::new("grace")
                .long("grace")
                .value_name("TIME")
                .value_parser(ValueParser::new(duration))
                .allow_negative_numbers(true)
                .help("How long a stop waits for running jobs, such as 2m [default: 10s]"),
        )
        .arg(
            Arg::new("verbose")
                .short('v')
                .long("verbose")
                .action(ArgAction::Count)
                .help("Logs each attempt; -vv logs all there is"),
        )
        .arg(
            Arg::new("log-format")
                .long("log-format")
                .value_name("FORMAT")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .default_value("text")
                .hide_possible_values(true)
                .help("text or json, on standard error"),
        )
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Prints this"))
}

fn options(matches: &ArgMatches) -> Options {
    Options {
        workers: matches.get_one("workers").copied(),
        queues: matches.get_many("queues").into_iter().flatten().cloned().collect(),
        periodic: !matches.get_flag("no-periodic"),
        grace: matches.get_one("grace").copied(),
        verbose: matches.get_count("verbose"),
        json: matches.get_one::<String>("log-format").is_some_and(|format| format == "json"),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number, such as 4".to_owned())
}

/// A number and its unit, as in the attribute; seconds if it has none.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a whole number and ms, s, m, h or d, such as 30s".to_owned();
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" | "" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_millis).ok_or_else(|| "that is longer than can be counted".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Option<Options> {
        match read(std::iter::once("consumer").chain(args.iter().copied())) {
            Asked::Run(options) => Some(options),
            Asked::Told(_) => None,
        }
    }

    #[test]
    fn options_are_read() {
        let none = Options { workers: None, queues: Vec::new(), periodic: true, grace: None, verbose: 0, json: false };
        assert_eq!(run(&[]), Some(none));
        let args = [
            "-w",
            "3",
            "--queues",
            "mail,images",
            "--queues",
            "slow",
            "-n",
            "--grace",
            "90",
            "-vv",
            "--log-format",
            "json",
        ];
        let all = Options {
            workers: Some(3),
            queues: vec!["mail".into(), "images".into(), "slow".into()],
            periodic: false,
            grace: Some(Duration::from_secs(90)),
            verbose: 2,
            json: true,
        };
        assert_eq!(run(&args), Some(all));
    }

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        let read = |text| duration(text).ok();
        assert_eq!((read("500ms"), read("2m")), (Some(Duration::from_millis(500)), Some(Duration::from_mins(2))));
        assert_eq!((read("0"), read("1h")), (Some(Duration::ZERO), Some(Duration::from_hours(1))));
        assert_eq!(read("1d"), Some(Duration::from_hours(24)));
        for wrong in ["", "s", "-1s", "1.5s", "10 s", "10x", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_told_and_help_is_no_mistake() {
        let status = |args: &[&str]| match read(std::iter::once("consumer").chain(args.iter().copied())) {
            Asked::Told(status) => status,
            Asked::Run(options) => panic!("{options:?}"),
        };
        for wrong in
            [&["-w", "many"][..], &["--queues", ""], &["--grace", "soon"], &["--log-format", "xml"], &["mail"], &["-x"]]
        {
            assert_eq!(status(wrong), 2, "{wrong:?}");
        }
        assert_eq!(status(&["--help"]), 0);
    }
}
