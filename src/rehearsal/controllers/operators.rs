//! Those whom nobody else plays: the operators of custom resources, and what fills ConfigMaps and Secrets that are waited for.

use serde_json::{Value, json};

use super::Step;
use crate::health::cel;
use crate::manifest::references::is_builtin_group;
use crate::rehearsal::fulfil::fulfilled;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

/// Annotation of a simulated Service that an operator is taken to have made, with the custom resource it is for.
const MADE_FOR: &str = "rekindle.dev/simulated-for";

/// Fields that an operator writes, and that something else fills.
const STATUS: [&str; 1] = ["status"];
const DATA: [&str; 2] = ["data", "binaryData"];

/// An object as `Kind/name`.
fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// Whether an object's data is waited for, which something else is to fill.
fn is_filled(world: &World, key: &Key, object: &Value) -> bool {
    key.group.is_empty()
        && matches!(key.resource.as_str(), "configmaps" | "secrets")
        && world.others.awaited(object).next().is_some()
}

/// Whether an object waits for something that its expressions do not say, so that nobody here could write it.
pub fn lacks(world: &World, key: &Key) -> bool {
    let Some(object) = world.store.get(key) else { return false };
    let fields: &[&str] = if is_filled(world, key, object) { &DATA } else { &STATUS };
    world.others.awaited(object).any(|wanted| fulfilled(wanted, object, fields, &schema(world, key)).is_none())
}

/// Whether somebody looks at an object whom nothing else here plays: the operator of a custom resource with a status, or of one
/// that is waited for; or what fills an object that is waited for.
pub fn is_operated(world: &World, key: &Key) -> bool {
    // Asked at every change: Kubernetes' own groups are told apart without looking through the kinds.
    let Some(object) = world.store.get(key) else { return false };
    if is_builtin_group(&key.group) {
        return is_filled(world, key, object);
    }
    let waited_for = || world.others.awaited(object).next().is_some();
    world.kind_of(key).is_some_and(|kind| kind.custom && (kind.has_status() || waited_for()))
}

/// An object that has changed: its operator looks at it, or what fills it does.
pub fn changed(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key) else { return };
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
    let looks = if is_filled(world, key, object) {
        let is_open = |wanted: &str| !cel::eval_bool(wanted, &[("object", object)]).unwrap_or(false);
        world
            .others
            .awaited(object)
            .any(|wanted| is_open(wanted) && fulfilled(wanted, object, &DATA, &Value::Null).is_some())
    } else {
        match number("/metadata/generation") {
            Some(generation) => number("/status/observedGeneration") != Some(generation),
            None => object.get("status").is_none(),
        }
    };
    if !looks {
        return;
    }
    let name = name_of(object);
    // An operator makes no pods here that could crash; however it fails, it does not come to an end.
    if world.model.fate(&name).is_none() {
        world.look(Step::Operate(key.clone()), world.model.until_operated(&name));
    }
}

/// An operator has done what a custom resource wants, or an object is filled.
pub fn operate(world: &mut World, key: &Key) {
    let now = world.now();
    let Some(object) = world.store.get(key).cloned() else { return };
    let mut whole = (*object).clone();
    let fields: &[&str] = if is_filled(world, key, &object) {
        &DATA
    } else {
        let generation = object["metadata"]["generation"].clone();
        let condition = |kind: &str| {
            json!({"type": kind, "status": "True", "reason": "Simulated", "message": "",
                "observedGeneration": generation, "lastTransitionTime": now})
        };
        whole["status"] = if key.group == "gateway.networking.k8s.io" {
            gateway_api(&object, condition)
        } else {
            json!({"observedGeneration": generation, "conditions": [condition("Ready")]})
        };
        make(world, &object);
        &STATUS
    };
    let schema = schema(world, key);
    for wanted in world.others.awaited(&object) {
        whole = fulfilled(wanted, &whole, fields, &schema).unwrap_or(whole);
    }
    world.has_filled |= fields == DATA && whole != *object;
    world.edit(key, |object| *object = whole);
}

/// The schema of a custom resource in the version that is served, where its definition is there.
fn schema(world: &World, key: &Key) -> Value {
    let name = format!("{}.{}", key.resource, key.group);
    let definition = world.store.get(&Key::new("apiextensions.k8s.io", "customresourcedefinitions", "", &name));
    let version = world.kind_of(key).map(|kind| kind.version.clone()).unwrap_or_default();
    let versions = definition.and_then(|it| it.pointer("/spec/versions")?.as_array());
    let served = versions.into_iter().flatten().find(|it| it["name"] == version.as_str());
    served.and_then(|it| it.pointer("/schema/openAPIV3Schema")).cloned().unwrap_or_default()
}

/// What a gateway controller says of a Gateway, its class or a route. Source: the types of the Gateway API, `status`.
fn gateway_api(object: &Value, condition: impl Fn(&str) -> Value) -> Value {
    match object["kind"].as_str().unwrap_or_default() {
        "GatewayClass" => json!({"conditions": [condition("Accepted")]}),
        "Gateway" => {
            let listeners = object.pointer("/spec/listeners").and_then(Value::as_array).into_iter().flatten();
            let listeners: Vec<Value> = listeners
                .map(|it| {
                    let conditions = ["Accepted", "Programmed", "ResolvedRefs"].map(&condition);
                    json!({"name": it["name"], "attachedRoutes": 0, "conditions": conditions})
                })
                .collect();
            let conditions = ["Accepted", "Programmed"].map(condition);
            json!({"conditions": conditions, "listeners": listeners})
        }
        kind if kind.ends_with("Route") => {
            let parents = object.pointer("/spec/parentRefs").and_then(Value::as_array).into_iter().flatten();
            let parents: Vec<Value> = parents
                .map(|parent| {
                    let conditions = ["Accepted", "ResolvedRefs"].map(&condition);
                    json!({"parentRef": parent, "controllerName": "simulated", "conditions": conditions})
                })
                .collect();
            json!({"parents": parents})
        }
        _ => {
            let conditions = ["Ready", "Accepted"].map(condition);
            json!({"conditions": conditions})
        }
    }
}

/// What operators were taken to make, as `Kind/name`.
pub fn made(world: &World) -> Vec<String> {
    let mut made = Vec::new();
    for resource in ["secrets", "configmaps", "services", "serviceaccounts"] {
        let place = (String::new(), resource.to_owned());
        let operated = world.store.list(&place, None).filter(|(_, object)| made_for(object).is_some());
        made.extend(operated.map(|(_, object)| name_of(object)));
    }
    made
}

/// The custom resource that an object was made for, as `Kind/name`.
pub fn made_for(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(MADE_FOR)?.as_str()
}

/// Makes what the kit counts on and the operator of this custom resource is taken to make.
fn make(world: &mut World, resource: &Value) {
    let made_for = name_of(resource);
    let missing: Vec<_> = world.others.made_for(resource).cloned().collect();
    for object in missing {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        if let Some(key) = world.key_of("v1", &object.kind, namespace, &object.name) {
            world.make(&key, json!({"metadata": {"annotations": {MADE_FOR: made_for}}}));
        }
    }
}
