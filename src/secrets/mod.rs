//! Secrets: age files, identities, the schema, derived values, redaction.
//!
//! An environment's secrets live in one age file, `secrets/<environment>.yaml.age`: a YAML map of names to values, with a
//! `seed` from which generated secrets are [derived](mod@derive). The [`Vault`] opens it when a template asks for the first
//! secret, and teaches every value to the [redactor](redact::Redactor).

mod contents;
pub mod derive;
mod error;
mod forms;
pub mod identity;
pub mod recipients;
pub mod redact;
pub mod schema;
pub mod sealed;
mod vault;

pub use contents::Contents;
pub use error::SecretsError;
pub use vault::{
    DEMONSTRATION_FILE, DEMONSTRATION_RECIPIENT, Opened, StandIns, Vault, is_sealed_to_demonstration, open, open_named,
    published_values,
};

/// Where templates get secret values from.
pub trait SecretSource {
    /// The value of a secret.
    ///
    /// # Errors
    /// When the schema does not know the name, or there is no value to be had.
    fn secret(&self, name: &str) -> Result<secrecy::SecretString, SecretError>;

    /// All names the schema knows, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// Why a template does not get its secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The schema does not know it.
    #[error("no secret is named {0} in secrets/schema.yaml")]
    Unknown(String),
    /// It is required, and the age file has no value for it.
    #[error("the secret {0} is required, and {1} does not hold it")]
    Missing(String, String),
    /// It is derived from the seed, and the age file has none.
    #[error("the secret {0} is derived from the seed, and {1} does not hold one")]
    NoSeed(String, String),
    /// The environment's secrets cannot be opened: why, as [`SecretsError`] says it.
    #[error("{0}")]
    Closed(String),
}

/// Path of an environment's age file in a kit.
pub fn file_of(environment: &str) -> String {
    format!("secrets/{environment}.yaml.age")
}
