//! What the simulated control plane remembers: objects by kind, one revision that only rises, and of each kind the newest
//! changes for those who watch.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

/// Changes that are remembered for each kind; who watches from before them is told to list again.
const REMEMBERED: usize = 4096;

/// A kind by its group and resource, e.g. `("apps", "deployments")`.
pub type Place = (String, String);

/// An object's identity in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// API group.
    pub group: String,
    /// Its kind's name in paths.
    pub resource: String,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// The key of these parts.
    pub fn new(group: &str, resource: &str, namespace: &str, name: &str) -> Self {
        Self { group: group.into(), resource: resource.into(), namespace: namespace.into(), name: name.into() }
    }

    /// Its kind.
    pub fn place(&self) -> Place {
        (self.group.clone(), self.resource.clone())
    }
}

/// An object with its namespace and name.
pub type Named<'s> = (&'s (String, String), &'s Arc<Value>);

/// What happened to an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The revision that it made.
    pub revision: u64,
    /// Which.
    pub name: (String, String),
    /// As it was before; `None` when it was made.
    pub before: Option<Arc<Value>>,
    /// As it is now; `None` when it is gone.
    pub after: Option<Arc<Value>>,
    /// As it was last, with the revision of this change; for a deletion.
    pub last: Arc<Value>,
}

#[derive(Debug, Default)]
struct Shelf {
    objects: BTreeMap<(String, String), Arc<Value>>,
    changes: VecDeque<Change>,
    /// The newest revision that is forgotten.
    forgotten: u64,
}

/// All objects.
#[derive(Debug, Default)]
pub struct Store {
    shelves: BTreeMap<Place, Shelf>,
    revision: u64,
}

/// The changes that somebody wants to hear of are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl Store {
    /// The newest revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// An object.
    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.shelves.get(&key.place())?.objects.get(&(key.namespace.clone(), key.name.clone()))
    }

    /// Objects of a kind, in a namespace or everywhere, by namespace and name.
    pub fn list<'s>(&'s self, place: &Place, namespace: Option<&'s str>) -> Box<dyn Iterator<Item = Named<'s>> + 's> {
        let Some(shelf) = self.shelves.get(place) else { return Box::new(std::iter::empty()) };
        match namespace {
            None => Box::new(shelf.objects.iter()),
            Some(namespace) => Box::new(
                shelf
                    .objects
                    .range((namespace.to_owned(), String::new())..)
                    .take_while(move |((of, _), _)| of == namespace),
            ),
        }
    }

    /// All keys of a namespace.
    pub fn within(&self, namespace: &str) -> Vec<Key> {
        let keys = |((group, resource), _): (&Place, &Shelf)| {
            let place = (group.clone(), resource.clone());
            let names = self.list(&place, Some(namespace)).map(|((_, name), _)| name.clone());
            names.map(|name| Key::new(group, resource, namespace, &name)).collect::<Vec<_>>()
        };
        self.shelves.iter().flat_map(keys).collect()
    }

    /// Every object with its key.
    pub fn all(&self) -> impl Iterator<Item = (Key, &Arc<Value>)> {
        self.shelves.iter().flat_map(|((group, resource), shelf)| {
            let objects = shelf.objects.iter();
            objects.map(move |((namespace, name), object)| (Key::new(group, resource, namespace, name), object))
        })
    }

    /// Stores an object under a new revision, which is written into it; returns it so.
    pub fn put(&mut self, key: &Key, mut object: Value) -> Arc<Value> {
        let object = {
            self.revision += 1;
            stamp(&mut object, self.revision);
            Arc::new(object)
        };
        let name = (key.namespace.clone(), key.name.clone());
        let revision = self.revision;
        let shelf = self.shelves.entry(key.place()).or_default();
        let before = shelf.objects.insert(name.clone(), object.clone());
        shelf.remember(Change { revision, name, before, after: Some(object.clone()), last: object.clone() });
        object
    }

    /// Takes an object away; returns it as it was last.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let name = (key.namespace.clone(), key.name.clone());
        let shelf = self.shelves.get_mut(&key.place())?;
        let before = shelf.objects.remove(&name)?;
        self.revision += 1;
        let mut last = (*before).clone();
        stamp(&mut last, self.revision);
        let last = Arc::new(last);
        shelf.remember(Change { revision: self.revision, name, before: Some(before), after: None, last: last.clone() });
        Some(last)
    }

    /// The changes of a kind after a revision.
    ///
    /// # Errors
    /// When some of them are forgotten.
    pub fn changes(&self, place: &Place, after: u64) -> Result<impl Iterator<Item = &Change>, Expired> {
        let shelf = self.shelves.get(place);
        if shelf.is_some_and(|shelf| shelf.forgotten > after) {
            return Err(Expired);
        }
        let changes = shelf.into_iter().flat_map(move |shelf| {
            let first = shelf.changes.partition_point(|change| change.revision <= after);
            shelf.changes.iter().skip(first)
        });
        Ok(changes)
    }

    /// Forgets every change: watches from earlier revisions end with 410.
    pub fn compact(&mut self) {
        for shelf in self.shelves.values_mut() {
            shelf.forgotten = self.revision;
            shelf.changes.clear();
        }
    }
}

impl Shelf {
    fn remember(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > REMEMBERED
            && let Some(oldest) = self.changes.pop_front()
        {
            self.forgotten = oldest.revision;
        }
    }
}

fn stamp(object: &mut Value, revision: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".into(), revision.to_string().into());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_told_from_a_revision_on_until_they_are_forgotten() {
        let mut store = Store::default();
        let key = Key::new("", "configmaps", "a", "x");
        let place = key.place();
        store.put(&key, json!({"metadata": {}, "data": {"a": "1"}}));
        let from = store.revision();
        store.put(&key, json!({"metadata": {}, "data": {"a": "2"}}));
        let last = store.remove(&key).unwrap();
        assert_eq!(last["metadata"]["resourceVersion"], "3");
        let told: Vec<_> = store.changes(&place, from).unwrap().map(|change| change.after.is_some()).collect();
        assert_eq!(told, [true, false]);
        store.compact();
        assert_eq!(store.changes(&place, from).err(), Some(Expired));
        assert_eq!(store.changes(&place, store.revision()).unwrap().count(), 0);
    }

    #[test]
    fn a_namespace_holds_only_its_own() {
        let mut store = Store::default();
        for namespace in ["a", "ab", "b"] {
            store.put(&Key::new("", "configmaps", namespace, "x"), json!({"metadata": {}}));
        }
        assert_eq!(store.list(&("".into(), "configmaps".into()), Some("a")).count(), 1);
        assert_eq!(store.within("ab").len(), 1);
    }
}
