//! Values with their types: what server-side apply does with them. The rules are those of
//! sigs.k8s.io/structured-merge-diff, package `typed`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::manifest::schema::{ANY, Keys, Scalar, Type};

/// How two values differ.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Only in the second.
    pub added: Fields,
    /// Only in the first.
    pub removed: Fields,
    /// In both, with another value.
    pub modified: Fields,
}

impl Comparison {
    fn put(&mut self, edge: &str, below: Self) {
        self.added.put(edge.to_owned(), below.added);
        self.removed.put(edge.to_owned(), below.removed);
        self.modified.put(edge.to_owned(), below.modified);
    }
}

/// What stands at the edge to a field.
pub fn edge(name: &str) -> String {
    format!("f:{name}")
}

/// The edge to an item of a list: by its keys or its value.
fn item_edge(element: &Type, keys: &Keys, index: usize, item: &Value) -> String {
    match keys {
        Keys::Map(keys) => {
            let defaults = match element.resolve().0 {
                Type::Struct(inner) => Some(&inner.defaults),
                _ => None,
            };
            let mut sorted: Vec<&String> = keys.iter().collect();
            sorted.sort();
            let found = sorted.into_iter().filter_map(|key| {
                let value = item.get(key).or_else(|| defaults?.get(key))?;
                Some((key.clone(), value.clone()))
            });
            format!("k:{}", Value::Object(found.collect::<Map<_, _>>()))
        }
        Keys::Set => format!("v:{item}"),
        Keys::Atomic => format!("i:{index}"),
    }
}

/// Whether a value is taken apart at all: the type has parts with owners of their own, and the value has parts.
fn has_parts(of: &Type, value: &Value) -> bool {
    let (resolved, atomic) = of.resolve();
    !atomic
        && match (resolved, value) {
            (Type::Struct(_) | Type::Map { .. } | Type::Any { .. }, Value::Object(map)) => !map.is_empty(),
            (Type::List { .. }, Value::Array(items)) => !items.is_empty(),
            _ => false,
        }
}

/// The fields of a value: what an applier owns with it.
pub fn fields(of: &Type, value: &Value) -> Fields {
    if !has_parts(of, value) {
        let atomic = of.resolve().1;
        let leaf = atomic || !matches!(value, Value::Object(_) | Value::Array(_));
        return if leaf { Fields::here() } else { Fields::default() };
    }
    let mut set = Fields::default();
    match (of.resolve().0, value) {
        (Type::List { element, keys }, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                let mut below = fields(element, item);
                below.member = true;
                set.put(item_edge(element, keys, index, item), below);
            }
        }
        (resolved, Value::Object(map)) => {
            let known = matches!(resolved, Type::Struct(_));
            for (name, value) in map {
                let mut below = fields(resolved.field(name).unwrap_or(&ANY), value);
                let hollow = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                below.member |= hollow || !known;
                set.put(edge(name), below);
            }
        }
        _ => {}
    }
    set
}

/// How a value differs from another.
pub fn compare(of: &Type, old: Option<&Value>, new: Option<&Value>) -> Comparison {
    let mut found = compare_parts(of, old, new);
    if matches!(of, Type::Named { always: true, .. }) && [old, new].iter().flatten().any(|value| has_parts(of, value)) {
        found.added.member = false;
        found.removed.member = false;
    }
    found
}

fn compare_parts(of: &Type, old: Option<&Value>, new: Option<&Value>) -> Comparison {
    let mut found = Comparison::default();
    let parts = |value: Option<&Value>| value.is_some_and(|value| has_parts(of, value));
    if !parts(old) && !parts(new) {
        match (old, new) {
            (None, Some(_)) => found.added.member = true,
            (Some(_), None) => found.removed.member = true,
            (Some(old), Some(new)) if old != new => found.modified.member = true,
            _ => {}
        }
        return found;
    }
    match of.resolve().0 {
        Type::List { element, keys } => {
            let index = |list: Option<&'_ Value>| -> Vec<(String, Value)> {
                let items = list.and_then(Value::as_array).into_iter().flatten().enumerate();
                items.map(|(at, item)| (item_edge(element, keys, at, item), item.clone())).collect()
            };
            let (old, new) = (index(old), index(new));
            let by_edge: HashMap<&str, &Value> = new.iter().map(|(edge, item)| (edge.as_str(), item)).collect();
            let known: HashMap<&str, &Value> = old.iter().map(|(edge, item)| (edge.as_str(), item)).collect();
            for (edge, item) in &old {
                found.put(edge, compare_parts(element, Some(item), by_edge.get(edge.as_str()).copied()));
            }
            for (edge, item) in new.iter().filter(|(edge, _)| !known.contains_key(edge.as_str())) {
                found.put(edge, compare_parts(element, None, Some(item)));
            }
        }
        resolved => {
            let map = |value: Option<&'_ Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
            let (old, new) = (old.and_then(Value::as_object), map(new));
            for (name, value) in old.into_iter().flatten() {
                let below = compare(resolved.field(name).unwrap_or(&ANY), Some(value), new.get(name));
                found.put(&edge(name), below);
            }
            for (name, value) in new.iter().filter(|(name, _)| old.is_none_or(|old| !old.contains_key(*name))) {
                found.put(&edge(name), compare(resolved.field(name).unwrap_or(&ANY), None, Some(value)));
            }
        }
    }
    found.added.member |= old.is_none();
    found.removed.member |= new.is_none();
    found
}

/// Puts a configuration over a live value.
pub fn merge(of: &Type, live: Option<&Value>, config: Option<&Value>) -> Value {
    let (Some(old), Some(new)) = (live, config) else { return config.or(live).cloned().unwrap_or_default() };
    let (resolved, atomic) = of.resolve();
    if atomic {
        return new.clone();
    }
    match (resolved, old, new) {
        (Type::List { element, keys }, Value::Array(old), Value::Array(new)) => merge_lists(element, keys, old, new),
        (Type::Struct(_) | Type::Map { .. } | Type::Any { .. }, Value::Object(old), Value::Object(new)) => {
            let mut out = old.clone();
            for (name, value) in new {
                let merged = merge(resolved.field(name).unwrap_or(&ANY), old.get(name), Some(value));
                out.insert(name.clone(), merged);
            }
            Value::Object(out)
        }
        _ => new.clone(),
    }
}

/// The order is the configuration's; items that only the live list has keep their place before what follows them there.
fn merge_lists(element: &Type, keys: &Keys, old: &[Value], new: &[Value]) -> Value {
    let edges = |list: &[Value]| -> Vec<String> {
        list.iter().enumerate().map(|(at, item)| item_edge(element, keys, at, item)).collect()
    };
    let (old_edges, new_edges) = (edges(old), edges(new));
    let find = |edges: &[String]| -> HashMap<String, usize> {
        edges.iter().enumerate().rev().map(|(at, edge)| (edge.clone(), at)).collect()
    };
    let (in_old, in_new) = (find(&old_edges), find(&new_edges));
    let mut shared = new_edges.iter().filter(|edge| in_old.contains_key(*edge));
    let mut next_shared = shared.next();
    let mut done = std::collections::HashSet::new();
    let mut out = Vec::with_capacity(old.len().max(new.len()));
    let (mut o, mut n) = (0, 0);
    while o < old.len() || n < new.len() {
        if o < old.len() && n < new.len() {
            if old_edges[o] == new_edges[n] {
                out.push(merge(element, Some(&old[o]), Some(&new[n])));
                done.insert(&new_edges[n]);
                (o, n) = (o + 1, n + 1);
                next_shared = shared.next();
                continue;
            }
            if in_new.contains_key(&old_edges[o]) && next_shared.is_some_and(|next| *next != old_edges[o]) {
                o += 1;
                continue;
            }
        }
        if o < old.len() {
            if !in_new.contains_key(&old_edges[o]) {
                out.push(old[o].clone());
                o += 1;
                continue;
            }
            if done.contains(&old_edges[o]) {
                o += 1;
            }
        }
        if n < new.len() {
            let live = in_old.get(&new_edges[n]).map(|at| &old[*at]);
            out.push(merge(element, live, Some(&new[n])));
            done.insert(&new_edges[n]);
            if next_shared == Some(&new_edges[n]) {
                next_shared = shared.next();
            }
            n += 1;
        }
    }
    Value::Array(out)
}

/// The value without the fields of a set; `None` when nothing is left of it.
pub fn remove(of: &Type, value: &Value, set: &Fields) -> Option<Value> {
    if set.is_empty() || !has_parts(of, value) {
        return Some(value.clone());
    }
    match (of.resolve().0, value) {
        (Type::List { element, keys }, Value::Array(items)) => {
            let kept: Vec<Value> = items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| match set.child(&item_edge(element, keys, index, item)) {
                    Some(below) if below.member => None,
                    Some(below) => remove(element, item, below),
                    None => Some(item.clone()),
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (resolved, Value::Object(map)) => {
            let kept: Map<String, Value> = map
                .iter()
                .filter_map(|(name, value)| {
                    let kept = match set.child(&edge(name)) {
                        Some(below) if below.member => None,
                        Some(below) => remove(resolved.field(name).unwrap_or(&ANY), value, below),
                        None => Some(value.clone()),
                    };
                    Some((name.clone(), kept?))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        _ => Some(value.clone()),
    }
}

/// What is wrong with a value by its type: fields that do not exist, values of another type, items that cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// `.spec.containers[name="a"].imag`.
    pub path: String,
    /// Such as [`NOT_DECLARED`].
    pub what: String,
}

/// What is wrong with a field that does not exist.
pub const NOT_DECLARED: &str = "field not declared in schema";

/// Checks a value; nothing means that it fits.
pub fn check(of: &Type, value: &Value) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    check_at(of, value, &mut String::new(), &mut wrong);
    wrong
}

fn check_at(of: &Type, value: &Value, path: &mut String, wrong: &mut Vec<Wrong>) {
    if value.is_null() {
        return;
    }
    let mut tell = |what: String| wrong.push(Wrong { path: path.clone(), what });
    match (of.resolve().0, value) {
        (Type::Any { .. }, _) => {}
        (Type::Scalar(scalar), value) => {
            let fits = match scalar {
                Scalar::String | Scalar::Bytes => value.is_string(),
                Scalar::Integer | Scalar::Number => value.is_number(),
                Scalar::Boolean => value.is_boolean(),
                Scalar::Quantity | Scalar::Either => value.is_string() || value.is_number(),
            };
            if !fits {
                let wrapped = || format!("&value.valueUnstructured{{Value:{value}}}");
                tell(match scalar {
                    Scalar::String | Scalar::Bytes => format!("expected string, got {}", wrapped()),
                    Scalar::Integer | Scalar::Number => {
                        format!("expected numeric (int or float), got {}", go_type(value))
                    }
                    Scalar::Boolean => format!("expected boolean, got {}", wrapped()),
                    Scalar::Quantity | Scalar::Either => format!("expected string or number, got {}", wrapped()),
                });
            }
        }
        (Type::Struct(inner), Value::Object(map)) => {
            for (name, value) in map {
                let length = path.len();
                path.push_str(&format!(".{name}"));
                match inner.fields.get(name) {
                    Some(field) => check_at(field, value, path, wrong),
                    None => wrong.push(Wrong { path: path.clone(), what: NOT_DECLARED.into() }),
                }
                path.truncate(length);
            }
        }
        (Type::Map { element, .. }, Value::Object(map)) => {
            for (name, value) in map {
                let length = path.len();
                path.push_str(&format!(".{name}"));
                check_at(element, value, path, wrong);
                path.truncate(length);
            }
        }
        (Type::List { element, keys }, Value::Array(items)) => {
            let mut seen = std::collections::HashSet::new();
            for (index, item) in items.iter().enumerate() {
                let edge = item_edge(element, keys, index, item);
                let mut written = Fields::default();
                written.put(edge.clone(), Fields::here());
                let place = written.paths().pop().unwrap_or_default();
                if !seen.insert(edge) {
                    wrong.push(Wrong { path: path.clone(), what: format!("duplicate entries for key {place}") });
                }
                let length = path.len();
                path.push_str(&place);
                check_at(element, item, path, wrong);
                path.truncate(length);
            }
        }
        (Type::Struct(_) | Type::Map { .. }, value) => tell(format!("expected map, got {}", shown(value))),
        (Type::List { .. }, value) => tell(format!("expected list, got {}", shown(value))),
        (Type::Named { .. }, _) => {}
    }
}

/// The name of a value's type in Go.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "string",
        Value::Bool(_) => "bool",
        Value::Object(_) => "map[string]interface {}",
        Value::Array(_) => "[]interface {}",
        Value::Number(_) => "float64",
        Value::Null => "<nil>",
    }
}

/// A value as the messages show it: `&{x}` for a text, as Go prints the wrapper around it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("&{{{text}}}"),
        Value::Object(_) => "map".into(),
        Value::Array(_) => "list".into(),
        other => format!("&{{{other}}}"),
    }
}

/// The value as the server keeps it: without nulls and empty parts that mean the same as nothing, and, of a custom kind,
/// without the fields that its definition does not know.
pub fn normalise(of: &Type, value: &mut Value) {
    match (of.resolve().0, value) {
        (Type::Struct(inner), Value::Object(map)) => {
            map.retain(|name, value| {
                let Some(field) = inner.fields.get(name) else { return !inner.drops_unknown };
                normalise(field, value);
                let hollow = match (field.resolve().0, &*value) {
                    (_, Value::Null) => true,
                    _ if inner.drops_unknown => false,
                    (Type::Map { .. }, Value::Object(map)) => map.is_empty() && !name.ends_with("Labels"),
                    (Type::List { .. }, Value::Array(items)) => items.is_empty(),
                    (Type::Scalar(Scalar::String), Value::String(text)) => {
                        text.is_empty() && !name.ends_with("ClassName")
                    }
                    _ => false,
                };
                !hollow
            });
        }
        (Type::Map { element, .. }, Value::Object(map)) => {
            for value in map.values_mut() {
                normalise(element, value);
            }
        }
        (Type::List { element, .. }, Value::Array(items)) => items.iter_mut().for_each(|item| normalise(element, item)),
        _ => {}
    }
}

/// Fills in the defaults that the schema gives.
pub fn fill_in(of: &Type, value: &mut Value) {
    match (of.resolve().0, value) {
        (Type::Struct(inner), Value::Object(map)) => {
            for (name, default) in &inner.defaults {
                if !map.contains_key(name) {
                    map.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in map.iter_mut() {
                if let Some(field) = inner.fields.get(name) {
                    fill_in(field, value);
                }
            }
        }
        (Type::Map { element, .. }, Value::Object(map)) => map.values_mut().for_each(|value| fill_in(element, value)),
        (Type::List { element, .. }, Value::Array(items)) => items.iter_mut().for_each(|item| fill_in(element, item)),
        _ => {}
    }
}
