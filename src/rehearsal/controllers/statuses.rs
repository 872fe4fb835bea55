//! Controllers of which only the status that they write matters: those of quotas and policies; and whom nobody else plays: the
//! operators of custom resources, and what fills ConfigMaps and Secrets that are waited for.

use serde_json::{Value, json};

use super::Step;
use crate::health::cel;
use crate::health::status::READY_ANNOTATION;
use crate::manifest::references::is_builtin_group;
use crate::rehearsal::fulfil::fulfilled;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

/// A ResourceQuota: its limits are counted.
pub fn quota(world: &mut World, key: &Key) {
    world.edit(key, |quota| {
        let hard = quota.pointer("/spec/hard").cloned().unwrap_or_else(|| json!({}));
        let used = hard.as_object().into_iter().flatten().map(|(name, _)| (name.clone(), json!("0")));
        quota["status"] = json!({"hard": hard, "used": used.collect::<serde_json::Map<_, _>>()});
    });
}

/// A ValidatingAdmissionPolicy: its expressions are checked against the types they are about.
pub fn admission_policy(world: &mut World, key: &Key) {
    world.edit(key, |policy| {
        policy["status"] = json!({"observedGeneration": policy["metadata"]["generation"], "typeChecking": {}});
    });
}

/// What an object of the kit waits for beyond its kind's own rule.
fn awaited(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(READY_ANNOTATION)?.as_str()
}

/// Whether an object's data is waited for, which something else is to fill.
fn is_filled(key: &Key, object: &Value) -> bool {
    key.group.is_empty() && matches!(key.resource.as_str(), "configmaps" | "secrets") && awaited(object).is_some()
}

/// Whether an object waits for something that its expression does not say, so that nobody here could write it.
pub fn lacks(object: &Value) -> bool {
    awaited(object).is_some_and(|wanted| fulfilled(wanted, object, &["status", "data", "binaryData"]).is_none())
}

/// Whether somebody looks at an object whom nothing else here plays: the operator of a custom resource with a status, or with an
/// expression that is waited for; or what fills an object that is waited for.
pub fn is_operated(world: &World, key: &Key) -> bool {
    // Asked at every change: Kubernetes' own groups are told apart without looking through the kinds.
    let Some(object) = world.store.get(key) else { return false };
    if is_builtin_group(&key.group) {
        return is_filled(key, object);
    }
    world.kind_of(key).is_some_and(|kind| kind.custom && (kind.has_status() || awaited(object).is_some()))
}

/// An object that has changed: its operator looks at it, or what fills it does.
pub fn changed(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key) else { return };
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let looks = if is_filled(key, object) {
        let is_there = |wanted| cel::eval_bool(wanted, &[("object", object)]).unwrap_or(false);
        !awaited(object).is_some_and(is_there) && filled(object).is_some()
    } else {
        match number("/metadata/generation") {
            Some(generation) => number("/status/observedGeneration") != Some(generation),
            None => object.get("status").is_none(),
        }
    };
    if !looks {
        return;
    }
    let name = format!("{}/{}", object["kind"].as_str().unwrap_or_default(), key.name);
    // An operator makes no pods here that could crash; however it fails, it does not come to an end.
    if world.model.fate(&name).is_none() {
        world.look(Step::Operate(key.clone()), world.model.until_operated(&name));
    }
}

/// An object with the data that its expression waits for.
fn filled(object: &Value) -> Option<Value> {
    fulfilled(awaited(object)?, object, &["data", "binaryData"])
}

/// Its operator has done what it wants, or what fills it has.
pub fn operate(world: &mut World, key: &Key) {
    let now = world.now();
    let Some(object) = world.store.get(key) else { return };
    if is_filled(key, object) {
        let Some(filled) = filled(object) else { return };
        return world.edit(key, |object| *object = filled);
    }
    world.edit(key, |object| {
        let generation = object["metadata"]["generation"].clone();
        let ready = json!({"type": "Ready", "status": "True", "reason": "Simulated", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now});
        object["status"] = json!({"observedGeneration": generation, "conditions": [ready]});
        if let Some(whole) = awaited(object).and_then(|wanted| fulfilled(wanted, object, &["status"])) {
            *object = whole;
        }
    });
}
