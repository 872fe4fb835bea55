//! Claims and volumes.

use serde_json::{Value, json};

use super::Step;
use crate::rehearsal::deletion::{finalizers, is_dying, settle, uid};
use crate::rehearsal::needs::DEFAULT_CLASS;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
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
