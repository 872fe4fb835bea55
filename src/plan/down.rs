//! Taking an environment down: what goes, what stays, which claims hold its data. Pure: from what was read to what will be done.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::full_name;
use super::prune::Kept;
use super::removal::{Batch, Fate, Reason, batches, fate};
use crate::cluster::inventory::{Inventory, owned_fields_hash};
use crate::cluster::observe::{environment_of, selector};
use crate::cluster::volumes::source;
use crate::data;
use crate::kit::Rendered;
use crate::manifest::ObjectKey;
use crate::manifest::kinds::holds_data;

/// How long a phase may take to go where the kit sets no limit.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// What the kit says of an environment that is to be taken down.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The environment, with the instance.
    pub environment: String,
    /// Name of the stack.
    pub stack: String,
    /// Label selector of its objects.
    pub selector: String,
    /// Its own namespace.
    pub namespace: String,
    /// Phases in order, with the time each may take.
    pub phases: Vec<(String, Duration)>,
    /// The phase of each object of the kit.
    phase_of: HashMap<ObjectKey, String>,
    /// Namespace and beginning of the names of the claims that StatefulSets of the kit make.
    prefixes: Vec<(String, String)>,
    /// What may be deleted by name.
    pub data_sets: Vec<DataSet>,
}

/// A data set as far as its deletion is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSet {
    /// Its name.
    pub name: String,
    /// Namespace and name of each claim that holds it.
    pub claims: Vec<(String, String)>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Namespace and beginning of the names of the claims that a StatefulSet makes: `<template>-<set>-` before the ordinal.
fn claim_prefixes(set: &Value) -> Vec<(String, String)> {
    let templates = set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array).into_iter().flatten();
    let (namespace, name) = (text(set, "/metadata/namespace"), text(set, "/metadata/name"));
    templates.map(|it| (namespace.to_owned(), format!("{}-{name}-", text(it, "/metadata/name")))).collect()
}

fn data_set(set: &data::DataSet, rendered: &Rendered) -> DataSet {
    let own = rendered.claims.iter().filter(|claim| claim.is_of(&set.name));
    DataSet { name: set.name.clone(), claims: own.map(|claim| (claim.namespace.clone(), claim.name.clone())).collect() }
}

impl Scope {
    /// Of a rendered environment. The values of its secrets do not matter.
    pub fn of(rendered: &Rendered) -> Self {
        let environment = &rendered.environment;
        let objects = || rendered.phases.iter().flat_map(|phase| phase.objects.iter().map(move |it| (phase, it)));
        let sets = objects().filter(|(_, object)| object.kind() == "StatefulSet");
        Self {
            environment: full_name(&environment.name, environment.instance.as_deref()),
            stack: rendered.stack.clone(),
            selector: selector(&environment.name, environment.instance.as_deref()),
            namespace: environment.namespace.clone(),
            phases: rendered
                .phases
                .iter()
                .map(|phase| (phase.name.clone(), phase.settings.timeout.unwrap_or(LIMIT)))
                .collect(),
            phase_of: objects().map(|(phase, object)| (object.key(), phase.name.clone())).collect(),
            prefixes: sets.flat_map(|(_, object)| claim_prefixes(object.body())).collect(),
            data_sets: rendered.data_sets().map(|set| data_set(set, rendered)).collect(),
        }
    }

    /// The time that a phase may take.
    pub fn limit(&self, phase: &str) -> Duration {
        self.phases.iter().find(|(name, _)| name == phase).map_or(LIMIT, |(_, limit)| *limit)
    }
}

/// What is done with the objects of an environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Down {
    /// What is deleted, batch after batch, phases from last to first.
    pub batches: Vec<Batch>,
    /// What is there and stays.
    pub kept: Vec<Kept>,
    /// Recorded, and not there or not ours any more.
    pub forgotten: Vec<ObjectKey>,
    /// Namespaces that the environment has made.
    pub namespaces: BTreeSet<String>,
}

impl Down {
    /// Objects that go.
    pub fn goes(&self) -> usize {
        self.batches.iter().map(|batch| batch.keys.len()).sum()
    }

    /// Phases in the order in which they go, with the number of their objects.
    pub fn phases(&self) -> Vec<(String, usize)> {
        let mut phases: Vec<(String, usize)> = Vec::new();
        for batch in &self.batches {
            match phases.last_mut() {
                Some((phase, count)) if *phase == batch.phase => *count += batch.keys.len(),
                _ => phases.push((batch.phase.clone(), batch.keys.len())),
            }
        }
        phases
    }
}

/// Decides on everything that is recorded or labelled as the environment's.
pub fn down(scope: &Scope, inventory: &Inventory, live: &BTreeMap<ObjectKey, Value>) -> Down {
    let phases: Vec<String> = scope.phases.iter().map(|(name, _)| name.clone()).collect();
    let keys: BTreeSet<&ObjectKey> = inventory.entries.keys().chain(live.keys()).collect();
    let (mut down, mut goes) = (Down::default(), Vec::new());
    for key in keys {
        let entry = inventory.entries.get(key);
        let phase = scope
            .phase_of
            .get(key)
            .cloned()
            .or_else(|| entry.map(|entry| entry.phase.clone()))
            .or_else(|| phases.last().cloned())
            .unwrap_or_default();
        match fate(key, entry, live.get(key), &scope.selector) {
            Fate::Goes => goes.push((phase, key.clone())),
            Fate::Gone => down.forgotten.push(key.clone()),
            Fate::Stays(reason)
                if reason.is_ours() && (entry.is_some() || reason != Reason::Data || is_applied(live, key)) =>
            {
                if key.group.is_empty() && key.kind == "Namespace" {
                    down.namespaces.insert(key.name.clone());
                }
                // What controllers make of ours goes with ours.
                if entry.is_some() || !matches!(reason, Reason::Controlled(_)) {
                    down.kept.push(Kept { phase, key: key.clone(), reason });
                }
            }
            Fate::Stays(reason) if entry.is_some() => {
                down.forgotten.push(key.clone());
                down.kept.push(Kept { phase, key: key.clone(), reason });
            }
            Fate::Stays(_) => {}
        }
    }
    down.batches = batches(&phases, goes);
    down
}

fn is_applied(live: &BTreeMap<ObjectKey, Value>, key: &ObjectKey) -> bool {
    live.get(key).is_some_and(|live| owned_fields_hash(live).is_some())
}

/// A claim that may hold data of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The volume that it is bound to.
    pub volume: Option<String>,
}

/// The claims, of those given, that are the environment's: recorded, labelled, made by one of its StatefulSets, or in a
/// namespace of its own. Rather one too many: all that is done with them without a typed name is to keep them.
pub fn claims(
    scope: &Scope,
    inventory: &Inventory,
    down: &Down,
    sets: impl Iterator<Item = Value>,
    found: &[Value],
) -> Vec<Claim> {
    let mut prefixes = scope.prefixes.clone();
    prefixes.extend(sets.flat_map(|set| claim_prefixes(&set)));
    let made = |namespace: &str, name: &str| {
        prefixes.iter().any(|(in_namespace, prefix)| {
            let ordinal = name.strip_prefix(prefix.as_str()).filter(|_| in_namespace == namespace);
            ordinal.is_some_and(|ordinal| !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
        })
    };
    // A pod's own (`ephemeral.volumeClaimTemplate`) goes with it and comes anew with the next one.
    let is_of_a_pod = |claim: &Value| {
        let owners = claim.pointer("/metadata/ownerReferences").and_then(Value::as_array);
        owners.into_iter().flatten().any(|owner| owner["apiVersion"] == "v1" && owner["kind"] == "Pod")
    };
    let is_ours = |claim: &&Value| {
        let (namespace, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
        let labels = environment_of(claim);
        let key = crate::cluster::volumes::claim_key(namespace, name);
        let recorded = inventory.entries.get(&key).is_some_and(|entry| entry.uid == text(claim, "/metadata/uid"));
        let named = || {
            let mut claims = scope.data_sets.iter().flat_map(|set| &set.claims);
            made(namespace, name) || claims.any(|it| *it == (namespace.into(), name.into()))
        };
        recorded
            || down.namespaces.contains(namespace)
            || labels.map_or_else(named, |(_, selector)| selector == scope.selector)
    };
    let claim = |claim: &Value| Claim {
        namespace: text(claim, "/metadata/namespace").to_owned(),
        name: text(claim, "/metadata/name").to_owned(),
        uid: text(claim, "/metadata/uid").to_owned(),
        volume: claim.pointer("/spec/volumeName").and_then(Value::as_str).map(str::to_owned),
    };
    found.iter().filter(|claim| !is_of_a_pod(claim)).filter(is_ours).map(claim).collect()
}

/// Which other environment a claim may belong to, where it is not known to be ours. What a StatefulSet makes of its templates
/// carries no label, so the namespace decides: whose it is by its label, and who else the cluster's records say works in it.
/// `recorded` are the environments that have a record, without instances, and their namespaces.
pub fn other_owner<'a>(
    scope: &Scope,
    inventory: &Inventory,
    claim: &Value,
    namespace: Option<&Value>,
    recorded: impl IntoIterator<Item = (&'a str, &'a BTreeSet<String>)>,
) -> Option<String> {
    let (place, name) = (text(claim, "/metadata/namespace"), text(claim, "/metadata/name"));
    let entry = inventory.entries.get(&crate::cluster::volumes::claim_key(place, name));
    if let Some((environment, found)) = environment_of(claim) {
        return (found != scope.selector).then_some(environment);
    }
    if entry.is_some_and(|entry| entry.uid == text(claim, "/metadata/uid")) {
        return None;
    }
    if let Some((environment, _)) = namespace.and_then(environment_of).filter(|(_, found)| *found != scope.selector) {
        return Some(environment);
    }
    let own = scope.environment.split('/').next().unwrap_or_default();
    let mut others = recorded.into_iter().filter(|(environment, _)| *environment != own);
    others.find(|(_, namespaces)| namespaces.contains(place)).map(|(environment, _)| environment.to_owned())
}

/// Whether a volume is bound to a claim: both name each other, and the volume means this very claim.
pub fn is_bound(claim: &Claim, volume: &Value) -> bool {
    text(volume, "/spec/claimRef/uid") == claim.uid && !claim.uid.is_empty()
}

/// What is left to prove that the data of a claim is safe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Namespace of the claim.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// Its volume; empty when it has none.
    pub volume: String,
    /// Where the data lies: the driver's handle, or a path.
    pub place: String,
    /// Phase of the volume: `Bound`. Of a claim without one, that of the claim.
    pub phase: String,
    /// What becomes of the volume when the claim goes; empty when there is no volume.
    pub policy: String,
    /// Capacity.
    pub size: String,
}

/// Where the data of a volume lies: the driver's handle or a path; the name of its type where neither is known.
fn place(volume: &Value) -> String {
    let spec = |pointer: &str| text(volume, &format!("/spec/{pointer}")).to_owned();
    let known = [spec("csi/volumeHandle"), spec("local/path"), spec("hostPath/path")];
    if let Some(place) = known.into_iter().find(|place| !place.is_empty()) {
        return place;
    }
    if volume.pointer("/spec/nfs").is_some() {
        return format!("{}:{}", spec("nfs/server"), spec("nfs/path"));
    }
    source(volume).next().map(|(name, _)| name.to_owned()).unwrap_or_default()
}

/// The proof for a claim, from its volume as it was read back.
pub fn proof(claim: &Claim, volume: Option<&Value>) -> Proof {
    let of = |pointer: &str| volume.map(|volume| text(volume, pointer).to_owned()).unwrap_or_default();
    let phase = match (&claim.volume, volume) {
        (None, _) => "no volume yet".to_owned(),
        (Some(_), None) => "its volume is gone".to_owned(),
        (Some(_), Some(volume)) if !is_bound(claim, volume) => "its volume belongs to another claim".to_owned(),
        (Some(_), Some(_)) => of("/status/phase"),
    };
    Proof {
        namespace: claim.namespace.clone(),
        claim: claim.name.clone(),
        volume: claim.volume.clone().unwrap_or_default(),
        place: volume.map(place).unwrap_or_default(),
        phase,
        policy: of("/spec/persistentVolumeReclaimPolicy"),
        size: of("/spec/capacity/storage"),
    }
}

/// Whether a volume outlives its claim, or there is none that could be lost.
pub fn is_safe(proof: &Proof) -> bool {
    proof.policy == "Retain" || proof.volume.is_empty()
}

/// What in a namespace keeps it from being deleted with the last of our data: every claim, and everything else but what
/// Kubernetes puts into every namespace, what controllers make of other things, and what is on its way out.
pub fn strangers(inside: &BTreeMap<ObjectKey, Value>) -> Vec<&ObjectKey> {
    let is_derived = |key: &ObjectKey, live: &Value| {
        // A StatefulSet or an operator may own a claim; what it holds is data all the same.
        if holds_data(&key.group, &key.kind) {
            return false;
        }
        matches!(
            (key.kind.as_str(), key.name.as_str()),
            ("ServiceAccount", "default")
                | ("ConfigMap", "kube-root-ca.crt")
                | ("Endpoints" | "EndpointSlice" | "Event", _)
        ) || live.pointer("/metadata/deletionTimestamp").is_some()
            || live.pointer("/metadata/ownerReferences").is_some()
    };
    inside.iter().filter(|(key, live)| !is_derived(key, live)).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::inventory::Entry;

    fn scope() -> Scope {
        let text = |text: &str| text.to_owned();
        Scope {
            environment: text("staging"),
            stack: text("test"),
            selector: selector("staging", None),
            namespace: text("a"),
            phases: vec![(text("storage"), LIMIT), (text("services"), Duration::from_secs(60))],
            phase_of: HashMap::from([(key("apps", "Deployment", "moved"), text("services"))]),
            prefixes: vec![(text("a"), text("data-db-"))],
            data_sets: vec![DataSet { name: text("cache"), claims: vec![(text("a"), text("cache"))] }],
        }
    }

    fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
        let namespace = (kind != "Namespace").then(|| "a".to_owned());
        ObjectKey { group: group.into(), kind: kind.into(), namespace, name: name.into() }
    }

    fn entry(phase: &str) -> Entry {
        let text = |text: &str| text.to_owned();
        Entry {
            uid: text("u"),
            desired: text("d"),
            fields: text("f"),
            phase: text(phase),
            keep: false,
            left: false,
            finished_in: None,
        }
    }

    fn ours(uid: &str) -> Value {
        json!({"metadata": {"uid": uid, "labels": {"rekindle.dev/environment": "staging"}, "managedFields": [
            {"manager": "rekindle", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}},
        ]}})
    }

    #[test]
    fn everything_recorded_or_labelled_goes_backwards_and_what_holds_data_stays() {
        let recorded = [
            (key("", "Namespace", "a"), entry("storage")),
            (key("", "ConfigMap", "settings"), entry("storage")),
            (key("apps", "Deployment", "moved"), entry("storage")),
            (key("", "ConfigMap", "gone"), entry("services")),
            (key("", "PersistentVolumeClaim", "data"), entry("storage")),
        ];
        let inventory = Inventory { entries: recorded.into_iter().collect(), ..Inventory::default() };
        let mut live: BTreeMap<_, _> =
            inventory.entries.keys().filter(|key| key.name != "gone").map(|key| (key.clone(), ours("u"))).collect();
        // Lost from the record, found by its labels.
        live.insert(key("", "Secret", "lost"), ours("v"));
        let found = down(&scope(), &inventory, &live);
        assert_eq!(found.phases(), [("services".to_owned(), 2), ("storage".to_owned(), 1)]);
        assert_eq!(found.goes(), 3);
        let first: Vec<_> = found.batches.iter().map(|batch| batch.keys[0].to_string()).collect();
        assert_eq!(first, ["Deployment/moved", "Secret/lost", "ConfigMap/settings"]);
        let kept: Vec<_> = found.kept.iter().map(|kept| kept.key.to_string()).collect();
        assert_eq!(kept, ["Namespace/a", "PersistentVolumeClaim/data"]);
        assert_eq!(found.forgotten, [key("", "ConfigMap", "gone")]);
        assert_eq!(found.namespaces, BTreeSet::from(["a".to_owned()]));
        assert_eq!(scope().limit("services"), Duration::from_secs(60));
    }

    fn claim(namespace: &str, name: &str, labels: Value) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": name, "labels": labels}, "spec": {"volumeName": "v"}})
    }

    #[test]
    fn claims_are_found_by_record_label_template_and_namespace() {
        let inventory = Inventory {
            entries: BTreeMap::from([(key("", "PersistentVolumeClaim", "recorded"), entry("storage"))]),
            ..Inventory::default()
        };
        let mut recorded = claim("a", "recorded", json!({}));
        recorded["metadata"]["uid"] = "u".into();
        let labelled = json!({"rekindle.dev/environment": "staging"});
        let others = json!({"rekindle.dev/environment": "production"});
        let set = json!({"metadata": {"namespace": "b", "name": "q"}, "spec": {"volumeClaimTemplates": [{"metadata": {"name": "x"}}]}});
        let found = [
            recorded,
            claim("b", "labelled", labelled),
            claim("a", "data-db-0", json!({})),
            claim("a", "data-db-12", json!({})),
            claim("a", "cache", json!({})),
            {
                let mut own = claim("own", "web-1-scratch", json!({}));
                own["metadata"]["ownerReferences"] =
                    json!([{"apiVersion": "v1", "kind": "Pod", "name": "web-1", "uid": "p"}]);
                own
            },
            claim("b", "x-q-0", json!({})),
            claim("own", "anything", others.clone()),
            claim("a", "data-db-", json!({})),
            claim("a", "data-db-x", json!({})),
            claim("b", "data-db-0", json!({})),
            claim("b", "theirs", others),
        ];
        let down = Down { namespaces: BTreeSet::from(["own".to_owned()]), ..Down::default() };
        let ours = claims(&scope(), &inventory, &down, std::iter::once(set), &found);
        let names: Vec<_> = ours.iter().map(|claim| claim.name.as_str()).collect();
        assert_eq!(names, ["recorded", "labelled", "data-db-0", "data-db-12", "cache", "x-q-0", "anything"]);
    }

    #[test]
    fn a_claim_of_another_environment_is_not_ours_to_delete_whatever_our_kit_calls_it() {
        let others = json!({"rekindle.dev/environment": "production"});
        let mine = json!({"rekindle.dev/environment": "staging"});
        let labelled = claim("a", "cache", others.clone());
        let none = Inventory::default();
        assert!(
            claims(&scope(), &none, &Down::default(), std::iter::empty(), std::slice::from_ref(&labelled)).is_empty()
        );
        let shared = BTreeSet::from(["a".to_owned()]);
        let theirs = || [("staging", &shared), ("production", &shared)].into_iter();
        let owner = |claim: &Value, namespace: Option<&Value>, recorded| {
            let nobody = std::iter::empty().collect::<Vec<_>>();
            let recorded = if recorded { theirs().collect() } else { nobody };
            other_owner(&scope(), &none, claim, namespace, recorded)
        };
        let production = Some("production".to_owned());
        let bare = claim("a", "data-db-0", json!({}));
        let place = |labels: Value| json!({"metadata": {"name": "a", "labels": labels}});
        assert_eq!(owner(&labelled, None, false), production);
        assert_eq!(owner(&claim("a", "cache", mine.clone()), None, true), None);
        assert_eq!(owner(&bare, None, false), None);
        assert_eq!(owner(&bare, None, true), production, "somebody else works in the namespace");
        assert_eq!(owner(&bare, Some(&place(others)), false), production);
        assert_eq!(owner(&bare, Some(&place(mine)), false), None);
        let instance = json!({"rekindle.dev/environment": "staging", "rekindle.dev/instance": "pr-1"});
        assert_eq!(owner(&bare, Some(&place(instance)), false), Some("staging/pr-1".to_owned()));
        let entries = BTreeMap::from([(key("", "PersistentVolumeClaim", "data-db-0"), entry("storage"))]);
        let mut recorded = bare;
        recorded["metadata"]["uid"] = "u".into();
        assert_eq!(
            other_owner(&scope(), &Inventory { entries, ..Inventory::default() }, &recorded, None, theirs()),
            None
        );
    }

    #[test]
    fn a_proof_tells_where_the_data_lies() {
        let claim = Claim { namespace: "a".into(), name: "data".into(), uid: "u".into(), volume: Some("v".into()) };
        let volume = |source: Value, uid: &str| {
            let mut spec = json!({
                "claimRef": {"uid": uid}, "persistentVolumeReclaimPolicy": "Retain", "capacity": {"storage": "1Gi"},
                "accessModes": [], "volumeMode": "Filesystem",
            });
            if let (Some(spec), Some(source)) = (spec.as_object_mut(), source.as_object()) {
                spec.extend(source.clone());
            }
            json!({"metadata": {"name": "v"}, "spec": spec, "status": {"phase": "Bound"}})
        };
        for (source, place) in [
            (json!({"csi": {"driver": "d", "volumeHandle": "vol-1"}}), "vol-1"),
            (json!({"hostPath": {"path": "/x"}}), "/x"),
            (json!({"local": {"path": "/y"}}), "/y"),
            (json!({"nfs": {"server": "s", "path": "/z"}}), "s:/z"),
            (json!({"fc": {}}), "fc"),
        ] {
            let proof = proof(&claim, Some(&volume(source, "u")));
            assert_eq!((proof.place.as_str(), proof.phase.as_str()), (place, "Bound"));
            assert_eq!((proof.policy.as_str(), proof.size.as_str()), ("Retain", "1Gi"));
            assert!(is_safe(&proof));
        }
        let other = proof(&claim, Some(&volume(json!({}), "another")));
        assert_eq!(other.phase, "its volume belongs to another claim");
        assert_eq!(proof(&claim, None).phase, "its volume is gone");
        assert!(!is_safe(&proof(&claim, None)));
        assert!(is_safe(&proof(&Claim { volume: None, ..claim }, None)));
    }

    #[test]
    fn a_namespace_with_something_foreign_stays() {
        let mut inside = BTreeMap::from([
            (key("", "ServiceAccount", "default"), json!({})),
            (key("", "ConfigMap", "kube-root-ca.crt"), json!({})),
            (key("", "Endpoints", "db"), json!({})),
            (key("apps", "ReplicaSet", "x"), json!({"metadata": {"ownerReferences": [{}]}})),
        ]);
        assert!(strangers(&inside).is_empty());
        let owned = key("", "PersistentVolumeClaim", "data-db-0");
        inside.insert(owned.clone(), json!({"metadata": {"ownerReferences": [{"kind": "StatefulSet", "name": "db"}]}}));
        assert_eq!(strangers(&inside), [&owned], "data is data, whoever owns it");
        inside.remove(&owned);
        inside.insert(key("", "Secret", "theirs"), json!({}));
        assert_eq!(strangers(&inside), [&key("", "Secret", "theirs")]);
    }
}
