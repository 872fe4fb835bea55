//! What an age file holds: a YAML map of names to values, with the seed of the generated ones beside them.
//!
//! Messages about it give lines and names, never text: a YAML reader's own words and excerpts would quote values.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::schema::{Kind, SEED, Schema};
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::manifest::yaml::{Key, Node, NodeKind, parse_node, quoted};

/// Shorter values cannot be kept out of output without blotting out ordinary text.
const SHORTEST: usize = 4;

/// Longest value in bytes.
const LONGEST: usize = 64 * 1024;

/// Bytes of a fresh seed, and the fewest that a seed may have.
const SEED_BYTES: usize = 32;

/// base64url, padded or not.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        // 43 characters that somebody has typed hold 258 bits: the two that are left over mean nothing.
        .with_decode_allow_trailing_bits(true),
);

/// The opened contents of an environment's age file.
pub struct Contents {
    text: Zeroizing<String>,
    values: BTreeMap<String, SecretString>,
    seed: Option<Zeroizing<Vec<u8>>>,
}

impl Contents {
    /// Reads the plaintext of `file`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(plaintext: &[u8], file: &str) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut add = |line: usize, what: &str| {
            let message = format!("line {line} of the decrypted text {what}");
            mistakes.push(Mistake { code: "secret", message, file: file.to_owned(), span: None, hint: None });
        };
        let mut values = BTreeMap::new();
        let mut seed = None;
        let text = String::from_utf8_lossy(plaintext);
        if let Err(error) = std::str::from_utf8(plaintext) {
            add(1 + plaintext[..error.valid_up_to()].iter().filter(|b| **b == b'\n').count(), "is not UTF-8");
        } else {
            let node = parse_node(&text);
            if let Err(error) = &node {
                add(error.place.line.max(1), "is not valid YAML, or repeats a name");
            }
            let node = node.ok().flatten().filter(|node| node.kind != NodeKind::Null);
            if let Some(node) = node.as_ref().filter(|node| node.as_map().is_none()) {
                add(node.place.line, &format!("is {}, not a mapping of names to texts", node.describe()));
            }
            for (key, value) in node.as_ref().and_then(Node::as_map).unwrap_or_default() {
                let (name, line) = (key.text.as_str(), key.place.line);
                let checked = check(value).and_then(|value| {
                    if name == SEED {
                        seed = Some(decode_seed(value)?);
                    }
                    Ok(value)
                });
                match checked {
                    Ok(value) => {
                        values.insert(name.to_owned(), SecretString::from(value));
                    }
                    Err(what) => add(line, &format!("({name}) {what}")),
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        Ok(Self { text: Zeroizing::new(text.into_owned()), values, seed })
    }

    /// Contents with a fresh seed and, as comments, every secret that the schema requires.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn fresh(schema: &Schema, environment: &str) -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new(vec![0; SEED_BYTES]);
        getrandom::fill(&mut seed)?;
        let encoded = BASE64URL.encode(&seed);
        let mut text = Zeroizing::new(format!(
            "# Secrets of {environment}. Generated ones are derived from the seed: with another seed, every one of them is\n\
             # another.\nseed: \"{encoded}\"\n"
        ));
        for (name, declared) in &schema.secrets {
            if declared.kind == Kind::Required {
                let description = declared.description.replace('\n', "\n# ");
                text.push_str(&format!("\n# {description}\n# {name}: \"\"\n"));
            }
        }
        let values = BTreeMap::from([(SEED.to_owned(), SecretString::from(encoded))]);
        Ok(Self { text, values, seed: Some(seed) })
    }

    /// The text, to be sealed or edited.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The value that the file holds for a name.
    pub fn value(&self, name: &str) -> Option<&SecretString> {
        self.values.get(name)
    }

    /// Every value, the seed included.
    pub fn values(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The seed's bytes.
    pub fn seed(&self) -> Option<&[u8]> {
        self.seed.as_deref().map(Vec::as_slice)
    }

    /// What does not agree with the schema: names it does not know.
    pub fn against(&self, schema: &Schema, file: &str) -> Vec<Mistake> {
        let unknown = self.values.keys().filter(|name| *name != SEED && !schema.secrets.contains_key(*name));
        unknown
            .map(|name| Mistake {
                code: "unknown-secret",
                message: format!("{name} is not in secrets/schema.yaml"),
                file: file.to_owned(),
                span: None,
                hint: schema.nearest(name).map(|near| format!("did you mean {near}?")),
            })
            .collect()
    }

    /// Required secrets that have no value, by name.
    pub fn missing<'a>(&self, schema: &'a Schema) -> Vec<&'a str> {
        let required = schema.secrets.iter().filter(|(_, declared)| declared.kind == Kind::Required);
        required.map(|(name, _)| name.as_str()).filter(|name| !self.values.contains_key(*name)).collect()
    }

    /// The same contents with another value for a name. Comments and order stay.
    ///
    /// # Errors
    /// When the value cannot be a secret: a fragment that says why.
    pub fn with(&self, name: &str, value: &SecretString, file: &str) -> Result<Self, String> {
        sound(value.expose_secret())?;
        let line = Zeroizing::new(format!("{name}: {}\n", yaml_text(value.expose_secret())));
        let candidates = [self.edited(name, &line), Zeroizing::new(self.rewritten(name, value))];
        for text in candidates {
            if let Ok(new) = Self::parse(text.as_bytes(), file)
                && new.same_but(self, name, value)
            {
                return Ok(new);
            }
        }
        Err("cannot be written as YAML".into())
    }

    /// Whether these are the values of `other` but for one.
    fn same_but(&self, other: &Self, name: &str, value: &SecretString) -> bool {
        let mut expected: BTreeMap<&str, &str> = other.values().map(|(n, v)| (n, v.expose_secret())).collect();
        expected.insert(name, value.expose_secret());
        expected == self.values().map(|(n, v)| (n, v.expose_secret())).collect()
    }

    /// The text with the lines of one entry replaced, or with a new one at its end.
    fn edited(&self, name: &str, line: &str) -> Zeroizing<String> {
        let lines: Vec<&str> = self.text.split_inclusive('\n').collect();
        let node = parse_node(&self.text).ok().flatten();
        let start = |(key, _): &(Key, Node)| (key.text.clone(), key.place.line.saturating_sub(1));
        let starts: Vec<(String, usize)> =
            node.as_ref().and_then(Node::as_map).unwrap_or_default().iter().map(start).collect();
        let mut text = Zeroizing::new(String::with_capacity(self.text.len() + line.len() + 1));
        let position = starts.iter().position(|(key, _)| key == name);
        let (from, to) = match position {
            Some(n) => {
                let mut end = starts.get(n + 1).map_or(lines.len(), |(_, start)| *start);
                // Blank lines and comments before the next entry belong to that.
                while end > starts[n].1 + 1 && (lines[end - 1].trim().is_empty() || lines[end - 1].starts_with('#')) {
                    end -= 1;
                }
                (starts[n].1, end)
            }
            None => (lines.len(), lines.len()),
        };
        lines[..from].iter().for_each(|line| text.push_str(line));
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(line);
        lines[to..].iter().for_each(|line| text.push_str(line));
        text
    }

    /// Everything written anew, for texts whose layout cannot be kept.
    fn rewritten(&self, name: &str, value: &SecretString) -> String {
        let mut all: BTreeMap<&str, &SecretString> = self.values().collect();
        all.insert(name, value);
        all.iter().map(|(name, value)| format!("{name}: {}\n", yaml_text(value.expose_secret()))).collect()
    }
}

/// A text as YAML: quoted as JSON, or as a block when it has lines that are safe to show so.
fn yaml_text(value: &str) -> String {
    let plain_lines = value.contains('\n')
        && !value.starts_with([' ', '\n', '\t'])
        && !value.contains(|c: char| c.is_control() && c != '\n')
        && value.lines().all(|line| line.trim_end() == line);
    if !plain_lines {
        return quoted(value);
    }
    let mark = if value.ends_with("\n\n") {
        "|+"
    } else if value.ends_with('\n') {
        "|"
    } else {
        "|-"
    };
    let lines: String =
        value.lines().map(|line| if line.is_empty() { "\n".into() } else { format!("\n  {line}") }).collect();
    format!("{mark}{lines}")
}

fn check(value: &Node) -> Result<&str, String> {
    match &value.kind {
        NodeKind::Text(value) => sound(value).map(|()| value.as_str()),
        NodeKind::Null => Err("has no value".into()),
        NodeKind::Number(_) | NodeKind::Bool(_) => Err(format!("is {}: put quotes around it", value.describe())),
        NodeKind::List(_) | NodeKind::Map(_) => Err(format!("is {}, not a text", value.describe())),
    }
}

/// Whether a text can be a secret.
fn sound(value: &str) -> Result<(), String> {
    match value.trim().len() {
        0 => Err("is empty".into()),
        n if n < SHORTEST => Err(format!(
            "is shorter than {SHORTEST} characters: it could not be kept out of the output without blotting out ordinary text"
        )),
        _ if value.len() > LONGEST => Err(format!("is longer than {} KiB", LONGEST / 1024)),
        _ if value.contains('\0') => Err("holds a NUL character".into()),
        _ => Ok(()),
    }
}

fn decode_seed(value: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = BASE64URL
        .decode(value.trim())
        .map(Zeroizing::new)
        .map_err(|_| "is not base64url: at least 43 characters of A-Z a-z 0-9 - _".to_owned())?;
    if bytes.len() < SEED_BYTES {
        return Err(format!(
            "has {} bytes, and needs at least {SEED_BYTES}: 43 characters of A-Z a-z 0-9 - _",
            bytes.len()
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
