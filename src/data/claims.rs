//! Which claims a kit makes, and which data set each of them belongs to. The claims of StatefulSets are computed: a template
//! and an ordinal give the name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::spec::{DataSet, Holder};
use crate::manifest::mistake::{Mistake, nearest};
use crate::manifest::{Object, Origin};

/// So many replicas of a StatefulSet are looked at; a number beyond this is a slip of the hand.
pub const MOST_REPLICAS: u64 = 1000;

/// A claim that the kit makes, or a StatefulSet of the kit.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The data set that it holds a part of; `None` when none covers it.
    pub data_set: Option<String>,
    /// The phase in which it is made.
    pub phase: String,
    /// Who makes it.
    pub maker: Maker,
    /// The claim as the kit wants it.
    pub body: Value,
    /// Where its maker is written.
    pub origin: Origin,
}

/// Who makes a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// It is an object of the kit.
    Kit,
    /// A StatefulSet makes it from a template.
    StatefulSet {
        /// The set's name.
        name: String,
        /// The template's name.
        template: String,
    },
}

impl Expected {
    /// `spec.volumeMode`.
    pub fn mode(&self) -> &str {
        self.body.pointer("/spec/volumeMode").and_then(Value::as_str).unwrap_or("Filesystem")
    }

    /// Whether `spec.accessModes` has one that lets a pod write.
    pub fn writes(&self) -> bool {
        let modes = self.body.pointer("/spec/accessModes").and_then(serde_json::Value::as_array);
        modes.into_iter().flatten().any(|mode| mode != "ReadOnlyMany")
    }

    /// `spec.storageClassName`, where it is stated.
    pub fn class(&self) -> Option<&str> {
        self.body.pointer("/spec/storageClassName").and_then(Value::as_str)
    }

    /// `namespace/name`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it holds a data set or a part of it.
    pub fn is_of(&self, set: &str) -> bool {
        self.data_set.as_deref() == Some(set)
    }
}

/// The phase at whose end all claims of a data set are there: that of the last one.
pub fn last_phase<'c>(claims: &'c [Expected], set: &str) -> Option<&'c str> {
    claims.iter().rfind(|claim| claim.is_of(set)).map(|claim| claim.phase.as_str())
}

/// All claims that the objects of phases make, in their order, each with its data set.
pub fn expected<'a>(phases: impl IntoIterator<Item = (&'a str, &'a [Object])>, sets: &[DataSet]) -> Vec<Expected> {
    let mut all = Vec::new();
    for (phase, objects) in phases {
        for object in objects {
            match (object.group(), object.kind()) {
                ("", "PersistentVolumeClaim") => all.push(of_object(phase, object)),
                ("apps", "StatefulSet") => all.extend(of_stateful_set(phase, object)),
                _ => {}
            }
        }
    }
    for claim in &mut all {
        claim.data_set = sets.iter().find(|set| covers(set, claim)).map(|set| set.name.clone());
    }
    all
}

fn covers(set: &DataSet, claim: &Expected) -> bool {
    set.namespace == claim.namespace && set.claims.iter().any(|holder| holds(holder, claim))
}

fn holds(holder: &Holder, claim: &Expected) -> bool {
    match (holder, &claim.maker) {
        (Holder::Claim(name), _) => *name == claim.name,
        (Holder::StatefulSet { name, template }, Maker::StatefulSet { name: set, template: of }) => {
            name == set && template.as_ref().is_none_or(|template| template == of)
        }
        (Holder::StatefulSet { .. }, Maker::Kit) => false,
    }
}

fn of_object(phase: &str, object: &Object) -> Expected {
    Expected {
        namespace: object.namespace().unwrap_or_default().to_owned(),
        name: object.name().to_owned(),
        data_set: None,
        phase: phase.to_owned(),
        maker: Maker::Kit,
        body: object.body().clone(),
        origin: object.origin.clone(),
    }
}

/// The claims as the StatefulSet controller makes them: `<template>-<set>-<ordinal>`, with the template's spec, its labels and
/// those of the set's selector. Source: `getPersistentVolumeClaims` of Kubernetes' pkg/controller/statefulset.
fn of_stateful_set(phase: &str, set: &Object) -> Vec<Expected> {
    let body = set.body();
    let number = |pointer: &str| body.pointer(pointer).and_then(Value::as_u64);
    let first = number("/spec/ordinals/start").unwrap_or(0);
    let replicas = number("/spec/replicas").unwrap_or(1);
    let namespace = set.namespace().unwrap_or_default();
    let templates = body.pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
    let mut claims = Vec::new();
    for ordinal in first..first.saturating_add(replicas.min(MOST_REPLICAS)) {
        for template in templates.into_iter().flatten() {
            let Some(of) = template.pointer("/metadata/name").and_then(Value::as_str) else { continue };
            let name = format!("{of}-{}-{ordinal}", set.name());
            let mut metadata = json!({"name": name, "namespace": namespace});
            let mut labels = serde_json::Map::new();
            for from in [template.pointer("/metadata/labels"), body.pointer("/spec/selector/matchLabels")] {
                labels.extend(from.and_then(Value::as_object).cloned().unwrap_or_default());
            }
            if !labels.is_empty() {
                metadata["labels"] = Value::Object(labels);
            }
            if let Some(annotations) = template.pointer("/metadata/annotations").filter(|it| it.is_object()) {
                metadata["annotations"] = annotations.clone();
            }
            let spec = template.get("spec").cloned().unwrap_or_else(|| json!({}));
            claims.push(Expected {
                namespace: namespace.to_owned(),
                name: name.clone(),
                data_set: None,
                phase: phase.to_owned(),
                maker: Maker::StatefulSet { name: set.name().to_owned(), template: of.to_owned() },
                body: json!({
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec,
                }),
                origin: set.origin.clone(),
            });
        }
    }
    claims
}

/// What is wrong with how data sets cover claims: mistakes, then warnings. A claim that no data set covers is a mistake in a
/// protected environment, where nothing may begin empty unseen, and a warning elsewhere.
pub fn check(
    claims: &[Expected],
    objects: &[&Object],
    sets: &[DataSet],
    protected: bool,
    mistake_at: &dyn Fn(&'static str, String, &Origin) -> Mistake,
) -> (Vec<Mistake>, Vec<Mistake>) {
    let (mut mistakes, mut warnings) = (Vec::new(), Vec::new());
    let mut names: BTreeMap<&str, &Origin> = BTreeMap::new();
    for set in sets {
        if let Some(first) = names.insert(&set.name, &set.origin) {
            let message = format!("the data set {} is already written at {first}", set.name);
            mistakes.push(mistake_at("duplicate", message, &set.origin));
        }
        for holder in &set.claims {
            unknown_holder(set, holder, claims, objects, mistake_at, &mut mistakes);
        }
    }
    let mut told = Vec::new();
    for claim in claims {
        let covering: Vec<&DataSet> = sets.iter().filter(|set| covers(set, claim)).collect();
        if let [first, second, ..] = covering[..]
            && first.name != second.name
        {
            let message = format!(
                "PersistentVolumeClaim/{} is in two data sets: {} ({}) and {}",
                claim.name, first.name, first.origin, second.name
            );
            mistakes.push(mistake_at("duplicate", message, &second.origin));
        }
        if !covering.is_empty() {
            continue;
        }
        let (what, hint) = match &claim.maker {
            Maker::Kit => {
                (format!("PersistentVolumeClaim/{} is in no data set", claim.name), format!("claims: [{}]", claim.name))
            }
            Maker::StatefulSet { name, template } => (
                format!("the claims of StatefulSet/{name} (template {template}) are in no data set"),
                format!("claims: [{{statefulset: {name}}}]"),
            ),
        };
        if told.contains(&what) {
            continue;
        }
        let message = format!("{what}: what is lost there begins empty");
        let hint = Some(format!("write a DataSet with {hint}"));
        let found = Mistake { hint, ..mistake_at("no-data-set", message, &claim.origin) };
        if protected {
            mistakes.push(found)
        } else {
            warnings.push(found)
        }
        told.push(what);
    }
    (mistakes, warnings)
}

/// A data set that names a claim which nobody makes guards nothing.
fn unknown_holder(
    set: &DataSet,
    holder: &Holder,
    claims: &[Expected],
    objects: &[&Object],
    mistake_at: &dyn Fn(&'static str, String, &Origin) -> Mistake,
    mistakes: &mut Vec<Mistake>,
) {
    let here = || claims.iter().filter(|claim| claim.namespace == set.namespace);
    if here().any(|claim| holds(holder, claim)) {
        return;
    }
    let known: Vec<&str> = match holder {
        Holder::Claim(_) => here().map(|claim| claim.name.as_str()).collect(),
        Holder::StatefulSet { name, template } => {
            let same = |object: &&&Object| {
                object.kind() == "StatefulSet" && object.namespace() == Some(set.namespace.as_str())
            };
            let templates = |object: &Object| {
                let templates = object.body().pointer("/spec/volumeClaimTemplates").and_then(Value::as_array);
                let names = templates.into_iter().flatten().filter_map(|it| it.pointer("/metadata/name"));
                names.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
            };
            // One with no replicas makes no claims now, and is known all the same.
            let found = objects.iter().filter(same).find(|object| object.name() == name);
            if found.is_some_and(|set| {
                let templates = templates(set);
                template.as_ref().map_or(!templates.is_empty(), |template| templates.contains(template))
            }) {
                return;
            }
            objects.iter().filter(same).map(|object| object.name()).collect()
        }
    };
    let typed = match holder {
        Holder::Claim(name) | Holder::StatefulSet { name, .. } => name,
    };
    let hint =
        nearest(typed, known.into_iter().filter(|known| known != typed)).map(|near| format!("did you mean {near}?"));
    let message = format!("data set {}: no template makes {holder} in namespace {}", set.name, set.namespace);
    mistakes.push(Mistake { hint, ..mistake_at("unknown-claim", message, &set.origin) });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn object(body: Value) -> Object {
        Object::new(body, Origin::default()).unwrap()
    }

    fn stateful_set(replicas: u64) -> Object {
        object(json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {
                "replicas": replicas, "selector": {"matchLabels": {"app": "db"}},
                "volumeClaimTemplates": [{
                    "metadata": {"name": "data", "labels": {"x": "y"}},
                    "spec": {"resources": {"requests": {"storage": "1Gi"}}},
                }],
            },
        }))
    }

    fn claim(name: &str) -> Object {
        object(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "shop"}, "spec": {},
        }))
    }

    fn set(name: &str, claims: Value) -> DataSet {
        let body = json!({
            "apiVersion": "rekindle.dev/v1", "kind": "DataSet", "metadata": {"name": name}, "spec": {"claims": claims},
        });
        DataSet::parse(&body, &Origin { file: format!("{name}.yaml"), line: 1 }, "shop").unwrap()
    }

    fn told(objects: &[Object], sets: &[DataSet], protected: bool) -> (Vec<String>, Vec<String>) {
        let claims = expected([("database", objects)], sets);
        let at = |code, message, origin: &Origin| Mistake {
            code,
            message,
            file: origin.file.clone(),
            span: None,
            hint: None,
        };
        let (mistakes, warnings) = check(&claims, &objects.iter().collect::<Vec<_>>(), sets, protected, &at);
        let text = |all: Vec<Mistake>| all.into_iter().map(|it| it.message).collect();
        (text(mistakes), text(warnings))
    }

    #[test]
    fn a_stateful_set_makes_a_claim_for_each_replica_and_template() {
        let sets = [set("db", json!([{"statefulset": "db"}]))];
        let objects = [stateful_set(2), claim("files")];
        let claims = expected([("database", &objects[..])], &sets);
        let shown: Vec<_> = claims.iter().map(|it| (it.place(), it.data_set.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("shop/data-db-0".to_owned(), Some("db")),
                ("shop/data-db-1".to_owned(), Some("db")),
                ("shop/files".to_owned(), None)
            ]
        );
        assert_eq!(claims[0].body["metadata"]["labels"], json!({"x": "y", "app": "db"}));
    }

    #[test]
    fn what_no_data_set_covers_is_a_mistake_where_data_is_protected() {
        let objects = [stateful_set(3), claim("files")];
        let expected = [
            "the claims of StatefulSet/db (template data) are in no data set: what is lost there begins empty",
            "PersistentVolumeClaim/files is in no data set: what is lost there begins empty",
        ];
        assert_eq!(told(&objects, &[], true), (expected.map(str::to_owned).to_vec(), Vec::new()));
        assert_eq!(told(&objects, &[], false), (Vec::new(), expected.map(str::to_owned).to_vec()));
        let sets = [set("db", json!(["data-db-0", "data-db-1", "data-db-2"])), set("files", json!(["files"]))];
        assert_eq!(told(&objects, &sets, true), (Vec::new(), Vec::new()));
    }

    #[test]
    fn a_data_set_that_guards_nothing_or_what_another_guards_is_a_mistake() {
        let objects = [stateful_set(1), claim("files")];
        let wrong = |sets: &[DataSet]| told(&objects, sets, false).0;
        assert_eq!(
            wrong(&[set("a", json!(["data-db-7"]))]),
            ["data set a: no template makes PersistentVolumeClaim/data-db-7 in namespace shop"]
        );
        assert_eq!(
            wrong(&[set("a", json!([{"statefulset": "db", "template": "logs"}]))]),
            ["data set a: no template makes the claim template logs of StatefulSet/db in namespace shop"]
        );
        assert_eq!(
            wrong(&[set("a", json!(["files"])), set("b", json!(["files"]))]),
            ["PersistentVolumeClaim/files is in two data sets: a (a.yaml:1) and b"]
        );
        assert_eq!(
            wrong(&[set("a", json!(["files"])), set("a", json!([{"statefulset": "db"}]))]),
            ["the data set a is already written at a.yaml:1"]
        );
        assert_eq!(
            told(&[stateful_set(0)], &[set("a", json!([{"statefulset": "db"}]))], true),
            (Vec::new(), Vec::new())
        );
    }
}
