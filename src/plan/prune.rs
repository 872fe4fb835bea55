//! Pruning: what left the kit is deleted once everything that is in it is healthy.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Plan;
use super::removal::{Batch, Fate, Reason, batches, fate};
use crate::cluster::inventory::{Entry, Inventory};
use crate::manifest::ObjectKey;

/// An object that may have left the kit.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Which.
    pub key: ObjectKey,
    /// Its record, if there is one.
    pub entry: Option<Entry>,
    /// Its metadata, if it is there; of a kind that is not served, nothing is known.
    pub live: Option<Value>,
    /// Whether the cluster serves its kind.
    pub served: bool,
    /// A claim that would be deleted with it.
    pub owns: Option<String>,
    /// Why it could not be looked at.
    pub hidden: Option<String>,
}

/// An object that left the kit and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its phase.
    pub phase: String,
    /// Which.
    pub key: ObjectKey,
    /// Why.
    pub reason: Reason,
}

/// What is done about everything that left the kit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prune {
    /// What is deleted, batch after batch.
    pub batches: Vec<Batch>,
    /// What stays.
    pub kept: Vec<Kept>,
    /// What is not there, or not ours any more: its record is dropped.
    pub forgotten: Vec<ObjectKey>,
}

/// What is recorded, or known to be labelled as ours, and is not in the kit. A kind either has namespaces or has none, so what
/// differs from an object of the kit only by having one is that object, recorded when this was not known.
pub fn left<'a>(
    plan: &Plan,
    inventory: &'a Inventory,
    labelled: impl IntoIterator<Item = &'a ObjectKey>,
) -> BTreeSet<ObjectKey> {
    let wanted: BTreeSet<&ObjectKey> = plan.items().map(|item| &item.key).collect();
    let without_namespace = |key: &ObjectKey| ObjectKey { namespace: None, ..key.clone() };
    let somewhere: BTreeSet<ObjectKey> =
        wanted.iter().filter(|key| key.namespace.is_some()).map(|key| without_namespace(key)).collect();
    let is_wanted = |key: &ObjectKey| match key.namespace {
        Some(_) => wanted.contains(key) || wanted.contains(&without_namespace(key)),
        None => wanted.contains(key) || somewhere.contains(key),
    };
    inventory.entries.keys().chain(labelled).filter(|key| !is_wanted(key)).cloned().collect()
}

/// Decides on every candidate. An object without a record goes with the last phase, which is the first to go.
pub fn prune(candidates: &[Candidate], phases: &[String], selector: &str) -> Prune {
    let mut prune = Prune::default();
    let mut goes = Vec::new();
    for Candidate { key, entry, live, served, owns, hidden } in candidates {
        let phase = match entry {
            Some(entry) => entry.phase.clone(),
            None => phases.last().cloned().unwrap_or_default(),
        };
        let found = match hidden {
            Some(reason) => Fate::Stays(Reason::Hidden(reason.clone())),
            None if !served => Fate::Stays(Reason::NotServed),
            None => match (fate(key, entry.as_ref(), live.as_ref(), selector), owns) {
                (Fate::Goes, Some(claim)) => Fate::Stays(Reason::Owns(claim.clone())),
                (fate, _) => fate,
            },
        };
        match found {
            Fate::Goes => goes.push((phase, key.clone())),
            Fate::Gone => prune.forgotten.push(key.clone()),
            // What never was ours is nobody's news.
            Fate::Stays(_) if entry.is_none() && !found_ours(&found) => {}
            Fate::Stays(reason) => {
                if !reason.is_ours() {
                    prune.forgotten.push(key.clone());
                }
                prune.kept.push(Kept { phase, key: key.clone(), reason });
            }
        }
    }
    prune.batches = batches(phases, goes);
    prune
}

fn found_ours(fate: &Fate) -> bool {
    matches!(fate, Fate::Stays(Reason::Data | Reason::Keep | Reason::Owns(_)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::cluster::observe::selector;

    fn candidate(kind: &str, name: &str, recorded: bool, live: Option<Value>) -> Candidate {
        let text = |text: &str| text.to_owned();
        let entry = Entry {
            uid: text("u"),
            desired: text("d"),
            fields: text("f"),
            phase: text("one"),
            keep: false,
            left: false,
            finished_in: None,
        };
        let key = ObjectKey { group: text(""), kind: text(kind), namespace: Some(text("a")), name: text(name) };
        Candidate { key, entry: recorded.then_some(entry), live, served: true, owns: None, hidden: None }
    }

    #[test]
    fn what_differs_only_by_having_a_namespace_has_not_left() {
        let issuer = "apiVersion: example.org/v1\nkind: Issuer\nmetadata: {name: a}\n---\n\
                      apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";
        let stack = ("templates/stack.yaml", "name: test\nphases: [{name: storage}]\n");
        let files = [stack, ("templates/storage/a.yaml", issuer)];
        let plan = Plan::of(&crate::kit::sample::rendered(&files)).unwrap();
        let key = |group: &str, kind: &str, namespace: Option<&str>, name: &str| ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: name.into(),
        };
        let found = [
            key("example.org", "Issuer", None, "a"),
            key("example.org", "Issuer", Some("space"), "a"),
            key("", "Namespace", Some("space"), "b"),
            key("example.org", "Issuer", Some("other"), "a"),
            key("example.org", "Issuer", None, "c"),
            key("example.net", "Issuer", None, "a"),
        ];
        let left = left(&plan, &Inventory::default(), &found);
        assert_eq!(left, found[3..].iter().cloned().collect());
    }

    #[test]
    fn each_candidate_is_deleted_kept_or_forgotten() {
        let labels = json!({"rekindle.dev/environment": "local"});
        let ours = || Some(json!({"metadata": {"uid": "u", "labels": labels}}));
        let applied = json!([{"manager": "rekindle", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {}}]);
        let ours_applied = || Some(json!({"metadata": {"uid": "w", "labels": labels, "managedFields": applied}}));
        let copied = Some(json!({"metadata": {"uid": "v", "labels": labels}}));
        let foreign = Some(json!({"metadata": {"uid": "v"}}));
        let unserved = Candidate { served: false, ..candidate("Widget", "e", true, None) };
        let hidden = Candidate { hidden: Some("no".into()), ..candidate("Secret", "g", true, None) };
        let candidates = [
            candidate("ConfigMap", "a", true, ours()),
            candidate("PersistentVolumeClaim", "b", true, ours()),
            Candidate { owns: Some("data".into()), ..candidate("Database", "bb", false, ours_applied()) },
            candidate("ConfigMap", "c", true, None),
            candidate("ConfigMap", "d", true, foreign),
            candidate("EndpointSlice", "f", false, copied),
            unserved,
            hidden,
        ];
        let found = prune(&candidates, &["one".to_owned()], &selector("local", None));
        let names = |keys: &[ObjectKey]| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found.batches.iter().map(|batch| names(&batch.keys)).collect::<Vec<_>>(), [["ConfigMap/a"]]);
        let kept: Vec<_> = found.kept.iter().map(|kept| (kept.key.name.as_str(), kept.reason.clone())).collect();
        assert_eq!(
            kept,
            [
                ("b", Reason::Data),
                ("bb", Reason::Owns("data".into())),
                ("d", Reason::Remade),
                ("e", Reason::NotServed),
                ("g", Reason::Hidden("no".into()))
            ]
        );
        assert_eq!(names(&found.forgotten), ["ConfigMap/c", "ConfigMap/d"]);
    }
}
