//! What a rebuild needs from outside, read off its plan: nodes, volumes, images, hosts.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::accident::requested;
use super::controllers::matching::unfit;
use super::nodes::{Supposed, Workload, for_apart, workloads};
use super::scheduling::{list, text};
use super::store::Key;
use crate::manifest::Object;
use crate::manifest::kinds::plural;
use crate::plan::Plan;

/// What a rebuild needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Needs {
    /// Nodes, so that pods that must be apart can be, and none has more pods than a kubelet takes.
    pub nodes: usize,
    /// Nodes, so that pods that spread over hosts can have one each; on fewer they share.
    pub nodes_to_spread: usize,
    /// What has to be said of nodes by their labels, a phrase each.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// Pods of workloads that run at once; those of DaemonSets, of which there is one a node, are not counted.
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
    /// Other classes that pods and Ingresses name and the kit does not make.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub other_classes: BTreeSet<NeededClass>,
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

/// A class that the cluster must have: of priorities, of runtimes, of Ingresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NeededClass {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl Needs {
    /// How many nodes a simulated cluster has where nobody says it.
    pub fn simulated_nodes(&self) -> usize {
        self.nodes.max(self.nodes_to_spread).max(1)
    }
}

impl NeededClass {
    /// Where it is stored, and one that does nothing.
    pub fn simulated(&self) -> (Key, Value) {
        let (group, resource, body) = match self.kind {
            "PriorityClass" => ("scheduling.k8s.io", "priorityclasses", json!({"value": 0})),
            "RuntimeClass" => ("node.k8s.io", "runtimeclasses", json!({"handler": self.name})),
            _ => ("networking.k8s.io", "ingressclasses", json!({"spec": {"controller": "simulated.example/ingress"}})),
        };
        (Key::new(group, resource, "", &self.name), body)
    }
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
/// Nodes that are supposed one by one at most.
const MOST_NODES: usize = 5000;

/// Pods that a simulated cluster of some nodes would have in the end.
pub fn simulated_pods(plan: &Plan, nodes: usize) -> usize {
    let of = |it: &Workload| if it.each_node { nodes } else { it.in_all };
    workloads(plan).iter().map(of).fold(0, usize::saturating_add)
}

/// Classes that pods and Ingresses name and the kit does not make. Those of Kubernetes itself, `system-…`, are always there.
fn other_classes(plan: &Plan, workloads: &[Workload]) -> BTreeSet<NeededClass> {
    let named = |kind: &'static str, name: &str| NeededClass { kind, name: name.to_owned() };
    let of_pods = workloads.iter().flat_map(|it| {
        let of = |kind, pointer| named(kind, text(&it.pod, pointer));
        [of("PriorityClass", "/spec/priorityClassName"), of("RuntimeClass", "/spec/runtimeClassName")]
    });
    let objects = || plan.items().map(|item| &item.object);
    let ingresses = objects().filter(|it| it.kind() == "Ingress");
    let of_ingresses = ingresses.map(|it| named("IngressClass", text(it.body(), "/spec/ingressClassName")));
    let made = |class: &NeededClass| objects().any(|it| it.kind() == class.kind && it.name() == class.name);
    of_pods
        .chain(of_ingresses)
        .filter(|it| {
            let is_always_there = it.kind == "PriorityClass" && it.name.starts_with("system-");
            !(it.name.is_empty() || is_always_there || made(it))
        })
        .collect()
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
    }
    let workloads = workloads(plan);
    for workload in &workloads {
        let containers = list(&workload.pod, "/spec/initContainers").chain(list(&workload.pod, "/spec/containers"));
        needs.images.extend(containers.map(|container| text(container, "/image").to_owned()));
        if !workload.each_node {
            needs.pods = needs.pods.saturating_add(workload.at_once);
        }
    }
    needs.other_classes = other_classes(plan, &workloads);
    let least = for_apart(&workloads).max(needs.pods.div_ceil(PODS_OF_A_NODE)).max(1);
    // More pods than a simulation takes are refused before anybody asks for nodes.
    let supposed = Supposed::of(plan, &workloads, least.min(MOST_NODES), None);
    needs.nodes = supposed.nodes.len().max(least);
    needs.labels = supposed.told;
    needs.nodes_to_spread = workloads.iter().map(Workload::spread).max().unwrap_or(1).clamp(1, MOST_NODES);
    needs.hosts.retain(|host| !host.is_empty());
    let made = || plan.items().map(|item| &item.object).filter(|object| object.kind() == "StorageClass");
    let volumes = || plan.items().map(|item| &item.object).filter(|object| object.kind() == "PersistentVolume");
    let is_default = |object: &Object| text(object.body(), &format!("/metadata/annotations/{DEFAULT_CLASS}")) == "true";
    for claim in &plan.claims {
        match claim.class() {
            // A volume that is there already, and no class.
            Some("") => {}
            Some(class) if made().any(|object| object.name() == class) => {}
            // A name that brings the kit's own volumes and claims together.
            Some(class) if volumes().any(|volume| text(volume.body(), "/spec/storageClassName") == class) => {}
            Some(class) => drop(needs.classes.insert(class.to_owned())),
            // As without a default class, where a volume of the kit has none either.
            None if !made().any(is_default) && volumes().any(|it| unfit(it.body(), &claim.body, "").is_none()) => {}
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
