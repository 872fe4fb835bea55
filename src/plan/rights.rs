//! What a plan needs to be allowed: the rights that `up` uses, right by right. Pure; the cluster is asked elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Plan;
use crate::cluster::SYSTEM_NAMESPACE;
use crate::cluster::removal::may_own_claims;
use crate::health::gate::{Gate, HttpTarget, Probe};
use crate::manifest::Object;
use crate::manifest::kinds::{holds_data, is_cluster_scoped, plural};

/// One thing that somebody must be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// Namespace; `None` for resources without one.
    pub namespace: Option<String>,
    /// API group; empty for the core group.
    pub group: String,
    /// Resource with its subresource, e.g. `pods/log`.
    pub resource: String,
    /// Only the object of this name.
    pub name: Option<String>,
    /// E.g. `patch`.
    pub verb: String,
}

impl std::fmt::Display for Right {
    /// `patch deployments.apps in namespace acoustid`: as `kubectl auth can-i` is asked.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(name) = &self.name {
            write!(f, "/{name}")?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " in namespace {namespace}"),
            None => Ok(()),
        }
    }
}

/// Reading: one LIST, then a watch, and a GET where a single object is looked at again.
const READ: &[&str] = &["get", "list", "watch"];
/// Server-side apply is a PATCH, and a CREATE where the object is missing.
const WRITE: &[&str] = &["create", "patch"];

/// Collects rights.
#[derive(Default)]
struct Rights(BTreeSet<Right>);

impl Rights {
    fn add(&mut self, namespace: Option<&str>, (group, resource): (&str, &str), verbs: &[&str]) {
        self.named(namespace, (group, resource), None, verbs);
    }

    fn named(&mut self, namespace: Option<&str>, (group, resource): (&str, &str), name: Option<&str>, verbs: &[&str]) {
        self.0.extend(verbs.iter().map(|verb| Right {
            namespace: namespace.map(str::to_owned),
            group: group.to_owned(),
            resource: resource.to_owned(),
            name: name.map(str::to_owned),
            verb: (*verb).to_owned(),
        }));
    }

    fn object(&mut self, object: &Object, resource: &str) {
        let at = (object.group(), resource);
        let namespace = object.namespace();
        self.add(namespace, at, READ);
        if object.kind() == "Namespace" {
            // Everybody's namespaces are one kind: only the kit's are written.
            self.add(None, at, &["create"]);
            self.named(None, at, Some(object.name()), &["patch"]);
        } else {
            self.add(namespace, at, WRITE);
        }
        if !holds_data(object.group(), object.kind()) {
            self.add(namespace, at, &["delete"]);
        }
        if may_own_claims(&object.key()) {
            // One that owns claims is never deleted.
            self.add(namespace, ("", "persistentvolumeclaims"), &["list"]);
        }
        match (object.group(), object.kind()) {
            ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => {
                self.add(namespace, ("", "pods"), READ);
                self.add(namespace, ("", "pods/log"), &["get"]);
                self.add(namespace, ("", "events"), &["list"]);
                self.add(namespace, ("apps", "replicasets"), &["list", "watch"]);
            }
            ("", "PersistentVolumeClaim") => {
                self.add(None, ("storage.k8s.io", "storageclasses"), &["list"]);
            }
            // Nobody may hand out what he does not have himself, unless he may do just that.
            ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => self.add(namespace, at, &["escalate"]),
            ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
                let cluster_wide =
                    object.body().pointer("/roleRef/kind").and_then(Value::as_str) == Some("ClusterRole");
                let namespace = namespace.filter(|_| !cluster_wide);
                let name = object.body().pointer("/roleRef/name").and_then(Value::as_str);
                let role = if cluster_wide { "clusterroles" } else { "roles" };
                self.named(namespace, (object.group(), role), name, &["bind"]);
            }
            _ => {}
        }
    }

    /// What [`crate::health::gate::Asker`] asks the API server for.
    fn gate(&mut self, plan: &Plan, gate: &Gate) {
        let namespace = Some(gate.namespace.as_str());
        match &gate.probe {
            Probe::Http(http) if matches!(http.target, HttpTarget::Ingress { .. }) => {
                self.add(namespace, ("networking.k8s.io", "ingresses"), &["get", "list"]);
            }
            Probe::Exec(_) => {
                self.add(namespace, ("", "pods"), &["get", "list"]);
                // A WebSocket is opened by a GET; older servers ask for CREATE.
                self.add(namespace, ("", "pods/exec"), &["create", "get"]);
            }
            Probe::Condition(condition) => {
                let group = match &condition.api_version {
                    Some(version) => version.split_once('/').map_or("", |(group, _)| group).to_owned(),
                    None => group_of(plan, &condition.kind),
                };
                let namespace = condition.namespace.as_deref().or(namespace);
                let namespace = namespace.filter(|_| !is_cluster_scoped(&group, &condition.kind));
                self.add(namespace, (&group, &resource_of(plan, &group, &condition.kind)), &["get", "list"]);
            }
            Probe::Http(_) | Probe::Tcp(_) | Probe::Postgres(_) | Probe::Redis(_) => {}
        }
        if gate.probe.service().is_some() {
            self.add(namespace, ("", "services"), &["get"]);
            self.add(namespace, ("discovery.k8s.io", "endpointslices"), &["list"]);
            self.add(namespace, ("", "pods"), &["get", "list"]);
            self.add(namespace, ("", "pods/portforward"), &["create", "get"]);
        }
        if let Some(secret) = gate.probe.credentials() {
            self.named(namespace, ("", "secrets"), Some(secret), &["get"]);
        }
    }

    /// Volumes are looked at wherever a data set has claims; those that survived are kept, marked and bound again.
    fn data(&mut self, plan: &Plan) {
        for claim in plan.claims.iter().filter(|claim| claim.data_set.is_some()) {
            self.add(
                Some(&claim.namespace),
                ("", "persistentvolumeclaims"),
                &["get", "list", "watch", "create", "patch"],
            );
            self.named(None, ("", "namespaces"), Some(&claim.namespace), &["get"]);
            self.add(None, ("", "persistentvolumes"), &["get", "list", "patch", "watch"]);
        }
        if plan.data_sets.iter().any(|set| set.lookup().is_some()) {
            let system = Some(SYSTEM_NAMESPACE);
            self.add(system, ("batch", "jobs"), &["get", "list", "watch", "create", "delete"]);
            self.add(system, ("", "pods"), &["list"]);
            self.add(system, ("", "pods/log"), &["get"]);
            self.add(system, ("", "secrets"), &["create", "delete"]);
        }
        for set in &plan.data_sets {
            let remembered = set.remember.iter().map(|fact| &fact.question);
            let progress = set.restore.iter().filter_map(|restore| restore.progress.as_ref());
            set.proof
                .iter()
                .chain(&set.identity)
                .chain(remembered)
                .chain(progress)
                .for_each(|gate| self.gate(plan, gate));
        }
    }

    /// Rekindle's own records: which environments live here, the inventory, the lock.
    fn records(&mut self) {
        let system = Some(SYSTEM_NAMESPACE);
        self.named(None, ("", "namespaces"), Some("kube-system"), &["get"]);
        self.named(None, ("", "namespaces"), Some(SYSTEM_NAMESPACE), &["get", "patch"]);
        self.add(None, ("", "namespaces"), &["create"]);
        for at in [("", "configmaps"), ("", "secrets")] {
            self.add(system, at, &["get", "list", "create", "patch"]);
        }
        self.add(system, ("coordination.k8s.io", "leases"), &["get", "list", "watch", "create", "update", "patch"]);
    }
}

/// What taking a plan away again takes beside the rights of making it: everything is found by its labels, wherever it lies.
pub fn removal_rights(plan: &Plan) -> BTreeSet<Right> {
    let mut rights = Rights::default();
    for item in plan.items() {
        let at = (item.object.group(), resource_of(plan, item.object.group(), item.object.kind()));
        rights.add(None, (at.0, &at.1), &["list"]);
        if item.object.group().is_empty() && item.object.kind() == "Namespace" {
            rights.named(None, ("", "namespaces"), Some(item.object.name()), &["delete"]);
        }
    }
    rights.add(None, ("", "namespaces"), &["list"]);
    let system = Some(SYSTEM_NAMESPACE);
    for at in [("", "secrets"), ("coordination.k8s.io", "leases")] {
        rights.add(system, at, &["delete"]);
    }
    rights.0
}

/// The resource of a kind: as its definition in the kit names it, else by the rule of Kubernetes' own kinds.
fn resource_of(plan: &Plan, group: &str, kind: &str) -> String {
    let definition = plan.definitions.iter().find(|definition| {
        let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
        text("/spec/group") == Some(group) && text("/spec/names/kind") == Some(kind)
    });
    let named = definition.and_then(|definition| definition.pointer("/spec/names/plural")).and_then(Value::as_str);
    named.map_or_else(|| plural(kind), str::to_owned)
}

/// Groups of kinds that gates ask about without saying `apiVersion`, where the kit has no such object itself.
const GROUPS: [(&str, &[&str]); 4] = [
    ("apps", &["DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"]),
    ("batch", &["CronJob", "Job"]),
    ("networking.k8s.io", &["Ingress", "NetworkPolicy"]),
    ("autoscaling", &["HorizontalPodAutoscaler"]),
];

/// The group of a kind: that of the kit's objects of this kind, of its definitions, or of Kubernetes' own.
fn group_of(plan: &Plan, kind: &str) -> String {
    let objects = plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object);
    let own = objects.filter(|object| object.kind() == kind).map(Object::group).next();
    let text =
        |definition: &'_ Value, pointer: &str| definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let mut defined = plan.definitions.iter().filter(|it| text(it, "/spec/names/kind").as_deref() == Some(kind));
    let known = || GROUPS.iter().find(|(_, kinds)| kinds.contains(&kind)).map_or("", |(group, _)| *group).to_owned();
    own.map(str::to_owned).or_else(|| defined.find_map(|it| text(it, "/spec/group"))).unwrap_or_else(known)
}

/// Everything that `up` does to the cluster for a plan, in the order of namespace, group and resource. Reading the number
/// of nodes and the certificate authority is left out: it goes on without.
pub fn rights(plan: &Plan) -> BTreeSet<Right> {
    let mut rights = Rights::default();
    rights.records();
    for phase in &plan.phases {
        for item in &phase.items {
            rights.object(&item.object, &resource_of(plan, item.object.group(), item.object.kind()));
        }
        for gate in phase.gates.iter().filter(|gate| gate.skipped.is_none()) {
            rights.gate(plan, gate);
        }
    }
    rights.data(plan);
    // A right without a name covers the same right with one.
    let all = rights.0;
    let whole = |right: &Right| all.contains(&Right { name: None, ..right.clone() });
    all.iter().filter(|right| right.name.is_none() || !whole(right)).cloned().collect()
}

/// The Role of each namespace and the ClusterRole that give exactly these rights, with the namespaces they live in, so that
/// an administrator can apply them before the first run; and bindings to `subject` (an entry of `subjects`) if there is one.
pub fn roles(plan: &Plan, rights: &BTreeSet<Right>, subject: Option<&Value>) -> Vec<Value> {
    let name = format!("rekindle-{}", plan.environment.replace('/', "-"));
    let mut scopes: BTreeMap<Option<&str>, Vec<&Right>> = BTreeMap::new();
    for right in rights {
        scopes.entry(right.namespace.as_deref()).or_default().push(right);
    }
    // Labelled as the kit's own, so that the run which follows finds them its own.
    let ours = json!({"app.kubernetes.io/managed-by": "rekindle"});
    let own = plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object);
    let own = own.filter(|object| object.group().is_empty() && object.kind() == "Namespace");
    let own = own.map(|object| (object.name(), object.body().pointer("/metadata/labels").unwrap_or(&Value::Null)));
    let namespaces: BTreeMap<&str, &Value> = own.chain([(SYSTEM_NAMESPACE, &ours)]).collect();
    let namespace = |name: &&str, labels: &Value| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let mut documents: Vec<Value> =
        scopes.keys().flatten().filter_map(|name| Some(namespace(name, namespaces.get(name)?))).collect();
    for (namespace, rights) in &scopes {
        let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
        let metadata = |name: &str| match namespace {
            Some(namespace) => json!({"name": name, "namespace": namespace}),
            None => json!({"name": name}),
        };
        documents.push(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata(&name), "rules": rules(rights),
        }));
        if let Some(subject) = subject {
            documents.push(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1", "kind": format!("{kind}Binding"), "metadata": metadata(&name),
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                "subjects": [subject],
            }));
        }
    }
    documents
}

/// Rules with the same verbs on the same group are one rule.
fn rules(rights: &[&Right]) -> Vec<Value> {
    let mut verbs: BTreeMap<(&str, &str, Option<&str>), BTreeSet<&str>> = BTreeMap::new();
    for right in rights {
        verbs.entry((&right.group, &right.resource, right.name.as_deref())).or_default().insert(&right.verb);
    }
    let mut rules: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for ((group, resource, name), verbs) in verbs {
        rules.entry((group, name, verbs)).or_default().push(resource);
    }
    rules
        .into_iter()
        .map(|((group, name, verbs), resources)| {
            let mut rule = json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
            if let (Some(name), Some(rule)) = (name, rule.as_object_mut()) {
                rule.insert("resourceNames".into(), json!([name]));
            }
            rule
        })
        .collect()
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
