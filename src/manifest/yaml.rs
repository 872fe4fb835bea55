//! YAML in and out: the only module that knows the YAML library.
//!
//! Reads what `kubectl` reads: YAML 1.1 booleans (`no`, `off`), legacy octal numbers (`0400`), merge keys. Stricter than
//! kubectl in one point: a key that appears twice in a mapping is an error.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, Spanned};

use super::mistake::{Mistake, Span};

/// A YAML node with its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it is written; for an alias, where the alias stands.
    pub place: Place,
}

/// The kinds of nodes.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number; whole floats are integers.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order written. Keys are texts: `on:` is the key `true`, as for kubectl.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Its text.
    pub text: String,
    /// Where it is written.
    pub place: Place,
}

/// A place in a YAML text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// From 1; 0 when unknown.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// In characters.
    pub length: usize,
}

impl Place {
    fn of(location: Location) -> Self {
        let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        Self { line: number(location.line()), column: number(location.column()), length: number(location.span().len()) }
    }

    /// The place as a span of the text that was parsed.
    pub fn span(self, source: &str) -> Option<Span> {
        (self.line > 0).then(|| Span::on_line(source, self.line, self.column, self.length))
    }
}

impl Node {
    /// The node as plain data.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Number(value) => Value::Number(value.clone()),
            NodeKind::Text(value) => Value::String(value.clone()),
            NodeKind::List(items) => items.iter().map(Self::to_value).collect(),
            NodeKind::Map(entries) => {
                entries.iter().map(|(key, node)| (key.text.clone(), node.to_value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// The entries of a mapping.
    pub fn as_map(&self) -> Option<&[(Key, Self)]> {
        if let NodeKind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&str> {
        if let NodeKind::Text(text) = &self.kind { Some(text) } else { None }
    }

    /// What it is, for messages: `a number`, `a mapping`.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            NodeKind::Null => "nothing",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Number(_) => "a number",
            NodeKind::Text(_) => "a text",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct YamlError {
    /// A lower-case fragment.
    pub message: String,
    /// Where it was noticed.
    pub place: Place,
}

impl YamlError {
    /// As a mistake in a file of the kit with this text.
    pub fn mistake(&self, file: &str, source: &str) -> Mistake {
        Mistake {
            code: "yaml",
            message: self.message.clone(),
            file: file.to_owned(),
            span: self.place.span(source),
            hint: None,
        }
    }
}

/// Texts longer than this are refused before they are parsed.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Limit for what aliases repeat, in nodes.
const MAX_COPIES: usize = 100_000;
/// Limit for mappings and lists in each other. The deepest schemas of well-known definitions need a third of it.
const MAX_DEPTH: usize = 128;
/// Stack for reading, in bytes: the library recurses, and needs up to 50 KiB a level where it is not optimised.
const STACK: usize = 32 * 1024 * 1024;

/// Reads every document of a text; empty ones are skipped.
///
/// # Errors
/// When the text is not YAML, a key appears twice, or a number has no JSON form.
pub fn parse_nodes(text: &str) -> Result<Vec<Node>, YamlError> {
    parse(text, false)
}

fn parse(text: &str, strict_booleans: bool) -> Result<Vec<Node>, YamlError> {
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().stack_size(STACK);
        let reading = reader.spawn_scoped(scope, || parse_here(text, strict_booleans));
        match reading.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            // Without another thread to be had, this one will do for all but hostile texts.
            Err(_) => parse_here(text, strict_booleans),
        }
    })
}

fn parse_here(text: &str, strict_booleans: bool) -> Result<Vec<Node>, YamlError> {
    if text.len() > MAX_BYTES {
        let message = format!("is larger than {} MiB", MAX_BYTES / 1024 / 1024);
        return Err(YamlError { message, place: Place::default() });
    }
    let options = serde_saphyr::options! {
        legacy_octal_numbers: true,
        strict_booleans: strict_booleans,
        with_snippet: false,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_COPIES },
        budget: serde_saphyr::budget! {
            max_documents: 100_000,
            max_events: 20_000_000,
            max_nodes: 20_000_000,
            max_depth: MAX_DEPTH,
            max_recorded_anchor_events: MAX_COPIES,
        },
    };
    let documents: Vec<Spanned<Node>> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        YamlError { message: message(&error), place: error.location().map(Place::of).unwrap_or_default() }
    })?;
    let nodes: Vec<Node> = documents.into_iter().map(located).collect();
    match nodes.iter().find_map(twice) {
        Some(key) => Err(YamlError { message: format!("the key {} appears twice", key.text), place: key.place }),
        None => Ok(nodes),
    }
}

/// A key that appears twice in a mapping, as a text: the library compares `on` and `true` before they are texts.
fn twice(node: &Node) -> Option<&Key> {
    match &node.kind {
        NodeKind::List(items) => items.iter().find_map(twice),
        NodeKind::Map(entries) => {
            let mut seen = std::collections::HashSet::new();
            let repeated = entries.iter().map(|(key, _)| key).find(|key| !seen.insert(key.text.as_str()));
            repeated.or_else(|| entries.iter().find_map(|(_, node)| twice(node)))
        }
        _ => None,
    }
}

/// Reads one of Rekindle's own files, with at most one document; `None` when it is empty. Here only `true` and `false` are
/// booleans: a country code `no` or a name `n` stays a text.
///
/// # Errors
/// As [`parse_nodes`], and when there is a second document.
pub fn parse_node(text: &str) -> Result<Option<Node>, YamlError> {
    let mut documents = parse(text, true)?.into_iter();
    let first = documents.next();
    match documents.next() {
        Some(second) => Err(YamlError { message: "holds more than one document".into(), place: second.place }),
        None => Ok(first),
    }
}

/// Reads every document as plain data, with the line of its first content. Empty documents are skipped.
///
/// # Errors
/// As [`parse_nodes`].
pub fn parse_documents(text: &str) -> Result<Vec<(Value, usize)>, YamlError> {
    Ok(parse_nodes(text)?.iter().map(|node| (node.to_value(), node.place.line)).collect())
}

/// Writes data as YAML that every reader understands the same way: texts that look like something else to a YAML 1.1
/// or 1.2 reader are quoted, texts of several lines are literal blocks. Ends with a line end.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    write_block(&mut out, value, 0);
    out
}

fn located(spanned: Spanned<Node>) -> Node {
    Node { place: Place::of(spanned.referenced), ..spanned.value }
}

/// The library's message for people, without its place.
fn message(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::DuplicateMappingKey { key: Some(key), .. } => {
            return format!("the key {key} appears twice");
        }
        serde_saphyr::Error::DuplicateMappingKey { key: None, .. } => return "a key appears twice".into(),
        serde_saphyr::Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            return format!("is nested more than {MAX_DEPTH} levels deep");
        }
        _ => {}
    }
    let text = error.without_snippet().render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let line = text.lines().next().unwrap_or_default();
    // Limits come in several wrappings, with their inner names.
    if line.contains("limits breached") || line.contains("limit exceeded") {
        return "is nested too deeply, too large, or its aliases repeat too much".into();
    }
    let line = line.split(" at line ").next().unwrap_or(line).trim_end_matches('.');
    let mut letters = line.chars();
    let Some(first) = letters.next() else { return "is not YAML".into() };
    // `YAML …` stays as it is.
    let abbreviation = letters.clone().next().is_some_and(char::is_uppercase);
    if abbreviation { line.to_owned() } else { first.to_lowercase().chain(letters).collect() }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor).map(|kind| Self { kind, place: Place::default() })
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = NodeKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<NodeKind, E> {
        Ok(NodeKind::Null)
    }

    fn visit_none<E>(self) -> Result<NodeKind, E> {
        Ok(NodeKind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<NodeKind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<NodeKind, E> {
        Ok(NodeKind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<NodeKind, E> {
        Ok(NodeKind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<NodeKind, E> {
        Ok(NodeKind::Number(value.into()))
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<NodeKind, E> {
        self.visit_f64(value as f64)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<NodeKind, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<NodeKind, E> {
        // Kubernetes' integer fields refuse `1000.0`; up to 2^53 every whole number is exact.
        if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
            return Ok(NodeKind::Number((value as i64).into()));
        }
        Number::from_f64(value).map(NodeKind::Number).ok_or_else(|| E::custom("a number that JSON cannot express"))
    }

    fn visit_str<E>(self, value: &str) -> Result<NodeKind, E> {
        Ok(NodeKind::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<NodeKind, E> {
        Ok(NodeKind::Text(value))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<NodeKind, E> {
        std::str::from_utf8(value).map(|text| NodeKind::Text(text.to_owned())).map_err(|_| E::custom("binary data"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<NodeKind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<Spanned<Node>>()? {
            items.push(located(item));
        }
        Ok(NodeKind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<NodeKind, A::Error> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        while let Some(key) = access.next_key::<Spanned<Node>>()? {
            let key = located(key);
            let text = match key.kind {
                NodeKind::Text(text) => text,
                NodeKind::Bool(value) => value.to_string(),
                NodeKind::Number(value) => value.to_string(),
                NodeKind::Null => "null".into(),
                NodeKind::List(_) | NodeKind::Map(_) => return Err(A::Error::custom("a key that is not a text")),
            };
            let value = located(access.next_value::<Spanned<Node>>()?);
            entries.push((Key { text, place: key.place }, value));
        }
        Ok(NodeKind::Map(entries))
    }
}

fn write_block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (number, (key, value)) in map.iter().enumerate() {
                if number > 0 {
                    pad(out, indent);
                }
                write_scalar_text(out, key, true);
                out.push(':');
                write_after_key(out, value, indent);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (number, item) in items.iter().enumerate() {
                if number > 0 {
                    pad(out, indent);
                }
                out.push_str("- ");
                write_block(out, item, indent + 2);
            }
        }
        Value::String(text) if is_literal(text) => write_literal(out, text, indent),
        scalar => {
            write_flow(out, scalar);
            out.push('\n');
        }
    }
}

fn write_after_key(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            pad(out, indent + 2);
            write_block(out, value, indent + 2);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            pad(out, indent);
            write_block(out, value, indent);
        }
        Value::String(text) if is_literal(text) => {
            out.push(' ');
            write_literal(out, text, indent + 2);
        }
        scalar => {
            out.push(' ');
            write_flow(out, scalar);
            out.push('\n');
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Empty collections and scalars.
fn write_flow(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => write_scalar_text(out, text, false),
        other => out.push_str(&other.to_string()),
    }
}

/// Whether a text of several lines can be a literal block without any escapes or indentation hints.
fn is_literal(text: &str) -> bool {
    let plain = |letter: char| letter == '\n' || (!letter.is_control() && !is_odd(letter));
    text.trim_end_matches('\n').contains('\n')
        && text.chars().all(plain)
        && !text.starts_with([' ', '\n'])
        && text.lines().all(|line| !line.ends_with(' '))
}

/// Characters that YAML readers treat as line ends or refuse.
fn is_odd(letter: char) -> bool {
    matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn write_literal(out: &mut String, text: &str, indent: usize) {
    let body = text.trim_end_matches('\n');
    let ends = text.len() - body.len();
    out.push_str(match ends {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    out.push('\n');
    // At the top level a literal block still needs some indentation.
    let indent = indent.max(2);
    for line in body.split('\n') {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
    out.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

fn write_scalar_text(out: &mut String, text: &str, key: bool) {
    if is_plain(text) && (!key || text.len() < 1000) {
        out.push_str(text);
    } else {
        out.push_str(&quoted(text));
    }
}

/// A text as a JSON string, which is also a YAML double-quoted scalar.
pub fn quoted(text: &str) -> String {
    let json = Value::String(text.to_owned()).to_string();
    let escape = |letter: char| letter.is_control() || is_odd(letter);
    if !json.contains(escape) {
        return json;
    }
    json.chars().map(|l| if escape(l) { format!("\\u{:04x}", u32::from(l)) } else { l.to_string() }).collect()
}

/// Whether a text is a text to every reader without quotes. Conservative: letters, digits and harmless signs, not
/// beginning like a number and not a word that some reader knows.
fn is_plain(text: &str) -> bool {
    let first = |letter: char| letter.is_ascii_alphabetic() || letter == '/' || letter == '_';
    let inside = |letter: char| letter.is_ascii_alphanumeric() || "/_-.+@ ,=()$;".contains(letter);
    let mut letters = text.chars().peekable();
    if !letters.peek().copied().is_some_and(first) || text.ends_with(' ') || text.contains(", ") {
        return false;
    }
    while let Some(letter) = letters.next() {
        let colon = letter == ':' && letters.peek().is_some_and(|next| !next.is_whitespace() && *next != ':');
        if !inside(letter) && !colon {
            return false;
        }
    }
    const WORDS: [&str; 14] =
        ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "inf", "nan", "infinity", "_", "nil"];
    !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
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
}
