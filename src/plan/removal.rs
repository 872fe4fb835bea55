//! What may be deleted and what never is: the one place where it is decided, for `up` (what left the kit) and for `down`.

use std::fmt;

use serde_json::Value;

use crate::cluster::inventory::{Entry, owned_fields_hash};
use crate::cluster::observe::environment_of;
use crate::manifest::ObjectKey;
use crate::manifest::kinds::holds_data;
use crate::manifest::references::is_builtin_group;

/// Annotation of an object that is never deleted, whatever becomes of it in the kit.
pub const KEEP_ANNOTATION: &str = "rekindle.dev/keep";

/// Kinds that controllers make of others. One that is not in the inventory was not made by us, whatever its labels say: the
/// endpoint controllers copy those of a Service.
const GENERATED: [(&str, &str); 5] = [
    ("", "Endpoints"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("apps", "ReplicaSet"),
    ("apps", "ControllerRevision"),
    ("", "Pod"),
];

/// Why an object is not deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Deleting it could delete data.
    Data,
    /// It carries [`KEEP_ANNOTATION`], or did when it was last sent.
    Keep,
    /// A controller looks after it: `Kind/name`.
    Controlled(String),
    /// A controller has made it of something else.
    Generated,
    /// Ours is gone; this one of the same name was made by somebody else.
    Remade,
    /// It is labelled for another environment.
    Other(String),
    /// Kubernetes would delete a claim with it, its name.
    Owns(String),
    /// The cluster does not serve its kind (now).
    NotServed,
    /// The cluster does not let us look at it.
    Hidden(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("deleting it could delete data"),
            Self::Keep => write!(f, "it says {KEEP_ANNOTATION}"),
            Self::Controlled(owner) => write!(f, "{owner} looks after it"),
            Self::Generated => f.write_str("a controller has made it"),
            Self::Remade => f.write_str("it was made anew by somebody else"),
            Self::Other(environment) => write!(f, "it belongs to {environment}"),
            Self::Owns(claim) => write!(f, "the claim {claim} would be deleted with it"),
            Self::Hidden(reason) => write!(f, "not allowed to look at it: {reason}"),
            Self::NotServed => f.write_str("the cluster does not serve its kind at the moment"),
        }
    }
}

impl Reason {
    /// Whether the object is still ours, and so stays in the inventory.
    pub fn is_ours(&self) -> bool {
        matches!(
            self,
            Self::Data | Self::Keep | Self::Controlled(_) | Self::Owns(_) | Self::NotServed | Self::Hidden(_)
        )
    }
}

/// What becomes of an object that is not wanted any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is deleted.
    Goes,
    /// It is there and stays.
    Stays(Reason),
    /// It is not there any more.
    Gone,
}

/// Whether an object says that it is to be kept. `rekindle.dev/keep: "false"` says that it is not.
pub fn says_keep(object: &Value) -> bool {
    let annotation = object.get("metadata").and_then(|metadata| metadata.get("annotations")?.get(KEEP_ANNOTATION));
    annotation.is_some_and(|value| value.as_str() != Some("false"))
}

/// `Kind/name` of the owner that looks after an object: the one with `controller: true`.
fn controller(live: &Value) -> Option<String> {
    let owners = live.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners.iter().find(|owner| owner.get("controller").and_then(Value::as_bool) == Some(true))?;
    let text = |name: &str| owner.get(name).and_then(Value::as_str).unwrap_or_default();
    Some(format!("{}/{}", text("kind"), text("name")))
}

/// Decides on an object by its record, if there is one, and its live metadata, if it is there. `selector` is that of the
/// environment's objects, see [`crate::cluster::observe::selector`].
///
/// It is ours when it is the very object that is recorded, or when it carries our labels and we have applied it: labels alone
/// may have been copied.
pub fn fate(key: &ObjectKey, entry: Option<&Entry>, live: Option<&Value>, selector: &str) -> Fate {
    let Some(live) = live else { return Fate::Gone };
    let labelled = match environment_of(live) {
        Some((_, found)) if found == selector => true,
        Some((environment, _)) => return Fate::Stays(Reason::Other(environment)),
        None => false,
    };
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
    let recorded = entry.is_some_and(|entry| Some(entry.uid.as_str()) == uid);
    let ours = recorded || labelled && owned_fields_hash(live).is_some();
    let reason = if holds_data(&key.group, &key.kind) && ours {
        Reason::Data
    } else if ours && (says_keep(live) || entry.is_some_and(|entry| entry.keep)) {
        Reason::Keep
    } else if let Some(owner) = controller(live) {
        Reason::Controlled(owner)
    } else if entry.is_none() && GENERATED.contains(&(key.group.as_str(), key.kind.as_str())) {
        Reason::Generated
    } else if !ours {
        Reason::Remade
    } else {
        return Fate::Goes;
    };
    Fate::Stays(reason)
}

/// Whether an object runs pods, so that its deletion has to be waited for with theirs.
pub fn is_workload(key: &ObjectKey) -> bool {
    matches!(key.group.as_str(), "apps" | "batch")
        || key.group.is_empty() && matches!(key.kind.as_str(), "Pod" | "ReplicationController")
}

/// The order of deletion inside a phase. Custom resources go while their operators still run; then what the API server asks
/// about every write; then what runs; and only when that is gone what it ran with: its accounts, rights, settings, addresses.
fn tier(key: &ObjectKey) -> u8 {
    match key.group.as_str() {
        group if !is_builtin_group(group) => 0,
        "admissionregistration.k8s.io" | "apiregistration.k8s.io" => 1,
        _ if is_workload(key) => 2,
        _ => 3,
    }
}

/// Objects that are deleted side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Their phase.
    pub phase: String,
    /// Which, in the order of their keys.
    pub keys: Vec<ObjectKey>,
}

/// Orders deletions: phases from last to first, those that the stack does not know (any more) before all; inside a phase by
/// what needs what.
pub fn batches(phases: &[String], goes: impl IntoIterator<Item = (String, ObjectKey)>) -> Vec<Batch> {
    let rank = |name: &str| phases.iter().position(|phase| phase == name).unwrap_or(phases.len());
    let mut goes: Vec<_> = goes.into_iter().map(|(phase, key)| (rank(&phase), phase, tier(&key), key)).collect();
    goes.sort_by(|a, b| (b.0, &a.1, a.2, &a.3).cmp(&(a.0, &b.1, b.2, &b.3)));
    let mut batches: Vec<(u8, Batch)> = Vec::new();
    for (_, phase, tier, key) in goes {
        match batches.last_mut() {
            Some((last, batch)) if *last == tier && batch.phase == phase => batch.keys.push(key),
            _ => batches.push((tier, Batch { phase, keys: vec![key] })),
        }
    }
    batches.into_iter().map(|(_, batch)| batch).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::observe::selector;

    fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey { group: group.into(), kind: kind.into(), namespace: Some("a".into()), name: name.into() }
    }

    fn entry(keep: bool) -> Entry {
        let text = |text: &str| text.to_owned();
        Entry {
            uid: text("u1"),
            desired: text("d"),
            fields: text("f"),
            phase: text("p"),
            keep,
            left: false,
            finished_in: None,
        }
    }

    /// A live object with this UID, labelled for an environment, applied by a manager.
    fn live(uid: &str, environment: &str, instance: Option<&str>, manager: &str) -> Value {
        let mut labels = json!({});
        if !environment.is_empty() {
            labels["rekindle.dev/environment"] = environment.into();
        }
        if let Some(instance) = instance {
            labels["rekindle.dev/instance"] = instance.into();
        }
        json!({"metadata": {"uid": uid, "labels": labels, "managedFields": [
            {"manager": manager, "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}},
        ]}})
    }

    fn with(mut live: Value, field: &str, value: Value) -> Value {
        live["metadata"][field] = value;
        live
    }

    #[test]
    fn what_goes_and_what_stays() {
        let ours = selector("staging", None);
        let config = key("", "ConfigMap", "x");
        let mine = || live("u1", "staging", None, "rekindle");
        let owned = json!([{"kind": "Thing", "name": "t", "controller": true}]);
        let loosely = json!([{"kind": "Thing", "name": "t"}]);
        let annotated = |value: &str| json!({KEEP_ANNOTATION: value});
        let stays = Fate::Stays;
        for (what, key, entry, live, fate_is) in [
            ("recorded and there", &config, Some(entry(false)), Some(mine()), Fate::Goes),
            ("its labels were taken off", &config, Some(entry(false)), Some(live("u1", "", None, "x")), Fate::Goes),
            ("not recorded, labelled and applied by us", &config, None, Some(mine()), Fate::Goes),
            (
                "made again by us",
                &config,
                Some(entry(false)),
                Some(live("u2", "staging", None, "rekindle")),
                Fate::Goes,
            ),
            ("not there", &config, Some(entry(false)), None, Fate::Gone),
            (
                "another object of the name",
                &config,
                Some(entry(false)),
                Some(live("u2", "", None, "x")),
                stays(Reason::Remade),
            ),
            (
                "labels copied by somebody",
                &config,
                None,
                Some(live("u2", "staging", None, "helm")),
                stays(Reason::Remade),
            ),
            (
                "labelled for another environment",
                &config,
                Some(entry(false)),
                Some(live("u1", "production", None, "rekindle")),
                stays(Reason::Other("production".into())),
            ),
            (
                "labelled for an instance",
                &config,
                Some(entry(false)),
                Some(live("u1", "staging", Some("pr-1"), "rekindle")),
                stays(Reason::Other("staging/pr-1".into())),
            ),
            ("a claim", &key("", "PersistentVolumeClaim", "x"), Some(entry(false)), Some(mine()), stays(Reason::Data)),
            ("a namespace", &key("", "Namespace", "x"), None, Some(mine()), stays(Reason::Data)),
            (
                "a definition",
                &key("apiextensions.k8s.io", "CustomResourceDefinition", "x"),
                Some(entry(false)),
                Some(mine()),
                stays(Reason::Data),
            ),
            (
                "kept by its annotation",
                &config,
                Some(entry(false)),
                Some(with(mine(), "annotations", annotated("true"))),
                stays(Reason::Keep),
            ),
            (
                "not kept by its annotation",
                &config,
                Some(entry(false)),
                Some(with(mine(), "annotations", annotated("false"))),
                Fate::Goes,
            ),
            ("kept by its record", &config, Some(entry(true)), Some(mine()), stays(Reason::Keep)),
            (
                "a controller's",
                &config,
                Some(entry(false)),
                Some(with(mine(), "ownerReferences", owned)),
                stays(Reason::Controlled("Thing/t".into())),
            ),
            (
                "an owner that is no controller",
                &config,
                Some(entry(false)),
                Some(with(mine(), "ownerReferences", loosely)),
                Fate::Goes,
            ),
            ("made of a Service", &key("", "Endpoints", "x"), None, Some(mine()), stays(Reason::Generated)),
            ("Endpoints of the kit", &key("", "Endpoints", "x"), Some(entry(false)), Some(mine()), Fate::Goes),
            ("a pod of the kit", &key("", "Pod", "x"), Some(entry(false)), Some(mine()), Fate::Goes),
        ] {
            assert_eq!(fate(key, entry.as_ref(), live.as_ref(), &ours), fate_is, "{what}");
        }
    }

    #[test]
    fn what_runs_goes_before_what_it_runs_with_and_phases_go_backwards() {
        let phases = ["storage".to_owned(), "services".to_owned()];
        let of = |phase: &str, key: ObjectKey| (phase.to_owned(), key);
        let goes = [
            of("storage", key("", "ConfigMap", "s")),
            of("services", key("", "Secret", "b")),
            of("services", key("apps", "StatefulSet", "b")),
            of("services", key("batch", "CronJob", "a")),
            of("services", key("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", "w")),
            of("services", key("example.org", "Database", "d")),
            of("former", key("", "ConfigMap", "f")),
        ];
        let order: Vec<Vec<String>> = batches(&phases, goes)
            .into_iter()
            .map(|batch| {
                let keys = batch.keys.iter().map(ToString::to_string);
                std::iter::once(batch.phase).chain(keys).collect()
            })
            .collect();
        let expected: [&[&str]; 6] = [
            &["former", "ConfigMap/f"],
            &["services", "Database/d"],
            &["services", "ValidatingWebhookConfiguration/w"],
            &["services", "StatefulSet/b", "CronJob/a"],
            &["services", "Secret/b"],
            &["storage", "ConfigMap/s"],
        ];
        assert_eq!(order, expected);
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_holds_data_or_is_labelled_for_others_ever_goes(
            kind in 0_usize..6, recorded in proptest::option::of(proptest::bool::ANY), same in proptest::bool::ANY,
            environment in "(staging|production|)", instance in proptest::option::of("pr-[0-9]"), manager in "(rekindle|helm)",
        ) {
            let kinds = [
                ("", "PersistentVolumeClaim"), ("", "PersistentVolume"), ("", "Namespace"),
                ("apiextensions.k8s.io", "CustomResourceDefinition"), ("", "ConfigMap"), ("apps", "Deployment"),
            ];
            let (group, kind) = kinds[kind];
            let entry = recorded.map(entry);
            let live = live(if same { "u1" } else { "u2" }, &environment, instance.as_deref(), &manager);
            let fate = fate(&key(group, kind, "x"), entry.as_ref(), Some(&live), &selector("staging", None));
            if fate == Fate::Goes {
                proptest::prop_assert!(!holds_data(group, kind));
                proptest::prop_assert!(environment != "production" && (environment.is_empty() || instance.is_none()));
                proptest::prop_assert!(entry.as_ref().is_some_and(|_| same) || manager == "rekindle");
                proptest::prop_assert!(!entry.is_some_and(|entry| entry.keep));
            }
        }
    }
}
