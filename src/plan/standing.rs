//! What stands in the cluster where the kit wants to put its objects: ours, another environment's, or somebody else's. Pure.

use std::collections::HashMap;

use serde_json::Value;

use crate::cluster::FIELD_MANAGER;
use crate::cluster::inventory::Inventory;
use crate::cluster::observe::environment_of;
use crate::manifest::ObjectKey;

/// What is there. Objects that are neither labelled nor asked for by the kit are in none of these.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Labelled for this environment, or named by its inventory with this UID. Those that have left the kit are here too.
    pub ours: HashMap<ObjectKey, Value>,
    /// Labelled for another environment or instance.
    pub taken: HashMap<ObjectKey, Value>,
    /// Objects that the kit wants and that are nobody's as far as labels tell. Only their metadata is known.
    pub foreign: HashMap<ObjectKey, Value>,
    /// What was recorded.
    pub inventory: Inventory,
    /// Whether there is a record that can be relied on: it may have been lost, or never been written.
    pub has_record: bool,
}

impl Standing {
    /// Sorts what was found. `selector` is that of this environment's objects.
    pub fn of(selector: &str, record: Option<Inventory>, found: impl IntoIterator<Item = (ObjectKey, Value)>) -> Self {
        let has_record = record.as_ref().is_some_and(|record| !record.incomplete);
        let mut standing = Self { inventory: record.unwrap_or_default(), has_record, ..Self::default() };
        for (key, live) in found {
            let recorded = standing.is_recorded(&key, &live);
            let place = match environment_of(&live) {
                Some((_, theirs)) if theirs == selector => &mut standing.ours,
                // What is shared stays with whom it was made by; our record says that we have our part in it.
                Some(_) if recorded && is_shared(&key) => &mut standing.ours,
                Some(_) => &mut standing.taken,
                // Somebody has taken our labels off.
                None if recorded => &mut standing.ours,
                None => &mut standing.foreign,
            };
            place.insert(key, live);
        }
        standing
    }

    /// The namespace that an object is in, as it is.
    pub fn namespace_of(&self, key: &ObjectKey) -> Option<&Value> {
        let namespace = ObjectKey::of_namespace(key.namespace.as_deref()?);
        [&self.ours, &self.taken, &self.foreign].into_iter().find_map(|found| found.get(&namespace))
    }

    /// Whether the inventory names an object with this very UID.
    pub fn is_recorded(&self, key: &ObjectKey, live: &Value) -> bool {
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
        self.inventory.entries.get(key).is_some_and(|entry| Some(entry.uid.as_str()) == uid)
    }
}

/// Whether several environments may have an object together: a definition's name and an API's are given by their group, so no
/// environment can have one of its own.
pub fn is_shared(key: &ObjectKey) -> bool {
    matches!(
        (key.group.as_str(), key.kind.as_str()),
        ("apiextensions.k8s.io", "CustomResourceDefinition") | ("apiregistration.k8s.io", "APIService")
    )
}

/// Who manages a live object, as far as it tells: the marks of well-known tools first, then its controller, then those who
/// wrote its fields. Sources: `meta.helm.sh/release-name` (Helm), `argocd.argoproj.io/tracking-id` and `…/instance` (Argo CD),
/// `kustomize.toolkit.fluxcd.io/name` and `helm.toolkit.fluxcd.io/name` (Flux), `metadata.ownerReferences`,
/// `metadata.managedFields[].manager`.
pub fn managed_by(live: &Value) -> String {
    let text =
        |part: &str, name: &str| live.get("metadata")?.get(part)?.get(name)?.as_str().filter(|it| !it.is_empty());
    if let Some(release) = text("annotations", "meta.helm.sh/release-name") {
        let namespace = text("annotations", "meta.helm.sh/release-namespace");
        let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
        return format!("managed by Helm, release {release}{place}");
    }
    for (part, mark, tool) in [
        ("annotations", "argocd.argoproj.io/tracking-id", "Argo CD"),
        ("labels", "argocd.argoproj.io/instance", "Argo CD"),
        ("labels", "kustomize.toolkit.fluxcd.io/name", "Flux"),
        ("labels", "helm.toolkit.fluxcd.io/name", "Flux"),
    ] {
        if let Some(value) = text(part, mark) {
            let application = value.split(':').next().unwrap_or(value);
            return format!("managed by {tool}, {application}");
        }
    }
    let list = |pointer: &str| live.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let member = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    if let Some(owner) = list("/metadata/ownerReferences").find(controls) {
        return format!("made by {}/{}", member(owner, "kind"), member(owner, "name"));
    }
    let mut managers: Vec<String> = list("/metadata/managedFields")
        .filter(|entry| member(entry, "subresource") != "status")
        .map(|entry| member(entry, "manager"))
        .filter(|manager| !manager.is_empty())
        .collect();
    managers.sort();
    managers.dedup();
    match (managers.as_slice(), text("labels", "app.kubernetes.io/managed-by").filter(|tool| *tool != "rekindle")) {
        ([], None) => "nothing says who made it".into(),
        (_, Some(tool)) => format!("managed by {tool}"),
        // What an adoption leaves that was cut between its two writes.
        ([one], None) if one == FIELD_MANAGER => "written by rekindle, without the labels of an environment".into(),
        ([one], None) => format!("written by {one}"),
        (several, None) => format!("written by {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cluster::inventory::Entry;
    use crate::cluster::observe::selector;

    fn key(kind: &str) -> ObjectKey {
        let group = if kind == "CustomResourceDefinition" { "apiextensions.k8s.io" } else { "" };
        ObjectKey { group: group.into(), kind: kind.into(), namespace: None, name: "a".into() }
    }

    fn where_is(kind: &str, recorded: &str, labels: Value) -> &'static str {
        let entry = Entry {
            uid: recorded.into(),
            desired: String::new(),
            fields: String::new(),
            phase: String::new(),
            keep: false,
            left: false,
            finished_in: None,
        };
        let inventory = Inventory { entries: BTreeMap::from([(key(kind), entry)]), ..Inventory::default() };
        let live = json!({"metadata": {"name": "a", "uid": "u", "labels": labels}});
        let standing = Standing::of(&selector("shop", None), Some(inventory), [(key(kind), live)]);
        match (standing.ours.len(), standing.taken.len(), standing.foreign.len()) {
            (1, 0, 0) => "ours",
            (0, 1, 0) => "taken",
            (0, 0, 1) => "foreign",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn labels_and_the_inventory_tell_whose_an_object_is() {
        let (ours, others) =
            (json!({"rekindle.dev/environment": "shop"}), json!({"rekindle.dev/environment": "other"}));
        let instance = json!({"rekindle.dev/environment": "shop", "rekindle.dev/instance": "pr-1"});
        let helm = json!({"app.kubernetes.io/managed-by": "Helm"});
        for (kind, recorded, labels, place) in [
            ("ConfigMap", "", &ours, "ours"),
            ("ConfigMap", "", &others, "taken"),
            ("ConfigMap", "u", &others, "taken"),
            ("ConfigMap", "", &instance, "taken"),
            ("ConfigMap", "", &helm, "foreign"),
            ("ConfigMap", "another uid", &helm, "foreign"),
            ("ConfigMap", "u", &helm, "ours"),
            ("ConfigMap", "u", &json!(null), "ours"),
            ("CustomResourceDefinition", "u", &others, "ours"),
            ("CustomResourceDefinition", "", &others, "taken"),
        ] {
            assert_eq!(
                where_is(kind, recorded, labels.clone()),
                place,
                "{kind} recorded as {recorded:?} with {labels}"
            );
        }
    }

    #[test]
    fn an_object_tells_who_manages_it() {
        let owner = json!([{"kind": "Deployment", "name": "api", "controller": true}]);
        let fields = json!([
            {"manager": "kubectl-client-side-apply", "operation": "Update"},
            {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status"},
            {"manager": "editor", "operation": "Update"}, {"manager": "editor", "operation": "Apply"},
        ]);
        for (metadata, words) in [
            (
                json!({"annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "shop"},
                    "labels": {"app.kubernetes.io/managed-by": "Helm"}}),
                "managed by Helm, release web in namespace shop",
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "web:apps/Deployment:a/b"}}),
                "managed by Argo CD, web",
            ),
            (json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "infra"}}), "managed by Flux, infra"),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "pulumi"}, "managedFields": fields}),
                "managed by pulumi",
            ),
            (json!({"ownerReferences": owner, "managedFields": fields}), "made by Deployment/api"),
            (json!({"managedFields": fields}), "written by editor, kubectl-client-side-apply"),
            (
                json!({"managedFields": [{"manager": "rekindle", "operation": "Apply"}]}),
                "written by rekindle, without the labels of an environment",
            ),
            (json!({}), "nothing says who made it"),
        ] {
            assert_eq!(managed_by(&json!({"metadata": metadata})), words);
        }
    }
}
