//! `secrets/schema.yaml`: every secret that the templates may ask for.
//!
//! ```yaml
//! acoustid-api-token:
//!   description: token of the import bot, from its settings page
//!   required: true
//! postgresql-password:
//!   description: password of the superuser
//!   generated: {length: 32, alphabet: alphanumeric, rotation: 1}
//! ```

use std::collections::BTreeMap;

use crate::kit::Kit;
use crate::manifest::Origin;
use crate::manifest::mistake::{Mistake, Mistakes, nearest};
use crate::manifest::yaml::{Key, Node, NodeKind, parse_node};

/// Path of the schema in a kit.
pub const SCHEMA_FILE: &str = "secrets/schema.yaml";

/// The key beside the values of an age file from which generated secrets are derived. No secret may be called so.
pub const SEED: &str = "seed";

/// Bounds of a generated value's length, in characters.
const LENGTHS: std::ops::RangeInclusive<u64> = 8..=1024;

/// Every secret that the templates may ask for, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// By name.
    pub secrets: BTreeMap<String, Declared>,
}

/// One secret of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// What it is and where to get it.
    pub description: String,
    /// Where its value comes from.
    pub kind: Kind,
    /// Where it is declared.
    pub origin: Origin,
}

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The environment's age file must hold it.
    Required,
    /// Derived from the age file's seed, unless the file holds a value of its own.
    Generated(Rule),
}

/// The form of a generated value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Characters: 8 to 1024, by default 32.
    pub length: usize,
    /// By default [`Alphabet::Alphanumeric`].
    pub alphabet: Alphabet,
    /// Raised to get another value; by default 1.
    pub rotation: u64,
}

impl Default for Rule {
    fn default() -> Self {
        Self { length: 32, alphabet: Alphabet::Alphanumeric, rotation: 1 }
    }
}

/// The characters of a generated value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// `0-9A-Za-z`.
    Alphanumeric,
    /// `0-9a-f`.
    Hex,
    /// `A-Za-z0-9-_`.
    Base64Url,
}

impl Alphabet {
    const NAMES: [(&'static str, Self); 3] =
        [("alphanumeric", Self::Alphanumeric), ("hex", Self::Hex), ("base64url", Self::Base64Url)];

    /// The characters, in the order that the derivation uses.
    pub fn characters(self) -> &'static [u8] {
        match self {
            Self::Alphanumeric => b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            Self::Hex => b"0123456789abcdef",
            Self::Base64Url => b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
        }
    }
}

impl Schema {
    /// The kit's schema; without the file, one that knows no secrets.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn of(kit: &Kit) -> Result<Self, Mistakes> {
        match kit.files.get(SCHEMA_FILE) {
            None => Ok(Self::default()),
            Some(bytes) => Self::parse(&String::from_utf8_lossy(bytes)),
        }
    }

    /// Reads a schema.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(text: &str) -> Result<Self, Mistakes> {
        let mut reader = Reader { text, mistakes: Vec::new() };
        let mut schema = Self::default();
        match parse_node(text) {
            Err(error) => reader.mistakes.push(error.mistake(SCHEMA_FILE, text)),
            Ok(None) => {}
            Ok(Some(node)) => {
                for (key, value) in reader.top(&node) {
                    if let Some(declared) = reader.declared(key, value) {
                        schema.secrets.insert(key.text.clone(), declared);
                    }
                }
            }
        }
        if reader.mistakes.is_empty() { Ok(schema) } else { Err(Mistakes(reader.mistakes)) }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<String> {
        self.secrets.keys().cloned().collect()
    }

    /// The name nearest to a mistyped one.
    pub fn nearest(&self, typed: &str) -> Option<&str> {
        nearest(typed, self.secrets.keys().map(String::as_str))
    }
}

/// Collects mistakes while it reads.
struct Reader<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    fn add(&mut self, code: &'static str, key: &Key, message: String, hint: Option<String>) {
        let span = key.place.span(self.text);
        self.mistakes.push(Mistake { code, message, file: SCHEMA_FILE.into(), span, hint });
    }

    /// The entries of the file, which may stand below a `secrets:` key.
    fn top<'n>(&mut self, node: &'n Node) -> &'n [(Key, Node)] {
        match node.as_map() {
            Some([(key, wrapped)]) if key.text == "secrets" && wraps(wrapped) => wrapped.as_map().unwrap_or_default(),
            Some(entries) => entries,
            None => {
                if node.kind != NodeKind::Null {
                    let message = format!("is {}, not a mapping of names to secrets", node.describe());
                    let span = node.place.span(self.text);
                    self.mistakes.push(Mistake { code: "type", message, file: SCHEMA_FILE.into(), span, hint: None });
                }
                &[]
            }
        }
    }

    fn declared(&mut self, key: &Key, value: &Node) -> Option<Declared> {
        let name = &key.text;
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 253 || !name.chars().all(sound) {
            self.add("name", key, "a secret's name is made of letters, digits, -, _ and .".into(), None);
        }
        if name == SEED {
            self.add("name", key, "no secret can be called seed: the age file keeps its seed there".into(), None);
        }
        let Some(fields) = value.as_map() else {
            let hint = "write {description: …, required: true} or {description: …, generated: true}";
            let message = format!("{name} is {}, not a mapping", value.describe());
            self.add("type", key, message, Some(hint.into()));
            return None;
        };
        let (mut description, mut required, mut generated) = (None, None, None);
        for (field, setting) in fields {
            match (field.text.as_str(), &setting.kind) {
                ("description", NodeKind::Text(text)) if !text.trim().is_empty() => {
                    description = Some(text.trim().to_owned());
                }
                ("description", _) => {
                    self.add("type", field, "description must be a text".into(), None);
                    description = Some(String::new());
                }
                ("required", NodeKind::Bool(true)) => required = Some(Kind::Required),
                ("required", _) => {
                    self.add(
                        "type",
                        field,
                        "required can only be true".into(),
                        Some("or write generated: true".into()),
                    );
                    required = Some(Kind::Required);
                }
                ("generated", NodeKind::Bool(true)) => generated = Some(Kind::Generated(Rule::default())),
                ("generated", NodeKind::Map(settings)) => generated = Some(Kind::Generated(self.rule(settings))),
                ("generated", _) => {
                    let hint = "true or {length: 32, alphabet: alphanumeric, rotation: 1}";
                    self.add("type", field, "generated must be true or a mapping".into(), Some(hint.into()));
                    generated = Some(Kind::Generated(Rule::default()));
                }
                (other, _) => {
                    let near = nearest(other, ["description", "required", "generated"]);
                    let hint = near.map(|near| format!("did you mean {near}?"));
                    self.add("unknown-key", field, format!("a secret has no {other}"), hint);
                }
            }
        }
        if description.is_none() {
            let hint = "say what it is and where to get it: somebody will need to know in an outage";
            self.add("missing", key, format!("{name} has no description"), Some(hint.into()));
        }
        if required.is_some() && generated.is_some() {
            self.add("conflict", key, format!("{name} is both required and generated"), None);
        }
        let Some(kind) = required.or(generated) else {
            let hint = "write required: true (kept in the age file) or generated: true (derived from its seed)";
            self.add("missing", key, format!("{name} is neither required nor generated"), Some(hint.into()));
            return None;
        };
        let origin = Origin { file: SCHEMA_FILE.into(), line: key.place.line };
        Some(Declared { description: description.unwrap_or_default(), kind, origin })
    }

    fn rule(&mut self, settings: &[(Key, Node)]) -> Rule {
        let mut rule = Rule::default();
        for (setting, value) in settings {
            match (setting.text.as_str(), &value.kind) {
                ("length", NodeKind::Number(number)) if number.as_u64().is_some_and(|n| LENGTHS.contains(&n)) => {
                    rule.length = number.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(rule.length);
                }
                ("length", _) => {
                    let message = format!("length must be a number from {} to {}", LENGTHS.start(), LENGTHS.end());
                    self.add("type", setting, message, None);
                }
                ("rotation", NodeKind::Number(number)) if number.as_u64().is_some() => {
                    rule.rotation = number.as_u64().unwrap_or(rule.rotation);
                }
                ("rotation", _) => self.add("type", setting, "rotation must be a whole number".into(), None),
                ("alphabet", NodeKind::Text(name)) if Alphabet::NAMES.iter().any(|(known, _)| known == name) => {
                    let found = Alphabet::NAMES.iter().find(|(known, _)| known == name);
                    rule.alphabet = found.map_or(rule.alphabet, |(_, alphabet)| *alphabet);
                }
                ("alphabet", value) => {
                    let typed = if let NodeKind::Text(typed) = value { typed.as_str() } else { "" };
                    let near = nearest(typed, Alphabet::NAMES.iter().map(|(name, _)| *name));
                    let hint = near.map(|near| format!("did you mean {near}?"));
                    self.add("type", setting, "alphabet must be alphanumeric, hex or base64url".into(), hint);
                }
                (other, _) => {
                    let near = nearest(other, ["length", "alphabet", "rotation"]);
                    let hint = near.map(|near| format!("did you mean {near}?"));
                    self.add("unknown-key", setting, format!("generated has no {other}"), hint);
                }
            }
        }
        rule
    }
}

/// Whether a top-level `secrets` is the wrapping key, and not a secret of that name.
fn wraps(node: &Node) -> bool {
    node.as_map().is_some_and(|entries| entries.iter().all(|(_, value)| value.as_map().is_some()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn reads_required_and_generated() {
        let text = "token:\n  description: a token\n  required: true\n\
                    short: {description: d, generated: true}\n\
                    long: {description: d, generated: {length: 64, alphabet: hex, rotation: 3}}\n";
        let schema = Schema::parse(text).unwrap();
        assert_eq!(schema.names(), ["long", "short", "token"]);
        assert_eq!(schema.secrets["token"].kind, Kind::Required);
        assert_eq!(schema.secrets["token"].origin.line, 1);
        assert_eq!(schema.secrets["short"].kind, Kind::Generated(Rule::default()));
        let rule = Rule { length: 64, alphabet: Alphabet::Hex, rotation: 3 };
        assert_eq!(schema.secrets["long"].kind, Kind::Generated(rule));
        let wrapped = format!("secrets:\n{}", text.lines().map(|line| format!("  {line}\n")).collect::<String>());
        assert_eq!(Schema::parse(&wrapped).unwrap().names(), schema.names());
        assert_eq!(Schema::parse("secrets: {description: one, required: true}\n").unwrap().names(), ["secrets"]);
        assert_eq!(Schema::parse("").unwrap(), Schema::default());
    }

    #[test]
    fn names_every_mistake_with_its_place() {
        let text = "a: {description: d, requird: true}\n\
                    b: {required: true}\n\
                    c: {description: d, required: true, generated: true}\n\
                    d: {description: d, generated: {length: 3, alphabet: hexx, rotatio: 1}}\n\
                    seed: {description: d, required: true}\n\
                    'e f': {description: d, required: no}\n\
                    g: true\n";
        let mistakes = Schema::parse(text).unwrap_err().0;
        let seen: Vec<(usize, String)> =
            mistakes.iter().map(|m| (m.span.as_ref().unwrap().line, m.message.clone())).collect();
        for (line, words) in [
            (1, "a secret has no requird"),
            (1, "neither required nor generated"),
            (2, "b has no description"),
            (3, "both required and generated"),
            (4, "length must be a number from 8 to 1024"),
            (4, "alphabet must be"),
            (4, "generated has no rotatio"),
            (5, "no secret can be called seed"),
            (6, "a secret's name is made of"),
            (6, "required can only be true"),
            (7, "g is a boolean, not a mapping"),
        ] {
            assert!(seen.iter().any(|(l, m)| *l == line && m.contains(words)), "{line} {words} in {seen:#?}");
        }
        assert_eq!(mistakes[0].hint.as_deref(), Some("did you mean required?"));
        assert_eq!(mistakes[0].span.as_ref().unwrap().column, 21);
    }

    #[test]
    fn refuses_what_is_no_mapping() {
        for text in [
            "- a\n",
            "just words\n",
            "a: {description: d, required: true}\na: {description: d, required: true}\n",
            "a: {",
        ] {
            assert_eq!(Schema::parse(text).unwrap_err().0.len(), 1, "{text}");
        }
    }
}
