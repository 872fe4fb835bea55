//! Everything else that a cluster does by itself: namespaces, claims and volumes, addresses, definitions, budgets.

use serde_json::{Value, json};

use super::{Step, is_ready};
use crate::manifest::schema::kinds_of;
use crate::rehearsal::deletion::{finalizers, is_dying, settle, uid};
use crate::rehearsal::needs::DEFAULT_CLASS;
use crate::rehearsal::request::selects;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Every namespace gets a ServiceAccount and the cluster's certificate authority.
pub fn namespace(world: &mut World, key: &Key) {
    world.make(&Key::new("", "serviceaccounts", &key.name, "default"), json!({}));
    world.make(&Key::new("", "configmaps", &key.name, "kube-root-ca.crt"), json!({"data": {"ca.crt": "simulated"}}));
}

/// The class of a claim, by name or the default one.
fn class_of(world: &World, claim: &Value) -> Option<std::sync::Arc<Value>> {
    let wanted = claim.pointer("/spec/storageClassName").and_then(Value::as_str);
    let classes = ("storage.k8s.io".to_owned(), "storageclasses".to_owned());
    let mut classes = world.store.list(&classes, None).map(|(_, class)| class.clone());
    classes.find(|class| match wanted {
        Some(wanted) => text(class, "/metadata/name") == wanted,
        None => text(class, &format!("/metadata/annotations/{DEFAULT_CLASS}")) == "true",
    })
}

/// A claim: bound to the volume it names, or to one that its class makes, now or when a pod wants it.
pub fn claim(world: &mut World, key: &Key) {
    let Some(claim) = world.store.get(key).cloned() else { return };
    if is_dying(&claim) {
        if !used(world, key) {
            let own = finalizers(&claim).into_iter().filter(|it| it != "kubernetes.io/pvc-protection");
            let own: Vec<String> = own.collect();
            world.edit(key, |claim| claim["metadata"]["finalizers"] = own.into());
            release(world, &claim);
            settle(world, key);
        }
        return;
    }
    if text(&claim, "/status/phase") == "Bound" {
        return;
    }
    let named = text(&claim, "/spec/volumeName").to_owned();
    if !named.is_empty() {
        let volume = Key::new("", "persistentvolumes", "", &named);
        let Some(found) = world.store.get(&volume).cloned() else { return };
        let holder = text(&found, "/spec/claimRef/uid");
        let same = text(&found, "/spec/claimRef/name") == key.name
            && text(&found, "/spec/claimRef/namespace") == key.namespace;
        if found.pointer("/spec/claimRef").is_none() || (same && (holder.is_empty() || holder == uid(&claim))) {
            bind(world, key, &claim, &volume);
        }
        return;
    }
    let Some(class) = class_of(world, &claim) else { return };
    let waits = text(&class, "/volumeBindingMode") == "WaitForFirstConsumer";
    let wanted = claim.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").is_some();
    if !waits || wanted {
        world.look(Step::Volume(key.clone()), world.model.volume);
    }
}

/// Whether a pod mounts a claim.
fn used(world: &World, claim: &Key) -> bool {
    let pods = (String::new(), "pods".to_owned());
    world
        .store
        .list(&pods, Some(&claim.namespace))
        .any(|(_, pod)| crate::rehearsal::pods::claims(pod).contains(&claim.name))
}

/// Makes a claim's volume and binds it.
pub fn provide_volume(world: &mut World, key: &Key) {
    let Some(claim) = world.store.get(key).cloned() else { return };
    let Some(class) = class_of(world, &claim) else { return };
    let name = format!("pvc-{}", uid(&claim));
    let volume = Key::new("", "persistentvolumes", "", &name);
    let body = json!({
        "metadata": {"annotations": {"pv.kubernetes.io/provisioned-by": text(&class, "/provisioner")}},
        "spec": {
            "capacity": {"storage": claim.pointer("/spec/resources/requests/storage")},
            "accessModes": claim.pointer("/spec/accessModes"), "storageClassName": text(&class, "/metadata/name"),
            "persistentVolumeReclaimPolicy": text(&class, "/reclaimPolicy"),
            "csi": {"driver": text(&class, "/provisioner"), "volumeHandle": name},
        },
        "status": {"phase": "Available"},
    });
    world.make(&volume, body);
    bind(world, key, &claim, &volume);
}

fn bind(world: &mut World, key: &Key, claim: &Value, volume: &Key) {
    let id = uid(claim);
    world.edit(volume, |volume| {
        volume["spec"]["claimRef"] = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.namespace,
            "name": key.name, "uid": id});
        volume["status"] = json!({"phase": "Bound"});
    });
    let capacity = world.store.get(volume).and_then(|volume| volume.pointer("/spec/capacity")).cloned();
    world.edit(key, |claim| {
        claim["spec"]["volumeName"] = volume.name.as_str().into();
        claim["status"] = json!({"phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": capacity});
    });
    // Pods that wait for it go on.
    let pods: Vec<Key> = world
        .store
        .list(&(String::new(), "pods".into()), Some(&key.namespace))
        .filter(|(_, pod)| crate::rehearsal::pods::claims(pod).contains(&key.name))
        .map(|((namespace, name), _)| Key::new("", "pods", namespace, name))
        .collect();
    for pod in pods {
        world.look(Step::Look(pod), world.model.controller);
    }
}

/// The claim of a volume goes: the volume is kept or goes too, as its policy says.
fn release(world: &mut World, claim: &Value) {
    let name = text(claim, "/spec/volumeName").to_owned();
    let key = Key::new("", "persistentvolumes", "", &name);
    let Some(volume) = world.store.get(&key).cloned() else { return };
    if text(&volume, "/spec/claimRef/uid") != uid(claim) {
        return;
    }
    if text(&volume, "/spec/persistentVolumeReclaimPolicy") == "Delete" {
        world.edit(&key, |volume| volume["metadata"]["finalizers"] = json!([]));
        world.remove(&key);
    } else {
        world.edit(&key, |volume| volume["status"]["phase"] = json!("Released"));
    }
}

/// A volume: free, or bound when the claim that it waits for is there.
pub fn volume(world: &mut World, key: &Key) {
    let Some(volume) = world.store.get(key).cloned() else { return };
    if is_dying(&volume) {
        if text(&volume, "/status/phase") != "Bound" {
            world.edit(key, |volume| volume["metadata"]["finalizers"] = json!([]));
            settle(world, key);
        }
        return;
    }
    if volume.pointer("/spec/claimRef/uid").is_none() && text(&volume, "/status/phase") != "Available" {
        world.edit(key, |volume| volume["status"] = json!({"phase": "Available"}));
    }
    let claim = Key::new(
        "",
        "persistentvolumeclaims",
        text(&volume, "/spec/claimRef/namespace"),
        text(&volume, "/spec/claimRef/name"),
    );
    if world.store.get(&claim).is_some_and(|claim| text(claim, "/status/phase") == "Pending") {
        world.look(Step::Look(claim), world.model.controller);
    }
}

/// A Service that wants a load balancer, or an Ingress.
pub fn addressed(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let wants = key.resource == "ingresses" || text(&object, "/spec/type") == "LoadBalancer";
    if wants && object.pointer("/status/loadBalancer/ingress").is_none() {
        world.look(Step::Address(key.clone()), world.model.address);
    }
}

/// The address has come.
pub fn give_address(world: &mut World, key: &Key) {
    world.edit(key, |object| object["status"]["loadBalancer"] = json!({"ingress": [{"ip": "192.0.2.10"}]}));
}

/// A definition: its names are accepted, then its kinds are served.
pub fn definition(world: &mut World, key: &Key) {
    let served = world.store.get(key).is_some_and(|it| super::condition(it, "Established") == Some("True"));
    if served {
        return establish(world, key);
    }
    world.look(Step::Serve(key.clone()), world.model.definition);
}

/// The kinds of a definition are served.
pub fn establish(world: &mut World, key: &Key) {
    let Some(definition) = world.store.get(key).cloned() else { return };
    for kind in kinds_of(&definition) {
        world.serve(std::sync::Arc::new(kind));
    }
    let now = world.now();
    world.edit(key, |definition| {
        if super::condition(definition, "Established") == Some("True") {
            return;
        }
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array).cloned().unwrap_or_default();
        let stored: Vec<Value> = versions.iter().filter(|it| it["storage"] == true).map(|it| it["name"].clone()).collect();
        definition["status"] = json!({
            "conditions": [
                {"type": "NamesAccepted", "status": "True", "reason": "NoConflicts", "message": "no conflicts found", "lastTransitionTime": now},
                {"type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted", "lastTransitionTime": now},
            ],
            "acceptedNames": definition["spec"]["names"], "storedVersions": stored,
        });
    });
}

/// An API of another server, which is there.
pub fn api_service(world: &mut World, key: &Key) {
    let now = world.now();
    world.edit(key, |api| {
        if super::condition(api, "Available").is_none() {
            api["status"] = json!({"conditions": [{"type": "Available", "status": "True", "reason": "Passed",
                "message": "all checks passed", "lastTransitionTime": now}]});
        }
    });
}

/// A disruption budget counts its pods.
pub fn disruption_budget(world: &mut World, key: &Key) {
    let Some(budget) = world.store.get(key).cloned() else { return };
    if budget.pointer("/status/observedGeneration") == budget.pointer("/metadata/generation") {
        return;
    }
    let pods = (String::new(), "pods".to_owned());
    let selector = budget.pointer("/spec/selector").cloned().unwrap_or_default();
    let own: Vec<_> = world
        .store
        .list(&pods, Some(&key.namespace))
        .filter(|(_, pod)| selects(&selector, pod))
        .map(|(_, pod)| pod.clone())
        .collect();
    let healthy = own.iter().filter(|pod| is_ready(pod)).count();
    world.edit(key, |budget| {
        budget["status"] = json!({
            "observedGeneration": budget["metadata"]["generation"], "currentHealthy": healthy, "desiredHealthy": 1,
            "expectedPods": own.len(), "disruptionsAllowed": healthy.saturating_sub(1),
            "conditions": [{"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods"}],
        });
    });
}

/// An autoscaler finds its target; there are no metrics.
pub fn autoscaler(world: &mut World, key: &Key) {
    let now = world.now();
    world.edit(key, |scaler| {
        if scaler.get("status").is_some() {
            return;
        }
        scaler["status"] = json!({"currentReplicas": 1, "desiredReplicas": 1, "conditions": [
            {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale", "lastTransitionTime": now},
            {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric",
                "message": "there are no metrics in the simulation", "lastTransitionTime": now},
        ]});
    });
}
