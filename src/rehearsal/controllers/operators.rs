//! Those whom nobody else plays: the operators of custom resources, and what fills ConfigMaps and Secrets that are waited for.

use serde_json::{Value, json};

use super::Step;
use crate::health::cel;
use crate::health::status::{is_injected, lacks_bundle};
use crate::manifest::ObjectKey;
use crate::manifest::references::is_builtin_group;
use crate::rehearsal::fulfil::fulfilled;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

/// Annotation of a simulated Service that an operator is taken to have made, with the custom resource it is for.
pub const MADE_FOR: &str = "rekindle.dev/simulated-for";

/// The group of webhook configurations.
const ADMISSION: &str = "admissionregistration.k8s.io";

/// The CA bundle that webhooks get: the base64 of `simulated`.
const BUNDLE: &str = "c2ltdWxhdGVk";

/// What of an object somebody writes whom nothing else here plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The status of a custom resource.
    Status,
    /// The data of a ConfigMap or Secret that is waited for.
    Data,
    /// The CA bundles of webhooks.
    Bundles,
    /// Nothing of itself: what somebody makes for it.
    Beside,
}

impl Part {
    /// The fields that it consists of and that an expression may ask for.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Status => &["status"],
            Self::Data => &["data", "binaryData"],
            Self::Bundles | Self::Beside => &[],
        }
    }
}

/// An object as `Kind/name`.
fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// What somebody writes to an object: the operator of a custom resource with a status, or of one that is waited for; what fills an
/// object that is waited for; and what injects CA bundles.
fn part(world: &World, key: &Key, object: &Value) -> Option<Part> {
    let waited_for = || world.others.awaited(object).next().is_some();
    // Asked at every change: Kubernetes' own groups are told apart without looking through the kinds.
    if is_builtin_group(&key.group) {
        return match (key.group.as_str(), key.resource.as_str()) {
            ("", "configmaps" | "secrets") => waited_for().then_some(Part::Data),
            // What a Job makes is there when it is done.
            ("networking.k8s.io", "ingresses") | ("", "services") => {
                world.others.made_for(object).next().map(|_| Part::Beside)
            }
            (group, _) => gets_bundles(group, object).then_some(Part::Bundles),
        };
    }
    let kind = world.kind_as_written(key, object).filter(|kind| kind.custom)?;
    // Health waits for a status that only stands in the schema, too.
    let has_status = || {
        kind.has_status()
            || schema(world, key, object).is_some_and(|schema| schema.pointer("/properties/status").is_some())
    };
    (has_status() || waited_for()).then_some(Part::Status)
}

/// Whether an object of a group has webhooks whose CA bundles something else writes.
pub fn gets_bundles(group: &str, object: &Value) -> bool {
    group == ADMISSION && is_injected(object)
}

/// Whether an object waits for something that its expressions do not say, so that nobody here could write it.
pub fn lacks(world: &World, key: &Key) -> bool {
    let Some(object) = world.store.get(key) else { return false };
    let fields = part(world, key, object).map_or(&[][..], Part::fields);
    let schema = schema(world, key, object).unwrap_or(&Value::Null);
    world.others.awaited(object).any(|wanted| fulfilled(wanted, object, fields, schema).is_none())
}

/// Whether somebody looks at an object whom nothing else here plays.
pub fn is_operated(world: &World, key: &Key) -> bool {
    world.store.get(key).is_some_and(|object| part(world, key, object).is_some())
}

/// Whether anybody has waited for the CA bundles of webhooks.
pub fn injects(world: &World) -> bool {
    world.operated().iter().any(|key| key.group == ADMISSION)
}

/// Whether an expression that waits for an object does not hold yet, and can be made to.
fn is_open(world: &World, key: &Key, object: &Value, part: Part) -> bool {
    let schema = schema(world, key, object).unwrap_or(&Value::Null);
    let is_open = |wanted: &str| !cel::eval_bool(wanted, &[("object", object)]).unwrap_or(false);
    world
        .others
        .awaited(object)
        .any(|wanted| is_open(wanted) && fulfilled(wanted, object, part.fields(), schema).is_some())
}

/// Whether there is something to write to an object still.
fn is_due(world: &World, key: &Key, object: &Value, part: Part) -> bool {
    let generation = object.pointer("/metadata/generation").and_then(Value::as_u64);
    match part {
        Part::Data => is_open(world, key, object, part),
        Part::Bundles => webhooks(object).any(lacks_bundle),
        Part::Beside => {
            let key_of =
                |it: &ObjectKey| world.key_of("v1", &it.kind, it.namespace.as_deref().unwrap_or_default(), &it.name);
            let is_there = |it| key_of(it).is_some_and(|key| world.store.get(&key).is_some());
            world.others.made_for(object).any(|it| !is_there(it))
        }
        Part::Status => match (generation, object.get("status").and_then(observed)) {
            (Some(generation), Some(observed)) => observed != generation,
            // A status that holds no generation does not say what was seen.
            _ => object.get("status").is_none() || is_open(world, key, object, part),
        },
    }
}

/// Whether what is written to an object stands there.
pub fn is_done(world: &World, key: &Key) -> bool {
    let Some(object) = world.store.get(key) else { return false };
    part(world, key, object).is_some_and(|part| !is_due(world, key, object, part))
}

/// An object that has changed: its operator looks at it, or what fills it does.
pub fn changed(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key) else { return };
    if !part(world, key, object).is_some_and(|part| is_due(world, key, object, part)) {
        return;
    }
    let name = name_of(object);
    // An operator makes no pods here that could crash; however it fails, it does not come to an end.
    if world.model.fate(&name).is_none() {
        world.look(Step::Operate(key.clone()), world.model.until_operated(&name));
    }
}

/// The generation that a status says was seen, be it only in a condition.
fn observed(status: &Value) -> Option<u64> {
    match status {
        Value::Object(fields) => {
            let own = fields.get("observedGeneration").and_then(Value::as_u64);
            own.or_else(|| fields.values().find_map(observed))
        }
        Value::Array(items) => items.iter().find_map(observed),
        _ => None,
    }
}

/// The webhooks of a configuration.
fn webhooks(object: &Value) -> impl Iterator<Item = &Value> {
    object.get("webhooks").and_then(Value::as_array).into_iter().flatten()
}

/// An operator has done what a custom resource wants, or an object is filled.
pub fn operate(world: &mut World, key: &Key) {
    let Some(object) = world.store.get(key).cloned() else { return };
    let Some(part) = part(world, key, &object) else { return };
    let mut whole = (*object).clone();
    match part {
        Part::Data => {}
        Part::Beside => return make(world, &object),
        Part::Bundles => {
            let webhooks = whole.get_mut("webhooks").and_then(Value::as_array_mut).into_iter().flatten();
            webhooks.filter(|it| lacks_bundle(it)).for_each(|it| it["clientConfig"]["caBundle"] = BUNDLE.into());
        }
        Part::Status => {
            whole["status"] = written_status(world, key, &object);
            make(world, &object);
        }
    }
    let schema = schema(world, key, &object).unwrap_or(&Value::Null);
    for wanted in world.others.awaited(&object) {
        whole = fulfilled(wanted, &whole, part.fields(), schema).unwrap_or(whole);
    }
    world.has_filled |= part == Part::Data && whole != *object;
    world.edit(key, |object| *object = whole);
}

/// What an operator says of its resource when all is well.
fn written_status(world: &World, key: &Key, object: &Value) -> Value {
    let now = world.now();
    let generation = &object["metadata"]["generation"];
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "reason": "Simulated", "message": "",
            "observedGeneration": generation, "lastTransitionTime": now})
    };
    if key.group == "gateway.networking.k8s.io" {
        return gateway_api(object, condition);
    }
    let mut ready = condition("Ready");
    // A status without a path of its own is part of what a generation counts: who wrote one there would never have seen the last.
    if world.kind_as_written(key, object).is_some_and(|kind| kind.has_status()) {
        json!({"observedGeneration": generation, "conditions": [ready]})
    } else {
        ready.as_object_mut().map(|ready| ready.shift_remove("observedGeneration"));
        json!({"conditions": [ready]})
    }
}

/// The schema of a custom resource in the version that it is written in, where its definition is there.
pub fn schema<'w>(world: &'w World, key: &Key, object: &Value) -> Option<&'w Value> {
    let name = format!("{}.{}", key.resource, key.group);
    let definition = world.store.get(&Key::new("apiextensions.k8s.io", "customresourcedefinitions", "", &name))?;
    let version = world.kind_as_written(key, object).map(|kind| kind.version.clone()).unwrap_or_default();
    let versions = definition.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    let served = versions.into_iter().find(|it| it["name"] == version.as_str());
    served.and_then(|it| it.pointer("/schema/openAPIV3Schema"))
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

/// Makes what the kit counts on and the operator of this custom resource, or what works for another object, is taken to make.
pub fn make(world: &mut World, resource: &Value) {
    let made_for = name_of(resource);
    let missing: Vec<_> = world.others.made_for(resource).cloned().collect();
    for object in missing {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        if let Some(key) = world.key_of("v1", &object.kind, namespace, &object.name) {
            world.make(&key, json!({"metadata": {"annotations": {MADE_FOR: made_for}}}));
        }
    }
}

#[cfg(test)]
#[path = "operators_tests.rs"]
mod tests;
