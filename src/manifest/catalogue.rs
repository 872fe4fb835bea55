//! All objects of a kit together: finds what a reference means, and adds the references that no single object shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::references::{Need, Reference, Target, pod_spec, references};
use super::webhooks::{blocks, serves};
use super::{Object, ObjectKey};

/// Objects by identity. Indices are those of the slice it was made from.
pub struct Catalogue<'a> {
    objects: Vec<&'a Object>,
    by_key: BTreeMap<ObjectKey, usize>,
    /// By kind and name, of whatever group and namespace, in the order of the kit.
    by_name: HashMap<(&'a str, &'a str), Vec<usize>>,
    definitions: BTreeMap<(String, String), usize>,
    own: Vec<Vec<Reference>>,
    /// Bindings that grant something to a service account, by (namespace, name).
    grants: BTreeMap<(String, String), Vec<usize>>,
    webhooks: Vec<Webhook>,
    /// Namespaces among the objects, whose labels webhooks may ask for.
    namespaces: Vec<&'a Object>,
}

/// A webhook configuration whose Service is among the objects.
struct Webhook {
    configuration: usize,
    /// The workloads behind its Services.
    workloads: Vec<usize>,
    /// Everything that must be there before it can answer: it cannot be asked about these.
    before: BTreeSet<usize>,
}

impl<'a> Catalogue<'a> {
    /// Of these objects, whose namespaces are set. Of two with the same identity the first one counts.
    pub fn new(objects: impl IntoIterator<Item = &'a Object>) -> Self {
        let objects: Vec<&Object> = objects.into_iter().collect();
        let mut catalogue = Self {
            by_key: BTreeMap::new(),
            by_name: HashMap::new(),
            definitions: BTreeMap::new(),
            own: objects.iter().map(|object| references(object)).collect(),
            grants: BTreeMap::new(),
            webhooks: Vec::new(),
            namespaces: objects.iter().copied().filter(|object| object.kind() == "Namespace").collect(),
            objects,
        };
        for (index, object) in catalogue.objects.iter().copied().enumerate() {
            catalogue.by_name.entry((object.kind(), object.name())).or_default().push(index);
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
        catalogue.find_webhooks();
        catalogue
    }

    fn find_webhooks(&mut self) {
        for configuration in 0..self.objects.len() {
            let kind = self.objects[configuration].kind();
            if !matches!(kind, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") {
                continue;
            }
            let services: Vec<usize> =
                self.own[configuration].iter().filter_map(|reference| self.find(&reference.target)).collect();
            let behind = |workload: &usize| {
                services.iter().any(|service| serves(self.objects[*workload], self.objects[*service]))
            };
            let workloads: Vec<usize> = (0..self.objects.len()).filter(behind).collect();
            let mut before = BTreeSet::from([configuration]);
            let mut open: Vec<usize> = services.iter().chain(&workloads).copied().collect();
            while let Some(index) = open.pop() {
                if before.insert(index) {
                    open.extend(self.needs(index).iter().filter_map(|reference| self.find(&reference.target)));
                }
            }
            // Without its Service here it is served by something older, which answers already.
            if !services.is_empty() {
                self.webhooks.push(Webhook { configuration, workloads, before });
            }
        }
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
                let named = self.by_name.get(&(kind.as_str(), name.as_str()))?;
                let there = |index: &&usize| [namespace.as_deref(), None].contains(&self.objects[**index].namespace());
                named.iter().find(there).copied()
            }
        }
    }

    /// Everything the object at an index needs: what it names itself, then what follows from other objects. Never itself.
    ///
    /// Follows from others: grants to its service account, so that a pod does not start without its rights; the webhooks
    /// that will be asked about it, and the workloads behind the Service of a webhook configuration.
    pub fn references(&self, index: usize) -> Vec<Reference> {
        let mut all = self.needs(index);
        let implied = |target: usize, need: Need, path: &str| {
            let target = Target::Object(self.objects[target].key());
            Reference { target, need, optional: false, path: path.into() }
        };
        let object = self.objects[index];
        for webhook in &self.webhooks {
            if webhook.configuration == index {
                let serve = "serves its webhooks";
                all.extend(webhook.workloads.iter().map(|workload| implied(*workload, Need::Ready, serve)));
            } else if !webhook.before.contains(&index)
                && blocks(self.objects[webhook.configuration], object, &self.namespaces)
            {
                all.insert(implied(webhook.configuration, Need::Exists, "is asked about it"));
            }
        }
        all.into_iter().collect()
    }

    /// What an object names, and the grants to its service account.
    fn needs(&self, index: usize) -> BTreeSet<Reference> {
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
        all.retain(|reference| self.find(&reference.target) != Some(index));
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;
    use crate::manifest::{Origin, yaml::parse_documents};

    fn objects(text: &str) -> Vec<Object> {
        parse_documents(text)
            .unwrap()
            .into_iter()
            .map(|(body, _)| Object::new(body, Origin::default()).unwrap())
            .collect()
    }

    fn needs(catalogue: &Catalogue<'_>, index: usize) -> Vec<String> {
        let found = catalogue.references(index);
        let shown = |reference: &Reference| {
            let need = if reference.need == Need::Ready { "ready" } else { "there" };
            let known = if catalogue.find(&reference.target).is_some() { "" } else { "?" };
            format!("{}{known} {need}", reference.target)
        };
        found.iter().map(shown).collect()
    }

    #[test]
    fn pods_wait_for_grants_to_their_account() {
        let objects = objects(
            "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: ns}, spec: {template: {spec: {serviceAccountName: s}}}}\n---\n\
             {apiVersion: v1, kind: ServiceAccount, metadata: {name: s, namespace: ns}}\n---\n\
             {apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: ns}, roleRef: {kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: s}]}\n---\n\
             {apiVersion: apps/v1, kind: Deployment, metadata: {name: other, namespace: m}, spec: {template: {spec: {serviceAccountName: s}}}}",
        );
        let catalogue = Catalogue::new(&objects);
        assert_eq!(needs(&catalogue, 0), ["Namespace/ns? there", "ServiceAccount/s there", "RoleBinding/b there"]);
        assert_eq!(needs(&catalogue, 3), ["Namespace/m? there", "ServiceAccount/s? there"]);
    }

    #[test]
    fn objects_wait_for_webhooks_that_block_them_but_not_for_their_own() {
        let objects = objects(
            "{apiVersion: v1, kind: ConfigMap, metadata: {name: early, namespace: ns}}\n---\n\
             {apiVersion: apps/v1, kind: Deployment, metadata: {name: hook, namespace: ns}, spec: {template: {metadata: {labels: {app: hook}}, spec: {volumes: [{configMap: {name: early}}]}}}}\n---\n\
             {apiVersion: v1, kind: Service, metadata: {name: hook, namespace: ns}, spec: {selector: {app: hook}}}\n---\n\
             {apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: w}, webhooks: [{clientConfig: {service: {name: hook, namespace: ns}}, rules: [{apiGroups: ['*'], resources: ['*'], operations: ['*']}]}]}\n---\n\
             {apiVersion: v1, kind: ConfigMap, metadata: {name: late, namespace: ns}}",
        );
        let catalogue = Catalogue::new(&objects);
        assert_eq!(needs(&catalogue, 0), ["Namespace/ns? there"]);
        assert_eq!(needs(&catalogue, 1), ["ConfigMap/early there", "Namespace/ns? there"]);
        assert_eq!(needs(&catalogue, 3), ["Service/hook ready", "Deployment/hook ready"]);
        assert_eq!(needs(&catalogue, 4), ["Namespace/ns? there", "MutatingWebhookConfiguration/w there"]);
    }

    #[test]
    fn custom_kinds_find_their_definition_and_names_their_object() {
        let objects = objects(
            "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: a.example.org}, spec: {group: example.org, names: {kind: A}}}\n---\n\
             {apiVersion: example.org/v1, kind: A, metadata: {name: x, namespace: ns, annotations: {rekindle.dev/after: 'StorageClass/fast, Job/j'}}}\n---\n\
             {apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: fast}}\n---\n\
             {apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: other}}",
        );
        let catalogue = Catalogue::new(&objects);
        let found = needs(&catalogue, 1);
        assert!(found.contains(&"the CustomResourceDefinition of A (example.org) ready".to_owned()), "{found:?}");
        assert!(found.contains(&"StorageClass/fast ready".to_owned()), "{found:?}");
        assert!(found.contains(&"Job/j? ready".to_owned()), "{found:?}");
        assert_eq!(catalogue.find(&Target::Object(objects[2].key())), Some(2));
        assert_eq!(json!(objects[2].key())["name"], "fast");
    }
}
