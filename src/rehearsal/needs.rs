//! What a rebuild needs from outside, read off its plan: nodes, volumes, images, hosts.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::accident::requested;
use crate::manifest::Object;
use crate::manifest::kinds::plural;
use crate::plan::Plan;

/// What a rebuild needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Needs {
    /// Nodes, so that pods that must be apart can be, and none has more pods than a kubelet takes.
    pub nodes: usize,
    /// Pods of workloads; those of DaemonSets, of which there is one a node, are not counted.
    pub pods: usize,
    /// Claims, those of StatefulSets' pods counted one by one.
    pub claims: usize,
    /// Bytes of all claims.
    pub bytes: u64,
    /// What makes the volumes, by the kit's storage classes.
    pub provisioners: BTreeSet<String>,
    /// Storage classes that claims name and the kit does not make: the cluster must have them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<String>,
    /// Whether a claim leaves its class to the cluster, and the kit makes no default one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default_class: bool,
    /// Custom kinds that the kit does not define: the cluster must serve them, or an operator of the kit brings them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<CustomKind>,
    /// Images.
    pub images: BTreeSet<String>,
    /// Hosts of Ingresses that DNS must know.
    pub hosts: BTreeSet<String>,
    /// Whether a Service wants a load balancer.
    pub load_balancer: bool,
}

/// A kind of an object whose definition is not in the kit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomKind {
    /// Its kind.
    pub kind: String,
    /// As in `apiVersion`.
    pub api_version: String,
}

impl CustomKind {
    /// Its name in paths, as generators make it. Of two kinds of a group that differ only by an `s` the longer one has another.
    fn plural(&self) -> String {
        let lower = self.kind.to_lowercase();
        if lower.ends_with('s') && plural(&lower) == lower { format!("{lower}es") } else { plural(&lower) }
    }

    /// A definition of it that takes everything; in namespaces, since nothing says otherwise.
    pub fn definition(&self) -> Value {
        let (group, version) = self.api_version.split_once('/').unwrap_or(("", &self.api_version));
        json!({"spec": {
            "group": group, "scope": "Namespaced", "names": {"kind": self.kind, "plural": self.plural()},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        }})
    }
}

/// Pods that a node takes unless it is told otherwise. Source: `maxPods` of Kubernetes' pkg/kubelet/apis/config.
const PODS_OF_A_NODE: usize = 110;

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The pod template of an object, and how many pods it makes.
fn template(object: &Object) -> Option<(&Value, usize)> {
    let body = object.body();
    let pointer = match (object.group(), object.kind()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job") => "/spec/template/spec",
        ("batch", "CronJob") => "/spec/jobTemplate/spec/template/spec",
        ("", "Pod") => "/spec",
        _ => return None,
    };
    let replicas = body.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(1);
    Some((body.pointer(pointer)?, usize::try_from(replicas).unwrap_or(usize::MAX)))
}

/// Reads the needs off a plan.
pub fn needs(plan: &Plan) -> Needs {
    let kind = |object: &Object| CustomKind { kind: object.kind().into(), api_version: object.api_version().into() };
    let kinds = plan.of_foreign_kinds().map(kind).collect();
    let mut needs = Needs { nodes: 1, claims: plan.claims.len(), kinds, ..Needs::default() };
    needs.bytes = plan.claims.iter().map(requested).fold(0, u64::saturating_add);
    for object in plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.object) {
        let body = object.body();
        match object.kind() {
            "StorageClass" => drop(needs.provisioners.insert(text(body, "/provisioner").to_owned())),
            "Ingress" => needs.hosts.extend(list(body, "/spec/rules").map(|rule| text(rule, "/host").to_owned())),
            "Service" => needs.load_balancer |= text(body, "/spec/type") == "LoadBalancer",
            _ => {}
        }
        let Some((spec, replicas)) = template(object) else { continue };
        let containers = list(spec, "/initContainers").chain(list(spec, "/containers"));
        needs.images.extend(containers.map(|container| text(container, "/image").to_owned()));
        let by_host = |it: &&Value| text(it, "/topologyKey") == "kubernetes.io/hostname";
        let apart = list(spec, "/topologySpreadConstraints")
            .filter(by_host)
            .any(|it| text(it, "/whenUnsatisfiable") != "ScheduleAnyway")
            || list(spec, "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution")
                .any(|it| by_host(&it));
        if apart {
            needs.nodes = needs.nodes.max(replicas);
        }
        if object.kind() != "DaemonSet" {
            needs.pods = needs.pods.saturating_add(replicas);
        }
    }
    needs.nodes = needs.nodes.max(needs.pods.div_ceil(PODS_OF_A_NODE));
    needs.hosts.retain(|host| !host.is_empty());
    let made = || plan.items().map(|item| &item.object).filter(|object| object.kind() == "StorageClass");
    let is_default = |object: &Object| text(object.body(), &format!("/metadata/annotations/{DEFAULT_CLASS}")) == "true";
    for claim in &plan.claims {
        match claim.class() {
            // A volume that is there already, and no class.
            Some("") => {}
            Some(class) if made().any(|object| object.name() == class) => {}
            Some(class) => drop(needs.classes.insert(class.to_owned())),
            None => needs.default_class |= !made().any(is_default),
        }
    }
    needs
}

/// The annotation of a default StorageClass, as a part of a JSON pointer.
pub const DEFAULT_CLASS: &str = "storageclass.kubernetes.io~1is-default-class";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_differ_by_an_s_have_paths_of_their_own() {
        let plural = |kind: &str| CustomKind { kind: kind.into(), api_version: "example.org/v1".into() }.plural();
        assert_eq!(
            ["Thing", "Things", "Policy", "Mesh", "Box"].map(plural),
            ["things", "thingses", "policies", "meshs", "boxes"]
        );
    }
}
