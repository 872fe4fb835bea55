//! Which pods belong to a workload's current revision.

use std::cmp::Reverse;

use serde_json::Value;

use super::fields::{condition, group, is_true, items, name, number, text};

const REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";
const HASH: &str = "/metadata/labels/controller-revision-hash";

/// The pods of a workload's *current* revision among the pods and ReplicaSets of its namespace: pods of an earlier
/// rollout say nothing about this one.
///
/// * Deployment: pods of the ReplicaSet whose revision annotation (`deployment.kubernetes.io/revision`) is the
///   Deployment's; without ReplicaSets, of the newest `pod-template-hash`.
/// * StatefulSet: pods whose `controller-revision-hash` is `status.updateRevision`; all of them with `OnDelete` or a
///   partition, where old pods are wanted; and, with ordered pod management, old pods that are not ready, because
///   they hold the rollout back.
/// * DaemonSet: pods of the newest `pod-template-generation`; all of them with `OnDelete`.
/// * Anything else: pods that it controls.
pub fn pods_of<'a>(workload: &Value, pods: &[&'a Value], replica_sets: &[&Value]) -> Vec<&'a Value> {
    let owned: Vec<&'a Value> = match (group(workload), text(workload, "/kind")) {
        ("apps" | "extensions", "Deployment") => return pods_of_deployment(workload, pods, replica_sets),
        ("", "Pod") => return Vec::new(),
        _ => pods.iter().copied().filter(|pod| is_owned_by(pod, workload)).collect(),
    };
    let strategy = text(workload, "/spec/updateStrategy/type");
    match (group(workload), text(workload, "/kind")) {
        ("apps", "StatefulSet") => {
            let update = text(workload, "/status/updateRevision");
            let partition = number(workload, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
            if update.is_empty() || strategy == "OnDelete" || partition > 0 {
                return owned;
            }
            let ordered = text(workload, "/spec/podManagementPolicy") != "Parallel";
            owned
                .into_iter()
                .filter(|pod| {
                    let old = text(pod, HASH) != update;
                    !old || (ordered && !condition(pod, "Ready").is_some_and(|it| it.is_true()))
                })
                .collect()
        }
        ("apps" | "extensions", "DaemonSet") if strategy != "OnDelete" => {
            let generation = |pod: &Value| number(pod, "/metadata/labels/pod-template-generation");
            let newest = owned.iter().filter_map(|pod| generation(pod)).max();
            owned.into_iter().filter(|pod| newest.is_none() || generation(pod) == newest).collect()
        }
        _ => owned,
    }
}

fn pods_of_deployment<'a>(deployment: &Value, pods: &[&'a Value], replica_sets: &[&Value]) -> Vec<&'a Value> {
    let mut sets: Vec<&Value> = replica_sets.iter().copied().filter(|set| is_owned_by(set, deployment)).collect();
    sets.sort_by_key(|set| Reverse(number(set, REVISION).unwrap_or_default()));
    let revision = number(deployment, REVISION);
    let current = sets.iter().find(|set| revision.is_some() && number(set, REVISION) == revision).or(sets.first());
    if let Some(current) = current {
        return pods.iter().copied().filter(|pod| is_owned_by(pod, current)).collect();
    }
    // Without ReplicaSets, their names are known: the Deployment's and the template's hash.
    let hash = |pod: &Value| text(pod, "/metadata/labels/pod-template-hash").to_owned();
    let of_deployment: Vec<&'a Value> = pods
        .iter()
        .copied()
        .filter(|pod| {
            let hash = hash(pod);
            !hash.is_empty()
                && same_namespace(pod, deployment)
                && owner(pod).is_some_and(|owner| {
                    text(owner, "/kind") == "ReplicaSet"
                        && text(owner, "/name") == format!("{}-{hash}", name(deployment))
                })
        })
        .collect();
    let newest = of_deployment.iter().max_by_key(|pod| text(pod, "/metadata/creationTimestamp")).map(|pod| hash(pod));
    of_deployment.into_iter().filter(|pod| Some(hash(pod)) == newest).collect()
}

/// The controlling owner of an object.
pub(crate) fn owner(object: &Value) -> Option<&Value> {
    items(object, "/metadata/ownerReferences").iter().find(|owner| is_true(owner, "/controller"))
}

/// Whether the owner controls the object: by UID, or by kind and name where a dump has lost the UIDs.
pub(crate) fn is_owned_by(object: &Value, owner: &Value) -> bool {
    let uid = text(owner, "/metadata/uid");
    self::owner(object).is_some_and(|reference| {
        if uid.is_empty() || text(reference, "/uid").is_empty() {
            same_namespace(object, owner)
                && text(reference, "/kind") == text(owner, "/kind")
                && text(reference, "/name") == name(owner)
        } else {
            text(reference, "/uid") == uid
        }
    })
}

fn same_namespace(a: &Value, b: &Value) -> bool {
    text(a, "/metadata/namespace") == text(b, "/metadata/namespace")
}
