//! Writing: an object that is made, replaced, patched or applied, until it is known what it should become.

use std::sync::Arc;

use serde_json::{Value, json};

use super::persist::{Recording, persist};
use super::{Answer, Answered, Ask, dry_run, key_of};
use crate::manifest::schema::Kind;
use crate::rehearsal::deletion::is_dying;
use crate::rehearsal::managers::{self, Manager};
use crate::rehearsal::patch::{self as patches, Misfit};
use crate::rehearsal::request::Target;
use crate::rehearsal::status::{self, Refusal, invalid, refusal};
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;
use crate::rehearsal::{controllers, fields, typed};

pub(super) fn create(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>) -> Answered {
    let mut object = body(ask)?;
    if let Some(answer) = review(world, kind, &object) {
        return Ok(answer);
    }
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (mut name, prefix) = (text("/metadata/name"), text("/metadata/generateName"));
    if name.is_empty() && !prefix.is_empty() {
        name = format!("{prefix}{}", controllers::letters(world.number()));
        object["metadata"]["name"] = name.as_str().into();
    }
    if name.is_empty() {
        let error = status::FieldError::required("metadata.name", "name or generateName is required");
        return Err(invalid(kind, "", &[error]));
    }
    let key = key_of(kind, target, &name);
    decode(ask, kind, &mut object)?;
    admit(world, kind, &key)?;
    if world.store.get(&key).is_some() {
        return Err(status::exists(kind, &name));
    }
    let manager = manager(world, ask, kind, None, false);
    let stored = persist(world, kind, &key, None, object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(201, (*stored).clone()))
}

/// Questions that are asked by making an object: what we may do, and who we are. Everything is allowed.
fn review(world: &World, kind: &Kind, object: &Value) -> Option<Answer> {
    let status = match kind.kind.as_str() {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let allowed = world.model.allows(object.pointer("/spec/resourceAttributes").unwrap_or(&Value::Null));
            json!({"allowed": allowed})
        }
        "SelfSubjectReview" => json!({"userInfo": {"username": "rehearsal", "groups": ["system:authenticated"]}}),
        "SelfSubjectRulesReview" => {
            json!({"incomplete": false, "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": []})
        }
        _ => return None,
    };
    let mut answer = object.clone();
    answer["kind"] = kind.kind.as_str().into();
    answer["apiVersion"] = kind.api_version().into();
    answer["status"] = status;
    Some(Answer::Json(201, answer))
}

pub(super) fn replace(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let mut object = body(ask)?;
    let key = key_of(kind, target, name);
    decode(ask, kind, &mut object)?;
    let Some(live) = world.store.get(&key).cloned() else {
        return Err(status::not_found(kind, name));
    };
    fresh(kind, name, &live, &object)?;
    let manager = manager(world, ask, kind, target.part.as_deref(), false);
    let stored = persist(world, kind, &key, Some(&live), object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(200, (*stored).clone()))
}

pub(super) fn patch(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let live = world.store.get(&key).cloned();
    let patch = body(ask)?;
    let part = target.part.as_deref();
    if part.is_some_and(|part| !kind.parts.iter().any(|known| known == part)) {
        return Err(status::no_such_path());
    }
    if ask.content_type.starts_with("application/apply-patch") {
        return apply(world, ask, kind, &key, live, patch, part);
    }
    let live = live.ok_or_else(|| status::not_found(kind, name))?;
    let mut object = patched(ask, Some(kind), &live, &patch)?;
    decode(ask, kind, &mut object)?;
    fresh(kind, name, &live, &object)?;
    let manager = manager(world, ask, kind, part, false);
    let stored = persist(world, kind, &key, Some(&live), object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(200, (*stored).clone()))
}

/// What becomes of an object by a patch that is no apply; without a kind, lists have no keys.
pub(super) fn patched(ask: &Ask<'_>, kind: Option<&Kind>, live: &Value, patch: &Value) -> Result<Value, Refusal> {
    let mut object = live.clone();
    match (ask.content_type.split(';').next().unwrap_or_default(), kind) {
        ("application/merge-patch+json", _) | ("application/strategic-merge-patch+json", None) => {
            patches::merge(&mut object, patch);
        }
        ("application/strategic-merge-patch+json", Some(kind)) if !kind.custom => {
            patches::strategic(&kind.root, &mut object, patch);
        }
        ("application/json-patch+json", _) => patches::json(&mut object, patch).map_err(|misfit| match misfit {
            Misfit::Malformed(text) => refusal(400, "BadRequest", text, json!({})),
            // What does not fit is not said.
            Misfit::Failed(_) => {
                let text = "the server rejected our request due to an error in our request";
                let mut refused = refusal(422, "Invalid", text, json!({}));
                refused.body["details"] = json!({});
                refused
            }
        })?,
        (other, _) => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml: {other}"
            );
            return Err(refusal(415, "UnsupportedMediaType", message, json!({})));
        }
    }
    Ok(object)
}

pub(super) fn apply(
    world: &mut World,
    ask: &Ask<'_>,
    kind: &Arc<Kind>,
    key: &Key,
    live: Option<Arc<Value>>,
    mut config: Value,
    part: Option<&str>,
) -> Answered {
    if ask.query.get("fieldManager").is_none() {
        let error =
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch";
        let causes = json!([{"reason": "FieldValueRequired", "message": "Required value: is required for apply patch", "field": "fieldManager"}]);
        let details = json!({"group": "meta.k8s.io", "kind": "PatchOptions", "causes": causes});
        return Err(refusal(422, "Invalid", error, details));
    }
    if config.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        return Err(refusal(400, "BadRequest", "metadata.managedFields must be nil", json!({})));
    }
    let named = |pointer: &str| config.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    if named("/kind") != kind.kind || named("/apiVersion") != kind.api_version() {
        let message = format!(
            "the object in the request is a {}, {}; the path is that of {}, Kind={}",
            named("/apiVersion"),
            named("/kind"),
            kind.api_version(),
            kind.kind
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    if !named("/metadata/name").is_empty() && named("/metadata/name") != key.name {
        let message = format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            named("/metadata/name"),
            key.name
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    let namespace = named("/metadata/namespace");
    config["metadata"]["name"] = key.name.as_str().into();
    if kind.namespaced {
        config["metadata"]["namespace"] = key.namespace.as_str().into();
    }
    let wrong = typed::check(&kind.root, &config);
    if !wrong.is_empty() {
        let texts: Vec<String> = wrong.iter().map(|wrong| format!("{}: {}", wrong.path, wrong.what)).collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let place = format!("{namespace}/{}", key.name);
        let version = if kind.group.is_empty() { format!("/{}", kind.version) } else { kind.api_version() };
        let message = format!("failed to create typed patch object ({place}; {version}, Kind={}): {text}", kind.kind);
        return Err(refusal(500, "", message, json!({})));
    }
    if let Some(live) = &live {
        fresh(kind, &key.name, live, &config)?;
    } else {
        if part.is_some() || config.pointer("/metadata/uid").is_some() {
            return Err(status::not_found(kind, &key.name));
        }
        admit(world, kind, key)?;
    }
    let manager = manager(world, ask, kind, part, true);
    let force = ask.query.is_true("force");
    let merged = managers::apply(&kind.root, live.as_deref(), &config, manager, kind.has_status(), force)
        .map_err(|conflicts| status::conflict(&conflicts))?;
    let created = live.is_none();
    let stored = persist(world, kind, key, live.as_deref(), merged, Recording::Done { part }, dry_run(ask))?;
    Ok(Answer::Json(if created { 201 } else { 200 }, (*stored).clone()))
}

pub(super) fn body(ask: &Ask<'_>) -> Result<Value, Refusal> {
    serde_json::from_slice(ask.body)
        .map_err(|error| refusal(400, "BadRequest", format!("the object provided is unrecognized: {error}"), json!({})))
}

/// A write that names a version or a UID must meet it.
pub(super) fn fresh(kind: &Kind, name: &str, live: &Value, object: &Value) -> Result<(), Refusal> {
    let text = |of: &Value, pointer: &str| of.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (wanted, found) = (text(object, "/metadata/resourceVersion"), text(live, "/metadata/resourceVersion"));
    if !wanted.is_empty() && wanted != "0" && wanted != found {
        return Err(status::changed(kind, name));
    }
    let (wanted, found) = (text(object, "/metadata/uid"), text(live, "/metadata/uid"));
    if !wanted.is_empty() && wanted != found {
        return Err(status::precondition(kind, name, "UID", &wanted, &found));
    }
    Ok(())
}

/// The field manager of a write: as it says, or the program of its user agent.
pub(super) fn manager(world: &World, ask: &Ask<'_>, kind: &Kind, part: Option<&str>, applied: bool) -> Manager {
    let agent = ask.agent.split('/').next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
    Manager {
        name: ask.query.get("fieldManager").unwrap_or(agent).to_owned(),
        applied,
        api_version: kind.api_version(),
        part: part.unwrap_or_default().to_owned(),
        fields: fields::Fields::default(),
        time: world.now(),
    }
}

/// The namespace of a write must be there and may not be going.
fn admit(world: &World, kind: &Kind, key: &Key) -> Result<(), Refusal> {
    if !kind.namespaced {
        return Ok(());
    }
    let namespaces = world.kind("", "v1", "namespaces");
    match (world.store.get(&Key::new("", "namespaces", "", &key.namespace)), namespaces) {
        (None, Some(namespaces)) => Err(status::not_found(&namespaces, &key.namespace)),
        (Some(namespace), _) if is_dying(namespace) => {
            let (name, namespace) = (&key.name, &key.namespace);
            let what = kind.qualified();
            let message = format!(
                "{what} {name:?} is forbidden: unable to create new content in namespace {namespace} because it is being \
                 terminated"
            );
            let mut details = json!({"name": name});
            if !kind.group.is_empty() {
                details["group"] = kind.group.as_str().into();
            }
            details["kind"] = kind.resource.as_str().into();
            details["causes"] = json!([{"reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
            Err(refusal(403, "Forbidden", message, details))
        }
        _ => Ok(()),
    }
}

/// Unknown and wrongly typed fields of a write that is no apply: an error where it is strict, else dropped.
fn decode(ask: &Ask<'_>, kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
    let wrong = typed::check(&kind.root, object);
    let unknown = |wrong: &&typed::Wrong| wrong.what == typed::NOT_DECLARED;
    if let Some(wrong) = wrong.iter().find(|wrong| !unknown(wrong)) {
        let field = wrong.path.trim_start_matches('.');
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: {field}: {}",
            kind.kind, kind.version, kind.kind, wrong.what
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    let unknown: Vec<String> = wrong
        .iter()
        .filter(unknown)
        .map(|it| format!("unknown field {:?}", indexed(it.path.trim_start_matches('.'))))
        .collect();
    if !unknown.is_empty() && ask.query.get("fieldValidation").is_none_or(|wish| wish == "Strict") {
        let message = format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            kind.kind,
            kind.version,
            kind.kind,
            unknown.join(", ")
        );
        return Err(refusal(400, "BadRequest", message, json!({})));
    }
    for wrong in wrong {
        let pointer = wrong.path.replace('.', "/");
        if let Some((above, name)) = pointer.rsplit_once('/') {
            object.pointer_mut(above).and_then(Value::as_object_mut).and_then(|above| above.shift_remove(name));
        }
    }
    Ok(())
}

/// Decoding errors name items by their place, not by their keys; which place is not known any more.
fn indexed(path: &str) -> String {
    let mut out = String::new();
    let mut depth = 0;
    for letter in path.chars() {
        match letter {
            '[' => {
                depth += 1;
                out.push_str("[0]");
            }
            ']' => depth -= 1,
            letter if depth == 0 => out.push(letter),
            _ => {}
        }
    }
    out
}
