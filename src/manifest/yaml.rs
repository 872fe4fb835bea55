//! YAML in and out: the only module that knows the YAML library.
//!
//! Reads what `kubectl` reads: YAML 1.1 booleans (`no`, `off`), legacy octal numbers (`0400`), merge keys. Stricter than
//! kubectl in one point: a key that appears twice in a mapping is an error.

mod write;

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Location, Spanned};

use super::mistake::{Mistake, Span};
pub use write::{quoted, to_yaml};

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

    /// The place of what is at a path of this document, with indexes for entries of lists, or of its key; for a path that leads
    /// nowhere, of the last thing on its way.
    pub fn place_of(&self, path: &[&str], of_key: bool) -> Place {
        let mut at = (self, self.place);
        for segment in path {
            let next = match &at.0.kind {
                NodeKind::Map(entries) => entries.iter().find(|(key, _)| key.text == *segment),
                NodeKind::List(items) => {
                    let Some(item) = segment.parse::<usize>().ok().and_then(|index| items.get(index)) else { break };
                    at = (item, item.place);
                    continue;
                }
                _ => None,
            };
            let Some((key, value)) = next else { break };
            // Of a mapping or list its key tells more than its first entry.
            let whole = matches!(value.kind, NodeKind::Map(_) | NodeKind::List(_) | NodeKind::Null);
            at = (value, if whole || of_key { key.place } else { value.place });
        }
        at.1
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

#[cfg(test)]
mod tests;
