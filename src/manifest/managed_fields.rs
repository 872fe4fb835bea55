//! `metadata.managedFields`: who holds which field of a live object. Pure.
//!
//! Field sets are in the form `FieldsV1`: `f:NAME` is a member, `k:{…}` an entry of a list by its keys, `v:…` one by its value,
//! `.` the thing itself, and an empty set a whole value.

use serde_json::{Map, Value, json};

/// Manager of what `kubectl apply` without `--server-side` has written.
pub const CLIENT_SIDE: &str = "kubectl-client-side-apply";

/// What is below a name in a field set.
pub type FieldSet = Map<String, Value>;

fn entries(live: &Value) -> impl Iterator<Item = &Value> {
    live.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(entry: &'a Value, name: &str) -> &'a str {
    entry.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn is_entry(entry: &Value, manager: &str, operation: &str) -> bool {
    text(entry, "manager") == manager && text(entry, "operation") == operation && text(entry, "subresource").is_empty()
}

/// Whether `kubectl apply` has left its entry.
pub fn has_client_side(live: &Value) -> bool {
    entries(live).any(|entry| is_entry(entry, CLIENT_SIDE, "Update"))
}

/// The managed fields in which what `kubectl apply` held belongs to the server-side manager `manager`; `None` where there is
/// nothing of the kind. What that manager does not send in its next apply is then removed. This is what client-go's
/// `csaupgrade` does: fields of the same version are united, and entries of kubectl go.
pub fn without_client_side(live: &Value, manager: &str) -> Option<Value> {
    if !has_client_side(live) {
        return None;
    }
    let (left, mut kept): (Vec<Value>, Vec<Value>) =
        entries(live).cloned().partition(|entry| is_entry(entry, CLIENT_SIDE, "Update"));
    let place = kept.iter().position(|entry| is_entry(entry, manager, "Apply")).unwrap_or_else(|| {
        let mut first = left.first().cloned().unwrap_or_default();
        first["manager"] = json!(manager);
        first["operation"] = json!("Apply");
        kept.push(first);
        kept.len() - 1
    });
    let ours = &mut kept[place];
    for entry in left.iter().filter(|entry| text(entry, "apiVersion") == text(ours, "apiVersion")).collect::<Vec<_>>() {
        if let Some(more) = entry.get("fieldsV1").and_then(Value::as_object) {
            let mut fields = ours.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
            unite(&mut fields, more);
            ours["fieldsV1"] = Value::Object(fields);
        }
    }
    Some(Value::Array(kept))
}

fn unite(into: &mut FieldSet, more: &FieldSet) {
    for (name, below) in more {
        match (into.get_mut(name).and_then(Value::as_object_mut), below.as_object()) {
            (Some(known), Some(below)) => unite(known, below),
            _ => drop(into.insert(name.clone(), below.clone())),
        }
    }
}

/// The fields that `manager` has applied and nobody else holds.
pub fn held_alone(live: &Value, manager: &str) -> FieldSet {
    let fields = |entry: &Value| entry.get("fieldsV1").and_then(Value::as_object).cloned().unwrap_or_default();
    let (ours, others): (Vec<&Value>, Vec<&Value>) = entries(live).partition(|entry| is_entry(entry, manager, "Apply"));
    let ours = ours.first().map(|entry| fields(entry)).unwrap_or_default();
    others.iter().fold(ours, |left, other| without(&left, &fields(other)))
}

/// A field set without those of another one. What holds nothing any more goes.
fn without(fields: &FieldSet, others: &FieldSet) -> FieldSet {
    let keep = |(name, below): (&String, &Value)| {
        let Some(theirs) = others.get(name).and_then(Value::as_object) else {
            return Some((name.clone(), below.clone()));
        };
        let below = below.as_object()?;
        let left = without(below, theirs);
        // `.` alone says that a list's entry or a mapping is there, which whoever holds something in it says as well.
        let held = left.keys().any(|name| name != ".");
        held.then(|| (name.clone(), Value::Object(left)))
    };
    fields.iter().filter_map(keep).collect()
}

/// The part of a live value that a field set covers; `None` when that is nothing.
pub fn covered(live: &Value, fields: &FieldSet) -> Option<Value> {
    if fields.is_empty() {
        return Some(live.clone());
    }
    match live {
        Value::Object(members) => {
            let below = |(name, value): (&String, &Value)| {
                let fields = fields.get(&format!("f:{name}"))?.as_object()?;
                Some((name.clone(), covered(value, fields)?))
            };
            let found: Map<_, _> = members.iter().filter_map(below).collect();
            (!found.is_empty() || fields.contains_key(".")).then_some(Value::Object(found))
        }
        Value::Array(items) => {
            let found: Vec<Value> = items.iter().filter_map(|item| covered_item(item, fields)).collect();
            (!found.is_empty()).then_some(Value::Array(found))
        }
        other => Some(other.clone()),
    }
}

fn covered_item(item: &Value, fields: &FieldSet) -> Option<Value> {
    let (keys, below) = fields.iter().find_map(|(name, below)| match name.split_at_checked(2)? {
        ("k:", keys) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).ok()?;
            let same = keys.iter().all(|(key, value)| item.get(key) == Some(value));
            same.then_some((keys, below.as_object()?))
        }
        ("v:", value) => {
            (serde_json::from_str::<Value>(value).ok()? == *item).then_some((Map::new(), below.as_object()?))
        }
        _ => None,
    })?;
    let mut found = covered(item, below).or_else(|| item.is_object().then(|| json!({})))?;
    if let Some(found) = found.as_object_mut() {
        // Without its keys the entry would be another one.
        found.extend(keys);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn live(entries: Vec<Value>) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    #[test]
    fn what_kubectl_applied_becomes_ours() {
        let (a, b) = (json!({"f:data": {"f:a": {}}}), json!({"f:data": {"f:b": {}, ".": {}}}));
        let alone = live(vec![entry(CLIENT_SIDE, "Update", a.clone()), entry("x", "Update", json!({}))]);
        let upgraded = without_client_side(&alone, "rekindle").unwrap();
        assert_eq!(upgraded, json!([entry("x", "Update", json!({})), entry("rekindle", "Apply", a.clone())]));
        let both = live(vec![entry("rekindle", "Apply", b), entry(CLIENT_SIDE, "Update", a.clone())]);
        let upgraded = without_client_side(&both, "rekindle").unwrap();
        assert_eq!(upgraded, json!([entry("rekindle", "Apply", json!({"f:data": {"f:b": {}, ".": {}, "f:a": {}}}))]));
        let mut older = entry(CLIENT_SIDE, "Update", a);
        older["apiVersion"] = json!("v1beta1");
        let mixed = live(vec![entry("rekindle", "Apply", json!({})), older]);
        assert_eq!(without_client_side(&mixed, "rekindle").unwrap(), json!([entry("rekindle", "Apply", json!({}))]));
        assert_eq!(without_client_side(&live(vec![entry("rekindle", "Apply", json!({}))]), "rekindle"), None);
        // Under a server-side apply of the same name there is nothing to mend.
        assert!(!has_client_side(&live(vec![entry(CLIENT_SIDE, "Apply", json!({}))])));
    }

    #[test]
    fn what_is_held_alone_is_without_what_others_hold_too() {
        let ours =
            json!({"f:spec": {"f:replicas": {}, "f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:x": {}}}}});
        let scale = json!({"f:spec": {"f:replicas": {}}});
        let mut scaled = entry("autoscaler", "Update", scale);
        scaled["subresource"] = json!("scale");
        let held = held_alone(&live(vec![entry("rekindle", "Apply", ours.clone()), scaled]), "rekindle");
        let list = &ours["f:spec"]["f:list"];
        assert_eq!(Value::Object(held), json!({"f:spec": {"f:list": list}}));
        let theirs = json!({"f:spec": {"f:list": {"k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:x": {}}}}});
        let held = held_alone(&live(vec![entry("rekindle", "Apply", ours), entry("x", "Update", theirs)]), "rekindle");
        assert_eq!(Value::Object(held), json!({"f:spec": {"f:replicas": {}}}));
        assert!(held_alone(&json!({}), "rekindle").is_empty());
    }

    #[test]
    fn the_covered_part_of_a_value() {
        let live = json!({"a": 1, "b": {"c": 2, "d": 3}, "list": [{"name": "x", "v": 1, "w": 2}, {"name": "y", "v": 3}],
            "set": ["p", "q"]});
        let part = |fields: Value| covered(&live, fields.as_object().unwrap());
        assert_eq!(part(json!({"f:a": {}})), Some(json!({"a": 1})));
        assert_eq!(part(json!({"f:b": {".": {}, "f:c": {}}})), Some(json!({"b": {"c": 2}})));
        assert_eq!(part(json!({"f:b": {}})), Some(json!({"b": {"c": 2, "d": 3}})));
        assert_eq!(part(json!({"f:z": {}})), None);
        let list = json!({"f:list": {"k:{\"name\":\"x\"}": {"f:w": {}}}});
        assert_eq!(part(list), Some(json!({"list": [{"w": 2, "name": "x"}]})));
        assert_eq!(part(json!({"f:set": {"v:\"q\"": {}}})), Some(json!({"set": ["q"]})));
        assert_eq!(part(json!({"f:list": {"k:{\"name\":\"z\"}": {}}})), None);
    }
}
