//! Secrets that must not be seen, and all the looks they can have in a text.

#![allow(dead_code, reason = "each test target uses a part of it")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::support::{Kit, Ran, finish, rekindle};

/// Pieces of this many characters of a random value do not turn up by accident.
const PIECE: usize = 8;

/// Values, each with its name, that must not be found in anything a run prints.
#[derive(Default)]
pub struct Hidden {
    looks: Vec<(String, String)>,
}

impl Hidden {
    /// Every value that an environment of a kit has, as `secrets show` tells them: required and generated ones.
    pub fn of(kit: Option<&Kit>, kubeconfig: &Path, flags: &[&str], environment: &str) -> Self {
        let show = |more: &[&str]| {
            let arguments = [&["secrets", "show", environment], more, flags].concat();
            finish(rekindle(kit, kubeconfig, &arguments)).exit(0)
        };
        let mut hidden = Self::default();
        for line in show(&["-o", "json"]).events() {
            let name = line["name"].as_str().unwrap();
            if line["state"] != "missing" {
                let value = show(&[name]).stdout;
                assert!(value.len() >= PIECE, "{name} has no value worth hiding");
                hidden.add(name, &value);
            }
        }
        assert!(!hidden.looks.is_empty(), "the kit has secrets");
        hidden
    }

    /// One more value.
    pub fn add(&mut self, name: &str, value: &str) {
        let mut add = |look: &str| self.looks.push((name.to_owned(), look.to_owned()));
        let random = |line: &&str| line.len() >= PIECE && line.contains(|c: char| c.is_ascii_digit());
        for line in value.lines().filter(random) {
            // Half a secret is too much: whatever is cut to fit is cut after it was redacted.
            let characters: Vec<char> = line.chars().collect();
            characters.windows(PIECE).for_each(|piece| add(&piece.iter().collect::<String>()));
        }
        for text in [value.to_owned(), value.trim().to_owned(), STANDARD_NO_PAD.encode(value)] {
            for look in encoded(&text) {
                add(&look);
            }
        }
        let hex: String = value.trim().bytes().map(|byte| format!("{byte:02x}")).collect();
        add(&hex);
    }

    /// Asserts that a run printed none of them.
    #[track_caller]
    pub fn absent(&self, ran: &Ran) {
        if let Some(found) = self.seen(ran) {
            panic!("{found}");
        }
    }

    /// The first of them that a run printed, with all that it printed.
    pub fn seen(&self, ran: &Ran) -> Option<String> {
        [&ran.stdout, &ran.stderr].into_iter().find_map(|text| self.seen_in(text))
    }

    fn seen_in(&self, text: &str) -> Option<String> {
        let (name, look) = self.looks.iter().find(|(_, look)| text.contains(look.as_str()))?;
        Some(format!("{name} is to be seen as {look:?} in:\n{text}"))
    }

    /// The first of them that is in one of the journals of a kit's runs, of which there is at least one.
    pub fn seen_in_journals(&self, kit: &Kit) -> Option<String> {
        let journals = kit.journals();
        assert!(!journals.is_empty(), "runs leave journals");
        journals.iter().find_map(|journal| self.seen_in(&std::fs::read_to_string(journal).unwrap()))
    }
}

/// The characters of base64 that a text has in whatever longer text it stands.
fn encoded(text: &str) -> Vec<String> {
    let mut looks = Vec::new();
    for before in 0..3 {
        let bytes = [&b"\0\0"[..before], text.as_bytes()].concat();
        let (first, last) = ([0, 2, 3][before], usize::from(bytes.len() % 3 != 0));
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let whole = engine.encode(&bytes);
            looks.push(whole[first..whole.len() - last].to_owned());
        }
    }
    looks
}

/// A kit whose environment `test` has sealed secrets, and the identity that opens them.
pub struct SealedKit {
    pub kit: Kit,
    identity: PathBuf,
}

impl SealedKit {
    /// Seals `values` (name and value) as required secrets of the kit; `generated` ones are declared beside them.
    pub fn new(kit: Kit, kubeconfig: &Path, values: &[(&str, &str)], generated: &[&str]) -> Self {
        let identity = kit.path().join("identity.txt");
        let identity_text = identity.to_str().unwrap();
        let made = finish(rekindle(Some(&kit), kubeconfig, &["secrets", "keygen", "--to", identity_text])).exit(0);
        kit.write("secrets/recipients.yaml", &format!("{}: {{me: {}}}\n", kit.environment, made.stdout.trim()));
        let mut schema = String::new();
        for (name, _) in values {
            schema += &format!("{name}: {{description: a secret of the test, required: true}}\n");
        }
        for name in generated {
            schema += &format!("{name}: {{description: a secret of the test, generated: true}}\n");
        }
        kit.write("secrets/schema.yaml", &schema);
        let sealed = Self { kit, identity };
        for (name, value) in values {
            let mut command = rekindle(Some(&sealed.kit), kubeconfig, &["secrets", "set", "test", name]);
            command.args(sealed.flags()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{name} cannot be set");
        }
        sealed
    }

    /// The flags that open its secrets.
    pub fn flags(&self) -> [&str; 2] {
        ["--identity", self.identity.to_str().unwrap()]
    }

    /// Runs a command on it with its identity.
    #[must_use = "look at the exit code"]
    pub fn run(&self, kubeconfig: &Path, arguments: &[&str]) -> Ran {
        finish(rekindle(Some(&self.kit), kubeconfig, &[arguments, &self.flags()[..]].concat()))
    }
}
