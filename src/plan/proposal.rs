//! The plan beside what is there: what would be done with every object and why, what happens to data, which gates are asked,
//! in which order and for how long. It is what `plan` prints and saves, and what `up --plan` is held to. Pure data.
//!
//! The saved form is JSON, version 1. It holds no secret: of objects only their names, hashes and what differs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::diff::Change;
use super::estimate::Estimate;
use super::{Item, Plan};
use crate::cluster::inventory::short_hash;
use crate::cluster::observe::has_no_status;
use crate::data::{Choice, Decisions};
use crate::manifest::Origin;
use crate::rebuild::event::ObjectName;

/// Version of the saved form.
pub const VERSION: u32 = 1;

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// It will be sent; what is there was not looked at.
    Apply,
    /// It does not exist.
    Create,
    /// It exists, is somebody else's, and will be taken.
    Adopt,
    /// It exists and differs.
    Change,
    /// It is deleted and made again.
    Replace,
    /// It is deleted without its pods and made again; they run on.
    Recreate,
    /// It has left the kit and is deleted after all gates have passed.
    Prune,
    /// It has left the kit and stays.
    Keep,
    /// It is as the kit says.
    Unchanged,
    /// `up` would refuse it.
    Refuse,
}

impl Intent {
    /// Whether `up` would write it.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Keep | Self::Unchanged | Self::Refuse)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Create => "create",
            Self::Adopt => "adopt",
            Self::Change => "change",
            Self::Replace => "replace",
            Self::Recreate => "recreate",
            Self::Prune => "prune",
            Self::Keep => "keep",
            Self::Unchanged => "unchanged",
            Self::Refuse => "refuse",
        }
    }
}

/// An object of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedObject {
    /// Which.
    pub object: ObjectName,
    /// Where in the kit it is written; without a file when it has left the kit.
    pub origin: Origin,
    /// What would be done.
    pub intent: Intent,
    /// Why, where that does not go without saying.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The fields that would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// `Kind/name` of the objects of its phase that come first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// A gate of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedGate {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub origin: Origin,
    /// The reason for which the environment switches it off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

/// A phase of the plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedPhase {
    /// Its name.
    pub phase: String,
    /// Its objects.
    pub objects: Vec<ProposedObject>,
    /// The gates that close it.
    pub gates: Vec<ProposedGate>,
}

/// An object that holds data, and what happens to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProposedData {
    /// Which.
    pub object: ObjectName,
    /// What becomes of it and of what it holds, one sentence.
    pub fate: String,
}

/// The whole plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Proposal {
    /// The phases in order.
    pub phases: Vec<ProposedPhase>,
    /// What has left the kit: to be pruned, or kept.
    pub left: Vec<ProposedObject>,
    /// What holds data.
    pub data: Vec<ProposedData>,
    /// How long it would take.
    pub estimate: Estimate,
    /// How many objects the API server was not asked about, by the reason: they are taken as the kit says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub untried: BTreeMap<String, usize>,
}

impl Proposal {
    /// Every object, those that have left the kit last.
    pub fn objects(&self) -> impl Iterator<Item = &ProposedObject> {
        self.phases.iter().flat_map(|phase| &phase.objects).chain(&self.left)
    }

    /// How many objects there are of each intent.
    pub fn counts(&self) -> BTreeMap<Intent, usize> {
        self.objects().fold(BTreeMap::new(), |mut counts, object| {
            *counts.entry(object.intent).or_default() += 1;
            counts
        })
    }

    /// Whether `up` would write anything, or refuse to.
    pub fn has_changes(&self) -> bool {
        self.objects().any(|object| object.intent.writes() || object.intent == Intent::Refuse)
    }

    /// A plan without a look at a cluster.
    pub fn offline(plan: &Plan, estimate: Estimate) -> Self {
        let phases = phases(plan, |_| (Intent::Apply, String::new(), Vec::new()));
        Self { phases, left: Vec::new(), data: Vec::new(), estimate, untried: BTreeMap::new() }
    }
}

/// The phases of a plan with what would be done with each object.
pub fn phases(plan: &Plan, mut judge: impl FnMut(&Item) -> (Intent, String, Vec<Change>)) -> Vec<ProposedPhase> {
    let gate = |gate: &crate::health::gate::Gate| ProposedGate {
        name: gate.name.clone(),
        origin: gate.origin.clone(),
        skipped: gate.skipped.clone(),
    };
    let phase = |phase: &super::PlannedPhase| {
        let objects = phase.items.iter().map(|item| {
            let (intent, reason, changes) = judge(item);
            let after = item.needs.iter().map(|need| phase.items[need.item].key.to_string()).collect();
            let (object, origin) = (ObjectName::of(&item.object), item.object.origin.clone());
            ProposedObject { object, origin, intent, reason, changes, after }
        });
        ProposedPhase {
            phase: phase.name.clone(),
            objects: objects.collect(),
            gates: phase.gates.iter().map(gate).collect(),
        }
    };
    plan.phases.iter().map(phase).collect()
}

/// Hash of everything that a plan would send, in its order, gates included: two plans with the same hash do the same.
pub fn digest(plan: &Plan) -> String {
    let phases = plan.phases.iter().map(|phase| {
        let items: Vec<_> = phase.items.iter().map(|item| (&item.desired, &item.needs)).collect();
        let items: Vec<Value> = items
            .into_iter()
            .map(|(desired, needs)| {
                json!([desired, needs.iter().map(|need| (need.item, need.ready)).collect::<Vec<_>>()])
            })
            .collect();
        json!([phase.name, items, phase.gates])
    });
    short_hash(json!([plan.environment, plan.stack, phases.collect::<Vec<_>>()]).to_string().as_bytes())
}

/// What an object was when the plan was made, as a text that differs when anything differs that a plan would care about.
/// What controllers report about it (`status`) is left out; of kinds of which only the metadata is read, the version tells.
pub fn state(live: Option<&Value>) -> String {
    let Some(live) = live else { return "absent".into() };
    let text = |pointer: &str| live.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, kind) = (text("/apiVersion").split_once('/').map_or("", |(group, _)| group), text("/kind"));
    if has_no_status(group, kind) {
        return format!("{}@{}", text("/metadata/uid"), text("/metadata/resourceVersion"));
    }
    let mut content = live.clone();
    if let Some(body) = content.as_object_mut() {
        body.shift_remove("status");
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("resourceVersion");
            metadata.shift_remove("managedFields");
        }
    }
    format!("{}#{}", text("/metadata/uid"), short_hash(content.to_string().as_bytes()))
}

/// A plan as it is saved: what it is for, and what must still be so when it is executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// [`VERSION`].
    pub version: u32,
    /// When it was made.
    pub time: jiff::Timestamp,
    /// The environment's name, with the instance.
    pub environment: String,
    /// UID of the cluster's `kube-system`.
    pub cluster: String,
    /// [`digest`] of the plan.
    pub digest: String,
    /// Objects that may be taken from others: `--adopt`.
    pub adopt: Vec<String>,
    /// `--take-ownership`.
    pub take_ownership: bool,
    /// What is done about data.
    #[serde(default)]
    pub data: SavedData,
    /// [`state`] of every object that the plan touches, by [`name_of`].
    pub states: BTreeMap<String, String>,
    /// What is planned, for people and programs that read the file.
    pub plan: Value,
}

/// What a saved plan does about data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedData {
    /// `--data`, as given.
    pub given: Vec<String>,
    /// `--allow-empty`, as given.
    pub allow_empty: Vec<String>,
    /// `--recover-to`, as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recover_to: Option<jiff::Timestamp>,
    /// `--promote`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promote: bool,
    /// What is done about each claim.
    pub choices: Vec<SavedChoice>,
}

/// What a saved plan does about one claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedChoice {
    /// `namespace/name`.
    pub claim: String,
    /// `keep`, `adopt pv/NAME`, `copy` or `empty`.
    pub choice: String,
}

impl SavedData {
    /// The choices of decisions.
    pub fn choices_of(decisions: &Decisions) -> Vec<SavedChoice> {
        let claims = decisions.sets.iter().flat_map(|set| &set.claims);
        let choice = |choice: &Choice| match choice {
            Choice::Adopt { volume } => format!("adopt pv/{volume}"),
            Choice::Restore { backup } => format!("restore {backup}"),
            other => other.word().to_owned(),
        };
        claims.map(|it| SavedChoice { claim: it.place(), choice: choice(&it.choice) }).collect()
    }
}

/// The name of an object in a saved plan: `apps/Deployment acoustid/api`.
pub fn name_of(key: &crate::manifest::ObjectKey) -> String {
    let group = if key.group.is_empty() { String::new() } else { format!("{}/", key.group) };
    match &key.namespace {
        Some(namespace) => format!("{group}{} {namespace}/{}", key.kind, key.name),
        None => format!("{group}{} {}", key.kind, key.name),
    }
}

/// Why a saved plan may not be executed any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outdated {
    /// The file is no saved plan.
    #[error("it is no saved plan: {0}")]
    Unreadable(String),
    /// It is of a newer Rekindle.
    #[error("it is of version {0}, and this rekindle reads version {VERSION}")]
    Version(u32),
    /// It was made for another environment.
    #[error("it was made for {0}")]
    Environment(String),
    /// The kit, the values or the secrets give something else now.
    #[error("the kit, its values or its secrets have changed since it was made")]
    Kit,
    /// It was made for another cluster.
    #[error("it was made for another cluster: {planned}, and this is {reached}")]
    Cluster {
        /// The one it was made for.
        planned: String,
        /// The one that was reached.
        reached: String,
    },
    /// Objects are not as they were.
    #[error("{} changed since it was made", if .0.len() == 1 { "an object has" } else { "objects have" })]
    Objects(Vec<String>),
}

impl SavedPlan {
    /// Reads a saved plan.
    ///
    /// # Errors
    /// [`Outdated::Unreadable`] and [`Outdated::Version`].
    pub fn read(text: &str) -> Result<Self, Outdated> {
        let value: Value = serde_json::from_str(text).map_err(|error| Outdated::Unreadable(error.to_string()))?;
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => return Err(Outdated::Version(version.try_into().unwrap_or(u32::MAX))),
            None => return Err(Outdated::Unreadable("it has no version".into())),
        }
        serde_json::from_value(value).map_err(|error| Outdated::Unreadable(error.to_string()))
    }

    /// Whether it is still about this plan. No network.
    ///
    /// # Errors
    /// [`Outdated::Environment`] and [`Outdated::Kit`].
    pub fn is_about(&self, plan: &Plan) -> Result<(), Outdated> {
        if self.environment != plan.environment {
            return Err(Outdated::Environment(self.environment.clone()));
        }
        if self.digest == digest(plan) { Ok(()) } else { Err(Outdated::Kit) }
    }

    /// Whether the cluster is the one it was made for.
    ///
    /// # Errors
    /// [`Outdated::Cluster`].
    pub fn is_for(&self, uid: &str) -> Result<(), Outdated> {
        if self.cluster == uid {
            return Ok(());
        }
        Err(Outdated::Cluster { planned: self.cluster.clone(), reached: uid.to_owned() })
    }

    /// Whether every object is still as it was.
    ///
    /// # Errors
    /// [`Outdated::Objects`] with the names of those that are not.
    pub fn still_holds(&self, states: &BTreeMap<String, String>) -> Result<(), Outdated> {
        let names = self.states.keys().chain(states.keys().filter(|name| !self.states.contains_key(*name)));
        let changed: Vec<String> = names.filter(|name| self.states.get(*name) != states.get(*name)).cloned().collect();
        if changed.is_empty() { Ok(()) } else { Err(Outdated::Objects(changed)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn saved() -> SavedPlan {
        SavedPlan {
            version: VERSION,
            time: "2026-11-25T12:00:00Z".parse().unwrap(),
            environment: "staging/pr-1".into(),
            cluster: "u1".into(),
            digest: "d".into(),
            adopt: Vec::new(),
            take_ownership: false,
            data: SavedData::default(),
            states: BTreeMap::from([
                ("ConfigMap shop/a".into(), "u@1".into()),
                ("ConfigMap shop/b".into(), "absent".into()),
            ]),
            plan: json!({}),
        }
    }

    #[test]
    fn a_saved_plan_is_read_back_and_a_damaged_one_is_told() {
        let text = serde_json::to_string_pretty(&saved()).unwrap();
        assert_eq!(SavedPlan::read(&text), Ok(saved()));
        assert!(matches!(SavedPlan::read(&text[..text.len() / 2]), Err(Outdated::Unreadable(_))));
        assert!(matches!(SavedPlan::read("[]"), Err(Outdated::Unreadable(_))));
        assert!(matches!(SavedPlan::read("{}"), Err(Outdated::Unreadable(_))));
        assert_eq!(SavedPlan::read(r#"{"version": 7}"#), Err(Outdated::Version(7)));
        let stranger = text.replacen("\"environment\"", "\"enviroment\"", 1);
        assert!(matches!(SavedPlan::read(&stranger), Err(Outdated::Unreadable(_))));
    }

    #[test]
    fn an_object_that_came_went_or_changed_outdates_it() {
        let saved = saved();
        assert_eq!(saved.still_holds(&saved.states.clone()), Ok(()));
        for (name, state) in [
            ("ConfigMap shop/a", "u@2"),
            ("ConfigMap shop/a", "absent"),
            ("ConfigMap shop/b", "v@1"),
            ("Secret shop/new", "w@1"),
        ] {
            let mut states = saved.states.clone();
            states.insert(name.into(), state.into());
            assert_eq!(saved.still_holds(&states), Err(Outdated::Objects(vec![name.into()])));
        }
        assert_eq!(saved.is_for("u1"), Ok(()));
        assert!(saved.is_for("u2").is_err());
    }

    #[test]
    fn what_controllers_report_is_no_change_of_state() {
        let live = |ready: u32, replicas: u32, version: &str| {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"uid": "u", "resourceVersion": version},
                   "spec": {"replicas": replicas}, "status": {"readyReplicas": ready}})
        };
        assert_eq!(state(Some(&live(0, 1, "5"))), state(Some(&live(1, 1, "6"))));
        assert_ne!(state(Some(&live(0, 1, "5"))), state(Some(&live(0, 2, "5"))));
        let config = |version: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"uid": "u", "resourceVersion": version}});
        assert_ne!(state(Some(&config("5"))), state(Some(&config("6"))));
        assert_eq!(state(None), "absent");
    }
}
