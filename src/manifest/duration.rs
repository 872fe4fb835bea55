//! Durations as people write them in kits: `90s`, `10m`, `4h`, `1h30m`.

use std::time::Duration;

/// Units, largest first, with their length in milliseconds. A text must use them in this order, each at most once.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest accepted duration: a year. Longer ones are slips of the finger, and would overflow a deadline.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Reads a duration such as `90s`, `10m`, `4h`, `1h30m` or `500ms`; `0` needs no unit.
///
/// # Errors
/// Returns what is wrong with the text, as a fragment such as `has no unit`.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or("has no unit: s, m or h")?;
        if digits == 0 {
            return Err("is not a duration such as 90s, 10m or 1h30m");
        }
        let number: u64 = rest[..digits].parse().map_err(|_| "is longer than a year")?;
        rest = &rest[digits..];
        let name = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        if !UNITS.iter().any(|(unit, _)| *unit == name) {
            return Err("has a unit that is none of d, h, m, s, ms");
        }
        let (_, length) =
            units.find(|(unit, _)| *unit == name).ok_or("repeats a unit or has a larger one after a smaller one")?;
        total = number.checked_mul(*length).and_then(|part| total.checked_add(part)).ok_or("is longer than a year")?;
        rest = &rest[name.len()..];
    }
    match Duration::from_millis(total) {
        _ if text.is_empty() => Err("is empty"),
        duration if duration > LONGEST => Err("is longer than a year"),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("0", 0.0),
            ("0s", 0.0),
            ("90s", 90.0),
            ("10m", 600.0),
            ("4h", 14_400.0),
            ("1h30m", 5_400.0),
            ("1d1s", 86_401.0),
            ("500ms", 0.5),
            ("2m500ms", 120.5),
        ] {
            assert_eq!(parse_duration(text).map(|d| d.as_secs_f64()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, wrong) in [
            ("", "is empty"),
            ("90", "has no unit"),
            ("5 m", "unit"),
            ("1.5h", "unit"),
            ("-5m", "is not a duration"),
            ("m", "is not a duration"),
            ("5x", "unit"),
            ("30m1h", "larger"),
            ("5m5m", "repeats"),
            ("999999999999999999999999s", "longer"),
            ("18446744073709551615h", "longer"),
            ("400d", "longer"),
            ("5μs", "unit"),
        ] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains(wrong), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,20}") {
            let _ = parse_duration(&text);
        }
    }
}
