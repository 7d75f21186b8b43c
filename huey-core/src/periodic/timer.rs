//! The instants at which a schedule ticks.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, ToSpan};

use crate::enqueue::Registry;
use crate::error::{Error, ErrorKind, Result};
use crate::task::{Cron, Schedule, Timing};
use crate::time::Timestamp;

/// A schedule that knows its calendar.
#[derive(Clone, Debug)]
pub(crate) enum Timer {
    Cron(Cron, TimeZone),
    /// In microseconds.
    Every(i64),
}

/// The zones of all declared schedules, or all of those that are unknown.
pub(crate) fn check_zones(registry: &Registry) -> Result<()> {
    let faults: Vec<String> = registry
        .all()
        .filter_map(|registration| {
            let task = registration.task;
            let error = Timer::new(task.schedule.as_ref()?).err()?;
            Some(format!("the schedule of `{}` ({}:{}): {error}", task.name, task.file, task.line))
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Setup, faults.join("; "))) }
}

impl Timer {
    /// # Errors
    ///
    /// Bad input if the zone is unknown or the expression is none.
    pub(crate) fn new(schedule: &Schedule) -> Result<Self> {
        let fault = |text: String| Error::new(ErrorKind::BadInput, text);
        match &schedule.timing {
            Timing::Every(distance) => match i64::try_from(distance.as_micros()) {
                Ok(micros) if micros > 0 => Ok(Self::Every(micros)),
                _ => Err(fault(format!("{distance:?} is no distance of ticks"))),
            },
            Timing::Cron { text, tz } => {
                let cron = Cron::parse(text).map_err(|reason| fault(format!("`{text}`: {reason}")))?;
                let zone = match tz {
                    None => TimeZone::UTC,
                    Some(name) => TimeZone::get(name).map_err(|_| {
                        fault(format!(
                            "no time zone is named `{name}`: write an IANA name, like `Europe/Berlin` or `UTC`"
                        ))
                    })?,
                };
                Ok(Self::Cron(cron, zone))
            }
        }
    }

    /// The first tick after an instant. None if the calendar ends before.
    pub(crate) fn after(&self, instant: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(micros) => {
                let next = instant.as_micros().div_euclid(*micros).checked_add(1)?.checked_mul(*micros)?;
                Some(Timestamp::from_micros(next))
            }
            Self::Cron(cron, zone) => {
                let instant = jiff::Timestamp::from_microsecond(instant.as_micros()).ok()?;
                let next = if cron.has_fixed_hours {
                    time_of_day(cron, zone, instant)?
                } else {
                    elapsed(cron, zone, instant)?
                };
                Some(Timestamp::from_micros(next.as_microsecond()))
            }
        }
    }

    /// The ticks after `from`, up to `upto`.
    pub(super) fn between(&self, from: Timestamp, upto: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        std::iter::successors(self.after(from), |tick| self.after(*tick)).take_while(move |tick| *tick <= upto)
    }
}

/// Times of the day: one that a change of the clock leaves out is taken at the change, one that it repeats the first time.
fn time_of_day(cron: &Cron, zone: &TimeZone, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let mut from = whole_minute(zone.to_datetime(after))?;
    loop {
        let civil = first_from(cron, from)?;
        let instant = match zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the later offset it lies before the change.
                let before = after.to_timestamp(civil).ok()?;
                zone.following(before).next()?.timestamp()
            }
        };
        if instant > after {
            return Some(instant);
        }
        from = civil.checked_add(1.minute()).ok()?;
    }
}

/// Every instant at which the clock shows a time of the expression.
fn elapsed(cron: &Cron, zone: &TimeZone, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
    let mut from = after;
    // The minute that `after` lies in is over; one that begins with a change of the clock is not.
    let mut skipped: Span = 1.minute();
    loop {
        let offset = zone.to_offset(from);
        let begin = whole_minute(offset.to_datetime(from))?.checked_add(skipped).ok()?;
        let instant = offset.to_timestamp(first_from(cron, begin)?).ok()?;
        match zone.following(from).next().map(|change| change.timestamp()) {
            Some(change) if change <= instant => {
                from = change;
                skipped = Span::new();
            }
            _ => return Some(instant),
        }
    }
}

fn whole_minute(civil: DateTime) -> Option<DateTime> {
    Some(DateTime::from_parts(civil.date(), Time::new(civil.hour(), civil.minute(), 0, 0).ok()?))
}

/// The first time on a calendar without changes that the expression names, at or after `from`.
fn first_from(cron: &Cron, from: DateTime) -> Option<DateTime> {
    let (mut date, mut hour, mut minute) = (from.date(), from.hour(), from.minute());
    loop {
        if cron.has_month(date.month()) {
            if cron.has_day(date.day(), date.weekday().to_sunday_zero_offset())
                && let Some((hour, minute)) = cron.time_from(hour, minute)
            {
                return Some(DateTime::from_parts(date, Time::new(hour, minute, 0, 0).ok()?));
            }
            date = date.tomorrow().ok()?;
        } else {
            date = date.last_of_month().tomorrow().ok()?;
        }
        (hour, minute) = (0, 0);
    }
}

/// How late a tick may be seen and still be in time.
pub(super) const IN_TIME: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    fn ticks(text: &str, zone: &str, from: &str, upto: &str) -> Vec<String> {
        let timer = Timer::new(&Schedule::cron(text).unwrap().tz(zone)).unwrap();
        let shown = |tick: Timestamp| {
            let zoned = jiff::Timestamp::from_microsecond(tick.as_micros()).unwrap().in_tz(zone).unwrap();
            zoned.strftime("%d %H:%M%z").to_string()
        };
        timer.between(at(from), at(upto)).map(shown).collect()
    }

    #[test]
    fn a_time_that_does_not_exist_runs_at_the_next_instant_that_does() {
        let ticks = ticks("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00Z", "2026-03-30T12:00Z");
        assert_eq!(ticks, ["28 02:30+0100", "29 03:00+0200", "30 02:30+0200"]);
    }

    #[test]
    fn several_times_that_do_not_exist_run_once() {
        let ticks = ticks("*/20 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", "2026-03-29T12:00Z");
        assert_eq!(ticks, ["29 03:00+0200"]);
    }

    #[test]
    fn a_time_that_occurs_twice_runs_once() {
        let ticks = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00Z", "2026-10-26T12:00Z");
        assert_eq!(ticks, ["25 02:30+0200", "26 02:30+0100"]);
        // Also if one looks from between the two.
        let later = super::Timer::new(&Schedule::cron("30 2 * * *").unwrap().tz("Europe/Berlin")).unwrap();
        assert_eq!(later.after(at("2026-10-25T00:45Z")), Some(at("2026-10-26T01:30Z")));
        assert_eq!(later.after(at("2026-10-25T01:15Z")), Some(at("2026-10-26T01:30Z")));
    }

    #[test]
    fn a_schedule_without_fixed_hours_follows_elapsed_time() {
        let spring = ticks("30 * * * *", "Europe/Berlin", "2026-03-29T00:00Z", "2026-03-29T02:00Z");
        assert_eq!(spring, ["29 01:30+0100", "29 03:30+0200"]);
        let autumn = ticks("30 * * * *", "Europe/Berlin", "2026-10-24T23:00Z", "2026-10-25T02:00Z");
        assert_eq!(autumn, ["25 01:30+0200", "25 02:30+0200", "25 02:30+0100"]);
        let steps = ticks("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:30Z", "2026-03-29T05:00Z");
        assert_eq!(steps, ["29 00:00+0100", "29 04:00+0200", "29 06:00+0200"]);
        let half_an_hour = ticks("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30Z", "2026-04-04T17:00Z");
        assert_eq!(half_an_hour, ["05 01:00+1100", "05 02:00+1030", "05 03:00+1030"]);
    }

    #[test]
    fn leap_days_and_the_ends_of_months_are_found() {
        let leap = ticks("0 0 29 2 *", "UTC", "2026-01-01T00:00Z", "2033-01-01T00:00Z");
        assert_eq!(leap, ["29 00:00+0000", "29 00:00+0000"]);
        let ends = ticks("0 12 31 * *", "UTC", "2026-01-01T00:00Z", "2026-06-01T00:00Z");
        assert_eq!(ends.len(), 3);
    }

    #[test]
    fn a_distance_is_counted_from_the_epoch() {
        let timer = Timer::new(&Schedule::every(Duration::from_secs(90)).unwrap()).unwrap();
        assert_eq!(timer.after(Timestamp::from_micros(0)), Some(Timestamp::from_micros(90_000_000)));
        assert_eq!(timer.after(Timestamp::from_micros(89_999_999)), Some(Timestamp::from_micros(90_000_000)));
        assert_eq!(timer.after(Timestamp::from_micros(-1)), Some(Timestamp::from_micros(0)));
        assert_eq!(timer.after(Timestamp::MAX), None);
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let error = Timer::new(&Schedule::cron("@daily").unwrap().tz("Europe/Bärlin")).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("`Europe/Bärlin`"), "{error}");
    }
}
