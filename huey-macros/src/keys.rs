//! The table of keys. An option of one value is added by one line here and a field of the same name in `Options`.

use crate::limits::What;

/// What a key is.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// The task's stored name.
    Name,
    /// The names that it was stored under before.
    Alias,
    /// The version of its stored parameters.
    Version,
    /// The function that takes those of another version.
    Upgrade,
    /// The decorator.
    Decorator,
    /// The list of hooks.
    Hooks,
    /// What makes the task's jobs unique.
    Unique,
    /// What the task's jobs are limited by.
    Limit(What),
    /// A part of the task's schedule.
    Schedule(Part),
    /// The path of the `huey` crate.
    Crate,
    /// An option of one value.
    Option(Value),
}

/// What the value of an option may be.
#[derive(Clone, Copy)]
pub(crate) enum Value {
    /// A constant expression of an integer type, and the bounds of a literal.
    Whole { ty: &'static str, least: i128, most: i128 },
    /// A constant expression of type `f64`, and the bounds of a literal.
    Real { least: f64, most: f64, bounds: &'static str },
    /// A duration, and whether one of no length has a meaning.
    Duration { zero: Zero },
    /// One of some bare words: the word, and the variant of the type that it stands for.
    Word { ty: &'static str, words: &'static [(&'static str, &'static str)] },
    /// A text.
    Text,
}

/// A part of a schedule.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Cron,
    Tz,
    Every,
    Overlap,
    Missed,
}

/// What a duration of no length means.
#[derive(Clone, Copy)]
pub(crate) enum Zero {
    Means,
    /// Nothing; the text is the cure.
    Senseless(&'static str),
}

/// A key of the attribute.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    /// How the key is written, for error texts.
    pub(crate) example: &'static str,
}

const fn key(name: &'static str, form: Form, example: &'static str) -> Key {
    Key { name, form, example }
}

const fn option(name: &'static str, value: Value, example: &'static str) -> Key {
    Key { name, form: Form::Option(value), example }
}

const LEFT_OUT: &str = "leave the key out if there is no limit";

/// Every key.
pub(crate) const KEYS: &[Key] = &[
    key("name", Form::Name, "name = \"shop::welcome\""),
    key("alias", Form::Alias, "alias = \"shop::hello\""),
    key("version", Form::Version, "version = 2"),
    key("upgrade", Form::Upgrade, "upgrade = from_version_1"),
    key("decorator", Form::Decorator, "decorator = CRITICAL"),
    key("hooks", Form::Hooks, "hooks(audit, polite)"),
    key("unique", Form::Unique, "unique(by(user))"),
    key("lock", Form::Limit(What::Lock), "lock = \"ledger\""),
    key("max_running", Form::Limit(What::MaxRunning), "max_running = 4"),
    key("rate", Form::Limit(What::Rate), "rate(100, \"1s\")"),
    key("cron", Form::Schedule(Part::Cron), "cron = \"*/5 * * * *\""),
    key("tz", Form::Schedule(Part::Tz), "tz = \"Europe/Berlin\""),
    key("every", Form::Schedule(Part::Every), "every = \"5m\""),
    key("overlap", Form::Schedule(Part::Overlap), "overlap = queue_one"),
    key("missed", Form::Schedule(Part::Missed), "missed = all(10)"),
    option("queue", Value::Text, "queue = \"mail\""),
    option("priority", Value::Whole { ty: "i16", least: -0x8000, most: 0x7fff }, "priority = 10"),
    option("retries", Value::Whole { ty: "u32", least: 0, most: 0xffff_ffff }, "retries = 3"),
    option("retry_delay", Value::Duration { zero: Zero::Means }, "retry_delay = \"10s\""),
    option("backoff", Value::Real { least: 1.0, most: f64::MAX, bounds: "a number of 1 or more" }, "backoff = 2.0"),
    option(
        "max_delay",
        Value::Duration { zero: Zero::Senseless("write `retry_delay = \"0s\"` for retries at once") },
        "max_delay = \"1h\"",
    ),
    option("jitter", Value::Real { least: 0.0, most: 1.0, bounds: "a number from 0 to 1" }, "jitter = 0.1"),
    option("expires", Value::Duration { zero: Zero::Senseless(LEFT_OUT) }, "expires = \"1h\""),
    option("timeout", Value::Duration { zero: Zero::Senseless(LEFT_OUT) }, "timeout = \"30s\""),
    option("retention", Value::Duration { zero: Zero::Means }, "retention = \"1d\""),
    option(
        "delivery",
        Value::Word { ty: "Delivery", words: &[("at_least_once", "AtLeastOnce"), ("at_most_once", "AtMostOnce")] },
        "delivery = at_most_once",
    ),
    option(
        "durability",
        Value::Word { ty: "Durability", words: &[("relaxed", "Relaxed"), ("synced", "Synced")] },
        "durability = relaxed",
    ),
    option("crash_limit", Value::Whole { ty: "u8", least: 0, most: 0xff }, "crash_limit = 3"),
    key("crate", Form::Crate, "crate = \"renamed_huey\""),
];

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key or word nearest to a misspelt one, if any is near.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            // A word left out, as in `retry` for `retry_delay`, is many letters but one slip.
            let part = wrong.len() > 3 && (name.starts_with(wrong) || name.ends_with(wrong) || wrong.contains(name));
            (if part { 1 } else { distance(wrong, name) }, name)
        })
        .filter(|(distance, name)| *distance <= name.len().min(wrong.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters must be added, dropped or exchanged to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut left = at + 1;
        let mut corner = at;
        for (cell, other) in row.iter_mut().zip(std::iter::once(None).chain(to.chars().map(Some))) {
            let Some(other) = other else {
                *cell = left;
                continue;
            };
            let exchanged = corner + usize::from(letter != other);
            corner = *cell;
            left = exchanged.min(corner + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggest(wrong: &str) -> Option<&'static str> {
        nearest(wrong, KEYS.iter().map(|key| key.name))
    }

    #[test]
    fn distance_counts_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("sitting", "kitten"), 3);
    }

    #[test]
    fn a_misspelt_key_gets_the_one_that_was_meant() {
        assert_eq!(suggest("retires"), Some("retries"));
        assert_eq!(suggest("retry"), Some("retry_delay"));
        assert_eq!(suggest("prio"), Some("priority"));
        assert_eq!(suggest("hook"), Some("hooks"));
        assert_eq!(suggest("time_out"), Some("timeout"));
    }

    #[test]
    fn a_word_that_is_near_to_no_key_gets_none() {
        assert_eq!(suggest("colour"), None);
        assert_eq!(suggest("x"), None);
    }

    #[test]
    fn every_example_starts_with_its_key() {
        for key in KEYS {
            assert!(key.example.starts_with(key.name), "{}", key.example);
        }
    }
}
