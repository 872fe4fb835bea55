//! The secrets of one environment: opened when the first one is asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::contents::Contents;
use super::derive::derive;
use super::error::SecretsError;
use super::identity::{Identities, NobodyToAsk, OpenError};
use super::recipients::Recipients;
use super::redact::Redactor;
use super::schema::{Kind, SEED, Schema};
use super::sealed::Sealed;
use super::{SecretError, SecretSource, file_of};
use crate::kit::{Environment, Kit};
use crate::manifest::mistake::{Mistake, Mistakes};

/// Path of the published identity in a kit that has one.
pub const DEMONSTRATION_FILE: &str = "secrets/demonstration-identity.txt";

/// The public half of the published demonstration identity.
pub const DEMONSTRATION_RECIPIENT: &str = "age1pz30n3dta7pwsuwgjhxqnd3wxea8vevtrlx8mr32s3rfpy7e653smlf40x";

/// Its private half, which is public on purpose: known here so that a kit without the file is recognised as well.
const DEMONSTRATION_IDENTITY: &str = include_str!("../../secrets/demonstration-identity.txt");

/// How the demonstration identity is called in messages.
const DEMONSTRATION_LABEL: &str = "the kit's demonstration identity";

/// The secrets of one environment. The age file is opened when the first secret is asked for: an environment whose
/// templates ask for none needs neither file nor key.
pub struct Vault {
    schema: Schema,
    recipients: Recipients,
    environment: String,
    instance: Option<String>,
    file: String,
    bytes: Option<Vec<u8>>,
    identities: Identities,
    redactor: Redactor,
    opened: OnceLock<Result<Opened, SecretsError>>,
}

/// What a vault holds once it is open.
pub struct Opened {
    contents: Contents,
    values: BTreeMap<String, SecretString>,
    /// What opened it: the label of an identity.
    pub with: String,
}

/// Prepares the secrets of an environment: reads the schema and the list of recipients, not yet the age file. When the
/// kit holds a demonstration identity, it is tried after the others. Every value is taught to the redactor as soon as
/// it is known.
///
/// # Errors
/// Every mistake in the two files.
pub fn open(
    kit: &Kit,
    environment: &Environment,
    identities: Identities,
    redactor: &Redactor,
) -> Result<Vault, SecretsError> {
    open_named(kit, &environment.name, environment.instance.as_deref(), identities, redactor)
}

/// Like [`open`], for an environment that need not be resolved.
///
/// # Errors
/// See [`open`].
pub fn open_named(
    kit: &Kit,
    environment: &str,
    instance: Option<&str>,
    mut identities: Identities,
    redactor: &Redactor,
) -> Result<Vault, SecretsError> {
    let (schema, recipients) = match (Schema::of(kit), Recipients::of(kit)) {
        (Ok(schema), Ok(recipients)) => (schema, recipients),
        (schema, recipients) => {
            let mistakes = [schema.err(), recipients.err()].into_iter().flatten().flat_map(|mistakes| mistakes.0);
            return Err(SecretsError::Kit(Mistakes(mistakes.collect())));
        }
    };
    if let Some(identity) = kit.files.get(DEMONSTRATION_FILE) {
        identities.add(DEMONSTRATION_LABEL, identity).map_err(SecretsError::Identity)?;
    }
    let file = file_of(environment);
    Ok(Vault {
        schema,
        recipients,
        environment: environment.to_owned(),
        instance: instance.map(str::to_owned),
        bytes: kit.files.get(&file).cloned(),
        file,
        identities,
        redactor: redactor.clone(),
        opened: OnceLock::new(),
    })
}

/// Whether the environment's age file can be opened with the demonstration identity, which everybody has: the kit's own
/// or the one this program knows. Without a file: no.
///
/// # Errors
/// When the file is no sound age file.
pub fn is_sealed_to_demonstration(kit: &Kit, environment: &Environment) -> Result<bool, SecretsError> {
    is_sealed_to_demonstration_named(kit, &environment.name)
}

fn is_sealed_to_demonstration_named(kit: &Kit, environment: &str) -> Result<bool, SecretsError> {
    let file = file_of(environment);
    let Some(bytes) = kit.files.get(&file) else { return Ok(false) };
    let damaged = |reason| SecretsError::File { file: file.clone(), reason };
    let sealed = Sealed::read(bytes).map_err(damaged)?;
    let mut published = Identities::new(std::sync::Arc::new(NobodyToAsk));
    let own = kit.files.get(DEMONSTRATION_FILE).map(Vec::as_slice);
    for identity in own.into_iter().chain([DEMONSTRATION_IDENTITY.as_bytes()]) {
        published.add(DEMONSTRATION_LABEL, identity).map_err(SecretsError::Identity)?;
    }
    match published.open(&sealed) {
        Ok(_) => Ok(true),
        Err(OpenError::Seal(reason)) => Err(damaged(reason)),
        Err(OpenError::NoMatch(_) | OpenError::Passphrase(_)) => Ok(false),
    }
}

/// Names of the values of an opened vault that everybody has, because they stand in this program's own kit, sealed to the
/// published identity; [`SEED`] among them gives away every derived value. Sorted; empty for a vault that stayed closed.
pub fn published_values(vault: &Vault) -> Vec<String> {
    let Some(Ok(opened)) = vault.outcome() else { return Vec::new() };
    let mut everybody = Identities::new(std::sync::Arc::new(NobodyToAsk));
    if everybody.add(DEMONSTRATION_LABEL, DEMONSTRATION_IDENTITY.as_bytes()).is_err() {
        return Vec::new();
    }
    let mut published = std::collections::BTreeSet::new();
    for (file, bytes) in Kit::embedded().files.iter().filter(|(file, _)| file.ends_with(".yaml.age")) {
        let Ok(sealed) = Sealed::read(bytes) else { continue };
        let Ok((plaintext, _)) = everybody.open(&sealed) else { continue };
        let Ok(contents) = Contents::parse(&plaintext, file) else { continue };
        if opened.contents.seed().is_some() && opened.contents.seed() == contents.seed() {
            published.insert(SEED.to_owned());
        }
        for (name, value) in opened.contents.values() {
            if contents.value(name).is_some_and(|known| known.expose_secret() == value.expose_secret()) {
                published.insert(name.to_owned());
            }
        }
    }
    published.into_iter().collect()
}

impl Vault {
    /// The schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The list of recipients.
    pub fn recipients(&self) -> &Recipients {
        &self.recipients
    }

    /// The identities, the kit's demonstration identity among them.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Path of the age file in the kit.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Whether the kit holds the age file.
    pub fn exists(&self) -> bool {
        self.bytes.is_some()
    }

    /// Opens the vault now, or says how that went.
    ///
    /// # Errors
    /// When the file is missing, damaged, sealed to others, or holds something wrong.
    pub fn opened(&self) -> Result<&Opened, &SecretsError> {
        self.opened.get_or_init(|| self.unseal()).as_ref()
    }

    /// How opening went, if a template has asked for a secret: what to report after rendering.
    pub fn outcome(&self) -> Option<Result<&Opened, &SecretsError>> {
        self.opened.get().map(Result::as_ref)
    }

    /// Names in the file that the schema does not know: to be warned about, since a leftover must not stop a rebuild.
    pub fn leftovers(&self) -> Vec<Mistake> {
        match self.outcome() {
            Some(Ok(opened)) => opened.contents.against(&self.schema, &self.file),
            _ => Vec::new(),
        }
    }

    /// The plaintext of the age file, whatever it holds, and what opened it: to mend what [`Vault::opened`] refuses.
    ///
    /// # Errors
    /// When the file is missing, damaged or sealed to others.
    pub fn plaintext(&self) -> Result<(Zeroizing<Vec<u8>>, String), SecretsError> {
        let Some(bytes) = &self.bytes else {
            let (file, environment) = (self.file.clone(), self.environment.clone());
            return Err(SecretsError::NoFile { file, environment });
        };
        let damaged = |reason| SecretsError::File { file: self.file.clone(), reason };
        let sealed = Sealed::read(bytes).map_err(damaged)?;
        self.identities.open(&sealed).map_err(|error| match error {
            OpenError::Seal(reason) => damaged(reason),
            OpenError::Passphrase(error) => SecretsError::Identity(error),
            OpenError::NoMatch(tried) => SecretsError::NoMatchingIdentity {
                file: self.file.clone(),
                recipients: self.named_recipients(),
                tried,
                passphrase: sealed.is_passphrase(),
            },
        })
    }

    fn unseal(&self) -> Result<Opened, SecretsError> {
        let (plaintext, with) = self.plaintext()?;
        let contents = Contents::parse(&plaintext, &self.file).map_err(|mut mistakes| {
            let hint = format!("mend it with: rekindle secrets edit {}", self.environment);
            mistakes.0.iter_mut().for_each(|mistake| mistake.hint = Some(hint.clone()));
            SecretsError::Contents(mistakes)
        })?;
        let mut values = BTreeMap::new();
        for (name, declared) in &self.schema.secrets {
            let value = match (contents.value(name), &declared.kind, contents.seed()) {
                (Some(value), _, _) => value.clone(),
                (None, Kind::Generated(rule), Some(seed)) => derive(seed, name, self.instance.as_deref(), rule),
                (None, Kind::Generated(_), None) | (None, Kind::Required, _) => continue,
            };
            values.insert(name.clone(), value);
        }
        for value in contents.values().map(|(_, value)| value).chain(values.values()) {
            self.redactor.add(value.expose_secret());
        }
        Ok(Opened { contents, values, with })
    }

    fn named_recipients(&self) -> Vec<String> {
        let recipients = self.recipients.of_environment(&self.environment);
        recipients.iter().map(|named| format!("{}: {}", named.name, named.key)).collect()
    }
}

impl Opened {
    /// What the age file holds.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Every secret of the schema that has a value: given ones and derived ones.
    pub fn values(&self) -> &BTreeMap<String, SecretString> {
        &self.values
    }
}

impl SecretSource for Vault {
    fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        let declared = self.schema.secrets.get(name).ok_or_else(|| SecretError::Unknown(name.to_owned()))?;
        let opened = self.opened().map_err(|error| SecretError::Closed(error.to_string()))?;
        opened.values.get(name).cloned().ok_or_else(|| match declared.kind {
            Kind::Required => SecretError::Missing(name.to_owned(), self.file.clone()),
            Kind::Generated(_) => SecretError::NoSeed(name.to_owned(), self.file.clone()),
        })
    }

    fn names(&self) -> Vec<String> {
        self.schema.names()
    }
}

/// Values for looking at a kit without a key: every secret of the schema, as an obvious stand-in.
pub struct StandIns {
    schema: Schema,
}

impl StandIns {
    /// What every stand-in begins with.
    pub const MARK: &str = "stand-in-for-";

    /// Stand-ins by a schema.
    pub fn new(schema: Schema) -> Self {
        Self { schema }
    }

    /// Stand-ins by a kit's schema.
    ///
    /// # Errors
    /// Every mistake in the schema.
    pub fn of(kit: &Kit) -> Result<Self, Mistakes> {
        Schema::of(kit).map(Self::new)
    }
}

impl SecretSource for StandIns {
    fn secret(&self, name: &str) -> Result<SecretString, SecretError> {
        if self.schema.secrets.contains_key(name) {
            Ok(SecretString::from(format!("{}{name}", Self::MARK)))
        } else {
            Err(SecretError::Unknown(name.to_owned()))
        }
    }

    fn names(&self) -> Vec<String> {
        self.schema.names()
    }
}

#[cfg(test)]
#[path = "vault_tests.rs"]
mod tests;
