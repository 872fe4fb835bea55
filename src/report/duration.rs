//! Durations as a person would say them.

/// A measured duration: `40 ms`, `0.9 s`, `42 s`, `4 m 12 s`, `1 h 3 m`, `2 d 4 h`. Seconds; negative ones and NaN count as 0.
pub fn human(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    match seconds {
        s if s < 0.0005 => "0 s".into(),
        s if s < 0.0995 => format!("{:.0} ms", s * 1000.0),
        s if s < 9.95 => format!("{s:.1} s"),
        s => whole(s.round()),
    }
}

/// A running clock: whole seconds below a minute, so that it does not flicker.
pub fn clock(seconds: f64) -> String {
    whole(seconds.max(0.0).floor())
}

/// The two largest units of a whole number of seconds; a second unit that is zero is left out.
fn whole(seconds: f64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a cast saturates")]
    let s = seconds as u64;
    // Rounded to the smaller unit that is shown, before the larger is taken off: 59 m 59.9 s is never "1 h 60 m".
    let two = |value: u64, big: u64, small: u64, names: (&str, &str)| {
        let value = value.saturating_add(small / 2) / small * small;
        match value % big / small {
            0 => format!("{} {}", value / big, names.0),
            rest => format!("{} {} {rest} {}", value / big, names.0, names.1),
        }
    };
    match s {
        0..MINUTE => format!("{s} s"),
        MINUTE..HOUR => two(s, MINUTE, 1, ("m", "s")),
        _ if s.saturating_add(MINUTE / 2) < DAY => two(s, HOUR, MINUTE, ("h", "m")),
        _ => two(s, DAY, HOUR, ("d", "h")),
    }
}

/// How long ago something was, in its largest unit: `just now`, `3 minutes ago`, `an hour ago`. Seconds; negative ones and NaN
/// count as 0.
pub fn ago(seconds: f64) -> String {
    if seconds >= 1.0 { format!("{} ago", largest_unit(seconds)) } else { "just now".into() }
}

/// A guess, in its largest unit: `about 3 minutes`. Seconds; less than one, negative ones and NaN count as one.
pub fn about(seconds: f64) -> String {
    format!("about {}", largest_unit(seconds.max(1.0)))
}

fn largest_unit(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a cast saturates")]
    let seconds = seconds.max(0.0) as u64;
    let (number, unit, one) = match seconds {
        0..60 => (seconds, "second", "a second"),
        60..3600 => (seconds / 60, "minute", "a minute"),
        3600..86_400 => (seconds / 3600, "hour", "an hour"),
        _ => (seconds / 86_400, "day", "a day"),
    };
    if number == 1 { one.to_owned() } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_said_in_its_two_largest_units() {
        for (seconds, said) in [
            (0.0, "0 s"),
            (-3.0, "0 s"),
            (f64::NAN, "0 s"),
            (0.0004, "0 s"),
            (0.04, "40 ms"),
            (0.0994, "99 ms"),
            (0.0996, "0.1 s"),
            (0.94, "0.9 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (42.4, "42 s"),
            (59.4, "59 s"),
            (59.6, "1 m"),
            (60.0, "1 m"),
            (252.0, "4 m 12 s"),
            (3599.4, "59 m 59 s"),
            (3599.6, "1 h"),
            (3780.0, "1 h 3 m"),
            (3629.0, "1 h"),
            (7199.0, "2 h"),
            (86_399.0, "1 d"),
            (86_400.0 + 4.0 * 3600.0, "1 d 4 h"),
            (172_800.0, "2 d"),
        ] {
            assert_eq!(human(seconds), said, "{seconds}");
        }
    }

    #[test]
    fn a_moment_in_the_past_is_told_in_its_largest_unit() {
        for (seconds, said) in [
            (-5.0, "just now"),
            (f64::NAN, "just now"),
            (1.9, "a second ago"),
            (59.9, "59 seconds ago"),
            (60.0, "a minute ago"),
            (200.0, "3 minutes ago"),
            (7199.0, "an hour ago"),
            (86_400.0, "a day ago"),
            (200_000.0, "2 days ago"),
        ] {
            assert_eq!(ago(seconds), said, "{seconds}");
        }
    }

    #[test]
    fn a_clock_shows_no_fractions_and_is_never_ahead() {
        assert_eq!(clock(0.99), "0 s");
        assert_eq!(clock(59.99), "59 s");
        assert_eq!(clock(102.7), "1 m 42 s");
        assert!(clock(f64::INFINITY).contains(" d"));
    }

    proptest::proptest! {
        #[test]
        fn no_unit_reaches_the_next_one(seconds in 0.0..10_000_000.0f64) {
            let said = human(seconds);
            proptest::prop_assert!(!said.contains("60 s") && !said.contains("60 m") && !said.contains("24 h"), "{said}");
        }
    }
}
