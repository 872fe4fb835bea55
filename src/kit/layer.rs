//! One environment file, read strictly: every key is known and every value has its type, or there is a mistake.

use super::{did_you_mean, mistake};
use crate::manifest::duration::parse_duration;
use crate::manifest::mistake::Mistake;
use crate::manifest::yaml::{Key, Node, NodeKind, parse_node};

/// The keys of an environment file.
const KEYS: [&str; 10] =
    ["extends", "protected", "namespace", "cluster", "data", "images", "values", "phases", "gates", "rehearsal"];
/// The settings of a phase, in environment files and in the stack file.
pub const PHASE_KEYS: [&str; 5] = ["timeout", "object_timeout", "stall_timeout", "pull_grace", "crash_grace"];
/// Where a data set may come from.
const SOURCES: [&str; 3] = ["adopt", "restore", "empty"];

/// An environment file that was read.
pub struct Layer {
    /// Its path in the kit.
    pub file: String,
    /// Its top-level entries without `extends`.
    pub entries: Vec<(Key, Node)>,
    /// `extends`, with its place.
    pub extends: Option<(String, Node)>,
}

/// Reads an environment file; collects what is wrong with it. A layer comes back when it was YAML at all.
pub fn read(file: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<Layer> {
    let mut reader = Checker { file, text, mistakes };
    let node = match parse_node(text) {
        Ok(Some(node)) => node,
        Ok(None) => return Some(Layer { file: file.into(), entries: Vec::new(), extends: None }),
        Err(error) => {
            reader.mistakes.push(error.mistake(file, text));
            return None;
        }
    };
    let NodeKind::Map(entries) = node.kind else {
        reader.wrong("type", format!("an environment file is a mapping, this is {}", node.describe()), &node);
        return None;
    };
    let mut layer = Layer { file: file.into(), entries: Vec::new(), extends: None };
    for (key, value) in entries {
        if !reader.known(&key, &KEYS, "an environment file") {
            continue;
        }
        if key.text == "extends" {
            if let Some(name) = reader.text_of(&key, &value) {
                layer.extends = Some((name.to_owned(), value));
            }
        } else if matches!(value.kind, NodeKind::Null) || reader.entry(&key, &value) {
            layer.entries.push((key, value));
        }
    }
    Some(layer)
}

/// Checks nodes of one file.
pub struct Checker<'a> {
    /// Its path.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Where mistakes go.
    pub mistakes: &'a mut Vec<Mistake>,
}

impl Checker<'_> {
    /// Adds a mistake at a node.
    pub fn wrong(&mut self, code: &'static str, message: impl Into<String>, node: &Node) {
        self.mistakes.push(mistake(code, message, self.file, node.place.span(self.text)));
    }

    /// Whether a key is one of the known ones; if not, a mistake with the nearest.
    pub fn known(&mut self, key: &Key, known: &[&str], whole: &str) -> bool {
        let ok = known.contains(&key.text.as_str());
        if !ok {
            let message = format!("{whole} has no key {}", key.text);
            let hint = did_you_mean(&key.text, known.iter().copied());
            let span = key.place.span(self.text);
            self.mistakes.push(Mistake { hint, ..mistake("unknown-key", message, self.file, span) });
        }
        ok
    }

    fn typed(&mut self, key: &str, wanted: &str, node: &Node) {
        self.wrong("type", format!("{key} is {}, it must be {wanted}", node.describe()), node);
    }

    /// The value of a key that must be a text.
    pub fn text_of<'n>(&mut self, key: &Key, node: &'n Node) -> Option<&'n str> {
        let text = node.as_text();
        match text {
            None => self.typed(&key.text, "a text", node),
            Some("") => self.wrong("type", format!("{} is empty", key.text), node),
            Some(_) => {}
        }
        text.filter(|text| !text.is_empty())
    }

    /// The entries of a value that must be a mapping.
    pub fn map_of<'n>(&mut self, key: &str, node: &'n Node) -> Option<&'n [(Key, Node)]> {
        if node.as_map().is_none() {
            self.typed(key, "a mapping", node);
        }
        node.as_map()
    }

    /// Checks the settings of a phase.
    pub fn phase_settings(&mut self, phase: &str, settings: &[(Key, Node)], also: &[&str]) -> bool {
        let known: Vec<&str> = also.iter().chain(&PHASE_KEYS).copied().collect();
        let mut ok = true;
        for (key, value) in settings {
            ok &= self.known(key, &known, phase);
            if PHASE_KEYS.contains(&key.text.as_str()) && !matches!(value.kind, NodeKind::Null) {
                let parsed = value.as_text().map(parse_duration);
                if let Some(Ok(_)) = parsed {
                    continue;
                }
                ok = false;
                match parsed {
                    Some(Err(message)) => {
                        self.wrong("duration", format!("{} {message}", value.as_text().unwrap_or_default()), value);
                    }
                    _ => self.typed(&key.text, "a duration such as 90s, 10m or 1h30m", value),
                }
            }
        }
        ok
    }

    fn entry(&mut self, key: &Key, value: &Node) -> bool {
        let before = self.mistakes.len();
        match key.text.as_str() {
            "protected" if !matches!(value.kind, NodeKind::Bool(_)) => self.typed("protected", "true or false", value),
            "namespace" => {
                if let Some(text) = self.text_of(key, value)
                    && let Err(message) = check_label(text)
                {
                    self.wrong("name", format!("namespace {text} {message}"), value);
                }
            }
            "cluster" => {
                for (key, value) in self.map_of("cluster", value).unwrap_or_default() {
                    if self.known(key, &["context", "uid", "ca"], "cluster") && !matches!(value.kind, NodeKind::Null) {
                        self.text_of(key, value);
                    }
                }
            }
            "data" => {
                for (key, value) in self.map_of("data", value).unwrap_or_default() {
                    if self.known(key, &["allow"], "data") {
                        self.sources(value);
                    }
                }
            }
            "images" => {
                for (key, value) in self.map_of("images", value).unwrap_or_default() {
                    if !matches!(value.kind, NodeKind::Null)
                        && let Some(text) = self.text_of(key, value)
                        && let Err(message) = check_image(text)
                    {
                        self.wrong("image", message, value);
                    }
                }
            }
            "values" => {
                self.map_of("values", value);
            }
            "rehearsal" => {
                for (key, value) in self.map_of("rehearsal", value).unwrap_or_default() {
                    if self.known(key, &["values"], "rehearsal") && !matches!(value.kind, NodeKind::Null) {
                        self.map_of("rehearsal.values", value);
                    }
                }
            }
            "phases" => {
                for (key, value) in self.map_of("phases", value).unwrap_or_default() {
                    if matches!(value.kind, NodeKind::Null) {
                        continue;
                    }
                    if let Some(settings) = self.map_of(&key.text, value) {
                        self.phase_settings(&format!("phases.{}", key.text), settings, &[]);
                    }
                }
            }
            "gates" => {
                for (key, value) in self.map_of("gates", value).unwrap_or_default() {
                    if self.known(key, &["skip"], "gates") && !matches!(value.kind, NodeKind::Null) {
                        for (pattern, reason) in self.map_of("gates.skip", value).unwrap_or_default() {
                            let blank = reason.as_text().is_none_or(|text| text.trim().is_empty());
                            if blank && !matches!(reason.kind, NodeKind::Null) {
                                let message =
                                    format!("the gate {} needs a reason to be skipped, as a text", pattern.text);
                                self.wrong("type", message, reason);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
        self.mistakes.len() == before
    }

    fn sources(&mut self, value: &Node) {
        if matches!(value.kind, NodeKind::Null) {
            return;
        }
        let NodeKind::List(items) = &value.kind else {
            return self.typed("data.allow", "a list of adopt, restore and empty", value);
        };
        for item in items {
            match item.as_text() {
                Some(text) if SOURCES.contains(&text) => {}
                Some(text) => {
                    let hint = did_you_mean(text, SOURCES);
                    let span = item.place.span(self.text);
                    let message = format!("{text} is no source of data");
                    self.mistakes.push(Mistake { hint, ..mistake("value", message, self.file, span) });
                }
                None => self.typed("data.allow", "a list of adopt, restore and empty", item),
            }
        }
    }
}

/// Whether a text is an RFC 1123 label: the form of namespaces and instances.
///
/// # Errors
/// What is wrong, as a fragment.
pub fn check_label(text: &str) -> Result<(), String> {
    if text.len() > 63 {
        return Err(format!("is {} characters long, 63 are allowed", text.len()));
    }
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(letter) && bytes.last().is_some_and(letter);
    if !ends || !bytes.iter().all(|byte| letter(byte) || *byte == b'-') {
        return Err("may hold only small letters, digits and -, and begins and ends with a letter or digit".into());
    }
    Ok(())
}

/// Whether a text can be an image reference.
///
/// # Errors
/// What is wrong, as a fragment.
pub fn check_image(text: &str) -> Result<(), String> {
    let name = text.split('@').next().unwrap_or_default();
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "./_-:@".contains(letter);
    let path = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(path, _)| path);
    let upper = path.split_once('/').map_or(path, |(_, rest)| rest).chars().any(|letter| letter.is_ascii_uppercase());
    if path.is_empty() || !text.chars().all(allowed) || text.ends_with([':', '@', '/']) || upper {
        return Err(format!("{text} is not an image reference such as registry.example/name:tag"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        let mut mistakes = Vec::new();
        read("environments/a.yaml", text, &mut mistakes);
        mistakes
            .into_iter()
            .map(|mistake| {
                format!(
                    "{}: {mistake}{}",
                    mistake.code,
                    mistake.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default()
                )
            })
            .collect()
    }

    #[test]
    fn every_mistake_of_a_file_is_told_at_once() {
        let text = "extend: base\nprotected: maybe\nnamespace: Acoust_ID\ncluster: {uuid: x}\ndata: {allow: [adopt, emtpy]}\n\
                    images: {api: 'a b'}\nvalues: [1]\nphases: {database: {timeout: 4 hours, tiemout: 1m, stall_timeout: 5}}\n\
                    gates: {skip: {'app *': ''}}\n";
        insta::assert_snapshot!(mistakes(text).join("\n"), @r"
        unknown-key: environments/a.yaml:1:1: an environment file has no key extend (did you mean extends?)
        type: environments/a.yaml:2:12: protected is a text, it must be true or false
        name: environments/a.yaml:3:12: namespace Acoust_ID may hold only small letters, digits and -, and begins and ends with a letter or digit
        unknown-key: environments/a.yaml:4:11: cluster has no key uuid (did you mean uid?)
        value: environments/a.yaml:5:23: emtpy is no source of data (did you mean empty?)
        image: environments/a.yaml:6:15: a b is not an image reference such as registry.example/name:tag
        type: environments/a.yaml:7:9: values is a list, it must be a mapping
        duration: environments/a.yaml:8:30: 4 hours has a unit that is none of d, h, m, s, ms
        unknown-key: environments/a.yaml:8:39: phases.database has no key tiemout (did you mean timeout?)
        type: environments/a.yaml:8:67: stall_timeout is a number, it must be a duration such as 90s, 10m or 1h30m
        type: environments/a.yaml:9:25: the gate app * needs a reason to be skipped, as a text
        ");
    }

    #[test]
    fn a_good_file_has_none() {
        let text = "extends: base\nprotected: true\nnamespace: acoustid\ncluster: {context: c, uid: 1f, ca: aa}\ndata: {allow: [adopt]}\n\
                    images: {api: 'ghcr.io/a/b:v1@sha256:00', b: null}\nvalues: {a: 1}\nphases: {database: {timeout: 4h}}\n\
                    gates: {skip: {a: because}}\n";
        assert_eq!(mistakes(text), Vec::<String>::new());
        assert_eq!(mistakes(""), Vec::<String>::new());
    }

    #[test]
    fn image_references() {
        for good in ["a", "a:1", "localhost:5000/a", "ghcr.io/a/b_c:V1", "a@sha256:00", "Registry.example/a"] {
            assert_eq!(check_image(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a:", ":a", "ghcr.io/A/b", "a\n", "a@", "a#b"] {
            assert!(check_image(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_file_panics(text in any::<String>()) {
            mistakes(&text);
        }

        #[test]
        fn no_wrong_type_panics(
            key in prop::sample::select(KEYS.to_vec()),
            value in "[a-z0-9:{}\\[\\], \n~-]{0,24}",
        ) {
            mistakes(&format!("{key}: {value}\n"));
        }
    }
}
