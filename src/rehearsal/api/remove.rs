//! Deleting: one object, or all that a selector fits.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Answered, Ask, dry_run, key_of};
use crate::manifest::schema::Kind;
use crate::rehearsal::deletion::{Propagation, delete, uid};
use crate::rehearsal::request::{Selector, Target};
use crate::rehearsal::status;
use crate::rehearsal::store::Key;
use crate::rehearsal::world::World;

/// Kinds of which a deletion answers with the object.
const GIVEN_BACK: [(&str, &str); 8] = [
    ("", "pods"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "podtemplates"),
    ("", "resourcequotas"),
    ("storage.k8s.io", "storageclasses"),
];

pub(super) fn remove(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let live = world.store.get(&key).cloned().ok_or_else(|| status::not_found(kind, name))?;
    let options = options(ask);
    for (what, pointer, known) in [
        ("UID", "/preconditions/uid", uid(&live)),
        (
            "ResourceVersion",
            "/preconditions/resourceVersion",
            live.pointer("/metadata/resourceVersion").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ),
    ] {
        if let Some(wanted) = options.pointer(pointer).and_then(Value::as_str).filter(|wanted| *wanted != known) {
            return Err(status::precondition(kind, name, what, wanted, &known));
        }
    }
    let gone = |live: &Value| {
        let mut details = json!({"name": name});
        if !kind.group.is_empty() {
            details["group"] = kind.group.as_str().into();
        }
        details["kind"] = kind.resource.as_str().into();
        details["uid"] = uid(live).into();
        Answer::Json(
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}),
        )
    };
    let dry = dry_run(ask) || options.get("dryRun").is_some_and(|it| it == &json!(["All"]));
    if dry {
        return Ok(gone(&live));
    }
    match delete(world, &key, propagation(ask, &options)) {
        None => Err(status::not_found(kind, name)),
        // Pods and claims are given back as they were last, most others as a status.
        Some((last, true)) if GIVEN_BACK.contains(&(kind.group.as_str(), kind.resource.as_str())) => {
            Ok(Answer::Json(200, (*last).clone()))
        }
        Some((last, true)) => Ok(gone(&last)),
        Some((object, false)) => Ok(Answer::Json(200, (*object).clone())),
    }
}

pub(super) fn remove_all(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>) -> Answered {
    let selector = Selector::of(&ask.query);
    let place = (kind.group.clone(), kind.resource.clone());
    let found: Vec<(Key, Arc<Value>)> = world
        .store
        .list(&place, target.namespace.as_deref())
        .filter(|(_, object)| selector.fits(object))
        .map(|((namespace, name), object)| (Key::new(&kind.group, &kind.resource, namespace, name), object.clone()))
        .collect();
    let propagation = propagation(ask, &options(ask));
    let mut items = Vec::new();
    for (key, object) in found {
        delete(world, &key, propagation);
        let mut item = (*object).clone();
        if let (false, Some(item)) = (kind.custom, item.as_object_mut()) {
            item.shift_remove("kind");
            item.shift_remove("apiVersion");
        }
        items.push(item);
    }
    let list = format!("{}List", kind.kind);
    let metadata = json!({"resourceVersion": world.store.revision().to_string()});
    Ok(Answer::Json(200, json!({"kind": list, "apiVersion": kind.api_version(), "metadata": metadata, "items": items})))
}

fn propagation(ask: &Ask<'_>, options: &Value) -> Propagation {
    let wish = options.get("propagationPolicy").and_then(Value::as_str).or_else(|| ask.query.get("propagationPolicy"));
    match wish {
        Some("Foreground") => Propagation::Foreground,
        Some("Orphan") => Propagation::Orphan,
        _ => Propagation::Background,
    }
}

fn options(ask: &Ask<'_>) -> Value {
    serde_json::from_slice(ask.body).unwrap_or_default()
}
