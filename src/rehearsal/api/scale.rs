//! The part `scale` of workloads: told and taken as a `Scale` of `autoscaling/v1`, kept in `spec.replicas` of the object.

use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::persist::{Recording, persist};
use super::write::{apply, body, fresh, manager, patched};
use super::{Answer, Answered, Ask, dry_run, key_of};
use crate::manifest::schema::Kind;
use crate::rehearsal::request::Target;
use crate::rehearsal::status::{self, FieldError};
use crate::rehearsal::world::World;

/// The name of the part.
pub(super) const PART: &str = "scale";

/// Answers what is asked of the part.
pub(super) fn answer(world: &mut World, ask: &Ask<'_>, target: &Target, kind: &Arc<Kind>, name: &str) -> Answered {
    let key = key_of(kind, target, name);
    let live = world.store.get(&key).cloned().ok_or_else(|| status::not_found(kind, name))?;
    let wanted = match *ask.method {
        Method::GET => return Ok(Answer::Json(200, scale_of(&live))),
        Method::PUT => body(ask)?,
        Method::PATCH if ask.content_type.starts_with("application/apply-patch") => {
            let config = json!({
                "apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name},
                "spec": body(ask)?.get("spec").cloned().unwrap_or_default(),
            });
            return Ok(match apply(world, ask, kind, &key, Some(live), config, Some(PART))? {
                Answer::Json(code, object) => Answer::Json(code, scale_of(&object)),
                other => other,
            });
        }
        Method::PATCH => patched(ask, None, &scale_of(&live), &body(ask)?)?,
        _ => return Err(status::no_such_method()),
    };
    fresh(kind, name, &live, &wanted)?;
    let replicas = wanted.pointer("/spec/replicas").cloned().unwrap_or_else(|| 0.into());
    if replicas.as_u64().is_none() {
        let error = FieldError::invalid("spec.replicas", &replicas, "must be greater than or equal to 0");
        return Err(status::invalid_of("autoscaling", "Scale", name, &[error]));
    }
    let mut object = (*live).clone();
    object["spec"]["replicas"] = replicas;
    let manager = manager(world, ask, kind, Some(PART), false);
    let stored = persist(world, kind, &key, Some(&live), object, Recording::Update(manager), dry_run(ask))?;
    Ok(Answer::Json(200, scale_of(&stored)))
}

fn scale_of(object: &Value) -> Value {
    let metadata = ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"].into_iter();
    let metadata: serde_json::Map<String, Value> =
        metadata.filter_map(|name| Some((name.to_owned(), object["metadata"].get(name)?.clone()))).collect();
    let replicas = object.pointer("/spec/replicas").filter(|replicas| replicas.as_u64() != Some(0));
    let spec = replicas.map_or_else(|| json!({}), |replicas| json!({"replicas": replicas}));
    let running = object.pointer("/status/replicas").cloned().unwrap_or_else(|| 0.into());
    let selector = selector(object.pointer("/spec/selector").unwrap_or(&Value::Null));
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec,
        "status": {"replicas": running, "selector": selector},
    })
}

/// A label selector as text, as in queries: labels by name, then what else is asked of them.
fn selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let mut parts: Vec<String> =
        labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
    parts.sort();
    for asked in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
        let key = asked["key"].as_str().unwrap_or_default();
        let values: Vec<&str> = asked["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut part = match asked["operator"].as_str().unwrap_or_default() {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            "NotIn" => format!("{key} notin "),
            _ => format!("{key} in "),
        };
        if !values.is_empty() {
            let _ = write!(part, "({})", values.join(","));
        }
        parts.push(part);
    }
    parts.join(",")
}
