//! Which volume fits a claim. Source: `FindMatchingVolume` and `checkVolumeSatisfyClaim` of Kubernetes'
//! pkg/controller/volume/persistentvolume.

use serde_json::Value;

use crate::data::quantity::bytes;
use crate::rehearsal::deletion::{is_dying, uid};
use crate::rehearsal::needs::DEFAULT_CLASS;
use crate::rehearsal::request::selects;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn modes(object: &Value) -> Vec<&str> {
    let modes = object.pointer("/spec/accessModes").and_then(Value::as_array);
    modes.into_iter().flatten().filter_map(Value::as_str).collect()
}

fn volume_mode(object: &Value) -> &str {
    object.pointer("/spec/volumeMode").and_then(Value::as_str).unwrap_or("Filesystem")
}

fn size(object: &Value, pointer: &str) -> u64 {
    bytes(text(object, pointer)).unwrap_or_default()
}

/// The name of a claim's class: its own or that of the default one; empty where it wants none or there is none.
pub fn class_name(world: &World, claim: &Value) -> String {
    if let Some(own) = claim.pointer("/spec/storageClassName").and_then(Value::as_str) {
        return own.to_owned();
    }
    let classes = ("storage.k8s.io".to_owned(), "storageclasses".to_owned());
    let is_default = |class: &Value| text(class, &format!("/metadata/annotations/{DEFAULT_CLASS}")) == "true";
    let mut classes = world.store.list(&classes, None);
    classes.find(|(_, class)| is_default(class)).map(|((_, name), _)| name.clone()).unwrap_or_default()
}

/// Whether a volume's reference names this claim, and no other one that had its name before.
pub fn is_reserved_for(volume: &Value, key: &Key, claim: &Value) -> bool {
    let holder = text(volume, "/spec/claimRef/uid");
    text(volume, "/spec/claimRef/name") == key.name
        && text(volume, "/spec/claimRef/namespace") == key.namespace
        && (holder.is_empty() || holder == uid(claim))
}

/// Why a volume does not satisfy a claim of this class, in the words of Kubernetes.
pub fn unfit(volume: &Value, claim: &Value, class: &str) -> Option<&'static str> {
    if text(volume, "/spec/storageClassName") != class {
        return Some("storageClassName does not match");
    }
    unlike(volume, claim)
}

/// The same without a look at the class, which does not count for what is reserved.
fn unlike(volume: &Value, claim: &Value) -> Option<&'static str> {
    let offered = modes(volume);
    if size(volume, "/spec/capacity/storage") < size(claim, "/spec/resources/requests/storage") {
        Some("requested PV is too small")
    } else if volume_mode(volume) != volume_mode(claim) {
        Some("incompatible volumeMode")
    } else if modes(claim).iter().any(|mode| !offered.contains(mode)) {
        Some("incompatible accessMode")
    } else {
        None
    }
}

/// The volume that fits a claim best among those that `may` be taken: one that is reserved for it, else the smallest free one
/// with as few access modes as possible.
pub fn best(world: &World, key: &Key, claim: &Value, may: impl Fn(&Value) -> bool) -> Option<Key> {
    let class = class_name(world, claim);
    let selector = claim.pointer("/spec/selector");
    let fits = |volume: &Value| {
        if is_dying(volume) || !may(volume) {
            return false;
        }
        if is_reserved_for(volume, key, claim) {
            return unlike(volume, claim).is_none();
        }
        volume.pointer("/spec/claimRef").is_none()
            && text(volume, "/status/phase") == "Available"
            && selector.is_none_or(|selector| selects(selector, volume))
            && unfit(volume, claim, &class).is_none()
    };
    let volumes = world.store.list(&(String::new(), "persistentvolumes".into()), None);
    let fitting = volumes.filter(|(_, volume)| fits(volume));
    let best = fitting.min_by_key(|(_, volume)| {
        (!is_reserved_for(volume, key, claim), modes(volume).len(), size(volume, "/spec/capacity/storage"))
    });
    best.map(|((_, name), _)| Key::new("", "persistentvolumes", "", name))
}
