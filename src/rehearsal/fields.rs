//! Sets of fields, as `metadata.managedFields` holds them: a tree whose edges are the words of the format `FieldsV1`
//! (`f:name`, `k:{"name":"x"}`, `v:"x"`), and in which every node may be a member.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// Whether the field itself is in the set.
    pub member: bool,
    children: BTreeMap<String, Fields>,
}

impl Fields {
    /// The set of one field: the root.
    pub fn here() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// What is below an edge.
    pub fn child(&self, edge: &str) -> Option<&Self> {
        self.children.get(edge)
    }

    /// Puts a set below an edge; an empty one leaves no trace.
    pub fn put(&mut self, edge: String, below: Self) {
        if !below.is_empty() {
            let merged = match self.children.remove(&edge) {
                Some(known) => known.union(&below),
                None => below,
            };
            self.children.insert(edge, merged);
        }
    }

    /// Takes away a field with everything below it.
    pub fn remove(&mut self, path: &[&str]) {
        match path {
            [] => *self = Self::default(),
            [edge] => drop(self.children.remove(*edge)),
            [edge, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*edge) {
                    child.remove(rest);
                    if child.is_empty() {
                        self.children.remove(*edge);
                    }
                }
            }
        }
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        sum.add(other);
        sum
    }

    /// Adds what is in another set.
    pub fn add(&mut self, other: &Self) {
        self.member |= other.member;
        for (edge, below) in &other.children {
            match self.children.get_mut(edge) {
                Some(known) => known.add(below),
                None => drop(self.children.insert(edge.clone(), below.clone())),
            }
        }
    }

    /// What is in this and not in the other, field by field.
    pub fn without(&self, other: &Self) -> Self {
        let children = self.children.iter().map(|(edge, below)| match other.children.get(edge) {
            Some(others) => (edge.clone(), below.without(others)),
            None => (edge.clone(), below.clone()),
        });
        let children = children.filter(|(_, below)| !below.is_empty()).collect();
        Self { member: self.member && !other.member, children }
    }

    /// What is in both, field by field.
    pub fn both(&self, other: &Self) -> Self {
        let children = self.children.iter().filter_map(|(edge, below)| {
            let both = below.both(other.children.get(edge)?);
            (!both.is_empty()).then(|| (edge.clone(), both))
        });
        Self { member: self.member && other.member, children: children.collect() }
    }

    /// The same with every named field on the way to a member a member too.
    pub fn with_ways(&self) -> Self {
        let children = self.children.iter().map(|(edge, below)| {
            let mut below = below.with_ways();
            below.member |= edge.starts_with("f:");
            (edge.clone(), below)
        });
        Self { member: self.member, children: children.collect() }
    }

    /// In the format `FieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        map.extend(self.children.iter().map(|(edge, below)| (edge.clone(), below.to_json())));
        Value::Object(map)
    }

    /// Reads the format `FieldsV1`; the root is no member.
    pub fn from_json(value: &Value) -> Self {
        let mut fields = Self::read(value);
        fields.member = false;
        fields
    }

    fn read(value: &Value) -> Self {
        let Some(map) = value.as_object() else { return Self::here() };
        let children: BTreeMap<_, _> = map
            .iter()
            .filter(|(edge, _)| *edge != ".")
            .map(|(edge, below)| (edge.clone(), Self::read(below)))
            .collect();
        Self { member: map.contains_key(".") || children.is_empty(), children }
    }

    /// The members, as messages write them: `.spec.containers[name="a"].image`.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.collect(&mut String::new(), &mut found);
        found
    }

    fn collect(&self, path: &mut String, found: &mut Vec<String>) {
        if self.member {
            found.push(path.clone());
        }
        for (edge, below) in &self.children {
            let length = path.len();
            path.push_str(&written(edge));
            below.collect(path, found);
            path.truncate(length);
        }
    }
}

/// One edge as a message writes it.
fn written(edge: &str) -> String {
    match edge.split_at_checked(2) {
        Some(("f:", name)) => format!(".{name}"),
        Some(("k:", keys)) => {
            let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
            let keys: Vec<_> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("[{}]", keys.join(","))
        }
        Some(("v:", value)) => format!("[={value}]"),
        Some((_, index)) => format!("[{index}]"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_format_survives_the_way_through_the_tree() {
        let written = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}}, "f:spec": {"f:ports": {
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}, "f:finalizers": {"v:\"x\"": {}}}});
        let fields = Fields::from_json(&written);
        assert_eq!(fields.to_json(), written);
        assert_eq!(
            fields.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.a",
                ".spec.finalizers[=\"x\"]",
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].port"
            ]
        );
    }

    #[test]
    fn differences_go_field_by_field() {
        let all = Fields::from_json(&json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}}));
        let some = Fields::from_json(&json!({"f:a": {"f:b": {}}}));
        assert_eq!(all.without(&some).to_json(), json!({"f:a": {".": {}, "f:c": {}}}));
        assert_eq!(all.both(&some).to_json(), json!({"f:a": {"f:b": {}}}));
        assert_eq!(some.union(&all), all);
        assert!(some.without(&all).is_empty());
        assert_eq!(some.with_ways().to_json(), json!({"f:a": {".": {}, "f:b": {}}}));
    }
}
