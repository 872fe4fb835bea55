//! Reading and writing YAML.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(text: &str) -> Value {
    parse_documents(text).unwrap().remove(0).0
}

#[test]
fn scalars_are_what_kubectl_reads() {
    let table = [
        ("no", json!(false)),
        ("off", json!(false)),
        ("y", json!(true)),
        ("Yes", json!(true)),
        ("0400", json!(256)),
        ("012", json!(10)),
        ("0o17", json!(15)),
        ("08", json!(8)),
        ("1_0", json!(10)),
        ("1e3", json!(1000)),
        ("1.0", json!(1)),
        ("1.5", json!(1.5)),
        ("0x1F", json!(31)),
        ("1:30", json!("1:30")),
        ("~", json!(null)),
        ("", json!(null)),
        ("\"no\"", json!("no")),
        ("v1.10", json!("v1.10")),
        ("2026-01-09", json!("2026-01-09")),
        ("18446744073709551615", json!(u64::MAX)),
    ];
    for (text, expected) in table {
        assert_eq!(one(&format!("v: {text}\n"))["v"], expected, "{text}");
    }
}

#[test]
fn own_files_have_only_two_booleans() {
    let value = parse_node("{a: no, b: y, c: true, d: off, n: 0400}").unwrap().unwrap().to_value();
    assert_eq!(value, json!({"a": "no", "b": "y", "c": true, "d": "off", "n": 256}));
}

#[test]
fn keys_are_texts() {
    assert_eq!(one("on: 1\n80: 2\n\"off\": 3\n"), json!({"true": 1, "80": 2, "off": 3}));
}

#[test]
fn documents_start_where_their_content_starts() {
    let text = "# a comment\n---\n\na: 1\n---\n# nothing\n---\nb: 2\n...\n---\n- c\n";
    let lines: Vec<_> = parse_documents(text).unwrap().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines, [4, 8, 11]);
}

#[test]
fn nodes_know_their_place() {
    let node = parse_node("a:\n  b: [1, two]\n").unwrap().unwrap();
    let (key, a) = &node.as_map().unwrap()[0];
    assert_eq!((key.place.line, key.place.column), (1, 1));
    let (key, b) = &a.as_map().unwrap()[0];
    assert_eq!((key.place.line, key.place.column, key.place.length), (2, 3, 1));
    let NodeKind::List(items) = &b.kind else { panic!("{b:?}") };
    assert_eq!((items[1].place.line, items[1].place.column, items[1].place.length), (2, 10, 3));
}

#[test]
fn errors_have_a_place_and_no_jargon() {
    for (text, message, line) in [
        ("a: 1\na: 2\n", "the key a appears twice", 2),
        ("a:\n  - 1\n b: 2\n", "while parsing a block mapping, did not find expected key", 3),
        ("a: [1, 2\n", "unclosed bracket '['", 1),
        ("a: *nope\n", "reference to unknown value", 1),
        ("a: .nan\n", "value `.nan` is not a finite number", 1),
        ("a: 1\nb:\n- on: 1\n  \"true\": 2\n", "the key true appears twice", 4),
    ] {
        let error = parse_documents(text).unwrap_err();
        assert_eq!((error.message.as_str(), error.place.line), (message, line), "{text}");
    }
}

#[test]
fn bombs_are_defused() {
    let deep = format!("{}a", "- ".repeat(50_000));
    let lines: Vec<String> =
        (1..9).map(|n| format!("a{n}: &a{n} [{}]", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
    let laughs = format!("a0: &a0 x\n{}\n", lines.join("\n"));
    for (text, message) in [
        (deep, "is nested more than 128 levels deep"),
        ("[".repeat(50_000), "is nested too deeply, too large, or its aliases repeat too much"),
        ("{a: ".repeat(300), "is nested too deeply, too large, or its aliases repeat too much"),
        (laughs, "is nested too deeply, too large, or its aliases repeat too much"),
    ] {
        assert_eq!(parse_documents(&text).unwrap_err().message, message);
    }
    assert!(parse_documents(&format!("{}a", "- ".repeat(127))).is_ok());
}

#[test]
fn merge_keys_and_anchors_are_expanded() {
    assert_eq!(one("x: &x {a: 1}\nz:\n  <<: *x\n  b: 2\n")["z"], json!({"a": 1, "b": 2}));
}

#[test]
fn writing_looks_like_a_manifest() {
    let value = json!({
        "kind": "ConfigMap", "data": {"on": "no", "script": "a\n\nb\n", "port": "80", "n": 80, "empty": {}},
        "items": [{"a": [1], "b": []}, ["x"], "plain text", "a: b", ""]
    });
    insta::assert_snapshot!(to_yaml(&value), @r#"
    kind: ConfigMap
    data:
      "on": "no"
      script: |
        a

        b
      port: "80"
      "n": 80
      empty: {}
    items:
    - a:
      - 1
      b: []
    - - x
    - plain text
    - "a: b"
    - ""
    "#);
}

fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~\n]{0,12}",
        "\\PC{0,6}",
        any::<String>(),
        Just("no".into()),
        "0[0-9]{1,3}",
        "[-+.:0-9eExo_]{1,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e6..1e6).prop_map(|v: f64| Value::from(v + 0.25)),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[ -~\n]{0,6}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn rounded(value: &Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(rounded).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), rounded(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(value in value()) {
        let text = to_yaml(&value);
        let back = parse_documents(&text).map_err(|error| TestCaseError::fail(format!("{error:?} in\n{text}")))?;
        if value.is_null() {
            prop_assert!(back.is_empty());
        } else {
            prop_assert_eq!(&back[0].0, &rounded(&value), "{}", text);
        }
    }

    #[test]
    fn nothing_panics(text in any::<String>()) {
        let _ = parse_documents(&text);
    }

    #[test]
    fn yaml_like_noise_never_panics(text in "[-a-c:{}\\[\\],&*!|>'\"%#?\n 0-9<.]{0,60}") {
        let _ = parse_documents(&text);
    }
}
