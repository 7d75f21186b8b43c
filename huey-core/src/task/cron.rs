//! Cron expressions. One parser reads them, while the program is compiled and while it runs.

/// Five fields, read: each a set of the numbers that it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday, 0.
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
    /// Whether the hours are named one by one, so that the schedule means times of the day and no distance.
    pub(crate) has_fixed_hours: bool,
}

/// What is known of one of the fields.
struct Field {
    least: u64,
    most: u64,
    /// Three letters for each number from the least.
    names: &'static str,
    malformed: &'static str,
    out_of_range: &'static str,
    no_step: &'static str,
    backwards: &'static str,
}

macro_rules! field {
    ($what:literal, $least:literal to $most:literal, $names:literal, $range:literal) => {
        Field {
            least: $least,
            most: $most,
            names: $names,
            malformed: concat!(
                "the ",
                $what,
                " of a cron expression is `*`, a number, a range like `1-5`, a step like `*/5`, or a list of these"
            ),
            out_of_range: concat!("the ", $what, " of a cron expression is out of range: write ", $range),
            no_step: concat!("a step in the ", $what, " of a cron expression is a number of 1 or more"),
            backwards: concat!(
                "a range in the ",
                $what,
                " of a cron expression ends before it begins: write it as two, with a comma between them"
            ),
        }
    };
}

const FIELDS: [Field; 5] = [
    field!("minute", 0 to 59, "", "0 to 59"),
    field!("hour", 0 to 23, "", "0 to 23"),
    field!("day of the month", 1 to 31, "", "1 to 31"),
    field!("month", 1 to 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", "1 to 12, or JAN to DEC"),
    field!("weekday", 0 to 7, "SUNMONTUEWEDTHUFRISAT", "0 to 7, where 0 and 7 are Sunday, or SUN to SAT"),
];

const SHORT_FORMS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

const FIVE: &str =
    "a cron expression has five fields, minute, hour, day of the month, month and weekday, like `*/5 * * * *`";
const SHORT: &str = "the short forms of cron expressions are @hourly, @daily, @weekly, @monthly and @yearly";
const NEVER: &str = "no month that the cron expression names has a day that it names, so it would never run";

/// One field, read.
#[derive(Clone, Copy)]
struct Set {
    bits: u64,
    /// It begins with `*`.
    is_any: bool,
    /// It has no `*`, no range and no step.
    is_listed: bool,
}

impl Cron {
    /// Reads an expression, or says what is wrong with it.
    pub(crate) const fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.as_bytes();
        let text = match text {
            [b'@', ..] => {
                let mut at = 0;
                loop {
                    if at == SHORT_FORMS.len() {
                        return Err(SHORT);
                    }
                    let (name, long) = pick(&SHORT_FORMS, at);
                    if is_same(text, 0, name.as_bytes(), 0, name.len()) && text.len() == name.len() {
                        break long.as_bytes();
                    }
                    at += 1;
                }
            }
            text => text,
        };
        let mut sets = [Set { bits: 0, is_any: false, is_listed: false }; 5];
        let (mut at, mut field) = (0, 0);
        loop {
            while at < text.len() && is_space(byte(text, at)) {
                at += 1;
            }
            if at == text.len() {
                break;
            }
            if field == sets.len() {
                return Err(FIVE);
            }
            let mut end = at;
            while end < text.len() && !is_space(byte(text, end)) {
                end += 1;
            }
            match read_field(text, at, end, pick(&FIELDS, field)) {
                Ok(set) => put(&mut sets, field, set),
                Err(text) => return Err(text),
            }
            at = end;
            field += 1;
        }
        if field != sets.len() {
            return Err(FIVE);
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let weekdays = Set { bits: (weekdays.bits | weekdays.bits >> 7) & 0x7f, ..weekdays };
        if weekdays.is_any && !has_a_day(days.bits, months.bits) {
            return Err(NEVER);
        }
        Ok(Self {
            minutes: minutes.bits,
            hours: hours.bits,
            days: days.bits,
            months: months.bits,
            weekdays: weekdays.bits,
            any_day: days.is_any,
            any_weekday: weekdays.is_any,
            has_fixed_hours: hours.is_listed,
        })
    }

    pub(crate) fn has_month(&self, month: i8) -> bool {
        has(self.months, month)
    }

    /// Whether it runs on a day: where both fields of days are restricted, one of them is enough. Weekdays are counted
    /// from Sunday.
    pub(crate) fn has_day(&self, day: i8, weekday: i8) -> bool {
        let (by_day, by_weekday) = (has(self.days, day), has(self.weekdays, weekday));
        if self.any_day || self.any_weekday { by_day && by_weekday } else { by_day || by_weekday }
    }

    /// The first time of the day at or after that hour and minute.
    pub(crate) fn time_from(&self, hour: i8, minute: i8) -> Option<(i8, i8)> {
        if has(self.hours, hour)
            && let Some(minute) = first(self.minutes, minute)
        {
            return Some((hour, minute));
        }
        Some((first(self.hours, hour + 1)?, first(self.minutes, 0)?))
    }
}

fn has(bits: u64, number: i8) -> bool {
    first(bits, number) == Some(number)
}

/// The first number of the set from `least` on.
fn first(bits: u64, least: i8) -> Option<i8> {
    let least = u32::try_from(least).ok()?;
    let left = bits.checked_shr(least)?;
    if left == 0 { None } else { i8::try_from(least + left.trailing_zeros()).ok() }
}

/// Whether one of the months is ever long enough for one of the days.
const fn has_a_day(days: u64, months: u64) -> bool {
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    while month <= LENGTHS.len() {
        if months >> month & 1 == 1 && days.trailing_zeros() <= *pick(&LENGTHS, month - 1) {
            return true;
        }
        month += 1;
    }
    false
}

const fn read_field(text: &[u8], from: usize, end: usize, field: &Field) -> Result<Set, &'static str> {
    let mut set = Set { bits: 0, is_any: byte(text, from) == b'*', is_listed: true };
    let mut at = from;
    loop {
        let mut comma = at;
        while comma < end && byte(text, comma) != b',' {
            comma += 1;
        }
        match read_item(text, at, comma, field) {
            Ok(item) => {
                set.bits |= item.bits;
                set.is_listed = set.is_listed && item.is_listed;
            }
            Err(text) => return Err(text),
        }
        if comma == end {
            return Ok(set);
        }
        at = comma + 1;
    }
}

/// `*`, `5`, `1-5`, and each of them with a step.
const fn read_item(text: &[u8], from: usize, end: usize, field: &Field) -> Result<Set, &'static str> {
    if from == end {
        return Err(field.malformed);
    }
    let (mut least, mut most, mut at) = (field.least, field.most, from + 1);
    let is_star = byte(text, from) == b'*';
    let mut is_range = is_star;
    if !is_star {
        (least, at) = match read_number(text, from, end, field) {
            Ok(read) => read,
            Err(text) => return Err(text),
        };
        most = least;
        if at < end && byte(text, at) == b'-' {
            is_range = true;
            (most, at) = match read_number(text, at + 1, end, field) {
                Ok(read) => read,
                Err(text) => return Err(text),
            };
            if most < least {
                return Err(field.backwards);
            }
        }
    } else if field.most == 7 {
        // 0 and 7 are one day.
        most = 6;
    }
    let mut step = 1;
    let mut is_stepped = false;
    if at < end && byte(text, at) == b'/' {
        (step, at) = match read_digits(text, at + 1, end) {
            Some((step, at)) if step > 0 => (step, at),
            _ => return Err(field.no_step),
        };
        if !is_range {
            // From that number on.
            most = if field.most == 7 { 6 } else { field.most };
        }
        is_stepped = true;
    }
    if at != end {
        return Err(field.malformed);
    }
    let mut bits = 0;
    while least <= most {
        bits |= 1 << least;
        least += step;
    }
    Ok(Set { bits, is_any: is_star, is_listed: !is_range && !is_stepped })
}

/// A number or a name, and where it ends.
const fn read_number(text: &[u8], from: usize, end: usize, field: &Field) -> Result<(u64, usize), &'static str> {
    if let Some((number, at)) = read_digits(text, from, end) {
        return if number < field.least || number > field.most { Err(field.out_of_range) } else { Ok((number, at)) };
    }
    let (names, mut name) = (field.names.as_bytes(), 0);
    while name < names.len() && from + 3 <= end {
        if is_same(text, from, names, name, 3) {
            return Ok((field.least + name as u64 / 3, from + 3));
        }
        name += 3;
    }
    Err(field.malformed)
}

/// The number that stands there, if one does; one that is too large for any field is read as 1000.
const fn read_digits(text: &[u8], from: usize, end: usize) -> Option<(u64, usize)> {
    let (mut number, mut at) = (0, from);
    while at < end && byte(text, at).is_ascii_digit() {
        number = number * 10 + (byte(text, at) - b'0') as u64;
        if number > 1000 {
            number = 1000;
        }
        at += 1;
    }
    if at == from { None } else { Some((number, at)) }
}

const fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Whether `length` bytes are the same letters.
const fn is_same(text: &[u8], from: usize, other: &[u8], begin: usize, length: usize) -> bool {
    let mut at = 0;
    while at < length {
        if from + at >= text.len() || !byte(text, from + at).eq_ignore_ascii_case(&byte(other, begin + at)) {
            return false;
        }
        at += 1;
    }
    true
}

const fn byte(text: &[u8], at: usize) -> u8 {
    *pick(text, at)
}

#[expect(clippy::indexing_slicing, reason = "constant code has no `get`; every place was compared with the length")]
const fn pick<T>(all: &[T], at: usize) -> &T {
    &all[at]
}

#[expect(clippy::indexing_slicing, reason = "constant code has no `get_mut`; the place was compared with the length")]
const fn put(sets: &mut [Set; 5], at: usize, set: Set) {
    sets[at] = set;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(bits: u64) -> Vec<u32> {
        (0..64).filter(|number| bits >> number & 1 == 1).collect()
    }

    #[test]
    fn each_form_of_a_field_is_read() {
        let cron = Cron::parse("*/20 8-10,22 1,15 jan-MAR/2 5-7").unwrap();
        assert_eq!(numbers(cron.minutes), [0, 20, 40]);
        assert_eq!(numbers(cron.hours), [8, 9, 10, 22]);
        assert_eq!(numbers(cron.days), [1, 15]);
        assert_eq!(numbers(cron.months), [1, 3]);
        assert_eq!(numbers(cron.weekdays), [0, 5, 6]);
        assert!(!cron.has_fixed_hours);
        assert_eq!(numbers(Cron::parse("50/3 * * * *").unwrap().minutes), [50, 53, 56, 59]);
        assert_eq!(Cron::parse("  0 0\t* * SUN ").unwrap(), Cron::parse("@weekly").unwrap());
        assert_eq!(numbers(Cron::parse("0 0 * * */2").unwrap().weekdays), [0, 2, 4, 6]);
    }

    #[test]
    fn hours_are_fixed_only_where_they_are_named_one_by_one() {
        for (text, fixed) in
            [("0 2 * * *", true), ("0 2,3 * * *", true), ("0 2-3 * * *", false), ("0 */6 * * *", false)]
        {
            assert_eq!(Cron::parse(text).unwrap().has_fixed_hours, fixed, "{text}");
        }
    }

    #[test]
    fn of_two_restricted_fields_of_days_one_is_enough() {
        let cron = Cron::parse("0 0 13 * FRI").unwrap();
        assert!(cron.has_day(13, 1) && cron.has_day(6, 5) && !cron.has_day(6, 1));
        let cron = Cron::parse("0 0 13 * *").unwrap();
        assert!(cron.has_day(13, 1) && !cron.has_day(6, 5));
        let cron = Cron::parse("0 0 */2 * FRI").unwrap();
        assert!(cron.has_day(13, 5) && !cron.has_day(13, 1) && !cron.has_day(6, 5));
    }

    #[test]
    fn the_next_time_of_the_day_is_found() {
        let cron = Cron::parse("15,45 6,18 * * *").unwrap();
        assert_eq!(cron.time_from(0, 0), Some((6, 15)));
        assert_eq!(cron.time_from(6, 16), Some((6, 45)));
        assert_eq!(cron.time_from(6, 46), Some((18, 15)));
        assert_eq!(cron.time_from(18, 46), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_cure() {
        let wrong = |text| Cron::parse(text).unwrap_err();
        assert_eq!(wrong(""), FIVE);
        assert_eq!(wrong("* * * *"), FIVE);
        assert_eq!(wrong("* * * * * *"), FIVE);
        assert_eq!(wrong("@often"), SHORT);
        assert!(wrong("60 * * * *").contains("minute") && wrong("60 * * * *").contains("0 to 59"));
        assert!(wrong("99999999999999999999999 * * * *").contains("out of range"));
        assert!(wrong("* 24 * * *").contains("hour"));
        assert!(wrong("* * 0 * *").contains("day of the month"));
        assert!(wrong("* * * 13 *").contains("JAN to DEC"));
        assert!(wrong("* * * * 8").contains("Sunday"));
        assert!(wrong("*/0 * * * *").contains("step in the minute"));
        assert!(wrong("* */x * * *").contains("step in the hour"));
        assert!(wrong("* * * * FRI-MON").contains("ends before it begins"));
        for text in
            ["x * * * *", "1- * * * *", "1,,2 * * * *", "*5 * * * *", "-1 * * * *", "? * * * *", "1-2-3 * * * *"]
        {
            assert!(wrong(text).contains("a range like"), "{text}: {}", wrong(text));
        }
        assert!(wrong("* * * FEBR *").contains("month"));
        assert_eq!(wrong("0 0 30 2 *"), NEVER);
        assert_eq!(wrong("0 0 31 4,6,9,11 *"), NEVER);
        assert!(Cron::parse("0 0 29 2 *").is_ok() && Cron::parse("0 0 30 2 MON").is_ok());
    }
}
