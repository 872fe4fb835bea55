//! Deployments and ReplicaSets.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Step, condition, count, hash_of, is_ready, letters, make_pod, number, owner_reference, pods_of, seconds};
use crate::rehearsal::deletion::{Propagation, children, delete};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

const REVISION: &str = "deployment.kubernetes.io/revision";

fn revision(object: &Value) -> u64 {
    let text = object.pointer("/metadata/annotations").and_then(|annotations| annotations.get(REVISION));
    text.and_then(Value::as_str).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// A Deployment: a ReplicaSet for its template; older ones go when the new one is available.
pub fn deployment(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let want = number(&object, "/spec/replicas").unwrap_or(1);
    let template = object.pointer("/spec/template").cloned().unwrap_or_default();
    let hash = hash_of(&template);
    let name = format!("{}-{hash}", key.name);
    let own: Vec<Key> = children(world, &object).into_iter().filter(|key| key.resource == "replicasets").collect();
    let current = Key::new("apps", "replicasets", &key.namespace, &name);
    let paused = object.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    let newest = own.iter().filter_map(|key| world.store.get(key)).map(|set| revision(set)).max().unwrap_or_default();
    match world.store.get(&current).cloned() {
        None if paused => {}
        None => {
            let next = (newest + 1).to_string();
            let mut labelled = template;
            labelled["metadata"]["labels"]["pod-template-hash"] = hash.as_str().into();
            let mut selector = object.pointer("/spec/selector").cloned().unwrap_or_else(|| json!({}));
            selector["matchLabels"]["pod-template-hash"] = hash.as_str().into();
            let labels = labelled.pointer("/metadata/labels").cloned();
            let metadata = json!({"labels": labels, "annotations": {REVISION: next}, "ownerReferences": [owner_reference(&object)]});
            world.make(
                &current,
                json!({"metadata": metadata, "spec": {"replicas": want, "selector": selector, "template": labelled}}),
            );
            if let Some(deadline) = seconds(&object, "/spec/progressDeadlineSeconds") {
                let generation = number(&object, "/metadata/generation").unwrap_or(1);
                world.plan(Step::Deadline(key.clone(), generation), deadline);
            }
            world.edit(key, |object| object["metadata"]["annotations"][REVISION] = next.into());
        }
        Some(set) => {
            if number(&set, "/spec/replicas") != Some(want) {
                scale(world, &current, want);
            }
            let mine = if revision(&set) < newest { newest + 1 } else { revision(&set) };
            world.edit(&current, |set| set["metadata"]["annotations"][REVISION] = mine.to_string().into());
            world.edit(key, |object| object["metadata"]["annotations"][REVISION] = mine.to_string().into());
        }
    }
    let available =
        world.store.get(&current).and_then(|set| number(set, "/status/availableReplicas")).unwrap_or_default();
    let mut rest = 0;
    for old in own.iter().filter(|old| **old != current) {
        let running = world.store.get(old).map_or(0, |set| number(set, "/status/replicas").unwrap_or_default());
        rest += running;
        if available >= want && !paused {
            scale(world, old, 0);
        }
    }
    tell(world, key, &current, rest);
}

fn scale(world: &mut World, set: &Key, replicas: u64) {
    world.edit(set, |set| {
        if number(set, "/spec/replicas") != Some(replicas) {
            set["spec"]["replicas"] = replicas.into();
            let generation = number(set, "/metadata/generation").unwrap_or(1);
            set["metadata"]["generation"] = (generation + 1).into();
        }
    });
}

/// Writes a Deployment's status from those of its ReplicaSets; `old`: pods of earlier ones.
fn tell(world: &mut World, key: &Key, current: &Key, old: u64) {
    let now = world.now();
    let of_set = |world: &World, name: &str| {
        world.store.get(current).and_then(|set| number(set, &format!("/status/{name}"))).unwrap_or_default()
    };
    let (updated, ready, available) =
        (of_set(world, "replicas"), of_set(world, "readyReplicas"), of_set(world, "availableReplicas"));
    let failure = world.store.get(current).and_then(|set| set.pointer("/status/conditions")).cloned();
    world.edit(key, |object| {
        let want = number(object, "/spec/replicas").unwrap_or(1);
        let complete = updated == want && available == want && old == 0;
        let late = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
        let late = late.into_iter().find(|it| it["reason"] == "ProgressDeadlineExceeded").cloned();
        let enough = available + 1 > want.saturating_sub(want / 4);
        let since = |kind: &str, status: &str| {
            let conditions = object.pointer("/status/conditions").and_then(Value::as_array).into_iter().flatten();
            let known = conditions.into_iter().find(|it| it["type"] == kind && it["status"] == status);
            known.map_or_else(|| json!(now), |known| known["lastTransitionTime"].clone())
        };
        let minimum = if enough {
            json!({"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable",
                "message": "Deployment has minimum availability.", "lastTransitionTime": since("Available", "True")})
        } else {
            json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable",
                "message": "Deployment does not have minimum availability.", "lastTransitionTime": since("Available", "False")})
        };
        let name = current.name.as_str();
        let progress = match late {
            Some(late) if !complete => late,
            _ if complete => json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
                "message": format!("ReplicaSet {name:?} has successfully progressed."), "lastTransitionTime": since("Progressing", "True")}),
            _ => json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                "message": format!("ReplicaSet {name:?} is progressing."), "lastTransitionTime": since("Progressing", "True")}),
        };
        let mut conditions = vec![minimum, progress];
        conditions.extend(failure.as_ref().and_then(Value::as_array).into_iter().flatten().cloned());
        object["status"] = json!({
            "observedGeneration": object["metadata"]["generation"], "replicas": updated + old, "updatedReplicas": updated,
            "readyReplicas": ready, "availableReplicas": available, "unavailableReplicas": want.saturating_sub(available),
            "conditions": conditions,
        });
        drop_zeros(&mut object["status"]);
    });
}

/// Counts of zero are left out, as Go does.
pub fn drop_zeros(status: &mut Value) {
    if let Some(status) = status.as_object_mut() {
        status.retain(|name, value| value != &json!(0) || name == "observedGeneration");
    }
}

/// The progress deadline has come: if its generation still is not complete, the Deployment says so.
pub fn deadline(world: &mut World, key: &Key, generation: u64) {
    let now = world.now();
    world.edit(key, |object| {
        let want = number(object, "/spec/replicas").unwrap_or(1);
        let same = number(object, "/metadata/generation") == Some(generation);
        if !same || number(object, "/status/availableReplicas").unwrap_or_default() >= want {
            return;
        }
        for it in object.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten() {
            if it["type"] == "Progressing" {
                *it = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                    "message": "ReplicaSet has timed out progressing.", "lastUpdateTime": now, "lastTransitionTime": now});
            }
        }
    });
}

/// A ReplicaSet: as many pods as it wants.
pub fn replica_set(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let now = world.now();
    let want = number(&object, "/spec/replicas").unwrap_or(1);
    let pods = pods_of(world, &object);
    let have = pods.len() as u64;
    let template = object.pointer("/spec/template").cloned().unwrap_or_default();
    let mut refused = None;
    for _ in have..want {
        let name = format!("{}-{}", key.name, letters(world.number()));
        refused = make_pod(world, &object, &name, &template, &[]).err();
        if refused.is_some() {
            break;
        }
    }
    // Those that are not ready go first.
    let mut spare = pods;
    spare.sort_by_key(|(_, pod)| is_ready(pod));
    for (pod, _) in spare.iter().take(usize::try_from(have.saturating_sub(want)).unwrap_or_default()) {
        delete(world, pod, Propagation::Background);
    }
    let pods = pods_of(world, &object);
    let ready = count(&pods, |(_, pod)| is_ready(pod));
    let patience = seconds(&object, "/spec/minReadySeconds").unwrap_or_default();
    let available = if patience.is_zero() { ready } else { available(world, key, &pods, patience) };
    world.edit(key, |set| {
        let before = set.pointer("/status/conditions/0").filter(|it| it["message"].as_str() == refused.as_deref());
        let since = before.map_or(json!(now), |it| it["lastTransitionTime"].clone());
        set["status"] = json!({
            "replicas": pods.len(), "fullyLabeledReplicas": pods.len(), "readyReplicas": ready, "availableReplicas": available,
            "observedGeneration": set["metadata"]["generation"],
        });
        drop_zeros(&mut set["status"]);
        if pods.is_empty() {
            set["status"]["replicas"] = 0.into();
        }
        if let Some(why) = refused {
            set["status"]["conditions"] = json!([{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
                "message": why, "lastTransitionTime": since}]);
        }
    });
}

/// Pods that have been ready for long enough; looks again when the next one has.
fn available(world: &mut World, key: &Key, pods: &[(Key, std::sync::Arc<Value>)], patience: Duration) -> u64 {
    let now = world.elapsed();
    let mut enough = 0;
    let mut next = None;
    for (_, pod) in pods.iter().filter(|(_, pod)| condition(pod, "Ready") == Some("True")) {
        let since = pod.pointer("/metadata/annotations/rehearsal~1ready-after").and_then(Value::as_str);
        let since = since.and_then(|text| text.parse().ok()).map_or(now, Duration::from_millis);
        if since + patience <= now {
            enough += 1;
        } else {
            next = Some(next.map_or(since + patience - now, |known: Duration| known.min(since + patience - now)));
        }
    }
    if let Some(next) = next {
        world.look(Step::Look(key.clone()), next);
    }
    enough
}
