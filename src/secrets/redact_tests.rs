#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn knowing(values: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    values.iter().for_each(|value| redactor.add(value));
    redactor
}

#[test]
fn replaces_a_value_wherever_it_stands() {
    let redactor = knowing(&["hunter22"]);
    assert_eq!(redactor.redact("password=hunter22;"), "password=•••;");
    assert_eq!(redactor.redact("hunter22hunter22"), "•••");
    assert_eq!(redactor.redact("no secret here"), "no secret here");
    assert_eq!(redactor.redact(""), "");
}

#[test]
fn knows_nothing_and_changes_nothing() {
    let redactor = Redactor::default();
    redactor.add("");
    redactor.add("abc");
    assert_eq!(redactor.redact("abc, and anything"), "abc, and anything");
}

#[test]
fn leaves_no_piece_of_overlapping_values() {
    let redactor = knowing(&["abcdef", "defghi", "cde-"]);
    assert_eq!(redactor.redact("<abcdefghi>"), "<•••>");
    // The longer of two that begin alike, and a short one inside a long one.
    let redactor = knowing(&["sesame", "sesame-open", "same-op"]);
    assert_eq!(redactor.redact("sesame-open sesame sesame-opener"), "••• ••• •••er");
}

#[test]
fn clones_learn_together() {
    let redactor = Redactor::default();
    let clone = redactor.clone();
    assert_eq!(clone.redact("late-secret"), "late-secret");
    redactor.add("late-secret");
    assert_eq!(clone.redact("late-secret"), "•••");
}

#[test]
fn finds_values_as_formats_write_them() {
    let secret = r#"p@ss 'w"rd\n/<&>$x%é"#;
    let redactor = knowing(&[secret]);
    let json = serde_json::to_string(secret).unwrap();
    let go = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
    let cases = [
        format!("postgres://u:{}@h/d", "p%40ss%20%27w%22rd%5Cn%2F%3C%26%3E%24x%25%C3%A9"),
        "p%40ss+%27w%22rd%5cn%2F%3C%26%3E%24x%25%C3%A9".replace("%5c", "%5C"),
        "p%40ss%20%27w%22rd%5cn%2f%3c%26%3e%24x%25%c3%a9".into(),
        json.clone(),
        go.clone(),
        serde_json::to_string(&json).unwrap(),
        serde_json::to_string(&go).unwrap(),
        format!("{secret:?}"),
        format!("'{}'", secret.replace('\'', "''")),
        format!("'{}'", secret.replace('\'', r"'\''")),
        r#"p@ss\ \'w\"rd\\n/\<\&\>\$x%é"#.into(),
        r#"p@ss 'w&quot;rd\n/&lt;&amp;&gt;$x%é"#.into(),
        r#"p@ss &#39;w&#34;rd\n/&lt;&amp;&gt;$x%é"#.into(),
        "70407373202777227264".to_owned() + "5c6e2f3c263e247825c3a9",
    ];
    for case in cases {
        let redacted = redactor.redact(&case);
        assert!(redacted.contains(REPLACEMENT), "{case} became {redacted}");
        assert!(!redacted.contains("ss"), "{case} became {redacted}");
        assert!(!redacted.contains("rd"), "{case} became {redacted}");
    }
}

#[test]
fn finds_a_password_in_a_docker_config() {
    let redactor = knowing(&["s3cr3t-Pull"]);
    for user in ["a", "ab", "abc", "robot$x"] {
        let auth = STANDARD.encode(format!("{user}:s3cr3t-Pull"));
        let config = json!({"auths": {"ghcr.io": {"username": user, "password": "s3cr3t-Pull", "auth": auth}}});
        let plain = redactor.redact(&config.to_string());
        assert!(!plain.contains(&auth[8..]), "{plain}");
        let encoded = STANDARD.encode(config.to_string());
        let redacted = redactor.redact(&encoded);
        assert_eq!(redacted.matches(REPLACEMENT).count(), 2, "{redacted}");
        for piece in redacted.split(REPLACEMENT) {
            // What is left over decodes, at its own alignment, to text without a trace.
            for cut in 0..4 {
                let piece = piece.get(cut..).unwrap_or_default();
                let piece = &piece[..piece.len() / 4 * 4];
                let text = String::from_utf8_lossy(&STANDARD_NO_PAD.decode(piece).unwrap_or_default()).into_owned();
                assert!(!text.contains("3cr") && !text.contains("Pul"), "{text}");
                assert!(!text.contains(&auth[8..12]), "{text} {auth}");
            }
        }
    }
}

#[test]
fn finds_the_lines_of_a_key() {
    let pem =
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\r\n9w0BAQEFAASCBKcwggSj\nshort\n-----END PRIVATE KEY-----\n";
    let redactor = knowing(&[pem]);
    assert_eq!(redactor.redact(&format!("key: {pem}.")), "key: •••\n.");
    assert_eq!(redactor.redact("    MIIEvQIBADANBgkqhkiG\n    shorts"), "    •••\n    shorts");
    assert_eq!(redactor.redact("-----BEGIN PRIVATE KEY-----"), "-----BEGIN PRIVATE KEY-----");
    assert_eq!(redactor.redact(&serde_json::to_string(pem).unwrap()), r#""•••\n""#);
}

#[test]
fn json_values_stay_json() {
    let redactor = knowing(&["nabcd", "12345678", "the-key!"]);
    let mut value = json!({"a": "\nabcd", "b": "x nabcd", "n": 12345678, "m": 1, "the-key!": ["nabcd", null, true]});
    redactor.redact_json(&mut value);
    assert_eq!(value, json!({"a": "\nabcd", "b": "x •••", "n": "•••", "m": 1, "•••": ["•••", null, true]}));
}

#[test]
fn a_large_text_with_many_secrets() {
    let values: Vec<String> = (0..200).map(|n| format!("secret-{n:04}-{}", "x".repeat(40))).collect();
    let redactor = knowing(&values.iter().map(String::as_str).collect::<Vec<_>>());
    let text = "a line with secret-0000 and nothing more\n".repeat(100_000) + &values[7];
    assert!(redactor.redact(&text).ends_with("more\n•••"));
}

fn secret() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9]{4,40}", "[ -~]{4,40}", "[a-c]{4,8}", "[a-zäß€😀\"\\\\\n]{4,20}"]
        .prop_filter("long enough without its line ends", |value| value.trim().len() >= 4)
}

/// What must not be left of a value.
fn trimmed(value: &str) -> &str {
    value.trim_end_matches(['\r', '\n'])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn no_value_survives(secrets in prop::collection::vec(secret(), 1..4), around in prop::collection::vec("[ -~äß]{0,20}", 5)) {
        let redactor = knowing(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        let mut text = around[0].clone();
        for (n, secret) in secrets.iter().enumerate() {
            text += secret;
            text += &around[n + 1];
        }
        let redacted = redactor.redact(&text);
        for secret in &secrets {
            prop_assert!(!redacted.contains(trimmed(secret)), "{redacted}");
            let json = serde_json::to_string(trimmed(secret)).unwrap();
            let written = redactor.redact(&serde_json::to_string(&text).unwrap());
            prop_assert!(!written.contains(&json[1..json.len() - 1]), "{written}");
        }
    }

    #[test]
    fn no_base64_form_survives(secret in secret(), before in "[ -~]{0,9}", after in "[ -~]{0,9}", twice: bool) {
        let redactor = knowing(&[&secret]);
        for (engine, name) in [(&STANDARD, "standard"), (&STANDARD_NO_PAD, "unpadded"), (&URL_SAFE, "url"), (&URL_SAFE_NO_PAD, "url unpadded")] {
            let mut inside = format!("{before}{secret}{after}");
            if twice {
                inside = format!("{before}{}{after}", engine.encode(inside));
            }
            let encoded = engine.encode(&inside);
            let redacted = redactor.redact(&encoded);
            prop_assert!(redacted.contains(REPLACEMENT), "{name}: {encoded} became {redacted}");
            if !twice {
                // All that is left are the characters of the surroundings.
                let visible: usize = redacted.split(REPLACEMENT).map(str::len).sum();
                let left = (before.len() + after.len() + secret.len() - trimmed(&secret).len()) * 4 / 3 + 4;
                prop_assert!(visible <= left, "{name}: {encoded} became {redacted}");
            }
            if before.is_empty() && after.is_empty() && trimmed(&secret) == secret && !twice {
                prop_assert_eq!(redacted, REPLACEMENT);
            }
        }
    }

    #[test]
    fn text_without_secrets_is_unchanged(secret in "[g-z]{4,20}", text in "[A-F .:,\n/{}\"é]{0,200}") {
        let redactor = knowing(&[&secret]);
        prop_assert_eq!(redactor.redact(&text), text);
    }

    #[test]
    fn a_stream_is_redacted_like_the_whole(
        secrets in prop::collection::vec("[ab]{4,6}|[a-z0-9]{4,20}", 1..3),
        parts in prop::collection::vec("[ab]{0,9}|[a-z]{0,6}|S|T|[ \n]{1,3}", 0..20),
        size in 1usize..9,
    ) {
        let redactor = knowing(&secrets.iter().map(String::as_str).collect::<Vec<_>>());
        let text: String = parts.iter().map(|part| match part.as_str() {
            "S" => secrets[0].clone(),
            "T" => STANDARD.encode(secrets.last().unwrap()),
            other => other.to_owned(),
        }).collect();
        let mut written = Vec::new();
        let mut writer = redactor.writer(&mut written);
        for chunk in text.as_bytes().chunks(size) {
            writer.write_all(chunk).unwrap();
        }
        writer.finish().unwrap();
        prop_assert_eq!(String::from_utf8(written).unwrap(), redactor.redact(&text));
    }
}
