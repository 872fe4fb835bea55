//! The simulated cluster as a whole: what is stored, which kinds there are, what time it is and what will happen when.
//! Every change of it goes through here, so that those who wait hear of it and controllers look at it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::accident::Accident;
use super::archives::Archives;
use super::controllers::Step;
use super::controllers::operators::{is_operated, lacks};
use super::filling::Filled;
use super::model::Model;
use super::needs::needs;
use super::nodes::{Supposed, workloads};
use super::others::Others;
use super::scheduling;
use super::store::{Key, Store};
use crate::data::evidence::NODE_NAME;
use crate::manifest::schema::{self, Kind};
use crate::plan::Plan;

/// The simulated cluster.
pub struct World {
    /// What is stored.
    pub store: Store,
    /// What is served.
    pub kinds: Vec<Arc<Kind>>,
    by_path: HashMap<(String, String, String), Arc<Kind>>,
    /// How long things take, and what goes wrong.
    pub model: Model,
    /// Whether controllers and nodes are at work; without them objects only lie there.
    pub alive: bool,
    started: Timestamp,
    begun: Instant,
    numbers: u64,
    /// What will happen when: time since the beginning, then the order of making.
    agenda: BTreeMap<(Duration, u64), Step>,
    /// Looks that are already on the agenda.
    expected: BTreeSet<Step>,
    /// Told of every new revision. It wakes those who wait in their order; tokio's watch channel does so by chance, and the
    /// same run would not give the same events.
    pub changed: Arc<tokio::sync::Notify>,
    /// Told when the agenda has a new first entry.
    pub hurry: Arc<tokio::sync::Notify>,
    /// Objects that name an owner, by the owner's UID.
    pub owned: HashMap<String, BTreeSet<Key>>,
    /// Pods that want to be apart from others.
    pub apart: BTreeSet<Key>,
    /// Requests that wanted to write, `METHOD path`, with the time since the beginning.
    pub writes: Vec<(Duration, String)>,
    /// Images that are on nodes already.
    pub pulled: BTreeSet<(String, String)>,
    /// Volumes that were filled with data, or are.
    pub filled: Vec<Filled>,
    /// What the archives of data sets hold.
    pub archives: Archives,
    /// What a kit counts on that operators and others make.
    pub others: Others,
    /// Whether something else has filled a ConfigMap or Secret.
    pub has_filled: bool,
    /// Custom resources, as `Kind/name`, by which gates were answered that ask the pods of their operator.
    pub answered_by: BTreeSet<String>,
    /// Jobs that ran to completion and are deleted some time after that, with the UID of their namespace.
    done: BTreeSet<(Key, String)>,
}

impl World {
    /// An empty cluster of some nodes, as it is right after it was made.
    pub fn new(started: Timestamp, nodes: usize, model: Model, alive: bool) -> Self {
        let kinds = schema::record().kinds.clone();
        let mut world = Self {
            store: Store::default(),
            by_path: HashMap::new(),
            kinds: Vec::new(),
            model,
            alive,
            started,
            begun: Instant::now(),
            numbers: 0,
            agenda: BTreeMap::new(),
            expected: BTreeSet::new(),
            changed: Arc::default(),
            hurry: Arc::default(),
            owned: HashMap::new(),
            apart: BTreeSet::new(),
            writes: Vec::new(),
            pulled: BTreeSet::new(),
            filled: Vec::new(),
            archives: Archives::default(),
            others: Others::default(),
            has_filled: false,
            answered_by: BTreeSet::new(),
            done: BTreeSet::new(),
        };
        kinds.into_iter().for_each(|kind| world.serve(kind));
        for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            world.make(&Key::new("", "namespaces", "", namespace), json!({"spec": {}}));
        }
        for node in 1..=nodes {
            let name = format!("node-{node}");
            let body = json!({
                "metadata": {"labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}}, "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                    "capacity": {"cpu": "32", "memory": "256Gi", "pods": "110"}},
            });
            world.make(&Key::new("", "nodes", "", &name), body);
        }
        world
    }

    /// Time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The time of day in the simulation, RFC 3339 with whole seconds, as the API server writes it.
    pub fn now(&self) -> String {
        self.moment(self.elapsed())
    }

    /// Notes that a Job ran to completion that is deleted some time after that.
    pub fn note_done(&mut self, job: &Key) {
        let uid = self.namespace_uid(job);
        self.done.insert((job.clone(), uid));
    }

    /// Whether a Job of this name has run to completion in the namespace of today, and may be gone since.
    pub fn may_be_gone(&self, job: &Key) -> bool {
        self.done.contains(&(job.clone(), self.namespace_uid(job)))
    }

    fn namespace_uid(&self, object: &Key) -> String {
        let namespace = self.store.get(&Key::new("", "namespaces", "", &object.namespace));
        let uid = namespace.and_then(|live| live.pointer("/metadata/uid")?.as_str().map(str::to_owned));
        uid.unwrap_or_default()
    }

    /// A moment after the beginning, as the API server writes it.
    pub fn moment(&self, elapsed: Duration) -> String {
        let elapsed = jiff::SignedDuration::try_from(elapsed).unwrap_or(jiff::SignedDuration::MAX);
        let now = self.started.saturating_add(elapsed).unwrap_or(self.started);
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// A number that was never given before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A new UID; the same run gives the same.
    pub fn uid(&mut self) -> String {
        let number = self.number();
        format!("{number:08x}-51e0-4000-8000-{:012x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & 0xFFFF_FFFF_FFFF)
    }

    /// Brings what a plan counts on and does not make: storage classes, as most clusters have them, and custom kinds with those
    /// who work on them.
    pub fn bring(&mut self, plan: &Plan) {
        self.others = Others::of(plan);
        let needs = needs(plan);
        for kind in &needs.kinds {
            schema::kinds_of(&kind.definition()).into_iter().for_each(|kind| self.serve(Arc::new(kind)));
        }
        let named = needs.classes.iter().map(|name| (name.as_str(), false));
        for (name, is_default) in named.chain(needs.default_class.then_some(("supposed-default", true))) {
            let annotations = json!({"storageclass.kubernetes.io/is-default-class": is_default.to_string()});
            let class = json!({"metadata": {"annotations": annotations}, "provisioner": "simulated",
                "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer"});
            self.make(&Key::new("storage.k8s.io", "storageclasses", "", name), class);
        }
        for class in &needs.other_classes {
            let (key, body) = class.simulated();
            self.make(&key, body);
        }
        self.suppose_nodes(plan);
    }

    /// Gives the nodes that were made the names and labels that a plan asks for.
    fn suppose_nodes(&mut self, plan: &Plan) {
        let place = (String::new(), "nodes".to_owned());
        let made: Vec<(String, Arc<Value>)> =
            self.store.list(&place, None).map(|((_, name), node)| (name.clone(), node.clone())).collect();
        let supposed = Supposed::of(plan, &workloads(plan), made.len(), Some(made.len()));
        for (name, _) in &made {
            self.remove(&Key::new("", "nodes", "", name));
        }
        for ((_, node), mut labels) in made.into_iter().zip(supposed.nodes) {
            let mut body = (*node).clone();
            let name = labels.remove(NODE_NAME).unwrap_or_default();
            body["metadata"]["labels"] = json!(labels);
            self.make(&Key::new("", "nodes", "", &name), body);
        }
    }

    /// Leaves what an accident has left: volumes as they were, archives, and nodes in the place of those that were made.
    pub fn leave(&mut self, accident: &Accident) {
        if !accident.nodes.is_empty() {
            let place = (String::new(), "nodes".to_owned());
            let made: Vec<Key> =
                self.store.list(&place, None).map(|((_, name), _)| Key::new("", "nodes", "", name)).collect();
            for key in made {
                self.remove(&key);
            }
        }
        for (resource, objects) in [("nodes", &accident.nodes), ("persistentvolumes", &accident.volumes)] {
            for object in objects {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
                self.make(&Key::new("", resource, "", name), object.clone());
            }
        }
        self.archives.clone_from(&accident.archives);
    }

    /// Serves a kind from now on.
    pub fn serve(&mut self, kind: Arc<Kind>) {
        let path = (kind.group.clone(), kind.version.clone(), kind.resource.clone());
        self.kinds.retain(|known| (&known.group, &known.version, &known.resource) != (&path.0, &path.1, &path.2));
        self.by_path.insert(path, kind.clone());
        self.kinds.push(kind);
    }

    /// Serves a group's resource no more.
    pub fn withdraw(&mut self, group: &str, resource: &str) {
        self.kinds.retain(|kind| !(kind.group == group && kind.resource == resource));
        self.by_path.retain(|(of, _, name), _| !(of == group && name == resource));
    }

    /// The kind of a path.
    pub fn kind(&self, group: &str, version: &str, resource: &str) -> Option<Arc<Kind>> {
        self.by_path.get(&(group.to_owned(), version.to_owned(), resource.to_owned())).cloned()
    }

    /// The kind that objects under a key have.
    pub fn kind_of(&self, key: &Key) -> Option<Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.group == key.group && kind.resource == key.resource).cloned()
    }

    /// The kind of an object, in the version that it is written in.
    pub fn kind_as_written(&self, key: &Key, object: &Value) -> Option<Arc<Kind>> {
        let written = object.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        let version = written.rsplit('/').next().unwrap_or_default();
        let own =
            |kind: &&Arc<Kind>| kind.group == key.group && kind.resource == key.resource && kind.version == version;
        self.kinds.iter().find(own).cloned().or_else(|| self.kind_of(key))
    }

    /// The objects that somebody looks at whom nothing here plays but a rule: custom resources, and what something else fills.
    pub fn operated(&self) -> Vec<Key> {
        let there = |kind: &Arc<Kind>| {
            let place = (kind.group.clone(), kind.resource.clone());
            let names = self
                .store
                .list(&place, None)
                .map(|((namespace, name), _)| Key::new(&kind.group, &kind.resource, namespace, name));
            names.filter(|key| is_operated(self, key)).collect::<Vec<_>>()
        };
        self.kinds.iter().flat_map(there).collect()
    }

    /// What waits for somebody whom nobody plays, as `Kind/name`.
    pub fn unplayed(&self) -> Vec<String> {
        let waiting = self.operated().into_iter().filter(|key| lacks(self, key));
        waiting.filter_map(|key| Some(format!("{}/{}", self.kind_of(&key)?.kind, key.name))).collect()
    }

    /// The key of an object that another one names by `apiVersion` and `kind`.
    pub fn key_of(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<Key> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let kind = self.kinds.iter().find(|known| known.group == group && known.kind == kind)?;
        Some(Key::new(group, &kind.resource, if kind.namespaced { namespace } else { "" }, name))
    }

    /// Stores an object as a controller or the server itself makes it; one that exists stays as it is.
    pub fn make(&mut self, key: &Key, mut body: Value) {
        if self.store.get(key).is_some() {
            return;
        }
        let Some(kind) = self.kind_of(key) else { return };
        let (uid, now) = (self.uid(), self.now());
        if !body.get("metadata").is_some_and(Value::is_object) {
            body["metadata"] = json!({});
        }
        let metadata = &mut body["metadata"];
        metadata["name"] = key.name.as_str().into();
        if kind.namespaced {
            metadata["namespace"] = key.namespace.as_str().into();
        }
        metadata["uid"] = uid.into();
        metadata["creationTimestamp"] = now.into();
        if kind.has_status() {
            metadata["generation"] = 1.into();
        }
        let mut whole = Map::new();
        whole.insert("apiVersion".into(), kind.api_version().into());
        whole.insert("kind".into(), kind.kind.as_str().into());
        if let Value::Object(body) = body {
            whole.extend(body);
        }
        let mut object = Value::Object(whole);
        super::defaults::fill(&kind, &mut object);
        let status = object.get("status").cloned();
        let number = self.number();
        super::defaults::allocate(&kind, &mut object, number);
        // What a controller says of it from the first moment on stays said.
        if let (Some(status), true) = (status, key.resource == "nodes" || key.resource == "persistentvolumes") {
            object["status"] = status;
        }
        self.put(key, object);
    }

    /// Stores an object as it is.
    pub fn put(&mut self, key: &Key, object: Value) -> Arc<Value> {
        for owner in owners(&object) {
            self.owned.entry(owner).or_default().insert(key.clone());
        }
        if key.resource == "pods" && object.pointer(scheduling::APART).is_some() {
            self.apart.insert(key.clone());
        }
        let stored = self.store.put(key, object);
        self.touched(key, Some(&stored.clone()));
        stored
    }

    /// Takes an object away at once.
    pub fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let last = self.store.remove(key)?;
        self.apart.remove(key);
        for owner in owners(&last) {
            if let Some(own) = self.owned.get_mut(&owner) {
                own.remove(key);
                if own.is_empty() {
                    self.owned.remove(&owner);
                }
            }
        }
        self.touched(key, Some(&last.clone()));
        Some(last)
    }

    /// Changes an object; what stays the same is no change.
    pub fn edit(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        let Some(known) = self.store.get(key) else { return };
        let mut object = (**known).clone();
        change(&mut object);
        if object != **known {
            self.put(key, object);
        }
    }

    fn touched(&mut self, key: &Key, object: Option<&Value>) {
        self.changed.notify_waiters();
        if self.alive {
            for step in super::controllers::interested(self, key, object) {
                self.look(step, self.model.controller);
            }
        }
    }

    /// Puts a look on the agenda, once.
    pub fn look(&mut self, step: Step, after: Duration) {
        if self.expected.insert(step.clone()) {
            self.plan(step, after);
        }
    }

    /// Puts a step on the agenda.
    pub fn plan(&mut self, step: Step, after: Duration) {
        let at = self.elapsed() + after;
        let first = self.agenda.keys().next().is_none_or(|(first, _)| at < *first);
        let number = self.number();
        self.agenda.insert((at, number), step);
        if first {
            self.hurry.notify_one();
        }
    }

    /// When the next step is due, since the beginning.
    pub fn next(&self) -> Option<Instant> {
        self.agenda.keys().next().map(|(at, _)| self.begun + *at)
    }

    /// Takes the next step that is due by now off the agenda.
    pub fn due(&mut self) -> Option<Step> {
        let now = self.elapsed();
        let (at, _) = *self.agenda.keys().next().filter(|(at, _)| *at <= now)?;
        let key = self.agenda.keys().next().filter(|(of, _)| *of == at).copied()?;
        let step = self.agenda.remove(&key)?;
        self.expected.remove(&step);
        Some(step)
    }
}

/// UIDs of the objects that own another.
fn owners(object: &Value) -> Vec<String> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    owners.filter_map(|owner| owner.get("uid").and_then(Value::as_str).map(str::to_owned)).collect()
}
