//! Deletion: finalizers, what goes with an object, and namespaces.

use std::sync::Arc;

use serde_json::{Value, json};

use super::store::Key;
use super::world::World;

/// How what an object owns is treated when it is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It is deleted afterwards.
    Background,
    /// It is deleted first.
    Foreground,
    /// It stays.
    Orphan,
}

/// The finalizer of a foreground deletion.
const FOREGROUND: &str = "foregroundDeletion";

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<String> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// `metadata.deletionTimestamp` is set.
pub fn is_dying(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

/// Deletes an object. Returns it as it is then, and whether it is gone.
pub fn delete(world: &mut World, key: &Key, propagation: Propagation) -> Option<(Arc<Value>, bool)> {
    let object = world.store.get(key)?.clone();
    if propagation == Propagation::Orphan {
        for child in children(world, &object) {
            world.edit(&child, |child| {
                let uid = &object["metadata"]["uid"];
                if let Some(owners) = child.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut) {
                    owners.retain(|owner| owner["uid"] != *uid);
                }
            });
        }
    }
    let waits_for_children = propagation == Propagation::Foreground && !children(world, &object).is_empty();
    let namespace = key.group.is_empty() && key.resource == "namespaces";
    let grace = grace(world, key, &object);
    if finalizers(&object).is_empty() && !waits_for_children && !namespace && grace.is_zero() {
        let last = world.remove(key)?;
        collect(world, &last);
        return Some((last, true));
    }
    if !is_dying(&object) {
        let now = world.moment(world.elapsed() + grace);
        world.edit(key, |object| {
            let metadata = &mut object["metadata"];
            metadata["deletionTimestamp"] = now.into();
            metadata["deletionGracePeriodSeconds"] = grace.as_secs().into();
            if let Some(generation) = metadata.get("generation").and_then(Value::as_u64) {
                metadata["generation"] = (generation + 1).into();
            }
            if waits_for_children {
                let mut list = finalizers(object);
                list.push(FOREGROUND.into());
                object["metadata"]["finalizers"] = list.into();
            }
            if namespace {
                object["status"]["phase"] = json!("Terminating");
            }
        });
        if waits_for_children {
            for child in children(world, &object) {
                delete(world, &child, Propagation::Foreground);
            }
        }
        if !grace.is_zero() {
            world.plan(super::controllers::Step::Stopped(key.clone(), uid(&object)), grace);
        }
    }
    // A namespace without anything in it still waits for its own controller.
    settle(world, key);
    let now = world.store.get(key).cloned();
    Some(now.map_or((object, true), |object| (object, false)))
}

/// How long the containers of a pod may take to stop.
fn grace(world: &World, key: &Key, object: &Value) -> std::time::Duration {
    let running = key.resource == "pods"
        && world.alive
        && object.pointer("/spec/nodeName").is_some()
        && matches!(object.pointer("/status/phase").and_then(Value::as_str), Some("Pending" | "Running"));
    if running { world.model.stop } else { std::time::Duration::ZERO }
}

/// An object's UID.
pub fn uid(object: &Value) -> String {
    object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Takes a dying object away once nothing holds it any more.
pub fn settle(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    if !is_dying(&object) {
        return;
    }
    let held = finalizers(&object);
    if held == [FOREGROUND] && children(world, &object).is_empty() {
        world.edit(key, |object| {
            object.get_mut("metadata").and_then(Value::as_object_mut).and_then(|it| it.shift_remove("finalizers"));
        });
        return settle(world, key);
    }
    let running =
        object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_u64).is_some_and(|it| it > 0);
    if !held.is_empty() || running {
        return;
    }
    if key.group.is_empty() && key.resource == "namespaces" {
        empty(world, &key.name);
        if !world.store.within(&key.name).is_empty()
            || object.pointer("/spec/finalizers").is_some_and(|it| it != &json!([])) && !world.alive
        {
            return;
        }
    }
    if let Some(last) = world.remove(key) {
        collect(world, &last);
    }
}

/// Deletes everything in a namespace.
fn empty(world: &mut World, namespace: &str) {
    for key in world.store.within(namespace) {
        if !world.store.get(&key).is_some_and(|object| is_dying(object)) {
            delete(world, &key, Propagation::Background);
        }
    }
}

/// The objects that name this one as an owner.
pub fn children(world: &World, owner: &Value) -> Vec<Key> {
    let id = uid(owner);
    let namespace = owner.pointer("/metadata/namespace").and_then(Value::as_str);
    let owned = |object: &Value| {
        let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.is_some_and(|owners| owners.iter().any(|it| it["uid"] == id.as_str()))
    };
    let known = world.owned.get(&id).into_iter().flatten();
    known
        .filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
        .filter(|key| world.store.get(key).is_some_and(|object| owned(object)))
        .cloned()
        .collect()
}

/// What follows when an object is gone: what it owned goes too, owners that waited for it go, and its namespace may.
fn collect(world: &mut World, gone: &Value) {
    if world.alive {
        for child in children(world, gone) {
            delete(world, &child, Propagation::Background);
        }
    }
    let owners = gone.pointer("/metadata/ownerReferences").and_then(Value::as_array).cloned().unwrap_or_default();
    let namespace = gone.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
    for owner in owners {
        let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
        if let Some(key) = world.key_of(text("apiVersion"), text("kind"), &namespace, text("name")) {
            settle(world, &key);
        }
    }
    if !namespace.is_empty() {
        let key = Key::new("", "namespaces", "", &namespace);
        if world.store.get(&key).is_some_and(|namespace| is_dying(namespace))
            && world.store.within(&namespace).is_empty()
        {
            settle(world, &key);
        }
    }
    if gone["kind"] == "CustomResourceDefinition" {
        let text = |pointer: &str| gone.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        world.withdraw(text("/spec/group"), text("/spec/names/plural"));
    }
}
