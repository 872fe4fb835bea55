//! Small kits for tests, given as their files.

#![allow(clippy::unwrap_used)]

use super::{Kit, KitSource, Overrides, Rendered};
use crate::secrets::{SecretError, SecretSource};

/// An environment without secrets.
struct NoSecrets;

impl SecretSource for NoSecrets {
    fn secret(&self, name: &str) -> Result<secrecy::SecretString, SecretError> {
        Err(SecretError::Unknown(name.to_owned()))
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The environment `test` of a kit of these files, rendered; it is in the namespace `space` unless a file says otherwise.
pub(crate) fn rendered(files: &[(&str, &str)]) -> Rendered {
    let namespace = ("environments/test.yaml", "namespace: space\n");
    let files = std::iter::once(&namespace).chain(files);
    let files = files.map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    let kit = Kit { source: KitSource::Embedded, files };
    let environment = kit.environment("test", &Overrides::default()).unwrap();
    kit.render(&environment, &NoSecrets).unwrap()
}
