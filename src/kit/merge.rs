//! Deep merge of environment files that remembers, for every value, where it is written and what it replaced.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Overridden;
use crate::manifest::Origin;
use crate::manifest::yaml::{Node, NodeKind};

/// A merged value.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    content: Content,
    /// Where the nearest file writes it; for a mapping, the nearest file that contributes to it.
    pub origin: Origin,
    overridden: Vec<Overridden>,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// A scalar or a list: replaced as a whole.
    Leaf(Value),
    /// A mapping, in the order in which keys were first written.
    Map(Vec<(String, Merged)>),
}

/// A merged environment: a tree, and what `null` removed from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    root: Merged,
    /// By dotted path, where the `null` is written.
    pub removed: BTreeMap<String, Origin>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Merged { content: Content::Map(Vec::new()), origin: Origin::default(), overridden: Vec::new() };
        Self { root, removed: BTreeMap::new() }
    }
}

impl Tree {
    /// Lays a value over the tree at a path, given by its segments. Mappings merge, `null` removes, all else replaces.
    /// Where the path leads through something that is no mapping, that is replaced by one.
    pub fn apply(&mut self, path: &[&str], node: &Node, place: &dyn Fn(&Node) -> Origin) {
        let mut at = &mut self.root;
        let Some((last, parents)) = path.split_last() else { return };
        for segment in parents {
            at = at.child(segment, &place(node));
        }
        let mut dotted = path.join(".");
        let Content::Map(entries) = at.map(&place(node)) else { return };
        lay(entries, last, node, place, &mut dotted, &mut self.removed);
    }

    /// The value at a path; `None` when there is nothing.
    pub fn get(&self, path: &[&str]) -> Option<&Merged> {
        path.iter().try_fold(&self.root, |at, segment| match &at.content {
            Content::Map(entries) => entries.iter().find(|(key, _)| key == segment).map(|(_, merged)| merged),
            Content::Leaf(_) => None,
        })
    }

    /// Everything, as plain data.
    pub fn to_value(&self) -> Value {
        self.root.to_value()
    }

    /// Every value with its dotted path, mappings before what they hold.
    pub fn walk(&self, visit: &mut dyn FnMut(&str, &Merged)) {
        self.root.walk("", visit);
    }
}

impl Merged {
    fn leaf(value: Value, origin: Origin) -> Self {
        Self { content: Content::Leaf(value), origin, overridden: Vec::new() }
    }

    /// As plain data.
    pub fn to_value(&self) -> Value {
        match &self.content {
            Content::Leaf(value) => value.clone(),
            Content::Map(entries) => {
                entries.iter().map(|(key, merged)| (key.clone(), merged.to_value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// Whether it is a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// The entries of a mapping; nothing for other values.
    pub fn entries(&self) -> &[(String, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Leaf(_) => &[],
        }
    }

    /// What it replaced, nearest first.
    pub fn overridden(&self) -> &[Overridden] {
        &self.overridden
    }

    fn map(&mut self, origin: &Origin) -> &mut Content {
        if let Content::Leaf(value) = &self.content {
            let value = value.clone();
            self.overridden.insert(0, Overridden { value, origin: self.origin.clone() });
            self.content = Content::Map(Vec::new());
            self.origin = origin.clone();
        }
        &mut self.content
    }

    fn child(&mut self, key: &str, origin: &Origin) -> &mut Self {
        let Content::Map(entries) = self.map(origin) else { unreachable!("map() makes a mapping") };
        let index = entries.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
            let empty = Self { content: Content::Map(Vec::new()), origin: origin.clone(), overridden: Vec::new() };
            entries.push((key.to_owned(), empty));
            entries.len() - 1
        });
        &mut entries[index].1
    }

    fn walk(&self, path: &str, visit: &mut dyn FnMut(&str, &Self)) {
        if !path.is_empty() {
            visit(path, self);
        }
        for (key, merged) in self.entries() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            merged.walk(&path, visit);
        }
    }
}

fn lay(
    entries: &mut Vec<(String, Merged)>,
    key: &str,
    node: &Node,
    place: &dyn Fn(&Node) -> Origin,
    path: &mut String,
    removed: &mut BTreeMap<String, Origin>,
) {
    let index = entries.iter().position(|(name, _)| name == key);
    match &node.kind {
        NodeKind::Null => {
            if let Some(index) = index {
                entries.remove(index);
            }
            removed.insert(path.clone(), place(node));
        }
        NodeKind::Map(children) => {
            removed.remove(path.as_str());
            let empty = || Merged { content: Content::Map(Vec::new()), origin: place(node), overridden: Vec::new() };
            let index = index.unwrap_or_else(|| {
                entries.push((key.to_owned(), empty()));
                entries.len() - 1
            });
            let merged = &mut entries[index].1;
            let origin = place(node);
            if let Content::Map(below) = merged.map(&origin) {
                for (key, child) in children {
                    let length = path.len();
                    path.push('.');
                    path.push_str(&key.text);
                    lay(below, &key.text, child, place, path, removed);
                    path.truncate(length);
                }
            }
            merged.origin = origin;
        }
        _ => {
            removed.remove(path.as_str());
            let mut next = Merged::leaf(node.to_value(), place(node));
            match index {
                None => entries.push((key.to_owned(), next)),
                Some(index) => {
                    let before = &mut entries[index].1;
                    next.overridden = std::mem::take(&mut before.overridden);
                    next.overridden.insert(0, Overridden { value: before.to_value(), origin: before.origin.clone() });
                    *before = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::yaml::{parse_node, to_yaml};

    fn merged(files: &[&str]) -> Tree {
        let mut tree = Tree::default();
        for (number, text) in files.iter().enumerate() {
            let Some(node) = parse_node(text).unwrap() else { continue };
            let place = |node: &Node| Origin { file: number.to_string(), line: node.place.line };
            tree.apply(&["values"], &node, &place);
        }
        tree
    }

    fn values(files: &[&str]) -> Value {
        merged(files).get(&["values"]).unwrap().to_value()
    }

    #[test]
    fn maps_merge_lists_are_replaced_null_removes() {
        let base = "a: {b: 1, c: [1, 2], d: x}\ne: 1\n";
        assert_eq!(values(&[base, "a: {b: 2, c: [3], d: null}\n"]), json!({"a": {"b": 2, "c": [3]}, "e": 1}));
        assert_eq!(values(&[base, "a: 5\n"]), json!({"a": 5, "e": 1}));
        assert_eq!(values(&[base, "e: {f: 1}\n"])["e"], json!({"f": 1}));
        assert_eq!(values(&[base, "a: null\n", "a: {z: 1}\n"])["a"], json!({"z": 1}));
    }

    #[test]
    fn every_value_knows_its_line_and_what_it_replaced() {
        let tree = merged(&["a:\n  b: 1\n  c: 2\n", "\na:\n  b: 5\n", "a: {b: 7}\n"]);
        let b = tree.get(&["values", "a", "b"]).unwrap();
        assert_eq!(b.origin, Origin { file: "2".into(), line: 1 });
        let before: Vec<_> = b.overridden().iter().map(|over| (over.value.clone(), over.origin.to_string())).collect();
        assert_eq!(before, [(json!(5), "1:3".to_owned()), (json!(1), "0:2".to_owned())]);
        assert_eq!(tree.get(&["values", "a", "c"]).unwrap().origin.to_string(), "0:3");
        let tree = merged(&["a: {b: 1}\n", "a:\n  b: null\n"]);
        assert_eq!(tree.removed["values.a.b"].to_string(), "1:2");
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<u8>().prop_map(Value::from), Just(json!([1, {"a": 2}])), Just(json!("x"))];
        let node = leaf.prop_recursive(3, 16, 3, |inner| {
            prop::collection::btree_map("[a-d]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        prop::collection::btree_map("[a-d]", node, 0..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    /// The rule of RFC 7396, which this merge follows for values without `null`.
    fn patch(base: &mut Value, over: &Value) {
        match (base, over) {
            (Value::Object(base), Value::Object(over)) => {
                for (key, value) in over {
                    patch(base.entry(key.clone()).or_insert(json!({})), value);
                }
            }
            (base, over @ Value::Object(_)) => {
                *base = json!({});
                patch(base, over);
            }
            (base, over) => *base = over.clone(),
        }
    }

    proptest! {
        #[test]
        fn merging_is_a_json_merge_patch(base in tree(), over in tree()) {
            let mut expected = base.clone();
            patch(&mut expected, &over);
            prop_assert_eq!(values(&[&to_yaml(&base), &to_yaml(&over)]), expected);
        }

        #[test]
        fn merging_the_same_again_changes_nothing(base in tree(), over in tree()) {
            let (base, over) = (to_yaml(&base), to_yaml(&over));
            prop_assert_eq!(values(&[&base, &over, &over]), values(&[&base, &over]));
            prop_assert_eq!(values(&[&base]), values(&["{}", &base]));
        }

        #[test]
        fn every_leaf_of_the_result_has_a_place(base in tree(), over in tree()) {
            let tree = merged(&[&to_yaml(&base), &to_yaml(&over)]);
            let mut without = Vec::new();
            tree.walk(&mut |path, merged| if merged.origin.line == 0 { without.push(path.to_owned()) });
            prop_assert!(without.is_empty(), "{without:?}");
        }
    }
}
