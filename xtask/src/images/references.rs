//! The names the images must be imported under: those of the kit's environment, so that the two never drift.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Image key → full image name, as an environment resolves it along `extends`.
#[derive(Debug, PartialEq)]
pub struct References(BTreeMap<String, String>);

/// The two keys of an environment that matter here.
#[derive(Deserialize)]
struct Environment {
    extends: Option<String>,
    #[serde(default)]
    images: BTreeMap<String, Option<String>>,
}

impl References {
    /// Reads `NAME.yaml` of a kit's `environments/` folder and what it extends.
    pub fn read(folder: &Path, name: &str) -> Result<Self> {
        let mut chain = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next.take() {
            let path = folder.join(format!("{name}.yaml"));
            let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let environment: Environment =
                serde_saphyr::from_str(&text).with_context(|| format!("{} is no environment", path.display()))?;
            if chain.len() > 16 {
                bail!("{} extends itself", path.display());
            }
            next.clone_from(&environment.extends);
            chain.push(environment);
        }
        let mut merged = BTreeMap::new();
        for (key, reference) in chain.into_iter().rev().flat_map(|environment| environment.images) {
            match reference {
                Some(reference) => merged.insert(key, reference),
                None => merged.remove(&key),
            };
        }
        for (key, reference) in &merged {
            if reference.contains('@') {
                bail!(
                    "the image `{key}` of environment {name} has a digest, which an image made here cannot have: {reference}"
                );
            }
        }
        Ok(Self(merged))
    }

    /// Adds an image that is not the kit's.
    ///
    /// # Errors
    /// When the kit has one of this key, too.
    pub fn add(&mut self, key: &str, reference: String) -> Result<()> {
        match self.0.insert(key.to_owned(), reference) {
            Some(theirs) => bail!("the image `{key}` is the kit's own: {theirs}"),
            None => Ok(()),
        }
    }

    /// The image name for a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// All keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All keys with their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, name)| (key.as_str(), name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn kit(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(format!("{name}.yaml")), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_environment_wins_over_what_it_extends() {
        let kit = kit(&[
            ("base", "images: {a: r/a:v1, b: r/b:v1, c: r/c:v1}\nvalues: {x: 1}"),
            ("local", "extends: base\nimages: {b: r/b:v2, c: null}"),
        ]);
        let references = References::read(kit.path(), "local").unwrap();
        assert_eq!(references.iter().collect::<Vec<_>>(), [("a", "r/a:v1"), ("b", "r/b:v2")]);
    }

    #[test]
    fn what_is_added_takes_nothing_from_the_kit() {
        let mut references = References::read(kit(&[("local", "images: {a: 'r/a:v1'}")]).path(), "local").unwrap();
        references.add("b", "r/b:v1".to_owned()).unwrap();
        assert_eq!(references.get("b"), Some("r/b:v1"));
        assert!(references.add("a", "r/b:v1".to_owned()).unwrap_err().to_string().contains("r/a:v1"));
    }

    #[test]
    fn a_digest_is_refused_by_name() {
        let kit = kit(&[("local", "images: {api: 'r/a:v1@sha256:00'}")]);
        let error = References::read(kit.path(), "local").unwrap_err().to_string();
        assert!(error.contains("`api`") && error.contains("digest"), "{error}");
    }

    #[test]
    fn a_cycle_ends() {
        let kit = kit(&[("a", "extends: b"), ("b", "extends: a")]);
        assert!(References::read(kit.path(), "a").unwrap_err().to_string().contains("extends itself"));
    }
}
