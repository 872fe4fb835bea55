//! A fingerprint of what a rebuild of an environment is made of.

use sha2::{Digest as _, Sha256};

use super::{Environment, Kit};

impl Kit {
    /// Changes when templates, the stack file, the schema of secrets, or the settings of an environment do; 16 hexadecimal digits.
    /// Values of secrets and the cluster that the environment is bound to are not in it: both change without the kit.
    pub fn fingerprint(&self, environment: &Environment) -> String {
        let mut settings = environment.settings.clone();
        if let Some(settings) = settings.as_object_mut() {
            settings.shift_remove("cluster");
        }
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(settings.to_string().as_bytes());
        let of_rebuild = |path: &str| path.starts_with("templates/") || path == "secrets/schema.yaml";
        for (path, bytes) in self.files.iter().filter(|(path, _)| of_rebuild(path)) {
            part(path.as_bytes());
            part(bytes);
        }
        hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::kit::{Kit, KitSource, Overrides};

    fn kit(environment: &str, template: &str, sealed: &str) -> Kit {
        let files = [
            ("environments/a.yaml", environment),
            ("environments/b.yaml", sealed),
            ("templates/stack.yaml", "name: s\nphases: [{name: one}]\n"),
            ("templates/one/a.yaml", template),
            ("secrets/a.yaml.age", sealed),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec())).into();
        Kit { source: KitSource::Embedded, files }
    }

    fn of(kit: &Kit, set: &[(&str, &str)]) -> String {
        let set = set.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        kit.fingerprint(&kit.environment("a", &Overrides { set, ..Overrides::default() }).unwrap())
    }

    #[test]
    fn it_changes_with_what_is_rebuilt_and_with_nothing_else() {
        let environment = "namespace: n\nvalues: {x: 1}\n";
        let first = of(&kit(environment, "a: 1", "one"), &[]);
        assert_eq!(first.len(), 16);
        assert_eq!(first, of(&kit(environment, "a: 1", "another"), &[]), "other environments and sealed values");
        let pinned = format!("{environment}cluster: {{uid: 1f0c}}\n");
        assert_eq!(first, of(&kit(&pinned, "a: 1", "one"), &[]), "where it is bound to");
        let others = [
            of(&kit(environment, "a: 2", "one"), &[]),
            of(&kit("namespace: m\nvalues: {x: 1}\n", "a: 1", "one"), &[]),
            of(&kit(environment, "a: 1", "one"), &[("x", "2")]),
        ];
        assert!(others.iter().all(|other| *other != first), "{first} {others:?}");
    }
}
