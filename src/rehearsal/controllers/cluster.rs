//! Everything else that a cluster does by itself: namespaces, addresses, definitions, budgets.

use serde_json::{Value, json};

use super::{Step, is_ready};
use crate::manifest::schema::kinds_of;
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
