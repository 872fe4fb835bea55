//! Secrets: age files, identities, the schema, derived values, redaction.

mod forms;
pub mod redact;

/// Where templates get secret values from.
pub trait SecretSource {
    /// The value of a secret.
    ///
    /// # Errors
    /// When the schema does not know the name, or a required one has no value.
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
}
