//! Reads mappings of gates and data sets strictly: every unknown key, wrong type and wrong value is collected, none hides another.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::spec::{Expression, Pattern, Port};
use crate::manifest::duration::parse_duration;
use crate::manifest::mistake::nearest;

/// A mistake in a gate document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateMistake {
    /// A stable short code: `unknown-key`, `missing-key`, `wrong-type`, `wrong-value` or `conflict`.
    pub code: &'static str,
    /// Dotted path of what is wrong, e.g. `spec.http.path`, with indexes from 0 as in `spec.http.status.1`; for a missing
    /// key the mapping that lacks it. Empty for the document itself. It always names something that is in the document.
    pub path: String,
    /// What is wrong, a lower-case sentence without a full stop.
    pub message: String,
    /// What to do, if that can be said.
    pub hint: Option<String>,
}

/// Where mistakes are collected while a document is read.
#[derive(Default)]
pub(crate) struct Collected(RefCell<Vec<GateMistake>>);

impl Collected {
    pub fn add(&self, code: &'static str, path: &str, message: impl Into<String>, hint: Option<String>) {
        let (path, message) = (path.to_owned(), message.into());
        self.0.borrow_mut().push(GateMistake { code, path, message, hint });
    }

    pub fn into_mistakes(self) -> Vec<GateMistake> {
        self.0.into_inner()
    }
}

/// A mapping that is being read. A key whose value is null counts as absent, as in Kubernetes.
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    collected: &'a Collected,
}

impl<'a> Fields<'a> {
    /// Opens a mapping that may have the known keys only.
    pub fn open(value: &'a Value, path: &str, known: &[&str], collected: &'a Collected) -> Option<Self> {
        let Some(map) = value.as_object() else {
            let name = if path.is_empty() { "the gate" } else { path };
            collected.add("wrong-type", path, format!("{name} is {}, not a mapping", kind_of(value)), None);
            return None;
        };
        let fields = Self { path: path.to_owned(), map, collected };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", known.join(", ")),
            };
            fields.mistake("unknown-key", key, format!("{key} is not known here"), Some(hint));
        }
        Some(fields)
    }

    /// Opens the mapping below a key, if the key is there.
    pub fn inside(&self, key: &str, known: &[&str]) -> Option<Fields<'a>> {
        self.get(key).and_then(|value| Self::open(value, &self.at(key), known, self.collected))
    }

    /// Opens an entry of a list, which is at `path` below this mapping.
    pub fn item(&self, path: &str, value: &'a Value, known: &[&str]) -> Option<Fields<'a>> {
        Self::open(value, &self.at(path), known, self.collected)
    }

    /// Opens the mapping of a key that is written, even if as `key:` with nothing below it, which is a mistake.
    pub fn mapping(&self, key: &str, known: &[&str]) -> Option<Fields<'a>> {
        self.map.get(key).and_then(|value| Self::open(value, &self.at(key), known, self.collected))
    }

    /// Whether a key is written, even without a value.
    pub fn written(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub fn at(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The last word of the path, for messages.
    pub fn name(&self) -> &str {
        match self.path.rsplit('.').next() {
            Some(name) if !name.is_empty() => name,
            _ => "the gate",
        }
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Reports a mistake at a key of this mapping.
    pub fn mistake(&self, code: &'static str, key: &str, message: impl Into<String>, hint: Option<String>) {
        self.collected.add(code, &self.at(key), message, hint);
    }

    /// Reports a mistake at this mapping itself.
    pub fn mistake_here(&self, code: &'static str, message: impl Into<String>, hint: Option<String>) {
        self.collected.add(code, &self.path, message, hint);
    }

    fn wrong_type(&self, key: &str, value: &Value, wanted: &str, hint: Option<String>) {
        self.mistake("wrong-type", key, format!("{key} is {}, not {wanted}", kind_of(value)), hint);
    }

    /// Reports that a key is missing.
    pub fn missing(&self, key: &str, hint: Option<String>) {
        self.mistake_here("missing-key", format!("{} has no {key}", self.name()), hint);
    }

    /// A text that is not empty.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if text.is_empty() => {
                self.mistake("wrong-value", key, format!("{key} is empty"), None);
                None
            }
            Value::String(text) => Some(text.clone()),
            other => {
                let hint = matches!(other, Value::Number(_) | Value::Bool(_)).then(|| format!("write \"{other}\""));
                self.wrong_type(key, other, "a text", hint);
                None
            }
        }
    }

    /// A text that must be there. Empty after a mistake, which keeps reading simple: a gate with mistakes is not used.
    pub fn required_text(&self, key: &str, hint: Option<String>) -> String {
        if !self.has(key) {
            self.missing(key, hint);
        }
        self.text(key).unwrap_or_default()
    }

    /// A text that may be empty or contain anything, such as a body.
    pub fn raw_text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                self.wrong_type(key, other, "a text", None);
                None
            }
        }
    }

    /// An expected answer: a text or a whole number. A boolean is refused, because nothing answers with YAML's booleans.
    pub fn answer(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                let hint =
                    other.is_boolean().then(|| "write the answer as a text, in PostgreSQL \"t\" or \"f\"".to_owned());
                self.wrong_type(key, other, "a text", hint);
                None
            }
        }
    }

    pub fn flag(&self, key: &str) -> bool {
        match self.get(key) {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong_type(key, other, "true or false", None);
                false
            }
        }
    }

    pub fn duration(&self, key: &str) -> Option<Duration> {
        match self.get(key)? {
            Value::String(text) => match parse_duration(text) {
                Ok(duration) => Some(duration),
                Err(wrong) => {
                    self.mistake("wrong-value", key, format!("{key} {text:?} {wrong}"), None);
                    None
                }
            },
            Value::Number(number) if number.as_u64() == Some(0) => Some(Duration::ZERO),
            other => {
                let hint = other.is_number().then(|| format!("write {other}s or {other}m"));
                self.wrong_type(key, other, "a duration such as 90s or 10m", hint);
                None
            }
        }
    }

    /// A port by number, 1 to 65535, or by name.
    pub fn port(&self, key: &str) -> Option<Port> {
        let value = self.get(key)?;
        let number = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            Value::String(text) if is_port_name(text) => return Some(Port::Name(text.clone())),
            Value::String(_) => None,
            other => {
                self.wrong_type(key, other, "a port's number or name", None);
                return None;
            }
        };
        match number.and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0) {
            Some(number) => Some(Port::Number(number)),
            None => {
                self.mistake("wrong-value", key, format!("{value} is neither a port's number nor its name"), None);
                None
            }
        }
    }

    pub fn pattern(&self, key: &str) -> Option<Pattern> {
        let text = self.text(key)?;
        match Pattern::new(&text) {
            Ok(pattern) => Some(pattern),
            Err(wrong) => {
                self.mistake("wrong-value", key, format!("{key} is not a regular expression: {wrong}"), None);
                None
            }
        }
    }

    pub fn expression(&self, key: &str, variables: &[&str]) -> Option<Expression> {
        let text = self.text(key)?;
        match Expression::new(&text, variables) {
            Ok(expression) => Some(expression),
            Err(wrong) => {
                self.mistake("wrong-value", key, format!("{key} is not a usable CEL expression: {wrong}"), None);
                None
            }
        }
    }

    /// A list of texts and numbers with at least one entry, such as a command.
    pub fn words(&self, key: &str) -> Option<Vec<String>> {
        let list = match self.get(key)? {
            Value::Array(list) if !list.is_empty() => list,
            Value::Array(_) => {
                self.mistake("wrong-value", key, format!("{key} is empty"), None);
                return None;
            }
            other => {
                let hint = other
                    .as_str()
                    .map(|text| format!("write [{}]", text.split_whitespace().collect::<Vec<_>>().join(", ")));
                self.wrong_type(key, other, "a list", hint);
                return None;
            }
        };
        let words = list.iter().enumerate().filter_map(|(index, entry)| match entry {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            other => {
                let path = format!("{key}.{index}");
                self.mistake("wrong-type", &path, format!("this is {}, not a text", kind_of(other)), None);
                None
            }
        });
        Some(words.collect())
    }

    /// A mapping from texts to texts, such as labels.
    pub fn texts(&self, key: &str) -> Option<BTreeMap<String, String>> {
        let map = match self.get(key)? {
            Value::Object(map) => map,
            other => {
                self.wrong_type(key, other, "a mapping", None);
                return None;
            }
        };
        let texts = map.iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some((name.clone(), text.clone())),
            other => {
                let hint = match other {
                    Value::Number(_) | Value::Bool(_) => Some(format!("write {name}: \"{other}\"")),
                    Value::Object(_) => Some(format!("write the entries directly below {key}")),
                    _ => None,
                };
                // Names here may contain dots, so the path stays at the mapping.
                self.mistake("wrong-type", key, format!("{name} is {}, not a text", kind_of(other)), hint);
                None
            }
        });
        Some(texts.collect())
    }
}

/// Whether a text can be a port's name: IANA_SVC_NAME as Kubernetes checks it.
fn is_port_name(text: &str) -> bool {
    (1..=15).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && !text.contains("--")
}

/// A value's type as a person would say it.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
