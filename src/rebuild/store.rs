//! What the watchers have seen so far: live objects by key, kept right across relists and late events.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::watch::{Place, Seen};
use crate::manifest::ObjectKey;

/// For how long what a survey has seen may be relied on. A run that finds all as it should be ends within it, and asks nothing
/// twice; what changes in the hours of a restore must not be missed by the phases after it.
const FRESH: Duration = Duration::from_secs(1);

/// Live objects by key.
#[derive(Default)]
pub struct Store {
    /// Ordered, so that those of one kind in one namespace lie together, and of several pods the same one is named each time.
    objects: BTreeMap<ObjectKey, Value>,
    /// What names an object as its controller, by that one: thousands of pods must not be gone through for each workload.
    controlled: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
    relisting: HashMap<Place, (Instant, HashSet<ObjectKey>)>,
    /// When the API server last answered with an object that we sent.
    answered: HashMap<ObjectKey, Instant>,
    /// When the survey was begun whose objects are here.
    surveyed: Option<Instant>,
    /// Where a watch has told of everything that is there, and whether it has been without trouble since.
    listed: HashMap<Place, bool>,
}

/// The version of a live object as a number: the API server's revision, which only grows. Versions that are no numbers
/// cannot be compared and count as unknown.
fn revision(live: &Value) -> Option<u64> {
    live.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

/// The owner in `metadata.ownerReferences` that has `controller: true`.
fn controller(key: &ObjectKey, live: &Value) -> Option<ObjectKey> {
    let owners = live.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(ObjectKey {
        group: text("apiVersion").split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text("kind").to_owned(),
        namespace: key.namespace.clone(),
        name: text("name").to_owned(),
    })
}

impl Store {
    /// What a survey has found that was begun at this moment.
    pub fn of_survey(asked: Instant, found: impl IntoIterator<Item = (ObjectKey, Value)>) -> Self {
        let mut store = Self { surveyed: Some(asked), ..Self::default() };
        for (key, live) in found {
            store.put(key, live);
        }
        store
    }

    /// Whether an object is known as it is now, not only as it was when the run began.
    pub fn is_current(&self, key: &ObjectKey) -> bool {
        let watched = || self.listed.iter().any(|(place, untroubled)| *untroubled && place.holds(key));
        self.surveyed.is_some_and(|asked| asked.elapsed() <= FRESH) || watched()
    }

    /// Whether a watch goes on there after trouble: what it has not told yet, nobody knows. Told once, for who then begins it
    /// anew.
    pub fn take_doubt(&mut self, place: &Place) -> bool {
        let doubtful = self.listed.get(place) == Some(&false);
        if doubtful {
            self.listed.remove(place);
        }
        doubtful
    }

    /// A live object.
    pub fn get(&self, key: &ObjectKey) -> Option<&Value> {
        self.objects.get(key)
    }

    /// All live objects of a kind in a namespace, in the order of their names.
    pub fn of_kind(&self, group: &str, kind: &str, namespace: Option<&str>) -> Vec<&Value> {
        let first = ObjectKey {
            group: group.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: String::new(),
        };
        let of_kind = |key: &ObjectKey| key.kind == kind && key.group == group && key.namespace.as_deref() == namespace;
        self.objects.range(first..).take_while(|(key, _)| of_kind(key)).map(|(_, live)| live).collect()
    }

    /// Pods and ReplicaSets that may belong to a workload. Of a Deployment without a ReplicaSet that is known, any pod may be
    /// one: it only names the ReplicaSet.
    pub fn family(&self, workload: &ObjectKey) -> (Vec<&Value>, Vec<&Value>) {
        let own = |owner: &ObjectKey, kind: &'static str| -> Vec<&ObjectKey> {
            self.controlled.get(owner).into_iter().flatten().filter(|key| key.kind == kind).collect()
        };
        let sets = own(workload, "ReplicaSet");
        if sets.is_empty() && workload.kind == "Deployment" {
            return (self.of_kind("", "Pod", workload.namespace.as_deref()), Vec::new());
        }
        let pods = sets.iter().flat_map(|set| own(set, "Pod")).chain(own(workload, "Pod"));
        let live = |key: &ObjectKey| self.objects.get(key);
        (pods.filter_map(live).collect(), sets.into_iter().filter_map(live).collect())
    }

    fn remove(&mut self, key: &ObjectKey) {
        if let Some(owner) = self.objects.remove(key).and_then(|live| controller(key, &live)) {
            self.release(&owner, key);
        }
    }

    fn release(&mut self, owner: &ObjectKey, key: &ObjectKey) {
        if let Some(own) = self.controlled.get_mut(owner) {
            own.remove(key);
            if own.is_empty() {
                self.controlled.remove(owner);
            }
        }
    }

    /// The workload that a pod or ReplicaSet belongs to: its controller, or for a pod of a ReplicaSet that one's.
    pub fn workload_of(&self, key: &ObjectKey) -> Option<ObjectKey> {
        let owner = controller(key, self.objects.get(key)?)?;
        if owner.kind != "ReplicaSet" {
            return Some(owner);
        }
        match self.objects.get(&owner) {
            Some(replica_set) => controller(&owner, replica_set).or(Some(owner)),
            None => Some(owner),
        }
    }

    /// Takes an object as the API server has just answered it to a write. A list that was asked for before does not name
    /// it, however late that list is read.
    pub fn answer(&mut self, key: ObjectKey, live: Value) {
        self.answered.insert(key.clone(), Instant::now());
        self.put(key, live);
    }

    /// Takes an object as it was read, unless something newer is known.
    pub fn put(&mut self, key: ObjectKey, live: Value) {
        if let (Some(known), Some(new)) = (self.objects.get(&key).and_then(revision), revision(&live))
            && new < known
        {
            return;
        }
        let owner = controller(&key, &live);
        let before = self.objects.insert(key.clone(), live).and_then(|live| controller(&key, &live));
        if owner != before {
            if let Some(before) = before {
                self.release(&before, &key);
            }
            if let Some(owner) = owner {
                self.controlled.entry(owner).or_default().insert(key);
            }
        }
    }

    /// Forgets an object, for one that is about to be made again.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.remove(key);
    }

    /// Forgets everything in a namespace, for one that is gone with its contents.
    pub fn forget_namespace(&mut self, namespace: &str) {
        self.objects.retain(|key, _| key.namespace.as_deref() != Some(namespace));
        self.controlled.retain(|key, _| key.namespace.as_deref() != Some(namespace));
    }

    /// Whether what is known by a name is newer than the last of an object that is gone: it was made again since.
    pub fn is_newer(&self, key: &ObjectKey, last: &Value) -> bool {
        let known = self.objects.get(key).and_then(revision);
        matches!((known, revision(last)), (Some(known), Some(last)) if last < known)
    }

    /// Takes in what a watcher saw; returns the keys whose object changed or went.
    pub fn take(&mut self, seen: Seen) -> Vec<ObjectKey> {
        match seen {
            Seen::There(key, live) => {
                for (place, (_, named)) in &mut self.relisting {
                    if place.holds(&key) {
                        named.insert(key.clone());
                    }
                }
                self.put(key.clone(), *live);
                vec![key]
            }
            Seen::Gone(key, last) => {
                if self.is_newer(&key, &last) {
                    return Vec::new();
                }
                self.remove(&key);
                vec![key]
            }
            Seen::Relisting(place, asked) => {
                self.listed.remove(&place);
                self.relisting.insert(place, (asked, HashSet::new()));
                Vec::new()
            }
            Seen::Listed(place) => {
                let Some((asked, named)) = self.relisting.remove(&place) else { return Vec::new() };
                let written_since = |key: &ObjectKey| self.answered.get(key).is_some_and(|answer| *answer >= asked);
                let is_gone = |key: &&ObjectKey| place.holds(key) && !named.contains(*key) && !written_since(key);
                let gone: Vec<_> = self.objects.keys().filter(is_gone).cloned().collect();
                for key in &gone {
                    self.remove(key);
                }
                self.listed.insert(place, true);
                gone
            }
            Seen::Trouble(place, _) => {
                self.listed.entry(place).and_modify(|untroubled| *untroubled = false);
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::cluster::ClusterError;

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
    fn a_pod_leads_to_its_workload() {
        let owned = |kind: &str, name: &str, owner: Value| {
            let key = ObjectKey {
                group: if kind == "Pod" { String::new() } else { "apps".into() },
                kind: kind.into(),
                namespace: Some("a".into()),
                name: name.into(),
            };
            let owners = json!([{"kind": "Other", "name": "o"}, owner]);
            (key.clone(), Seen::There(key, Box::new(json!({"metadata": {"name": name, "ownerReferences": owners}}))))
        };
        let of =
            |kind: &str, name: &str| json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "controller": true});
        let mut store = Store::default();
        let (pod, seen) = owned("Pod", "api-1-x", of("ReplicaSet", "api-1"));
        store.take(seen);
        assert_eq!(store.workload_of(&pod).map(|key| key.to_string()).as_deref(), Some("ReplicaSet/api-1"));
        let (replica_set, seen) = owned("ReplicaSet", "api-1", of("Deployment", "api"));
        store.take(seen);
        for key in [&pod, &replica_set] {
            assert_eq!(store.workload_of(key).map(|key| key.to_string()).as_deref(), Some("Deployment/api"));
        }
        assert_eq!(store.of_kind("", "Pod", Some("a")).len(), 1);
        let deployment = ObjectKey { kind: "Deployment".into(), name: "api".into(), ..replica_set.clone() };
        let family = |store: &Store| {
            let (pods, sets) = store.family(&deployment);
            (pods.len(), sets.len())
        };
        assert_eq!(family(&store), (1, 1));
        let (other, seen) = owned("Pod", "web-1-x", of("ReplicaSet", "web-1"));
        store.take(seen);
        assert_eq!(family(&store), (1, 1), "somebody else's pod is not among them");
        store.forget(&pod);
        assert_eq!(family(&store), (0, 1));
        store.forget(&replica_set);
        assert_eq!(family(&store), (1, 0), "any pod may be one");
        store.forget(&other);
        assert!(store.controlled.is_empty());
        store.take(owned("Pod", "api-1-x", of("ReplicaSet", "api-1")).1);
        assert_eq!(store.of_kind("", "Pod", Some("b")).len(), 0);
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
        store.take(Seen::Relisting(place(), Instant::now()));
        assert!(store.get(&key("x")).is_some());
        store.take(there("y", "3"));
        assert_eq!(store.take(Seen::Listed(place())), vec![key("x")]);
        assert!(store.get(&key("x")).is_none());
        assert!(store.get(&key("y")).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_after_a_list_was_asked_for_is_not_missed_in_it() {
        let mut store = Store::default();
        store.answer(key("before"), json!({"metadata": {"resourceVersion": "1"}}));
        tokio::time::advance(Duration::from_millis(1)).await;
        let asked = Instant::now();
        tokio::time::advance(Duration::from_millis(1)).await;
        store.answer(key("since"), json!({"metadata": {"resourceVersion": "2"}}));
        // The list's messages are read late.
        store.take(Seen::Relisting(place(), asked));
        assert_eq!(store.take(Seen::Listed(place())), vec![key("before")]);
        assert!(store.get(&key("since")).is_some());
    }

    #[test]
    fn the_end_of_a_former_object_is_not_that_of_the_one_made_in_its_place() {
        let mut store = Store::default();
        let gone = |version: &str| Seen::Gone(key("x"), Box::new(json!({"metadata": {"resourceVersion": version}})));
        store.take(there("x", "5"));
        store.put(key("x"), json!({"metadata": {"resourceVersion": "8"}}));
        assert!(store.take(gone("7")).is_empty());
        assert!(store.get(&key("x")).is_some());
        assert_eq!(store.take(gone("9")), vec![key("x")]);
        assert!(store.get(&key("x")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_survey_saw_is_current_for_a_moment_and_what_is_watched_until_there_is_trouble() {
        let mut store = Store::of_survey(Instant::now(), [(key("x"), json!({}))]);
        assert!(store.is_current(&key("x")));
        tokio::time::advance(2 * FRESH).await;
        assert!(!store.is_current(&key("x")));
        store.take(Seen::Relisting(place(), Instant::now()));
        store.take(there("x", "1"));
        assert!(!store.is_current(&key("x")), "only at the list's end");
        store.take(Seen::Listed(place()));
        assert!(store.is_current(&key("x")) && !store.take_doubt(&place()));
        let trouble = ClusterError::Unreachable { server: "a".into(), reason: "b".into() };
        store.take(Seen::Trouble(place(), trouble));
        assert!(!store.is_current(&key("x")));
        assert!(store.take_doubt(&place()) && !store.take_doubt(&place()), "told once");
    }
}
