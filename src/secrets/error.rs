//! Why an environment's secrets cannot be had.

use super::identity::IdentityError;
use super::sealed::SealError;
use crate::manifest::mistake::Mistakes;

/// Why an environment's secrets cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretsError {
    /// Mistakes in the schema or the list of recipients.
    #[error("{0}")]
    Kit(Mistakes),
    /// The environment has no age file.
    #[error("{file} does not exist, and {environment} asks for secrets")]
    NoFile {
        /// Its path in the kit.
        file: String,
        /// The environment.
        environment: String,
    },
    /// The age file is none, or is damaged.
    #[error("{file} {reason}")]
    File {
        /// Its path in the kit.
        file: String,
        /// What is wrong.
        reason: SealError,
    },
    /// None of the identities opens it.
    #[error("{file} is sealed to others: {}", none_of(.tried.len(), *.passphrase))]
    NoMatchingIdentity {
        /// Its path in the kit.
        file: String,
        /// Whom the kit's list names for the environment, `name: key`.
        recipients: Vec<String>,
        /// What was tried, `label: public keys`.
        tried: Vec<String>,
        /// It is sealed with a passphrase, not to keys.
        passphrase: bool,
    },
    /// An identity cannot be used.
    #[error(transparent)]
    Identity(IdentityError),
    /// The opened file holds something wrong.
    #[error("{0}")]
    Contents(Mistakes),
}

fn none_of(tried: usize, passphrase: bool) -> String {
    match (tried, passphrase) {
        (_, true) => "it is sealed with a passphrase, not to a key".into(),
        (0, _) => "there is no identity to open it with".into(),
        (1, _) => "the one identity tried does not open it".into(),
        (n, _) => format!("none of {n} identities opens it"),
    }
}
