//! Patches other than server-side apply: JSON merge patch (RFC 7386), JSON patch (RFC 6902), and strategic merge patch as far
//! as lists are merged by their keys.

use serde_json::{Map, Value};

use crate::manifest::schema::{ANY, Keys, Type};

/// Merges a patch (RFC 7386): null removes.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(map) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            map.shift_remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Merges a patch by the types of its fields: items of lists are told apart by the list's keys, `$patch: delete` removes one.
pub fn strategic(of: &Type, target: &mut Value, patch: &Value) {
    match (of.resolve().0, &mut *target, patch) {
        (Type::List { element, keys: Keys::Map(keys) }, Value::Array(items), Value::Array(patches)) => {
            // Strategic merge patch knows one key, the first of server-side apply's.
            let key = keys.first().map(String::as_str).unwrap_or_default();
            for patch in patches {
                let found = items.iter().position(|item| item.get(key) == patch.get(key));
                match (found, patch.get("$patch").and_then(Value::as_str)) {
                    (Some(at), Some("delete")) => drop(items.remove(at)),
                    (None, Some("delete")) => {}
                    (Some(at), _) => strategic(element, &mut items[at], patch),
                    (None, _) => items.push(patch.clone()),
                }
            }
        }
        (resolved, _, Value::Object(patch)) => {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Some(map) = target.as_object_mut() else { return };
            for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
                if value.is_null() {
                    map.shift_remove(name);
                } else {
                    let place = map.entry(name.clone()).or_insert(Value::Null);
                    strategic(resolved.field(name).unwrap_or(&ANY), place, value);
                }
            }
        }
        _ => *target = patch.clone(),
    }
}

/// Why a JSON patch does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// It is no list of operations.
    Malformed(String),
    /// A test failed or a place is not there.
    Failed(String),
}

/// Carries out a JSON patch (RFC 6902).
///
/// # Errors
/// When it cannot be carried out as a whole; the target is then half changed and must be thrown away.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), Misfit> {
    let operations = patch.as_array().ok_or_else(|| Misfit::Malformed("a JSON patch is a list".into()))?;
    for operation in operations {
        let text = |name: &str| operation.get(name).and_then(Value::as_str);
        let path = text("path").ok_or_else(|| Misfit::Malformed("an operation has no path".into()))?;
        let missing = |path: &str| Misfit::Failed(format!("nothing is at {path}"));
        let value = || operation.get("value").cloned().unwrap_or_default();
        match text("op") {
            Some("test") => {
                let found = target.pointer(path);
                if found.unwrap_or(&Value::Null) != operation.get("value").unwrap_or(&Value::Null) {
                    return Err(Misfit::Failed(format!("testing value {path} failed")));
                }
            }
            Some("add") => add(target, path, value()).ok_or_else(|| missing(path))?,
            Some("replace") => {
                let place = target.pointer_mut(path).ok_or_else(|| missing(path))?;
                *place = value();
            }
            Some("remove") => drop(take(target, path).ok_or_else(|| missing(path))?),
            Some(op @ ("move" | "copy")) => {
                let from = text("from").unwrap_or_default();
                let moved = if op == "move" { take(target, from) } else { target.pointer(from).cloned() };
                add(target, path, moved.ok_or_else(|| missing(from))?).ok_or_else(|| missing(path))?;
            }
            other => return Err(Misfit::Malformed(format!("unknown operation {}", other.unwrap_or("none")))),
        }
    }
    Ok(())
}

/// The place that holds the last word of a path, and that word.
fn parent<'v>(target: &'v mut Value, path: &str) -> Option<(&'v mut Value, String)> {
    let (above, word) = path.rsplit_once('/')?;
    Some((target.pointer_mut(above)?, word.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    match parent(target, path)? {
        (Value::Object(map), word) => drop(map.insert(word, value)),
        (Value::Array(items), word) if word == "-" => items.push(value),
        (Value::Array(items), word) => {
            let at = word.parse().ok().filter(|at| *at <= items.len())?;
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    match parent(target, path)? {
        (Value::Object(map), word) => map.shift_remove(&word),
        (Value::Array(items), word) => {
            word.parse().ok().filter(|at| *at < items.len()).map(|at: usize| items.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_merge_patch_removes_with_null() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut value, &json!({"a": {"b": null, "e": 3}, "d": [2, 3]}));
        assert_eq!(value, json!({"a": {"c": 2, "e": 3}, "d": [2, 3]}));
    }

    #[test]
    fn a_json_patch_tests_before_it_writes() {
        let mut value = json!({"metadata": {"resourceVersion": "1", "annotations": {"a/b": "c"}}, "list": [1, 3]});
        let patch = json!([
            {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
            {"op": "replace", "path": "/metadata/annotations/a~1b", "value": "d"},
            {"op": "add", "path": "/list/1", "value": 2},
            {"op": "remove", "path": "/list/0"},
        ]);
        super::json(&mut value, &patch).unwrap();
        assert_eq!(value["metadata"]["annotations"]["a/b"], "d");
        assert_eq!(value["list"], json!([2, 3]));
        let wrong = json!([{"op": "test", "path": "/metadata/resourceVersion", "value": "2"}]);
        assert!(matches!(super::json(&mut value, &wrong), Err(Misfit::Failed(_))));
    }
}
