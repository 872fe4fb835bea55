//! From decisions and dry runs to the plan that is shown: pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::decide::{Decision, Wishes, decide};
use super::diff::{Change, changes};
use super::estimate::{Measured, estimate};
use super::immutable;
use super::proposal::{Intent, Proposal, ProposedData, ProposedObject, name_of, phases, state};
use super::prune::Prune;
use super::standing::Standing;
use super::{Item, Plan};
use crate::cluster::apply::ApplyError;
use crate::cluster::inventory::owned_fields_hash;
use crate::cluster::preview::Preview;
use crate::data::Choice;
use crate::manifest::kinds::holds_data;
use crate::manifest::{ObjectKey, Origin};
use crate::rebuild::event::ObjectName;

/// What is known of the cluster beside the objects of the plan.
pub struct Surroundings<'a> {
    /// Whose the objects are that stand there.
    pub standing: &'a Standing,
    /// What the API server says to each item, phase by phase.
    pub previews: Vec<Vec<Preview>>,
    /// What becomes of what has left the kit.
    pub prune: &'a Prune,
    /// The claims in the namespaces of the plan.
    pub claims: &'a [Value],
    /// What steps took in earlier runs.
    pub measured: &'a Measured,
}

/// The plan beside what is there.
pub fn propose(plan: &Plan, wishes: &Wishes, around: Surroundings<'_>) -> Proposal {
    let mut previews = around.previews.into_iter().flatten();
    let (mut written, mut untried) = (BTreeMap::new(), BTreeMap::<String, usize>::new());
    let phases = phases(plan, |item| {
        let decision = decide(item, around.standing, wishes);
        let preview = previews.next().unwrap_or(Preview::NotTried(String::new()));
        if let Preview::NotTried(why) = &preview
            && !why.is_empty()
        {
            *untried.entry(why.clone()).or_default() += 1;
        }
        let judged = going(item, around.standing, decision.intent).unwrap_or_else(|| judge(item, decision, preview));
        written.insert(item.key.clone(), judged.0.writes());
        judged
    });
    let left = left(around.prune);
    let data = data(plan, around.claims, &left);
    let estimate = estimate(plan, |item| written.get(&item.key).copied().unwrap_or(true), around.measured);
    Proposal { phases, left, data, estimate, untried }
}

/// What is there and is being deleted, by itself or with its namespace, is made again once it is gone.
fn going(item: &Item, standing: &Standing, intent: Intent) -> Option<(Intent, String, Vec<Change>)> {
    if !matches!(intent, Intent::Change | Intent::Unchanged) {
        return None;
    }
    let is_going = |key: &ObjectKey| {
        let live = standing.ours.get(key).or_else(|| standing.foreign.get(key)).or_else(|| standing.taken.get(key));
        live.is_some_and(|live| live.pointer("/metadata/deletionTimestamp").is_some())
    };
    let namespace = item.key.namespace.as_ref().map(ObjectKey::of_namespace);
    let reason = match namespace {
        _ if is_going(&item.key) => "it is being deleted, and is made again",
        Some(namespace) if is_going(&namespace) => "its namespace is being deleted; it is made again with it",
        _ => return None,
    };
    Some((Intent::Change, reason.to_owned(), Vec::new()))
}

/// What would be done with an item, given what was decided and what the API server says.
fn judge(item: &Item, decision: Decision, preview: Preview) -> (Intent, String, Vec<Change>) {
    let Decision { intent, reason } = decision;
    if matches!(intent, Intent::Refuse | Intent::Unchanged) {
        return (intent, reason, Vec::new());
    }
    match preview {
        Preview::NotTried(_) | Preview::Tried { before: None, .. } => (intent, reason, Vec::new()),
        Preview::Tried { before: Some(before), after } => {
            let found = changes(&before, &after);
            let same = found.is_empty() && owned_fields_hash(&before) == owned_fields_hash(&after);
            match intent {
                Intent::Change if same => (Intent::Unchanged, String::new(), found),
                Intent::Change if found.is_empty() => {
                    (intent, join(&reason, "only who manages its fields changes"), found)
                }
                _ => (intent, reason, found),
            }
        }
        Preview::Refused { before, error } => {
            let found = before.as_ref().map(|before| changes(before, item.object.body())).unwrap_or_default();
            match (error, &before) {
                (ApplyError::Immutable(message), Some(before)) => {
                    let Decision { intent, reason } = immutable::decision(&item.object, before, &message);
                    // The API server has not filled in what the kit leaves open.
                    (intent, reason, found.into_iter().filter(|change| change.after.is_some()).collect())
                }
                (ApplyError::Conflict(conflicts), before) => {
                    let conflicts = conflicts.into_iter().map(|it| it.with_values(&item.object, before.as_ref()));
                    let error = ApplyError::Conflict(conflicts.collect());
                    (Intent::Refuse, format!("{error}; take over what others hold with --take-ownership"), Vec::new())
                }
                (error, _) => (Intent::Refuse, error.to_string(), Vec::new()),
            }
        }
    }
}

fn join(one: &str, other: &str) -> String {
    match (one, other) {
        ("", text) | (text, "") => text.to_owned(),
        (one, other) => format!("{one}; {other}"),
    }
}

fn left(prune: &Prune) -> Vec<ProposedObject> {
    let proposed = |key: &ObjectKey, intent: Intent, reason: String| ProposedObject {
        object: name(key),
        origin: Origin::default(),
        intent,
        reason,
        changes: Vec::new(),
        after: Vec::new(),
    };
    let pruned =
        prune.batches.iter().flat_map(|batch| &batch.keys).map(|key| proposed(key, Intent::Prune, String::new()));
    let kept = prune.kept.iter().map(|kept| proposed(&kept.key, Intent::Keep, kept.reason.to_string()));
    pruned.chain(kept).collect()
}

/// The name of an object of which only the key is known.
fn name(key: &ObjectKey) -> ObjectName {
    ObjectName {
        api_version: key.group.clone(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    }
}

/// What becomes of everything that holds data: claims of the kit, those that its StatefulSets make, and what has left the kit.
fn data(plan: &Plan, claims: &[Value], left: &[ProposedObject]) -> Vec<ProposedData> {
    let items = || plan.phases.iter().flat_map(|phase| &phase.items);
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let find = |namespace: Option<&str>, name: &str| {
        claims.iter().find(|claim| {
            text(claim, "/metadata/name") == name && Some(text(claim, "/metadata/namespace").as_str()) == namespace
        })
    };
    let adopted = |live: &Value| {
        let place = (text(live, "/metadata/namespace"), text(live, "/metadata/name"));
        let decision = plan.data.of_claim(&place.0, &place.1).map(|(_, decision)| &decision.choice);
        if let Some(Choice::Adopt { volume }) = decision { Some(volume.clone()) } else { None }
    };
    let fate = |live: Option<&Value>, wanted: &Value, maker: &str| match live {
        Some(live) if let Some(volume) = adopted(live) => format!("is made again, bound to pv/{volume}"),
        Some(live) => {
            let (volume, size) = (text(live, "/spec/volumeName"), text(live, "/status/capacity/storage"));
            match volume.as_str() {
                "" => "stays; not bound to a volume yet".to_owned(),
                volume => format!("stays, bound to pv/{volume}, {size}"),
            }
        }
        None => match text(wanted, "/spec/volumeName").as_str() {
            "" => format!("{maker}, empty, {}", text(wanted, "/spec/resources/requests/storage")),
            volume => format!("{maker}, bound to pv/{volume}"),
        },
    };
    let claim = |namespace: Option<&str>, name: String| ObjectName {
        api_version: "v1".into(),
        kind: "PersistentVolumeClaim".into(),
        namespace: namespace.map(str::to_owned),
        name,
    };
    let mut data = Vec::new();
    for item in items() {
        let (object, namespace) = (&item.object, item.object.namespace());
        if object.group().is_empty() && object.kind() == "PersistentVolumeClaim" {
            let live = find(namespace, object.name());
            data.push(ProposedData { object: ObjectName::of(object), fate: fate(live, object.body(), "is made") });
        }
        let made = |name: &str| {
            items().any(|it| {
                it.key.kind == "PersistentVolumeClaim" && it.key.name == name && it.object.namespace() == namespace
            })
        };
        for (name, template) in stateful_claims(object.body()).into_iter().filter(|(name, _)| !made(name)) {
            let live = find(namespace, &name);
            let maker = format!("is made by {}", item.key);
            data.push(ProposedData { object: claim(namespace, name), fate: fate(live, template, &maker) });
        }
    }
    let kept = left.iter().filter(|it| it.intent == Intent::Keep);
    let kept = kept.filter(|it| holds_data(&it.object.api_version, &it.object.kind));
    data.extend(kept.map(|it| ProposedData { object: it.object.clone(), fate: format!("stays: {}", it.reason) }));
    data
}

/// The names of the claims that a StatefulSet makes (`<template>-<set>-<ordinal>`), with their templates. Ordinals begin at
/// `spec.ordinals.start`.
fn stateful_claims(set: &Value) -> Vec<(String, &Value)> {
    let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_u64);
    let (first, replicas) = (number("/spec/ordinals/start").unwrap_or(0), number("/spec/replicas").unwrap_or(1));
    let name = set.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let templates = set.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let made = templates.into_iter().flatten().flat_map(move |template| {
        let of = template.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        (first..first.saturating_add(replicas)).map(move |ordinal| (format!("{of}-{name}-{ordinal}"), template))
    });
    if set.get("kind").and_then(Value::as_str) == Some("StatefulSet") { made.collect() } else { Vec::new() }
}

/// What every object that a plan touches is now, for [`super::proposal::SavedPlan`].
pub fn states(plan: &Plan, standing: &Standing, prune: &Prune) -> BTreeMap<String, String> {
    let items = plan.phases.iter().flat_map(|phase| &phase.items).map(|item| &item.key);
    let left = prune.batches.iter().flat_map(|batch| &batch.keys);
    let live =
        |key: &ObjectKey| [&standing.ours, &standing.taken, &standing.foreign].into_iter().find_map(|map| map.get(key));
    items.chain(left).map(|key| (name_of(key), state(live(key)))).collect()
}
