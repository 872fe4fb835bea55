//! StatefulSets and DaemonSets.

use serde_json::{Value, json};

use super::workloads::drop_zeros;
use super::{count, hash_of, is_ready, make_pod, number, pods_of};
use crate::rehearsal::deletion::{Propagation, delete};
use crate::rehearsal::scheduling::{admits, daemon_tolerations};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

const HASH: &str = "controller-revision-hash";

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn hash(pod: &Value) -> &str {
    pod.pointer("/metadata/labels").and_then(|labels| labels.get(HASH)).and_then(Value::as_str).unwrap_or_default()
}

/// A StatefulSet: pods with numbers from its first one on, each with claims of its own, one after the other or all at once.
pub fn stateful_set(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let want = number(&object, "/spec/replicas").unwrap_or(1);
    let first = number(&object, "/spec/ordinals/start").unwrap_or_default();
    let numbers = first..first.saturating_add(want);
    let parallel = text(&object, "/spec/podManagementPolicy") == "Parallel";
    let template = object.pointer("/spec/template").cloned().unwrap_or_default();
    let revision = format!("{}-{}", key.name, hash_of(&template));
    for ordinal in numbers.clone() {
        let pod = Key::new("", "pods", &key.namespace, &format!("{}-{ordinal}", key.name));
        match world.store.get(&pod) {
            None => {
                let template = with_claims(world, key, &object, &template, ordinal);
                let labels = [
                    (HASH, revision.as_str()),
                    ("statefulset.kubernetes.io/pod-name", pod.name.as_str()),
                    ("apps.kubernetes.io/pod-index", &ordinal.to_string()),
                ];
                let made = make_pod(world, &object, &pod.name, &template, &labels);
                if !parallel || made.is_err() {
                    break;
                }
            }
            Some(found) if !parallel && !is_ready(found) => break,
            Some(_) => {}
        }
    }
    let pods = pods_of(world, &object);
    let ordinal = |name: &str| name.rsplit('-').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    for (pod, _) in pods.iter().filter(|(pod, _)| !numbers.contains(&ordinal(&pod.name))) {
        delete(world, pod, Propagation::Background);
    }
    let kept: Vec<_> = pods.into_iter().filter(|(pod, _)| numbers.contains(&ordinal(&pod.name))).collect();
    let all_ready = kept.iter().all(|(_, pod)| is_ready(pod));
    if text(&object, "/spec/updateStrategy/type") != "OnDelete" && kept.len() as u64 == want {
        // A partition counts from the first number. Source: `newVersionedStatefulSetPod` of pkg/controller/statefulset.
        let partition = number(&object, "/spec/updateStrategy/rollingUpdate/partition").unwrap_or_default();
        let partition = first.saturating_add(partition);
        let old = kept.iter().filter(|(pod, found)| hash(found) != revision && ordinal(&pod.name) >= partition);
        // A pod of the old revision is only replaced while all others are ready.
        if let Some((pod, _)) = old.max_by_key(|(pod, _)| ordinal(&pod.name)).filter(|_| all_ready) {
            delete(world, pod, Propagation::Background);
        }
    }
    let pods = pods_of(world, &object);
    let ready = count(&pods, |(_, pod)| is_ready(pod));
    let updated = count(&pods, |(_, pod)| hash(pod) == revision);
    world.edit(key, |set| {
        let current = text(set, "/status/currentRevision").to_owned();
        let done = updated == want && ready == want;
        let current = if current.is_empty() || done { revision.clone() } else { current };
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "replicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": ready, "currentReplicas": if current == revision { updated } else { 0 },
            "updatedReplicas": updated, "currentRevision": current, "updateRevision": revision, "collisionCount": 0,
        });
        drop_zeros(&mut set["status"]);
        set["status"]["replicas"] = pods.len().into();
        set["status"]["availableReplicas"] = ready.into();
    });
}

/// The template of a numbered pod: its claims are made where they are not there, and mounted by their names.
fn with_claims(world: &mut World, key: &Key, set: &Value, template: &Value, ordinal: u64) -> Value {
    let mut template = template.clone();
    let claims = set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).cloned().unwrap_or_default();
    for claim in claims {
        let volume = text(&claim, "/metadata/name").to_owned();
        let name = format!("{volume}-{}-{ordinal}", key.name);
        let mut metadata = claim.get("metadata").cloned().unwrap_or_default();
        let labels = set.pointer("/spec/selector/matchLabels").and_then(Value::as_object).cloned().unwrap_or_default();
        for (label, value) in labels {
            metadata["labels"][label] = value;
        }
        world.make(
            &Key::new("", "persistentvolumeclaims", &key.namespace, &name),
            json!({"metadata": metadata, "spec": claim["spec"]}),
        );
        let volumes = template["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let others = volumes.into_iter().filter(|known| known["name"] != volume.as_str());
        let own = json!({"name": volume, "persistentVolumeClaim": {"claimName": name}});
        template["spec"]["volumes"] = others.chain([own]).collect();
    }
    template["spec"]["hostname"] = format!("{}-{ordinal}", key.name).into();
    template
}

/// A DaemonSet: a pod on each node that may have it.
pub fn daemon_set(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let template = object.pointer("/spec/template").cloned().unwrap_or_default();
    let hash_now = hash_of(&template);
    let mut pod = json!({"spec": template["spec"]});
    let tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
    pod["spec"]["tolerations"] = tolerations.into_iter().chain(daemon_tolerations()).collect();
    let nodes = world.store.list(&(String::new(), "nodes".into()), None).filter(|(_, node)| admits(&pod, node));
    let nodes: Vec<String> = nodes.map(|((_, name), _)| name.clone()).collect();
    let generation = number(&object, "/metadata/generation").unwrap_or(1).to_string();
    for node in &nodes {
        let name = format!("{}-{}", key.name, &hash_of(&json!([key.name, node, hash_now]))[..5]);
        if world.store.get(&Key::new("", "pods", &key.namespace, &name)).is_none() {
            let mut template = template.clone();
            template["spec"]["nodeName"] = node.as_str().into();
            let labels = [(HASH, hash_now.as_str()), ("pod-template-generation", generation.as_str())];
            if make_pod(world, &object, &name, &template, &labels).is_err() {
                break;
            }
        }
    }
    let pods = pods_of(world, &object);
    for (pod, _) in pods.iter().filter(|(_, pod)| hash(pod) != hash_now) {
        delete(world, pod, Propagation::Background);
    }
    let pods = pods_of(world, &object);
    let ready = count(&pods, |(_, pod)| is_ready(pod));
    let updated = count(&pods, |(_, pod)| hash(pod) == hash_now);
    world.edit(key, |set| {
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"], "desiredNumberScheduled": nodes.len(),
            "currentNumberScheduled": pods.len(), "updatedNumberScheduled": updated, "numberReady": ready,
            "numberAvailable": ready, "numberMisscheduled": 0,
        });
    });
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
