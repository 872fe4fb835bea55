//! The verdicts on a set of objects, each judged in the context of the others: a workload with its pods, a claim with
//! its class, a custom resource with its definition.

use std::collections::HashMap;

use serde_json::Value;

use super::status::{Related, Status, owner, pods_of, status};

/// Judges every object of a set; verdicts come in the order of the objects.
pub fn review(objects: &[Value]) -> Vec<Status> {
    let index = Index::new(objects);
    objects.iter().map(|object| index.judge(object)).collect()
}

/// An owner as its dependents name it: namespace, kind, name. UIDs are compared by [`pods_of`].
type Owner<'a> = (&'a str, &'a str, &'a str);

#[derive(Default)]
struct Index<'a> {
    pods: HashMap<Owner<'a>, Vec<&'a Value>>,
    replica_sets: HashMap<Owner<'a>, Vec<&'a Value>>,
    storage_classes: Vec<&'a Value>,
    definitions: HashMap<(&'a str, &'a str), &'a Value>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn group(object: &Value) -> &str {
    text(object, "/apiVersion").split_once('/').map_or("", |(group, _)| group)
}

impl<'a> Index<'a> {
    fn new(objects: &'a [Value]) -> Self {
        let mut index = Self::default();
        for object in objects {
            match (group(object), text(object, "/kind")) {
                ("", "Pod") => index.add_pod(object),
                ("apps", "ReplicaSet") => {
                    if let Some(owner) = owner_of(object) {
                        index.replica_sets.entry(owner).or_default().push(object);
                    }
                }
                ("storage.k8s.io", "StorageClass") => index.storage_classes.push(object),
                ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                    let kind = (text(object, "/spec/group"), text(object, "/spec/names/kind"));
                    index.definitions.insert(kind, object);
                }
                _ => {}
            }
        }
        index
    }

    fn add_pod(&mut self, pod: &'a Value) {
        if let Some(owner) = owner_of(pod) {
            self.pods.entry(owner).or_default().push(pod);
        }
        // A pod of a Deployment is owned by a ReplicaSet, which may not be in the set; its name tells the Deployment's.
        let hash = text(pod, "/metadata/labels/pod-template-hash");
        let of_set = owner(pod).filter(|owner| text(owner, "/kind") == "ReplicaSet").map(|owner| text(owner, "/name"));
        let deployment = of_set.and_then(|name| name.strip_suffix(hash)).and_then(|name| name.strip_suffix('-'));
        if let Some(deployment) = deployment.filter(|_| !hash.is_empty()) {
            let key = (text(pod, "/metadata/namespace"), "Deployment", deployment);
            self.pods.entry(key).or_default().push(pod);
        }
    }

    fn judge(&self, object: &'a Value) -> Status {
        let sets = of(&self.replica_sets, object);
        let mut candidates = of(&self.pods, object);
        candidates.extend(sets.iter().flat_map(|set| of(&self.pods, set)));
        let pods = if candidates.is_empty() { Vec::new() } else { pods_of(object, &candidates, &sets) };
        status(
            object,
            Related {
                pods: &pods,
                storage_classes: &self.storage_classes,
                crd: self.definitions.get(&(group(object), text(object, "/kind"))).copied(),
                ready_expression: None,
            },
        )
    }
}

fn owner_of(object: &Value) -> Option<Owner<'_>> {
    let owner = owner(object)?;
    Some((text(object, "/metadata/namespace"), text(owner, "/kind"), text(owner, "/name")))
}

/// What an object may own.
fn of<'a>(index: &HashMap<Owner<'a>, Vec<&'a Value>>, object: &'a Value) -> Vec<&'a Value> {
    let key = (text(object, "/metadata/namespace"), text(object, "/kind"), text(object, "/metadata/name"));
    index.get(&key).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_judged_in_each_others_context() {
        let crashing = json!({"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1}}}]});
        let objects = [
            json!({"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "api", "namespace": "a", "uid": "d", "annotations": {"deployment.kubernetes.io/revision": "1"}},
                "spec": {"replicas": 1}, "status": {"replicas": 1, "updatedReplicas": 1}}),
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "api-1", "namespace": "a", "uid": "r",
                "annotations": {"deployment.kubernetes.io/revision": "1"},
                "ownerReferences": [{"kind": "Deployment", "name": "api", "uid": "d", "controller": true}]},
                "spec": {"replicas": 1}, "status": {"replicas": 1}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api-1-x", "namespace": "a",
                "ownerReferences": [{"kind": "ReplicaSet", "name": "api-1", "uid": "r", "controller": true}]},
                "status": crashing.clone()}),
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
                "spec": {"storageClassName": "late"}, "status": {"phase": "Pending"}}),
            json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
                "volumeBindingMode": "WaitForFirstConsumer"}),
            json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}),
            json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "spec": {"group": "example.com", "names": {"kind": "Widget"},
                    "versions": [{"name": "v1", "subresources": {"status": {}}}]},
                "status": {"conditions": [{"type": "Established", "status": "True"}]}}),
            // Another namespace, no ReplicaSet in the set.
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "b"},
                "spec": {"replicas": 1}, "status": {"replicas": 1, "updatedReplicas": 1}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "api-2-y", "namespace": "b",
                "labels": {"pod-template-hash": "2"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "api-2", "uid": "q", "controller": true}]},
                "status": crashing}),
        ];
        let found: Vec<String> =
            review(&objects).iter().map(|verdict| format!("{verdict}: {}", verdict.reason())).collect();
        assert!(found[0].starts_with("failed: 0 of 1 pod ready: container c of pod api-1-x exits"), "{}", found[0]);
        assert!(found[1].starts_with("failed: 0 of 1 pod ready: container c of pod api-1-x exits"), "{}", found[1]);
        assert!(found[2].starts_with("failed: container c of pod api-1-x exits"), "{}", found[2]);
        assert_eq!(found[3], "ready: waits for its first consumer");
        assert_eq!(found[5], "progressing: created, nobody has looked at it yet");
        assert!(found[7].contains("api-2-y"), "{}", found[7]);
    }
}
