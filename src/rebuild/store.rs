//! What the watchers have seen so far: live objects by key, kept right across relists and late events.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::cluster::watch::{Place, Seen};
use crate::manifest::ObjectKey;

/// Live objects by key.
#[derive(Default)]
pub struct Store {
    objects: HashMap<ObjectKey, Value>,
    relisting: HashMap<Place, HashSet<ObjectKey>>,
}

/// The version of a live object as a number: the API server's revision, which only grows. Versions that are no numbers
/// cannot be compared and count as unknown.
fn revision(live: &Value) -> Option<u64> {
    live.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

impl Store {
    /// A live object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Value> {
        self.objects.get(key)
    }

    /// All live objects of a kind in a namespace.
    pub fn of_kind<'a>(&'a self, group: &'a str, kind: &'a str, namespace: Option<&'a str>) -> Vec<&'a Value> {
        self.objects
            .iter()
            .filter(|(key, _)| key.kind == kind && key.group == group && key.namespace.as_deref() == namespace)
            .map(|(_, live)| live)
            .collect()
    }

    /// Takes an object as the API server answered it, unless something newer is known.
    pub fn put(&mut self, key: ObjectKey, live: Value) {
        if let (Some(known), Some(new)) = (self.objects.get(&key).and_then(revision), revision(&live))
            && new < known
        {
            return;
        }
        self.objects.insert(key, live);
    }

    /// Forgets an object, for one that is about to be made again.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.objects.remove(key);
    }

    /// Forgets everything in a namespace, for one that is gone with its contents.
    pub fn forget_namespace(&mut self, namespace: &str) {
        self.objects.retain(|key, _| key.namespace.as_deref() != Some(namespace));
    }

    /// Takes in what a watcher saw; returns the keys whose object changed or went.
    pub fn take(&mut self, seen: Seen) -> Vec<ObjectKey> {
        match seen {
            Seen::There(key, live) => {
                for (place, named) in &mut self.relisting {
                    if place.holds(&key) {
                        named.insert(key.clone());
                    }
                }
                self.put(key.clone(), *live);
                vec![key]
            }
            Seen::Gone(key) => {
                self.objects.remove(&key);
                vec![key]
            }
            Seen::Relisting(place) => {
                self.relisting.insert(place, HashSet::new());
                Vec::new()
            }
            Seen::Listed(place) => {
                let named = self.relisting.remove(&place).unwrap_or_default();
                let gone: Vec<_> =
                    self.objects.keys().filter(|key| place.holds(key) && !named.contains(key)).cloned().collect();
                for key in &gone {
                    self.objects.remove(key);
                }
                gone
            }
            Seen::Trouble(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { group: String::new(), kind: "Pod".into(), namespace: Some("a".into()), name: name.into() }
    }

    fn there(name: &str, version: &str) -> Seen {
        Seen::There(key(name), Box::new(json!({"metadata": {"name": name, "resourceVersion": version}})))
    }

    fn place() -> Place {
        Place { group: String::new(), kind: "Pod".into(), namespace: Some("a".into()) }
    }

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let mut store = Store::default();
        store.take(there("x", "10"));
        store.take(there("x", "9"));
        assert_eq!(store.get(&key("x")).and_then(revision), Some(10));
        store.take(there("x", "11"));
        assert_eq!(store.get(&key("x")).and_then(revision), Some(11));
    }

    #[test]
    fn a_namespace_takes_its_contents_with_it() {
        let mut store = Store::default();
        store.take(there("x", "1"));
        store.forget_namespace("b");
        assert!(store.get(&key("x")).is_some());
        store.forget_namespace("a");
        assert!(store.get(&key("x")).is_none());
    }

    #[test]
    fn a_relist_removes_what_it_does_not_name_and_only_at_its_end() {
        let mut store = Store::default();
        store.take(there("x", "1"));
        store.take(there("y", "2"));
        store.take(Seen::Relisting(place()));
        assert!(store.get(&key("x")).is_some());
        store.take(there("y", "3"));
        assert_eq!(store.take(Seen::Listed(place())), vec![key("x")]);
        assert!(store.get(&key("x")).is_none());
        assert!(store.get(&key("y")).is_some());
    }
}
