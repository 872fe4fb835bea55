//! Controllers of which only the status that they write matters: those of quotas and policies.

use serde_json::json;

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
