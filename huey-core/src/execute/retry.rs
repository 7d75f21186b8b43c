//! From what an attempt came to, to what becomes of its job. Pure.
//!
//! | the attempt ended with | verdict | signals |
//! |---|---|---|
//! | a value | complete | `complete` |
//! | an error, retries left | retry, one spent | `error retrying`, and `scheduled` if it waits |
//! | an error, none left, or a fatal one | dead | `error dead` |
//! | a retry asked for | retry, none spent | `retrying`, and `scheduled` if it waits |
//! | a cancel asked for | canceled | `canceled` |
//! | its deadline, retries left | retry, one spent | `timeout retrying`, and `scheduled` if it waits |
//! | its deadline, none left | dead | `timeout dead` |
//! | a lock that is held | waits for it, no attempt counted | `locked` |
//! | the consumer's stop | put back, refunded; lost if at most once | `interrupted` |
//! | arguments or data that do not fit | parked, no attempt counted | `parked` |

use std::time::Duration;

use super::attempt::End;
use crate::codec::Bytes;
use crate::error::TaskError;
use crate::signal::SignalKind;
use crate::store::Verdict;
use crate::task::{Failure, Options, Stopped};

/// What the decision depends on, beside the end itself.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) retries: u32,
    pub(crate) retried: u32,
    /// The wait before the next attempt.
    pub(crate) delay: &'a dyn Fn() -> Duration,
    pub(crate) keep: Duration,
    pub(crate) signature: u32,
    pub(crate) at_most_once: bool,
}

/// A verdict, and the signals that tell of it in order.
#[derive(Debug, PartialEq)]
pub(crate) struct Decided {
    pub(crate) verdict: Verdict,
    pub(crate) signals: [Option<SignalKind>; 3],
    pub(crate) error: Option<TaskError>,
    pub(crate) cause: Option<String>,
}

impl Decided {
    /// One that nobody hears of.
    pub(super) fn silent(verdict: Verdict) -> Self {
        Self::new(verdict, [None; 3])
    }

    fn new(verdict: Verdict, signals: [Option<SignalKind>; 3]) -> Self {
        Self { verdict, signals, error: None, cause: None }
    }

    fn with(verdict: Verdict, signal: SignalKind) -> Self {
        Self::new(verdict, [Some(signal), None, None])
    }
}

/// Decides. `record` fills an error record with what is known of the attempt.
pub(crate) fn decide(end: End, terms: &Terms<'_>, record: impl Fn(TaskError) -> TaskError) -> Decided {
    use SignalKind::{Canceled, Complete, Error, Interrupted, Timeout};
    match end {
        End::Value(output) => {
            let output = Bytes::from(output);
            let (signature, keep) = (terms.signature, terms.keep);
            Decided::with(Verdict::Complete { output, signature, keep, next: None }, Complete)
        }
        End::Panicked { message, place } => {
            let error = TaskError { place, panicked: true, ..TaskError::new(message) };
            failed(record(error), terms, Error)
        }
        End::Late => failed(record(TaskError::new("the attempt passed its deadline")), terms, Timeout),
        End::Failed(Failure::Stopped(Stopped::Deadline)) => decide(End::Late, terms, record),
        End::Failed(Failure::Failed { message, chain }) => {
            failed(record(TaskError { chain, ..TaskError::new(message) }), terms, Error)
        }
        End::Failed(Failure::Fatal { message, chain }) => {
            dead(record(TaskError { chain, ..TaskError::new(message) }), Error)
        }
        End::Failed(Failure::Unstorable(why)) => dead(record(TaskError::new(why)), Error),
        End::Failed(Failure::Retry { after }) => {
            let verdict = Verdict::Retry { delay: after, error: None, spend: false };
            Decided::new(verdict, retrying(None, after))
        }
        End::Failed(Failure::Cancel { reason }) => {
            let verdict = Verdict::Canceled { cause: reason.clone(), keep: terms.keep };
            Decided { cause: Some(reason), ..Decided::with(verdict, Canceled) }
        }
        End::Failed(Failure::Stopped(Stopped::Canceled)) => {
            let cause = "canceled by a caller while it ran".to_owned();
            let verdict = Verdict::Canceled { cause: cause.clone(), keep: terms.keep };
            Decided { cause: Some(cause), ..Decided::with(verdict, Canceled) }
        }
        End::Failed(Failure::Stopped(Stopped::Shutdown)) | End::Interrupted => {
            let cause = "the consumer stopped before it ended".to_owned();
            let verdict = if terms.at_most_once {
                Verdict::Lost { cause: cause.clone() }
            } else {
                Verdict::Returned { started: true }
            };
            Decided { cause: Some(cause), ..Decided::with(verdict, Interrupted) }
        }
        End::Failed(Failure::Locked { keys, why }) => {
            let verdict = Verdict::Locked { keys };
            Decided { cause: Some(why), ..Decided::with(verdict, SignalKind::Locked) }
        }
        End::Failed(Failure::Unreadable(why)) => parked(format!("its arguments do not fit the task: {why}")),
        End::Failed(Failure::MissingData(name)) => parked(format!("nobody provided its data of type `{name}`")),
        End::Condemned(crashes) => {
            let error = record(TaskError::crash_limit(crashes));
            let verdict = Verdict::Dead { error: error.clone(), next: None };
            let cause = Some("crash limit".to_owned());
            Decided { error: Some(error), cause, ..Decided::with(verdict, SignalKind::Dead) }
        }
        // Chords are decided elsewhere.
        End::NotBegun | End::Gather => Decided::silent(Verdict::Returned { started: false }),
        End::Unknown(why) => parked(why),
    }
}

fn parked(cause: String) -> Decided {
    let verdict = Verdict::Parked { cause: cause.clone() };
    Decided { cause: Some(cause), ..Decided::with(verdict, SignalKind::Parked) }
}

fn dead(error: TaskError, first: SignalKind) -> Decided {
    let verdict = Verdict::Dead { error: error.clone(), next: None };
    Decided { error: Some(error), ..Decided::new(verdict, [Some(first), Some(SignalKind::Dead), None]) }
}

fn failed(error: TaskError, terms: &Terms<'_>, first: SignalKind) -> Decided {
    if terms.retried >= terms.retries {
        return dead(error, first);
    }
    let delay = (terms.delay)();
    let signals = retrying(Some(first), delay);
    let verdict = Verdict::Retry { delay, error: Some(error.clone()), spend: true };
    Decided { error: Some(error), ..Decided::new(verdict, signals) }
}

fn retrying(first: Option<SignalKind>, delay: Duration) -> [Option<SignalKind>; 3] {
    [first, Some(SignalKind::Retrying), (!delay.is_zero()).then_some(SignalKind::Scheduled)]
}

/// The wait before the next attempt, after `retried` retries have been spent. `chance`, from 0 to 1, is for the jitter.
pub(crate) fn delay(options: &Options, retried: u32, chance: f64) -> Duration {
    let first = options.retry_delay.unwrap_or_default().as_secs_f64();
    let backoff = options.backoff.unwrap_or(1.0).max(1.0);
    let grown = first * backoff.powi(i32::try_from(retried).unwrap_or(i32::MAX));
    let most = options.max_delay.map_or(f64::INFINITY, |most| most.as_secs_f64());
    let jitter = options.jitter.unwrap_or(0.0).clamp(0.0, 1.0);
    let seconds = grown.min(most) * (1.0 + jitter * (2.0 * chance - 1.0));
    Duration::try_from_secs_f64(seconds.min(most)).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(end: End, retries: u32, spent: u32, options: Options, at_most_once: bool) -> Decided {
        let (keep, delay) = (Duration::from_mins(1), || delay(&options, spent, 0.5));
        let terms = Terms { retries, retried: spent, delay: &delay, keep, signature: 0, at_most_once };
        decide(end, &terms, |error| error)
    }

    fn fail() -> End {
        End::Failed(Failure::Failed { message: "no".into(), chain: vec![] })
    }

    fn waits(options: Options, retries: u32) -> Vec<Duration> {
        (0..retries)
            .map(|retried| match decided(fail(), retries, retried, options, false).verdict {
                Verdict::Retry { delay, spend: true, .. } => delay,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn two_retries_of_three_seconds_with_backoff_three_wait_three_and_nine_seconds() {
        let options = Options { retry_delay: Some(Duration::from_secs(3)), backoff: Some(3.0), ..Options::NONE };
        assert_eq!(waits(options, 2), [Duration::from_secs(3), Duration::from_secs(9)]);
    }

    #[test]
    fn waits_stay_below_the_longest_delay_and_jitter_spreads_them() {
        let options = Options {
            retry_delay: Some(Duration::from_secs(10)),
            backoff: Some(10.0),
            max_delay: Some(Duration::from_secs(50)),
            jitter: Some(0.5),
            ..Options::NONE
        };
        assert_eq!(delay(&options, 0, 0.0), Duration::from_secs(5));
        assert_eq!(delay(&options, 0, 1.0), Duration::from_secs(15));
        assert_eq!(delay(&options, 9, 1.0), Duration::from_secs(50));
        let endless = Options { max_delay: None, jitter: None, ..options };
        assert_eq!(delay(&endless, 2_000, 1.0), Duration::MAX);
    }

    #[test]
    fn each_end_has_its_signals() {
        use SignalKind::{Canceled, Complete, Dead, Error, Interrupted, Parked, Retrying, Scheduled, Timeout};
        let delayed = Options { retry_delay: Some(Duration::from_secs(1)), ..Options::NONE };
        let signals = |end, retries, options| {
            decided(end, retries, 0, options, false).signals.into_iter().flatten().collect::<Vec<_>>()
        };
        assert_eq!(signals(End::Value(vec![]), 0, Options::NONE), [Complete]);
        assert_eq!(signals(fail(), 0, Options::NONE), [Error, Dead]);
        assert_eq!(signals(fail(), 1, Options::NONE), [Error, Retrying]);
        assert_eq!(signals(fail(), 1, delayed), [Error, Retrying, Scheduled]);
        assert_eq!(signals(End::Late, 0, Options::NONE), [Timeout, Dead]);
        assert_eq!(signals(End::Late, 1, Options::NONE), [Timeout, Retrying]);
        assert_eq!(signals(End::Interrupted, 1, Options::NONE), [Interrupted]);
        let ends = |failure| signals(End::Failed(failure), 3, delayed);
        assert_eq!(ends(Failure::Fatal { message: String::new(), chain: vec![] }), [Error, Dead]);
        assert_eq!(ends(Failure::Retry { after: Duration::ZERO }), [Retrying]);
        assert_eq!(ends(Failure::Retry { after: Duration::from_secs(1) }), [Retrying, Scheduled]);
        assert_eq!(ends(Failure::Cancel { reason: String::new() }), [Canceled]);
        assert_eq!(ends(Failure::Stopped(Stopped::Canceled)), [Canceled]);
        assert_eq!(ends(Failure::Stopped(Stopped::Shutdown)), [Interrupted]);
        assert_eq!(ends(Failure::Stopped(Stopped::Deadline)), [Timeout, Retrying, Scheduled]);
        assert_eq!(ends(Failure::Locked { keys: vec![], why: String::new() }), [SignalKind::Locked]);
        assert_eq!(ends(Failure::Unreadable(String::new())), [Parked]);
        assert_eq!(ends(Failure::MissingData("Mailer")), [Parked]);
    }

    #[test]
    fn an_interrupted_job_goes_back_unless_it_may_start_only_once() {
        let comes_to = |at_most_once| decided(End::Interrupted, 0, 0, Options::NONE, at_most_once).verdict;
        assert_eq!(comes_to(false), Verdict::Returned { started: true });
        assert!(matches!(comes_to(true), Verdict::Lost { .. }));
    }
}
