//! Sizes as Kubernetes writes them, and as a person reads them.

/// Bytes of a quantity such as `10Gi`, `500M`, `1e9` or `1.5Ti`; `None` when it is none. Source: the quantity format of
/// `k8s.io/apimachinery/pkg/api/resource`.
pub fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|letter: char| letter.is_ascii_alphabetic() && !is_exponent(text, letter));
    let (number, suffix) = text.split_at(split.unwrap_or(text.len()));
    let factor: f64 = match suffix {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    let value = number.parse::<f64>().ok()? * factor;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and a cast saturates")]
    (value.is_finite() && value >= 0.0).then_some(value as u64)
}

/// Whether a letter of a quantity is the `e` or `E` of an exponent: digits follow it.
fn is_exponent(text: &str, letter: char) -> bool {
    matches!(letter, 'e' | 'E')
        && text.split_once(letter).is_some_and(|(_, rest)| {
            let rest = rest.strip_prefix(['+', '-']).unwrap_or(rest);
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// A size as a person reads it: `512 MiB`, `10 GiB`, `1.5 TiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "it is shown with one digit")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if (value - value.round()).abs() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        for (text, expected) in [
            ("10Gi", 10 << 30),
            ("1", 1),
            ("1e3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            ("1E3", 1000),
            ("1.5Ki", 1536),
            ("500M", 500_000_000),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "Gi", "10GiB", "-1", "ten"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_said() {
        assert_eq!(
            (size(10 << 30), size(1536 << 30), size(0), size(256 << 20)),
            ("10 GiB".into(), "1.5 TiB".into(), "0 B".into(), "256 MiB".into())
        );
    }
}
