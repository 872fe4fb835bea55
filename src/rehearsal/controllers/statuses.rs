//! Controllers of which only the status that they write matters: those of quotas and policies, and the operators of custom
//! resources, whom nobody else plays.

use serde_json::{Value, json};

use super::Step;
use crate::manifest::references::is_builtin_group;
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

/// Whether an object is a custom resource to which its operator writes a status.
pub fn is_operated(world: &World, key: &Key) -> bool {
    // Asked at every change: Kubernetes' own groups are told apart without looking through the kinds.
    !is_builtin_group(&key.group) && world.kind_of(key).is_some_and(|kind| kind.custom && kind.has_status())
}

/// A custom resource that has changed: its operator looks at it.
pub fn changed(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key) else { return };
    let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
    let seen = object.pointer("/status/observedGeneration").and_then(Value::as_u64);
    if generation.is_some() && seen != generation {
        world.look(Step::Operate(key.clone()), world.model.operator);
    }
}

/// Its operator has done what it wants.
pub fn operate(world: &mut World, key: &Key) {
    let now = world.now();
    world.edit(key, |object| {
        let generation = object["metadata"]["generation"].clone();
        let ready = json!({"type": "Ready", "status": "True", "reason": "Simulated", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now});
        object["status"] = json!({"observedGeneration": generation, "conditions": [ready]});
    });
}
