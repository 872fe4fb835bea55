//! `secrets/recipients.yaml`: who can open what.
//!
//! ```yaml
//! production:
//!   alice: age1…
//!   bob at home: ssh-ed25519 AAAA… bob@home
//! ```

use std::collections::BTreeMap;
use std::fmt;

use crate::kit::Kit;
use crate::manifest::mistake::{Mistake, Mistakes, nearest};
use crate::manifest::yaml::{NodeKind, Place, parse_node};

/// Path of the list of recipients in a kit.
pub const RECIPIENTS_FILE: &str = "secrets/recipients.yaml";

/// A public key that a file can be sealed to.
#[derive(Clone)]
pub struct Recipient(Key);

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// Reads `age1…` or `ssh-ed25519 …`, with or without the comment of an SSH key.
    ///
    /// RSA keys are refused on purpose: opening with one is open to a timing attack (RUSTSEC-2023-0071), and so that code
    /// never runs here.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment. A private key is not repeated.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.starts_with("ssh-ed25519 ") {
            return match text.parse() {
                Ok(key @ age::ssh::Recipient::SshEd25519(..)) => Ok(Self(Key::Ssh(key))),
                _ => Err("is no sound ssh-ed25519 key"),
            };
        }
        if let Ok(key) = text.parse() {
            return Ok(Self(Key::X25519(key)));
        }
        Err(if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY") {
            "is a private key: take it out, and make a new one, for this file is public"
        } else if text.starts_with("ssh-rsa") {
            "is an RSA key: only age and ssh-ed25519 keys can be used"
        } else if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
            "is an SSH key of a kind that age cannot use: take an age or ssh-ed25519 key"
        } else if text.starts_with("age1") {
            "is no sound age recipient: a character is missing or mistyped"
        } else {
            "is no recipient: age1… or ssh-ed25519 …"
        })
    }

    pub(super) fn as_age(&self) -> &dyn age::Recipient {
        match &self.0 {
            Key::X25519(key) => key,
            Key::Ssh(key) => key,
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Key::X25519(key) => write!(f, "{key}"),
            Key::Ssh(key) => write!(f, "{key}"),
        }
    }
}

/// A recipient with the name the list gives it.
#[derive(Clone)]
pub struct Named {
    /// The person or place.
    pub name: String,
    /// Its key.
    pub key: Recipient,
}

/// Recipients by environment.
#[derive(Clone, Default)]
pub struct Recipients {
    environments: BTreeMap<String, Vec<Named>>,
}

impl Recipients {
    /// The kit's list; without the file, an empty one.
    ///
    /// # Errors
    /// Every mistake in the file, an environment that the kit does not have among them.
    pub fn of(kit: &Kit) -> Result<Self, Mistakes> {
        let Some(bytes) = kit.files.get(RECIPIENTS_FILE) else { return Ok(Self::default()) };
        let environments: Vec<&str> =
            kit.files.keys().filter_map(|path| path.strip_prefix("environments/")?.strip_suffix(".yaml")).collect();
        Self::parse(&String::from_utf8_lossy(bytes), &environments)
    }

    /// Reads a list. `environments` are those that exist.
    ///
    /// # Errors
    /// Every mistake in the text.
    pub fn parse(text: &str, environments: &[&str]) -> Result<Self, Mistakes> {
        let mut list = Self::default();
        let mut mistakes: Vec<Mistake> = Vec::new();
        let mut add = |code, place: Place, message: String, hint: Option<String>| {
            mistakes.push(Mistake { code, message, file: RECIPIENTS_FILE.into(), span: place.span(text), hint });
        };
        let node = match parse_node(text) {
            Ok(Some(node)) => node,
            Ok(None) => return Ok(list),
            Err(error) => {
                let mut mistake = error.mistake(RECIPIENTS_FILE, text);
                hide_private_keys(&mut mistake);
                return Err(mistake.into());
            }
        };
        let Some(entries) = node.as_map() else {
            let message = format!("is {}, not a mapping of environments to recipients", node.describe());
            add("type", node.place, message, None);
            return Err(Mistakes(mistakes));
        };
        for (environment, people) in entries {
            let name = &environment.text;
            if !environments.contains(&name.as_str()) {
                let near = nearest(name, environments.iter().copied());
                let hint = near.map(|near| format!("did you mean {near}?"));
                add("unknown-environment", environment.place, format!("there is no environment {name}"), hint);
            }
            if people.as_map().is_none() && people.kind != NodeKind::Null {
                let message = format!("{name} is {}, not a mapping of names to keys", people.describe());
                add("type", environment.place, message, None);
            }
            let mut named = Vec::new();
            for (person, key) in people.as_map().unwrap_or_default() {
                match key.as_text().map_or(Err("is not a text"), Recipient::parse) {
                    Ok(key) => named.push(Named { name: person.text.clone(), key }),
                    Err(why) => add("recipient", person.place, format!("the key of {} {why}", person.text), None),
                }
            }
            list.environments.insert(name.clone(), named);
        }
        mistakes.iter_mut().for_each(hide_private_keys);
        if mistakes.is_empty() { Ok(list) } else { Err(Mistakes(mistakes)) }
    }

    /// The recipients of an environment, in the order of the file.
    pub fn of_environment(&self, environment: &str) -> &[Named] {
        self.environments.get(environment).map_or(&[], Vec::as_slice)
    }
}

/// Cuts a private key that stands there by mistake off the excerpt.
fn hide_private_keys(mistake: &mut Mistake) {
    if let Some(span) = &mut mistake.span
        && let Some(start) = span.text.to_ascii_uppercase().find("AGE-SECRET-KEY-")
    {
        span.text.truncate(start);
        span.text.push('…');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const AGE: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    const SSH: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn reads_both_kinds_of_keys() {
        let text = format!("production:\n  alice: {AGE}\n  bob: {SSH} bob@home\nlocal: {{}}\n");
        let list = Recipients::parse(&text, &["production", "local"]).unwrap_or_else(|e| panic!("{:?}", e.0));
        let people = list.of_environment("production");
        assert_eq!(people.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
        assert_eq!(people[0].key.to_string(), AGE);
        assert_eq!(people[1].key.to_string(), SSH);
        assert!(list.of_environment("local").is_empty());
        assert!(list.of_environment("other").is_empty());
    }

    #[test]
    fn names_every_mistake_and_repeats_no_private_key() {
        let private = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
        let text = format!(
            "prodction:\n  alice: {}\n  bob: {private}\n  carol: ssh-rsa AAAA\n  dave: ecdsa-sha2-nistp256 A\n  \
             erin: 5\n  frank: hello\n  grace: ssh-ed25519 AAAA\nlocal: {AGE}\n",
            &AGE[..60]
        );
        let Err(Mistakes(mistakes)) = Recipients::parse(&text, &["production", "local"]) else { panic!() };
        let seen: Vec<_> = mistakes.iter().map(|m| (m.span.as_ref().unwrap().line, m.message.as_str())).collect();
        for (line, words) in [
            (1, "no environment prodction"),
            (2, "missing or mistyped"),
            (3, "is a private key"),
            (4, "is an RSA key"),
            (5, "of a kind that age cannot use"),
            (6, "is not a text"),
            (7, "is no recipient"),
            (8, "is no sound ssh-ed25519 key"),
            (9, "local is a text"),
        ] {
            assert!(seen.iter().any(|(l, m)| *l == line && m.contains(words)), "{line} {words} in {seen:#?}");
        }
        assert_eq!(mistakes[0].hint.as_deref(), Some("did you mean production?"));
        assert!(!format!("{mistakes:?}").contains("1GQ9778"), "the excerpt shows a private key");
    }
}
