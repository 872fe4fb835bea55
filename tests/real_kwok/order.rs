//! What must come before what, read from the objects themselves by other code than Rekindle's, and when it came, read from
//! the events of a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// `Kind/name`.
pub fn name(object: &Value) -> String {
    let metadata = if object.get("metadata").is_some() { &object["metadata"] } else { object };
    format!("{}/{}", object["kind"].as_str().unwrap(), metadata["name"].as_str().unwrap())
}

/// `Kind/name` of everything that an object names in its own fields, and that must be there before.
pub fn references(object: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    walk(&object["spec"], &mut found);
    walk(&serde_json::json!({"roleRef": object["roleRef"], "subjects": object["subjects"]}), &mut found);
    found
}

fn walk(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
        Value::Object(fields) => {
            for (field, inner) in fields {
                let named = |key: &str| inner.get(key).and_then(Value::as_str);
                let target = match field.as_str() {
                    "secretRef" | "secretKeyRef" => named("name").map(|name| ("Secret", name)),
                    "secret" => named("secretName").or(named("name")).map(|name| ("Secret", name)),
                    "configMapRef" | "configMapKeyRef" | "configMap" => named("name").map(|name| ("ConfigMap", name)),
                    "persistentVolumeClaim" => named("claimName").map(|name| ("PersistentVolumeClaim", name)),
                    "service" => named("name").map(|name| ("Service", name)),
                    "roleRef" => named("name").map(|name| (named("kind").unwrap(), name)),
                    "serviceAccountName" => inner.as_str().map(|name| ("ServiceAccount", name)),
                    "serviceName" => inner.as_str().map(|name| ("Service", name)),
                    "storageClassName" => inner.as_str().map(|name| ("StorageClass", name)),
                    "ingressClassName" => inner.as_str().map(|name| ("IngressClass", name)),
                    _ => None,
                };
                found.extend(target.map(|(kind, name)| format!("{kind}/{name}")));
                walk(inner, found);
            }
        }
        _ => {}
    }
}

/// `Kind/name` of everything that an object is told to wait for.
pub fn declared(object: &Value) -> BTreeSet<String> {
    let after = object["metadata"]["annotations"]["rekindle.dev/after"].as_str().unwrap_or_default();
    after.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// When things happened: positions in the row of a run's events.
pub struct Timeline {
    /// For each kind of event, what it is about (`Kind/name`, or a phase) and when it came.
    moments: BTreeMap<String, BTreeMap<String, usize>>,
    /// The phase in which an object was sent.
    phases: BTreeMap<String, String>,
}

impl Timeline {
    pub fn of(events: &[Value]) -> Self {
        let mut timeline = Self { moments: BTreeMap::new(), phases: BTreeMap::new() };
        for (position, event) in events.iter().enumerate() {
            let kind = event["event"].as_str().unwrap();
            let about = match kind {
                "object-applied" | "object-ready" => name(&event["object"]),
                "phase-started" | "phase-finished" => event["phase"].as_str().unwrap().to_owned(),
                _ => continue,
            };
            if kind == "object-applied" {
                timeline.phases.insert(about.clone(), event["phase"].as_str().unwrap().to_owned());
            }
            let twice = timeline.moments.entry(kind.to_owned()).or_default().insert(about.clone(), position);
            assert!(twice.is_none(), "{kind} of {about} is told twice");
        }
        timeline
    }

    /// Everything that an event of this kind is about.
    pub fn all(&self, event: &str) -> BTreeSet<String> {
        self.moments.get(event).into_iter().flatten().map(|(about, _)| about.clone()).collect()
    }

    /// When an event came.
    #[track_caller]
    pub fn at(&self, event: &str, about: &str) -> usize {
        let position = self.moments.get(event).and_then(|moments| moments.get(about));
        *position.unwrap_or_else(|| panic!("there is no {event} of {about}"))
    }

    /// The phase in which an object was sent.
    pub fn phase(&self, object: &str) -> &str {
        &self.phases[object]
    }

    /// What was sent last in a phase.
    pub fn last_applied(&self, phase: &str) -> &str {
        let applied = self.moments["object-applied"].iter().filter(|(object, _)| self.phases[*object] == phase);
        applied.max_by_key(|(_, position)| **position).unwrap().0
    }
}
