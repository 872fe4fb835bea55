//! What the server does to an object between what was sent and what is stored: identity, defaults, validation, generation,
//! and who owns which field.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::manifest::schema::Kind;
use crate::rehearsal::controllers::operators;
use crate::rehearsal::deletion::{finalizers, is_dying, settle};
use crate::rehearsal::managers::{self, Manager};
use crate::rehearsal::status::{Refusal, invalid, refusal};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;
use crate::rehearsal::{defaults, typed, validate};

/// How the owners of fields are to be recorded.
pub(super) enum Recording<'a> {
    /// By this manager's write.
    Update(Manager),
    /// They are in the object already.
    Done {
        /// The part that is written.
        part: Option<&'a str>,
    },
}

/// Stores an object that is made or changed, after everything that the server does on the way.
pub(super) fn persist(
    world: &mut World,
    kind: &Arc<Kind>,
    key: &Key,
    live: Option<&Value>,
    mut object: Value,
    recording: Recording<'_>,
    dry_run: bool,
) -> Result<Arc<Value>, Refusal> {
    let part = match &recording {
        Recording::Update(manager) => manager.part.clone(),
        Recording::Done { part } => part.unwrap_or_default().to_owned(),
    };
    if !object.is_object() || !object.get("metadata").is_none_or(Value::is_object) {
        return Err(refusal(400, "BadRequest", "the body is no object", json!({})));
    }
    if key.resource == "secrets" && key.group.is_empty() {
        defaults::fold_string_data(&mut object);
    }
    keep_identity(world, kind, key, live, &mut object, &part);
    typed::normalise(&kind.root, &mut object);
    defaults::fill(kind, &mut object);
    if let Some(live) = live {
        keep_allocated(kind, live, &mut object);
    }
    let mut errors = match live {
        None => validate::created(kind, &object),
        Some(live) if part.is_empty() => validate::updated(kind, live, &object),
        Some(_) => Vec::new(),
    };
    if kind.custom && part.is_empty() {
        let schema = operators::schema(world, key, &object).unwrap_or(&Value::Null);
        errors.extend(validate::custom::refused(schema, live, &object));
    }
    if !errors.is_empty() {
        return Err(invalid(kind, &key.name, &errors));
    }
    // Who makes an object owns what it says and what is filled in by rule, not what the server gives to it.
    let recording = match recording {
        Recording::Update(manager) if live.is_none() => {
            managers::update(&kind.root, None, &mut object, manager, kind.has_status());
            Recording::Done { part: None }
        }
        later => later,
    };
    match live {
        None => {
            let number = world.number();
            defaults::allocate(kind, &mut object, number);
            // A priority class has one that never grows.
            if generations(kind) || kind.kind == "PriorityClass" {
                object["metadata"]["generation"] = 1.into();
            }
        }
        Some(live) if generations(kind) && part != "status" => {
            let known = live.pointer("/metadata/generation").and_then(Value::as_u64).unwrap_or(1);
            let next = if wishes(live) == wishes(&object) { known } else { known + 1 };
            object["metadata"]["generation"] = next.into();
        }
        Some(_) => {}
    }
    if let Recording::Update(manager) = recording {
        managers::update(&kind.root, live, &mut object, manager, kind.has_status());
    }
    if let Some(live) = live
        && settled(live) == settled(&object)
    {
        return Ok(Arc::new(live.clone()));
    }
    if dry_run {
        return Ok(Arc::new(object));
    }
    let stored = world.put(key, ordered(object));
    if is_dying(&stored) && finalizers(&stored).is_empty() {
        settle(world, key);
    }
    Ok(stored)
}

/// Whether objects of a kind count the changes of what they wish for.
fn generations(kind: &Kind) -> bool {
    kind.custom
        || matches!(kind.group.as_str(), "apps" | "batch" | "policy" | "networking.k8s.io" | "apiextensions.k8s.io")
        || (kind.group.is_empty() && matches!(kind.kind.as_str(), "Pod" | "ReplicationController"))
        || matches!(kind.group.as_str(), "admissionregistration.k8s.io" | "flowcontrol.apiserver.k8s.io")
}

/// What an object wishes for: all but metadata and status.
fn wishes(object: &Value) -> Map<String, Value> {
    let mut wishes = object.as_object().cloned().unwrap_or_default();
    for part in ["metadata", "status", "kind", "apiVersion"] {
        wishes.shift_remove(part);
    }
    wishes
}

/// An object without what a write that changes nothing changes.
fn settled(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
        for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
            entry.as_object_mut().and_then(|entry| entry.shift_remove("time"));
        }
    }
    object
}

/// Kind and metadata first, as people expect it.
fn ordered(object: Value) -> Value {
    let Value::Object(mut object) = object else { return object };
    let mut out = Map::new();
    for first in ["apiVersion", "kind", "metadata", "spec"] {
        if let Some(value) = object.shift_remove(first) {
            out.insert(first.to_owned(), value);
        }
    }
    out.extend(object);
    Value::Object(out)
}

/// What a write cannot change: identity, and the part of the object that its path does not lead to.
fn keep_identity(world: &mut World, kind: &Kind, key: &Key, live: Option<&Value>, object: &mut Value, part: &str) {
    if let (Some(live), false) = (live, part.is_empty()) {
        // A part is written: everything else stays as it is, but for the records of who owns what.
        let own = if part == "status" { object.get("status").cloned() } else { object.get("spec").cloned() };
        let records = object.pointer("/metadata/managedFields").cloned();
        *object = live.clone();
        match (part, own) {
            ("status", Some(status)) => object["status"] = status,
            ("scale", Some(spec)) => object["spec"]["replicas"] = spec["replicas"].clone(),
            _ => {}
        }
        if let Some(records) = records {
            object["metadata"]["managedFields"] = records;
        }
    }
    object["apiVersion"] = kind.api_version().into();
    object["kind"] = kind.kind.as_str().into();
    let status = live.and_then(|live| live.get("status")).cloned();
    if part.is_empty()
        && kind.has_status()
        && let Some(map) = object.as_object_mut()
    {
        map.shift_remove("status");
        map.extend(status.map(|status| ("status".to_owned(), status)));
    }
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = json!({});
    }
    let fresh = live.is_none().then(|| (world.uid(), world.now()));
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    metadata.insert("name".into(), key.name.as_str().into());
    if kind.namespaced {
        metadata.insert("namespace".into(), key.namespace.as_str().into());
    }
    match (live, fresh) {
        (Some(live), _) => {
            for name in [
                "uid",
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generation",
                "resourceVersion",
            ] {
                metadata.shift_remove(name);
                if let Some(value) = live["metadata"].get(name) {
                    metadata.insert(name.into(), value.clone());
                }
            }
        }
        (None, Some((uid, now))) => {
            for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion", "selfLink"]
            {
                metadata.shift_remove(name);
            }
            metadata.insert("uid".into(), uid.into());
            metadata.insert("creationTimestamp".into(), now.into());
        }
        (None, None) => {}
    }
}

/// What was given when the object was made, and stays when a write leaves it out.
fn keep_allocated(kind: &Kind, live: &Value, object: &mut Value) {
    let paths: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Service") if object["spec"]["type"] != "ExternalName" => {
            &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"]
        }
        ("", "PersistentVolumeClaim") => &["volumeName", "storageClassName"],
        ("batch", "Job") => &["selector"],
        _ => return,
    };
    for name in paths {
        if object["spec"].get(*name).is_none()
            && let Some(value) = live["spec"].get(*name)
        {
            object["spec"][*name] = value.clone();
        }
    }
    if kind.kind == "Job" {
        let given =
            live.pointer("/spec/template/metadata/labels").and_then(Value::as_object).cloned().unwrap_or_default();
        let template = &mut object["spec"]["template"];
        for (name, value) in
            given.into_iter().filter(|(name, _)| name.contains("controller-uid") || name.contains("job-name"))
        {
            template["metadata"]["labels"][name] = value;
        }
    }
    if kind.kind == "Service" {
        let known = live.pointer("/spec/ports").and_then(Value::as_array).cloned().unwrap_or_default();
        for port in object.pointer_mut("/spec/ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let same = known.iter().find(|it| it["port"] == port["port"] && it["protocol"] == port["protocol"]);
            if let (None, Some(number)) = (port.get("nodePort"), same.and_then(|same| same.get("nodePort"))) {
                port["nodePort"] = number.clone();
            }
        }
    }
}
