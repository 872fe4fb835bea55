//! What is to be done with each object of the kit, given what stands there: decided once, printed by `plan`, executed by `up`.
//! Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Item;
use super::proposal::Intent;
use super::standing::{Standing, is_shared, managed_by};
use crate::cluster::inventory::Inventory;
use crate::cluster::observe::environment_of;
use crate::health::status::condition;
use crate::manifest::managed_fields::has_client_side;
use crate::manifest::{Object, ObjectKey};

/// What a person allows beyond the ordinary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Objects of others that may be taken.
    pub adopt: Adoption,
    /// Whether fields that other managers hold are taken over.
    pub take_ownership: bool,
}

/// Which objects of others may be taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adoption {
    /// Every object that is in nobody's environment.
    pub all: bool,
    /// Those named, as `Kind/name`, or `Kind/namespace/name`: written in full, also such as another environment has.
    pub names: BTreeSet<String>,
}

/// The word that stands for every object where names are given.
const ALL: &str = "*";

impl Adoption {
    /// From what `--adopt` was given: `Kind/name`, `Kind/namespace/name`, or `*` for all.
    pub fn of<'a>(given: impl IntoIterator<Item = &'a str>) -> Self {
        given.into_iter().fold(Self::default(), |mut adoption, name| {
            if name == ALL {
                adoption.all = true;
            } else {
                adoption.names.insert(name.to_owned());
            }
            adoption
        })
    }

    /// Whether an object is named. The kind's case does not matter, as for kubectl.
    pub fn names(&self, key: &ObjectKey) -> bool {
        self.names.iter().any(|given| is_called(key, given))
    }

    /// Whether an object is named in full. The same `Kind/name` may be somebody else's in another namespace.
    pub fn names_in_full(&self, key: &ObjectKey) -> bool {
        let parts = if key.namespace.is_some() { 3 } else { 2 };
        self.names.iter().any(|given| given.split('/').count() == parts && is_called(key, given))
    }
}

/// Whether `Kind/name` or `Kind/namespace/name` means an object.
pub fn is_called(key: &ObjectKey, given: &str) -> bool {
    let Some((kind, rest)) = given.split_once('/') else { return false };
    let name = match rest.split_once('/') {
        Some((namespace, name)) if key.namespace.as_deref() == Some(namespace) => name,
        Some(_) => return false,
        None => rest,
    };
    kind.eq_ignore_ascii_case(&key.kind) && name == key.name
}

/// The name of an object that means no other one: `Kind/namespace/name`, or `Kind/name` where it is in no namespace.
pub fn full_name(key: &ObjectKey) -> String {
    match &key.namespace {
        Some(namespace) => format!("{}/{namespace}/{}", key.kind, key.name),
        None => key.to_string(),
    }
}

/// What is to be done with an object, and why where that does not go without saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub intent: Intent,
    /// Why; may be empty.
    pub reason: String,
}

impl Decision {
    /// A decision with its reason.
    pub fn new(intent: Intent, reason: impl Into<String>) -> Self {
        Self { intent, reason: reason.into() }
    }
}

/// What is said of a Job that is not there because it has done its work.
pub const HAS_FINISHED: &str = "it ran to completion in an earlier run, and may be gone (ttlSecondsAfterFinished)";

/// Decides about one object. What cannot be changed in place is known only when the API server has been asked: then
/// [`super::immutable::strategy`] decides.
pub fn decide(item: &Item, standing: &Standing, wishes: &Wishes) -> Decision {
    let key = &item.key;
    if let Some(live) = standing.ours.get(key) {
        return decide_ours(item, live, &standing.inventory);
    }
    if let Some(live) = standing.taken.get(key) {
        let owner = environment_of(live).map(|(name, _)| name).unwrap_or_default();
        return if is_shared(key) {
            Decision::new(Intent::Change, format!("shared with {owner}"))
        } else if wishes.adopt.names_in_full(key) {
            Decision::new(Intent::Adopt, format!("belongs to {owner} until now"))
        } else {
            Decision::new(Intent::Refuse, format!("belongs to {owner}"))
        };
    }
    match standing.foreign.get(key) {
        None if standing.inventory.has_finished(key, &item.desired, standing.namespace_of(key)) => {
            Decision::new(Intent::Unchanged, HAS_FINISHED)
        }
        None => Decision::new(Intent::Create, ""),
        Some(live) if wishes.adopt.all || wishes.adopt.names(key) => Decision::new(Intent::Adopt, managed_by(live)),
        Some(_) if comes_with_a_namespace(key) => Decision::new(Intent::Adopt, "every namespace has one"),
        Some(live) => Decision::new(Intent::Refuse, managed_by(live)),
    }
}

/// What the cluster makes in every namespace by itself, and what is therefore nobody's.
fn comes_with_a_namespace(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "ServiceAccount" && key.name == "default"
}

/// Decides about an object of ours that is there.
pub fn decide_ours(item: &Item, live: &Value, inventory: &Inventory) -> Decision {
    if let Some(why) = lost_by_scaling(&item.object, live) {
        return Decision::new(Intent::Refuse, why);
    }
    if is_failed_job(&item.object, live) {
        return Decision::new(Intent::Replace, "it has failed, and a Job never runs again by itself");
    }
    if live.pointer("/metadata/deletionTimestamp").is_some() {
        return Decision::new(Intent::Change, "it is being deleted");
    }
    if has_client_side(live) {
        return Decision::new(Intent::Change, "kubectl apply has left its mark on it");
    }
    if inventory.is_unchanged(&item.key, &item.desired, live) {
        return Decision::new(Intent::Unchanged, "");
    }
    let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
    let reason = match inventory.entries.get(&item.key) {
        None => "it is not in the inventory",
        Some(entry) if uid != Some(&entry.uid) => "it was made anew by somebody",
        Some(entry) if entry.desired != item.desired => "the kit has changed",
        Some(_) => "somebody has changed it",
    };
    Decision::new(Intent::Change, reason)
}

/// A Job that has failed never runs again by itself: `status.conditions` has `Failed` with status `True`.
pub fn is_failed_job(object: &Object, live: &Value) -> bool {
    is_job_with(object, live, "Failed")
}

/// A Job that is deleted by itself once it is done: `spec.ttlSecondsAfterFinished` is set.
pub fn is_deleted_when_done(object: &Object) -> bool {
    (object.group(), object.kind()) == ("batch", "Job")
        && object.body().pointer("/spec/ttlSecondsAfterFinished").is_some()
}

/// Whether an object is one that runs to an end, and has: a Job that is complete, a pod that has succeeded.
pub fn has_run(object: &Object, live: &Value) -> bool {
    let succeeded = || live.pointer("/status/phase").is_some_and(|phase| phase == "Succeeded");
    is_job_with(object, live, "Complete") || (object.group(), object.kind()) == ("", "Pod") && succeeded()
}

fn is_job_with(object: &Object, live: &Value, kind: &str) -> bool {
    (object.group(), object.kind()) == ("batch", "Job") && condition(live, kind).is_some_and(|it| it.is_true())
}

/// Why fewer replicas of a StatefulSet would lose data: its controller deletes the claims of those that go where
/// `spec.persistentVolumeClaimRetentionPolicy.whenScaled` is `Delete`.
fn lost_by_scaling(object: &Object, live: &Value) -> Option<String> {
    if (object.group(), object.kind()) != ("apps", "StatefulSet") {
        return None;
    }
    let wanted = object.body();
    let replicas = |of: &Value| of.pointer("/spec/replicas").and_then(Value::as_i64);
    let first = |of: &Value| of.pointer("/spec/ordinals/start").and_then(Value::as_i64).unwrap_or_default();
    let (there, then) = (replicas(live)?, replicas(wanted)?);
    let deletes = wanted.pointer("/spec/persistentVolumeClaimRetentionPolicy/whenScaled")?.as_str()? == "Delete";
    let template = wanted.pointer("/spec/volumeClaimTemplates/0/metadata/name")?.as_str()?;
    (deletes && then < there).then(|| {
        format!(
            "fewer replicas would delete {template}-{}-{} with its data (whenScaled: Delete); write whenScaled: Retain",
            object.name(),
            first(wanted) + then,
        )
    })
}

/// What the objects, of those given, would lose when they are changed as the kit wants.
pub fn losses<'a>(items: impl IntoIterator<Item = &'a Item>, standing: &Standing) -> Vec<String> {
    let loss = |item: &Item| {
        let why = lost_by_scaling(&item.object, standing.ours.get(&item.key)?)?;
        Some(format!("{}: {why}", item.key))
    };
    items.into_iter().filter_map(loss).collect()
}

/// An object that stands in the way of a run: it is there, and not this environment's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Which.
    pub key: ObjectKey,
    /// Who has it, e.g. `managed by Helm, release web` or `belongs to staging`.
    pub holder: String,
    /// Whether that is another environment.
    pub taken: bool,
}

/// The objects, of those given, about which [`decide`] says that they must not be touched.
pub fn strangers<'a>(items: impl IntoIterator<Item = &'a Item>, standing: &Standing, wishes: &Wishes) -> Vec<Stranger> {
    items
        .into_iter()
        .filter(|item| !standing.ours.contains_key(&item.key))
        .filter_map(|item| {
            let Decision { intent, reason } = decide(item, standing, wishes);
            let taken = standing.taken.contains_key(&item.key);
            (intent == Intent::Refuse).then(|| Stranger { key: item.key.clone(), holder: reason, taken })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cluster::inventory::{Entry, owned_fields_hash};
    use crate::cluster::observe::selector;
    use crate::manifest::Origin;

    fn item(api_version: &str, kind: &str, name: &str) -> Item {
        let body = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}});
        let object = Object::new(body, Origin::default()).unwrap();
        Item { key: object.key(), object, desired: "d".into(), needs: Vec::new() }
    }

    fn live(labels: Value) -> Value {
        let ours =
            json!([{"manager": "rekindle", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {}}}]);
        json!({"metadata": {"uid": "u", "labels": labels, "managedFields": ours}})
    }

    fn standing(item: &Item, live: &Value, recorded: Option<(&str, &str)>) -> Standing {
        let fields = owned_fields_hash(live).unwrap_or_default();
        let entries = recorded.map(|(uid, desired)| {
            let entry = Entry {
                uid: uid.into(),
                desired: desired.into(),
                fields,
                phase: String::new(),
                keep: false,
                left: false,
                finished_in: None,
            };
            (item.key.clone(), entry)
        });
        let inventory = Inventory { entries: BTreeMap::from_iter(entries), ..Inventory::default() };
        Standing::of(&selector("shop", None), Some(inventory), [(item.key.clone(), live.clone())])
    }

    fn ours() -> Value {
        live(json!({"rekindle.dev/environment": "shop"}))
    }

    #[test]
    fn fewer_replicas_that_would_take_claims_with_them_are_refused() {
        let set = |replicas: u8, policy: &str| {
            let body = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {
                "replicas": replicas, "persistentVolumeClaimRetentionPolicy": {"whenScaled": policy},
                "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}});
            let object = Object::new(body, Origin::default()).unwrap();
            Item { key: object.key(), object, desired: "d".into(), needs: Vec::new() }
        };
        let mut there = ours();
        there["spec"] = json!({"replicas": 2});
        for (item, refused) in [(set(1, "Delete"), true), (set(2, "Delete"), false), (set(1, "Retain"), false)] {
            let standing = standing(&item, &there, None);
            assert_eq!(decide(&item, &standing, &Wishes::default()).intent == Intent::Refuse, refused);
            assert_eq!(losses([&item], &standing).len(), usize::from(refused));
            assert!(strangers([&item], &standing, &Wishes::default()).is_empty(), "it is ours");
        }
        let item = set(1, "Delete");
        assert_eq!(
            losses([&item], &standing(&item, &there, None)),
            [
                "StatefulSet/db: fewer replicas would delete data-db-1 with its data (whenScaled: Delete); write whenScaled: \
              Retain"
            ]
        );
    }

    #[test]
    fn what_is_nobodys_or_anothers_is_refused_unless_it_may_be_taken() {
        let wishes = |given: &[&str]| Wishes { adopt: Adoption::of(given.iter().copied()), take_ownership: false };
        let (foreign, theirs) = (live(json!({"a": "b"})), live(json!({"rekindle.dev/environment": "staging"})));
        let (mut config, account) = (item("v1", "ConfigMap", "a"), item("v1", "ServiceAccount", "default"));
        config.key.namespace = Some("shop".into());
        let definition = item("apiextensions.k8s.io/v1", "CustomResourceDefinition", "a.b");
        let full = full_name(&config.key);
        assert_eq!(
            (full.as_str(), full_name(&definition.key).as_str()),
            ("ConfigMap/shop/a", "CustomResourceDefinition/a.b")
        );
        for (item, live, given, intent) in [
            (&config, &foreign, &[][..], Intent::Refuse),
            (&config, &foreign, &["*"], Intent::Adopt),
            (&config, &foreign, &["ConfigMap/a"], Intent::Adopt),
            (&config, &foreign, &["configmap/a"], Intent::Adopt),
            (&config, &foreign, &["ConfigMap/b", "Secret/a"], Intent::Refuse),
            (&account, &foreign, &[], Intent::Adopt),
            (&config, &theirs, &[], Intent::Refuse),
            (&config, &foreign, &["ConfigMap/x/a", "ConfigMap/"], Intent::Refuse),
            (&config, &foreign, &[full.as_str()], Intent::Adopt),
            // What belongs to another environment is taken only by its full name.
            (&config, &theirs, &["*"], Intent::Refuse),
            (&config, &theirs, &["ConfigMap/a"], Intent::Refuse),
            (&config, &theirs, &["ConfigMap/x/a"], Intent::Refuse),
            (&config, &theirs, &[full.as_str()], Intent::Adopt),
            (&definition, &theirs, &[], Intent::Change),
            (&definition, &foreign, &[], Intent::Refuse),
        ] {
            let decision = decide(item, &standing(item, live, None), &wishes(given));
            assert_eq!(decision.intent, intent, "{} {live} {given:?}: {decision:?}", item.key);
        }
        // Taking fields is not taking objects.
        let force = Wishes { take_ownership: true, ..Wishes::default() };
        assert_eq!(decide(&config, &standing(&config, &theirs, None), &force).intent, Intent::Refuse);
        let strangers = strangers([&config], &standing(&config, &theirs, None), &force);
        assert_eq!(strangers, [Stranger { key: config.key, holder: "belongs to staging".into(), taken: true }]);
    }

    #[test]
    fn what_is_ours_is_sent_when_anything_differs_and_says_what() {
        let item = item("v1", "ConfigMap", "a");
        let told = |live: &Value, recorded: Option<(&str, &str)>| {
            let Decision { intent, reason } = decide(&item, &standing(&item, live, recorded), &Wishes::default());
            (intent, reason)
        };
        assert_eq!(told(&ours(), Some(("u", "d"))), (Intent::Unchanged, String::new()));
        assert_eq!(told(&ours(), None), (Intent::Change, "it is not in the inventory".into()));
        assert_eq!(told(&ours(), Some(("v", "d"))), (Intent::Change, "it was made anew by somebody".into()));
        assert_eq!(told(&ours(), Some(("u", "e"))), (Intent::Change, "the kit has changed".into()));
        let mut dying = ours();
        dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(told(&dying, Some(("u", "d"))), (Intent::Change, "it is being deleted".into()));
        let mut marked = ours();
        let entry = json!({"manager": "kubectl-client-side-apply", "operation": "Update", "fieldsV1": {}});
        marked["metadata"]["managedFields"].as_array_mut().unwrap().push(entry);
        assert_eq!(told(&marked, Some(("u", "d"))).0, Intent::Change);
        let before = standing(&item, &ours(), Some(("u", "d")));
        let mut lost = ours();
        lost["metadata"]["managedFields"][0]["fieldsV1"] = json!({});
        let after = Standing { ours: [(item.key.clone(), lost)].into(), ..before };
        let decision = decide(&item, &after, &Wishes::default());
        assert_eq!(decision, Decision::new(Intent::Change, "somebody has changed it"));
        assert_eq!(decide(&item, &Standing::default(), &Wishes::default()), Decision::new(Intent::Create, ""));
    }

    #[test]
    fn a_failed_job_is_made_again() {
        let job = item("batch/v1", "Job", "migrate");
        let mut live = ours();
        live["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        assert_eq!(decide(&job, &standing(&job, &live, Some(("u", "d"))), &Wishes::default()).intent, Intent::Replace);
    }

    #[test]
    fn a_job_that_is_gone_after_its_work_is_not_made_again() {
        let mut job = item("batch/v1", "Job", "migrate");
        job.key.namespace = Some("shop".into());
        let namespace = |uid: &str| json!({"metadata": {"uid": uid}});
        let told = |finished_in: Option<&str>, desired: &str, live: Option<Value>| {
            let mut standing = standing(&job, &json!({}), Some(("u", desired)));
            standing.ours.clear();
            standing.foreign.clear();
            standing.inventory.entries.get_mut(&job.key).unwrap().finished_in = finished_in.map(str::to_owned);
            standing.ours.extend(live.map(|live| (ObjectKey::of_namespace("shop"), live)));
            decide(&job, &standing, &Wishes::default()).intent
        };
        let mut going = namespace("n");
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(told(Some("n"), "d", Some(namespace("n"))), Intent::Unchanged);
        assert_eq!(told(None, "d", Some(namespace("n"))), Intent::Create, "somebody has deleted it");
        assert_eq!(told(Some("n"), "e", Some(namespace("n"))), Intent::Create, "the kit has changed");
        assert_eq!(told(Some("n"), "d", Some(namespace("m"))), Intent::Create, "its namespace was made anew");
        assert_eq!(told(Some("n"), "d", Some(going)), Intent::Create, "its namespace is being deleted");
        assert_eq!(told(Some("n"), "d", None), Intent::Create, "its namespace is gone");
    }

    #[test]
    fn only_a_job_that_goes_by_itself_and_has_run_is_finished() {
        let job = |spec: Value| {
            let body = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": spec});
            Object::new(body, Origin::default()).unwrap()
        };
        let live =
            |condition: &str, status: &str| json!({"status": {"conditions": [{"type": condition, "status": status}]}});
        let goes = job(json!({"ttlSecondsAfterFinished": 0}));
        assert!(is_deleted_when_done(&goes) && !is_deleted_when_done(&job(json!({}))));
        assert!(has_run(&goes, &live("Complete", "True")));
        assert!(!has_run(&goes, &live("Complete", "False")));
        assert!(!has_run(&goes, &live("Suspended", "True")));
        assert!(!has_run(&goes, &live("Failed", "True")));
    }
}
