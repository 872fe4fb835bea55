//! Claims and volumes, as the volume controller binds them. Source: `syncUnboundClaim` of Kubernetes'
//! pkg/controller/volume/persistentvolume.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Step;
use super::matching::{best, class_name, is_reserved_for, unfit};
use crate::rehearsal::deletion::{finalizers, is_dying, settle, uid};
use crate::rehearsal::pods::{event, mounting};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

/// The provisioner of classes whose volumes somebody makes by hand.
const NOBODY: &str = "kubernetes.io/no-provisioner";

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The StorageClass of a claim, where there is one.
fn class_of(world: &World, claim: &Value) -> Option<Arc<Value>> {
    let name = class_name(world, claim);
    world.store.get(&Key::new("storage.k8s.io", "storageclasses", "", &name)).cloned()
}

/// Whether a claim gets a volume only for a pod that wants it.
pub fn waits_for_pod(world: &World, claim: &Value) -> bool {
    class_of(world, claim).is_some_and(|class| text(&class, "/volumeBindingMode") == "WaitForFirstConsumer")
}

/// Why no volume would be made for a claim, in the words of its event.
pub fn unprovided(world: &World, claim: &Value) -> Option<(&'static str, String)> {
    let name = class_name(world, claim);
    if name.is_empty() {
        let why = "no persistent volumes available for this claim and no storage class is set";
        return Some(("FailedBinding", why.into()));
    }
    let Some(class) = class_of(world, claim) else {
        return Some(("ProvisioningFailed", format!("storageclass.storage.k8s.io {name:?} not found")));
    };
    (text(&class, "/provisioner") == NOBODY)
        .then(|| ("ProvisioningFailed", format!("no volume plugin matched name: {NOBODY}")))
}

/// A claim: bound to the volume it names, to one that fits it, or to one that its class makes; now or when a pod wants it.
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
        return bind_named(world, key, &claim, &named);
    }
    let wanted = claim.pointer("/metadata/annotations/volume.kubernetes.io~1selected-node").is_some();
    let waits = waits_for_pod(world, &claim) && !wanted;
    // The scheduler chooses among volumes for a claim that waits, but what is reserved for it is its own.
    let fits = best(world, key, &claim, |volume| !waits || is_reserved_for(volume, key, &claim));
    if let Some(volume) = fits {
        return bind(world, key, &claim, &volume);
    }
    if waits {
        return;
    }
    match unprovided(world, &claim) {
        Some((reason, why)) => tell_once(world, &claim, reason, &why),
        None => world.look(Step::Volume(key.clone()), world.model.volume),
    }
}

/// Binds a claim to the volume that it names, unless that is another one's or does not satisfy it.
fn bind_named(world: &mut World, key: &Key, claim: &Value, named: &str) {
    let volume = Key::new("", "persistentvolumes", "", named);
    let Some(found) = world.store.get(&volume).cloned() else { return };
    if found.pointer("/spec/claimRef").is_some() {
        if is_reserved_for(&found, key, claim) {
            bind(world, key, claim, &volume);
        }
        return;
    }
    match unfit(&found, claim, &class_name(world, claim)) {
        Some(why) => {
            tell_once(world, claim, "VolumeMismatch", &format!("Cannot bind to requested volume {named:?}: {why}"));
        }
        None => bind(world, key, claim, &volume),
    }
}

/// Writes an event that has not been written yet; the controller asks again and again.
fn tell_once(world: &mut World, claim: &Value, reason: &str, message: &str) {
    let place = (String::new(), "events".to_owned());
    let of = text(claim, "/metadata/namespace");
    let told = world
        .store
        .list(&place, Some(of))
        .any(|(_, event)| text(event, "/involvedObject/uid") == uid(claim) && event["message"] == message);
    if !told {
        event(world, claim, reason, message);
    }
}

/// Whether a pod mounts a claim.
fn used(world: &World, claim: &Key) -> bool {
    !mounting(world, claim).is_empty()
}

/// Makes a claim's volume and binds it.
pub fn provide_volume(world: &mut World, key: &Key) {
    let Some(claim) = world.store.get(key).cloned() else { return };
    let Some(class) = class_of(world, &claim) else { return };
    if text(&claim, "/status/phase") == "Bound" {
        return;
    }
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

/// Binds a claim and a volume to each other; pods that wait for it go on.
pub fn bind(world: &mut World, key: &Key, claim: &Value, volume: &Key) {
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
    for pod in mounting(world, key) {
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
    for claim in waiting_for(world, &volume) {
        for pod in mounting(world, &claim) {
            world.look(Step::Look(pod), world.model.controller);
        }
        world.look(Step::Look(claim), world.model.controller);
    }
}

/// The claims without a volume that may get this one: that for which it is reserved, or all of its class.
fn waiting_for(world: &World, volume: &Value) -> Vec<Key> {
    let waits = |claim: &Value| text(claim, "/status/phase") == "Pending";
    if volume.pointer("/spec/claimRef").is_some() {
        let at = |name: &str| text(volume, &format!("/spec/claimRef/{name}"));
        let claim = Key::new("", "persistentvolumeclaims", at("namespace"), at("name"));
        return if world.store.get(&claim).is_some_and(|it| waits(it)) { vec![claim] } else { Vec::new() };
    }
    let claims = world.store.list(&(String::new(), "persistentvolumeclaims".into()), None);
    let waiting =
        claims.filter(|(_, claim)| waits(claim) && class_name(world, claim) == text(volume, "/spec/storageClassName"));
    waiting.map(|((namespace, name), _)| Key::new("", "persistentvolumeclaims", namespace, name)).collect()
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
