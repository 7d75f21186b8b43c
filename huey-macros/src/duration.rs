//! Durations as the attribute writes them: a whole number and a unit.

/// The units and their lengths in milliseconds.
const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// The length of a duration in milliseconds, or what to write instead.
pub(crate) fn millis(text: &str) -> Result<u64, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(format!("`{text}` is not a duration: write a whole number and a unit, like \"10s\""));
    }
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: write ms, s, m, h or d behind the number, like \"{number}s\""));
    }
    let Some((_, length)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "`{unit}` is not the unit of a duration: write a whole number and ms, s, m, h or d, like \"10s\""
        ));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*length))
        .ok_or_else(|| format!("`{text}` is too long: a duration has at most {} milliseconds", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn each_unit_has_its_length() {
        let read = |text| millis(text).expect("it is a duration");
        assert_eq!(read("250ms"), 250);
        assert_eq!(read("10s"), 10_000);
        assert_eq!(read("5m"), 300_000);
        assert_eq!(read("2h"), 7_200_000);
        assert_eq!(read("1d"), 86_400_000);
        assert_eq!(read("0s"), 0);
    }

    #[test]
    fn what_is_no_duration_is_told_what_to_write() {
        let fault = |text| millis(text).expect_err("it is no duration");
        assert!(fault("").contains("whole number and a unit"));
        assert!(fault("s").contains("whole number and a unit"));
        assert!(fault("-5s").contains("whole number and a unit"));
        assert!(fault("10").contains("like \"10s\""));
        assert!(fault("10 s").contains("` s` is not the unit"));
        assert!(fault("10sec").contains("`sec` is not the unit"));
        assert!(fault("1.5h").contains("`.5h` is not the unit"));
        assert!(fault("10S").contains("`S` is not the unit"));
    }

    #[test]
    fn a_duration_past_64_bits_of_milliseconds_is_refused() {
        assert_eq!(millis("18446744073709551615ms"), Ok(u64::MAX));
        assert!(millis("18446744073709551616ms").is_err_and(|fault| fault.contains("too long")));
        assert!(millis("213503982335d").is_err_and(|fault| fault.contains("too long")));
    }
}
