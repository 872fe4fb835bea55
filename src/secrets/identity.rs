//! Identities: the private keys that open age files, and finding the one that fits.

use std::sync::Arc;

use age::ssh::UnsupportedKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::sealed::{SealError, Sealed};

/// Asks a person for the passphrase of a key.
pub trait AskPassphrase: Send + Sync {
    /// The passphrase of what is named.
    ///
    /// # Errors
    /// Why there is none, as a fragment, e.g. `there is no terminal to ask on`.
    fn ask(&self, what: &str) -> Result<SecretString, String>;
}

/// Nobody is there to be asked.
pub struct NobodyToAsk;

impl AskPassphrase for NobodyToAsk {
    fn ask(&self, _: &str) -> Result<SecretString, String> {
        Err("there is no terminal to ask on".into())
    }
}

/// Private keys, in the order in which they are tried.
#[derive(Clone)]
pub struct Identities {
    sources: Vec<Source>,
    ask: Arc<dyn AskPassphrase>,
}

/// One file (or variable) with its keys.
#[derive(Clone)]
struct Source {
    label: String,
    keys: Vec<Key>,
}

#[derive(Clone)]
enum Key {
    X25519(age::x25519::Identity),
    Ssh {
        identity: age::ssh::Identity,
        public: Vec<u8>,
        shown: String,
    },
    /// An identity file that is itself sealed with a passphrase.
    Locked(Arc<Sealed>),
}

/// Why an identity file cannot be used. Never repeats what stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{label} {reason}")]
pub struct IdentityError {
    /// The file, as named.
    pub label: String,
    /// What is wrong, as a fragment.
    pub reason: String,
}

/// Why no identity opened a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The file is no sound age file.
    Seal(SealError),
    /// None of the identities fits; what was tried.
    NoMatch(Vec<String>),
    /// A fitting key needs a passphrase, and that went wrong.
    Passphrase(IdentityError),
}

impl From<SealError> for OpenError {
    fn from(error: SealError) -> Self {
        Self::Seal(error)
    }
}

impl Identities {
    /// No identities yet; passphrases are asked for with `ask`.
    pub fn new(ask: Arc<dyn AskPassphrase>) -> Self {
        Self { sources: Vec::new(), ask }
    }

    /// Adds the keys of an identity file: any number of age identities with comments, and SSH private keys. It may also
    /// be an identity file that is sealed with a passphrase.
    ///
    /// # Errors
    /// When it holds something else, or nothing.
    pub fn add(&mut self, label: &str, file: &[u8]) -> Result<(), IdentityError> {
        let keys = parse(label, file).map_err(|reason| IdentityError { label: label.to_owned(), reason })?;
        self.sources.push(Source { label: label.to_owned(), keys });
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Opens a file with the first identity that fits, and says which: its label.
    ///
    /// Keys behind a passphrase come last. An SSH key is only asked for when the file is sealed to it, once; a sealed
    /// identity file when nothing else fits.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(&self, sealed: &Sealed) -> Result<(Zeroizing<Vec<u8>>, String), OpenError> {
        for behind_passphrase in [false, true] {
            for source in &self.sources {
                for key in source.keys.iter().filter(|key| key.needs_passphrase() == behind_passphrase) {
                    if let Some(plaintext) = self.try_key(sealed, &source.label, key)? {
                        return Ok((plaintext, source.label.clone()));
                    }
                }
            }
        }
        Err(OpenError::NoMatch(self.describe()))
    }

    /// Whether one of the keys that need no passphrase opens a file.
    pub fn opens_without_asking(&self, sealed: &Sealed) -> bool {
        let keys = self.sources.iter().flat_map(|source| source.keys.iter().map(|key| (source.label.as_str(), key)));
        keys.filter(|(_, key)| !key.needs_passphrase())
            .any(|(label, key)| matches!(self.try_key(sealed, label, key), Ok(Some(_))))
    }

    /// A line a source: its label and its public keys.
    pub fn describe(&self) -> Vec<String> {
        let line = |source: &Source| {
            let keys: Vec<String> = source.keys.iter().map(Key::shown).collect();
            format!("{}: {}", source.label, keys.join(", "))
        };
        self.sources.iter().map(line).collect()
    }

    fn try_key(&self, sealed: &Sealed, label: &str, key: &Key) -> Result<Option<Zeroizing<Vec<u8>>>, OpenError> {
        let failed = |reason: String| OpenError::Passphrase(IdentityError { label: label.to_owned(), reason });
        match key {
            Key::X25519(identity) => Ok(sealed.open(identity)?),
            Key::Ssh { identity, public, .. } => {
                let tag = STANDARD_NO_PAD.encode(&Sha256::digest(public)[..4]);
                if !sealed.has_stanza("ssh-ed25519", &tag) {
                    return Ok(None);
                }
                let age::ssh::Identity::Encrypted(locked) = identity else { return Ok(sealed.open(identity)?) };
                let passphrase =
                    self.ask.ask(label).map_err(|why| failed(format!("needs its passphrase, and {why}")))?;
                let wrong = || failed("was not opened by that passphrase".into());
                let unlocked = locked.decrypt(passphrase).map_err(|_| wrong())?;
                Ok(sealed.open(&age::ssh::Identity::from(unlocked))?)
            }
            Key::Locked(file) => {
                let passphrase =
                    self.ask.ask(label).map_err(|why| failed(format!("needs its passphrase, and {why}")))?;
                let inner = file
                    .open(&age::scrypt::Identity::new(passphrase))
                    .map_err(|_| failed("was not opened by that passphrase".into()))?
                    .ok_or_else(|| failed("was not opened by that passphrase".into()))?;
                let keys = parse(label, &inner).map_err(failed)?;
                for key in keys.iter().filter(|key| !matches!(key, Key::Locked(_))) {
                    if let Some(plaintext) = self.try_key(sealed, label, key)? {
                        return Ok(Some(plaintext));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl Key {
    fn needs_passphrase(&self) -> bool {
        match self {
            Self::X25519(_) => false,
            Self::Ssh { identity, .. } => matches!(identity, age::ssh::Identity::Encrypted(_)),
            Self::Locked(_) => true,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::X25519(identity) => identity.to_public().to_string(),
            Self::Ssh { shown, .. } => shown.clone(),
            Self::Locked(_) => "sealed with a passphrase".into(),
        }
    }
}

/// A new identity: the text of its file, with comments, and its recipient.
pub fn generate() -> (SecretString, String) {
    let identity = age::x25519::Identity::generate();
    let recipient = identity.to_public().to_string();
    let text = format!("# public key: {recipient}\n{}\n", identity.to_string().expose_secret());
    (SecretString::from(text), recipient)
}

fn parse(label: &str, file: &[u8]) -> Result<Vec<Key>, String> {
    if let Ok(sealed) = Sealed::read(file) {
        return if sealed.is_passphrase() {
            Ok(vec![Key::Locked(Arc::new(sealed))])
        } else {
            Err("is a sealed file, not an identity".into())
        };
    }
    let text = std::str::from_utf8(file).map_err(|_| "is not an identity file: it is not text".to_owned())?;
    let mut keys = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = if line.starts_with("-----BEGIN ") {
            let mut block = Zeroizing::new(format!("{line}\n"));
            for (_, line) in lines.by_ref() {
                block.push_str(line.trim());
                block.push('\n');
                if line.starts_with("-----END ") {
                    break;
                }
            }
            ssh(label, &block)
        } else if let Ok(identity) = line.parse() {
            Ok(Key::X25519(identity))
        } else {
            Err(why_not(line).to_owned())
        };
        keys.push(key.map_err(|why| format!("is of no use: line {} {why}", number + 1))?);
    }
    if keys.is_empty() {
        return Err("holds no identity".into());
    }
    Ok(keys)
}

fn ssh(label: &str, block: &str) -> Result<Key, String> {
    if !block.starts_with("-----BEGIN OPENSSH PRIVATE KEY") {
        return Err(if block.starts_with("-----BEGIN RSA PRIVATE KEY") {
            "begins an RSA key: only age and ssh-ed25519 keys can be used".into()
        } else {
            "begins a key that is neither an age nor an OpenSSH key".into()
        });
    }
    let identity = age::ssh::Identity::from_buffer(block.as_bytes(), Some(label.to_owned()))
        .map_err(|_| "begins an SSH key that is cut off or not sound".to_owned())?;
    if let age::ssh::Identity::Unsupported(key) = &identity {
        return Err(match key {
            UnsupportedKey::EncryptedSsh(cipher) => {
                format!("begins an SSH key protected with {cipher}, which cannot be read: change it with ssh-keygen -p")
            }
            UnsupportedKey::Hardware(kind) => format!("begins a key of kind {kind}, which lives on a security key"),
            UnsupportedKey::Type(kind) => format!("begins an SSH key of kind {kind}, which age cannot use"),
            UnsupportedKey::EncryptedPem => "begins a key in an old format: change it with ssh-keygen -p -o".into(),
        });
    }
    match age::ssh::Recipient::try_from(identity.clone()) {
        Ok(age::ssh::Recipient::SshEd25519(public, point)) => {
            let shown = age::ssh::Recipient::SshEd25519(public.clone(), point).to_string();
            Ok(Key::Ssh { identity, public, shown })
        }
        Ok(age::ssh::Recipient::SshRsa(..)) => {
            Err("begins an RSA key: only age and ssh-ed25519 keys can be used".into())
        }
        Err(_) => Err("begins an SSH key of a kind that age cannot use".into()),
    }
}

fn why_not(line: &str) -> &'static str {
    if line.starts_with("age1") {
        "is a recipient, the public half: the identity starts with AGE-SECRET-KEY-"
    } else if line.starts_with("ssh-") {
        "is a public key: take the file without .pub"
    } else if line.starts_with("AGE-PLUGIN-") {
        "is an identity of an age plugin, which cannot be used here"
    } else if line.starts_with("AGE-SECRET-KEY-PQ") {
        "is a post-quantum identity, which cannot be used here"
    } else if line.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        "is no sound identity: a character is missing or mistyped"
    } else {
        "is no identity"
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
