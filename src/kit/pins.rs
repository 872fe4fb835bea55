//! The user's own pins: which cluster an environment of a stack belongs to, for kits that cannot be written to.
//!
//! ```yaml
//! acoustid:
//!   production: {uid: 1f0c…, ca: 9a3e…, context: acoustid-production, time: 2026-03-02T15:02:11Z}
//! ```

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Environment, Overridden};
use crate::manifest::Origin;
use crate::manifest::yaml::{Key, Node, parse_node, quoted};

/// A pin of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPin {
    /// UID of `kube-system`.
    pub uid: String,
    /// SHA-256 of the cluster's certificate authority, if it was known.
    pub ca: Option<String>,
    /// The context over which the cluster was reached.
    pub context: String,
    /// When, RFC 3339.
    pub time: String,
    /// Its line in the file, from 1.
    pub line: usize,
}

/// All pins of a user, by stack and environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(BTreeMap<String, BTreeMap<String, UserPin>>);

/// What stands at the top of the file.
const HEAD: &str =
    "# Which cluster an environment belongs to, by stack and environment. Written by: rekindle env pin\n";

impl Pins {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong and on which line: a pin that cannot be read must not count as none.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let wrong = |node: &Node, message: &str| (node.place.line, message.to_owned());
        let mut pins = Self::default();
        let Some(root) = parse_node(text).map_err(|error| (error.place.line, error.message))? else { return Ok(pins) };
        let stacks = root.as_map().ok_or_else(|| wrong(&root, "is not a mapping of stacks"))?;
        for (stack, environments) in stacks {
            let entries = environments.as_map();
            for (environment, pin) in entries.ok_or_else(|| wrong(environments, "is not a mapping of environments"))? {
                let pin = read(environment, pin)?;
                pins.0.entry(stack.text.clone()).or_default().insert(environment.text.clone(), pin);
            }
        }
        Ok(pins)
    }

    /// The pin of an environment.
    pub fn get(&self, stack: &str, environment: &str) -> Option<&UserPin> {
        self.0.get(stack)?.get(environment)
    }

    /// Sets the pin of an environment.
    pub fn set(&mut self, stack: &str, environment: &str, pin: UserPin) {
        self.0.entry(stack.to_owned()).or_default().insert(environment.to_owned(), pin);
    }

    /// Removes the pin of an environment; returns whether there was one.
    pub fn remove(&mut self, stack: &str, environment: &str) -> bool {
        let Some(environments) = self.0.get_mut(stack) else { return false };
        let removed = environments.remove(environment).is_some();
        if environments.is_empty() {
            self.0.remove(stack);
        }
        removed
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut text = HEAD.to_owned();
        for (stack, environments) in &self.0 {
            text += &format!("{}:\n", quoted(stack));
            for (environment, pin) in environments {
                let ca = pin.ca.as_ref().map(|ca| format!(", ca: {}", quoted(ca))).unwrap_or_default();
                let (uid, context, time) = (quoted(&pin.uid), quoted(&pin.context), quoted(&pin.time));
                text += &format!("  {}: {{uid: {uid}{ca}, context: {context}, time: {time}}}\n", quoted(environment));
            }
        }
        text
    }
}

fn read(environment: &Key, node: &Node) -> Result<UserPin, (usize, String)> {
    let wrong = |message: String| (environment.place.line, message);
    let mut pin = UserPin { line: environment.place.line, ..UserPin::default() };
    for (key, value) in node.as_map().ok_or_else(|| wrong(format!("{} is not a mapping", environment.text)))? {
        let text = value.as_text().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| wrong(format!("{} of {} is not a text", key.text, environment.text)))?.to_owned();
        match key.text.as_str() {
            "uid" => pin.uid = text,
            "ca" => pin.ca = Some(text),
            "context" => pin.context = text,
            "time" => pin.time = text,
            other => return Err(wrong(format!("a pin has no key {other}"))),
        }
    }
    if pin.uid.is_empty() { Err(wrong(format!("{} has no uid", environment.text))) } else { Ok(pin) }
}

impl Environment {
    /// Lays a pin of the user's over what the files say: it wins, and its place is told.
    pub fn pin(&mut self, pin: &UserPin, file: &str) {
        let origin = Origin { file: file.to_owned(), line: pin.line };
        if !self.settings["cluster"].is_object() {
            self.settings["cluster"] = json!({});
            self.provenance.insert("cluster".into(), origin.clone());
        }
        let new = [("uid", Some(&pin.uid)), ("ca", pin.ca.as_ref())];
        for (key, value) in new {
            let path = format!("cluster.{key}");
            let before = self.settings["cluster"].get(key).cloned();
            if let (Some(value), Some(place)) = (before, self.provenance.remove(&path)) {
                self.overridden.entry(path.clone()).or_default().insert(0, Overridden { value, origin: place });
            }
            let settings = self.settings["cluster"].as_object_mut();
            match (value, settings) {
                (Some(value), Some(settings)) => {
                    settings.insert(key.into(), Value::String(value.clone()));
                    self.provenance.insert(path, origin.clone());
                }
                // A fingerprint in the file is that of the cluster that the file means.
                (None, Some(settings)) => drop(settings.remove(key)),
                (_, None) => {}
            }
        }
        self.cluster.uid = Some(pin.uid.clone());
        self.cluster.ca.clone_from(&pin.ca);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn pin(uid: &str, ca: Option<&str>, line: usize) -> UserPin {
        let (uid, ca) = (uid.to_owned(), ca.map(str::to_owned));
        UserPin { uid, ca, context: "a: b".into(), time: "2026-03-02T15:02:11Z".into(), line }
    }

    #[test]
    fn pins_survive_being_written() {
        let mut pins = Pins::default();
        pins.set("shop", "production", pin("1f0c", Some("aa"), 3));
        pins.set("shop", "yes", pin("0123", None, 4));
        let text = pins.to_text();
        assert_eq!(Pins::parse(&text).unwrap(), pins, "{text}");
        assert!(pins.remove("shop", "yes") && !pins.remove("shop", "yes") && !pins.remove("other", "yes"));
        assert!(pins.remove("shop", "production"));
        assert_eq!(pins, Pins::default());
        assert_eq!(Pins::parse("").unwrap(), pins);
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_no_pin_less() {
        for (text, line, message) in [
            ("- a", 1, "is not a mapping of stacks"),
            ("shop: x", 1, "is not a mapping of environments"),
            ("shop:\n  a: x", 2, "a is not a mapping"),
            ("shop:\n  a: {ca: x}", 2, "a has no uid"),
            ("shop:\n  a: {uid: 1}", 2, "uid of a is not a text"),
            ("shop:\n  a: {uid: x, uuid: x}", 2, "a pin has no key uuid"),
        ] {
            assert_eq!(Pins::parse(text).unwrap_err(), (line, message.to_owned()), "{text}");
        }
        assert!(Pins::parse("shop: {").is_err());
    }
}
