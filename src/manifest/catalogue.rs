//! All objects of a kit together: finds what a reference means, and adds the references that no single object shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::references::{Need, Reference, Target, pod_spec, references};
use super::{Object, ObjectKey};

/// Objects by identity. Indices are those of the slice it was made from.
pub struct Catalogue<'a> {
    objects: Vec<&'a Object>,
    by_key: BTreeMap<ObjectKey, usize>,
    definitions: BTreeMap<(String, String), usize>,
    own: Vec<Vec<Reference>>,
    /// Bindings that grant something to a service account, by (namespace, name).
    grants: BTreeMap<(String, String), Vec<usize>>,
}

impl<'a> Catalogue<'a> {
    /// Of these objects, whose namespaces are set. Of two with the same identity the first one counts.
    pub fn new(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let objects: Vec<&Object> = objects.into_iter().collect();
        let mut catalogue = Self {
            by_key: BTreeMap::new(),
            definitions: BTreeMap::new(),
            own: objects.iter().map(|object| references(object)).collect(),
            grants: BTreeMap::new(),
            objects,
        };
        for (index, object) in catalogue.objects.iter().enumerate() {
            catalogue.by_key.entry(object.key()).or_insert(index);
            if object.kind() == "CustomResourceDefinition" {
                let text =
                    |pointer| object.body().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                catalogue.definitions.entry((text("/spec/group"), text("/spec/names/kind"))).or_insert(index);
            }
            if matches!(object.kind(), "RoleBinding" | "ClusterRoleBinding") {
                for reference in &catalogue.own[index] {
                    if let Target::Object(key) = &reference.target
                        && key.kind == "ServiceAccount"
                    {
                        let account = (key.namespace.clone().unwrap_or_default(), key.name.clone());
                        catalogue.grants.entry(account).or_default().push(index);
                    }
                }
            }
        }
        catalogue
    }

    /// The objects, in the order given.
    pub fn objects(&self) -> &[&'a Object] {
        &self.objects
    }

    /// The index of the object that a reference means, if it is among these.
    pub fn find(&self, target: &Target) -> Option<usize> {
        match target {
            Target::Object(key) => self.by_key.get(key).copied(),
            Target::Definition { group, kind } => self.definitions.get(&(group.clone(), kind.clone())).copied(),
            Target::Named { kind, namespace, name } => {
                let matches = |object: &Object| {
                    object.kind() == kind
                        && object.name() == name
                        && [namespace.as_deref(), None].contains(&object.namespace())
                };
                self.objects.iter().position(|object| matches(object))
            }
        }
    }

    /// Everything the object at an index needs: what it names itself, then what follows from other objects. Never itself.
    pub fn references(&self, index: usize) -> Vec<Reference> {
        let mut all: BTreeSet<Reference> = self.own[index].iter().cloned().collect();
        let object = self.objects[index];
        if let Some((spec, _)) = pod_spec(object) {
            let account = spec.get("serviceAccountName").or_else(|| spec.get("serviceAccount"));
            let account = account.and_then(Value::as_str).unwrap_or("default").to_owned();
            let key = (object.namespace().unwrap_or_default().to_owned(), account);
            for binding in self.grants.get(&key).into_iter().flatten() {
                all.insert(Reference {
                    target: Target::Object(self.objects[*binding].key()),
                    need: Need::Exists,
                    optional: false,
                    path: "granted to its service account".into(),
                });
            }
        }
        all.into_iter().filter(|reference| self.find(&reference.target) != Some(index)).collect()
    }
}
