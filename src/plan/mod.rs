//! The plan: every object with its place in the order, every gate. Pure data, made from a rendered kit.

pub mod conflict;
pub mod decide;
pub mod diff;
pub mod down;
pub mod estimate;
mod graph;
pub mod guard;
pub mod ignored;
pub mod immutable;
pub mod proposal;
pub mod propose;
pub mod prune;
pub mod removal;
pub mod rights;
pub mod standing;

use serde_json::{Value, json};

use crate::cluster::applyset;
use crate::cluster::inventory::{self, desired_hash};
use crate::cluster::observe::{ENVIRONMENT_LABEL, INSTANCE_LABEL, definition_of, definitions, selector};
use crate::cluster::system::record_name;
use crate::data::claims::Expected;
use crate::data::{DataSet, Decisions};
use crate::health::gate::Gate;
use crate::kit::{Environment, PhaseSettings, Rendered};
use crate::manifest::mistake::Mistakes;
use crate::manifest::references::is_builtin_group;
use crate::manifest::{Object, ObjectKey};

/// Annotation that allows deleting an object and making it again when a field cannot be changed in place.
pub const REPLACE_ANNOTATION: &str = "rekindle.dev/replace";

/// Annotation with an object's own limit from being sent to being ready.
pub const TIMEOUT_ANNOTATION: &str = "rekindle.dev/timeout";

/// What `up` executes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The environment, with the instance: `staging` or `staging/pr-123`.
    pub environment: String,
    /// Name of the stack.
    pub stack: String,
    /// Label selector of the environment's objects.
    pub selector: String,
    /// Phases in order.
    pub phases: Vec<PlannedPhase>,
    /// The claims that its objects make, and those that its StatefulSets make.
    pub claims: Vec<Expected>,
    /// Data sets, to know what identifies them.
    pub data_sets: Vec<DataSet>,
    /// What is done about data; empty until the cluster was looked at.
    pub data: Decisions,
    /// The CustomResourceDefinitions of the kit, to know what to expect of custom resources.
    definitions: Vec<Value>,
}

/// A phase: a barrier around objects that go in parallel as far as their needs let them.
#[derive(Clone, Debug)]
pub struct PlannedPhase {
    /// Its name.
    pub name: String,
    /// Its limits.
    pub settings: PhaseSettings,
    /// Bytes of the largest backup that is restored in it: its limits grow with that.
    pub restored_bytes: u64,
    /// Its objects.
    pub items: Vec<Item>,
    /// The gates that close it.
    pub gates: Vec<Gate>,
}

/// An object with what it needs first.
#[derive(Clone, Debug)]
pub struct Item {
    /// The object as it is sent, labels included.
    pub object: Object,
    /// Its identity.
    pub key: ObjectKey,
    /// Hash of what is sent.
    pub desired: String,
    /// Objects of the same phase that come first; those of earlier phases are there already.
    pub needs: Vec<Need>,
}

/// An object that must come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Need {
    /// Index among the phase's items.
    pub item: usize,
    /// Whether it must be ready; otherwise it is enough that it exists.
    pub ready: bool,
}

/// The labels of an environment's objects.
pub struct Labels(Vec<(&'static str, String)>);

impl Labels {
    /// Names the environment with its instance, and the ApplySet whose parent is its inventory.
    pub fn of(environment: &Environment) -> Self {
        let record = record_name(inventory::SORT, &full_name(&environment.name, environment.instance.as_deref()));
        // The order is part of what is hashed for the inventory.
        let mut labels = vec![
            ("app.kubernetes.io/managed-by", "rekindle".to_owned()),
            (ENVIRONMENT_LABEL, environment.name.clone()),
        ];
        labels.extend(environment.instance.clone().map(|instance| (INSTANCE_LABEL, instance)));
        labels.push((applyset::PART_OF_LABEL, applyset::id(&record)));
        Self(labels)
    }
}

/// An object as it is sent: labelled as its environment's, and without fields that a controller of Kubernetes owns in any case.
pub fn as_sent(object: &Object, own: &Labels) -> Object {
    let mut object = object.clone();
    let Some(metadata) = object.body_mut().get_mut("metadata").and_then(Value::as_object_mut) else { return object };
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    if !labels.is_object() {
        // `labels: null` is what an empty block in a template gives.
        *labels = json!({});
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.extend(own.0.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.clone()))));
    }
    // The rules of an aggregated role are its controller's, whatever somebody else says of them.
    let is_aggregated = |object: &Object| object.body().get("aggregationRule").is_some_and(|rule| !rule.is_null());
    if (object.group(), object.kind()) == ("rbac.authorization.k8s.io", "ClusterRole")
        && is_aggregated(&object)
        && let Some(body) = object.body_mut().as_object_mut()
    {
        body.shift_remove("rules");
    }
    object
}

/// An environment's name with its instance: `staging` or `staging/pr-123`.
pub fn full_name(environment: &str, instance: Option<&str>) -> String {
    instance.map_or_else(|| environment.to_owned(), |instance| format!("{environment}/{instance}"))
}

impl Plan {
    /// Every object, phase by phase.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.phases.iter().flat_map(|phase| &phase.items)
    }

    /// The objects whose kind is neither Kubernetes' own nor defined by the kit: the cluster, or an operator, brings it.
    pub fn of_foreign_kinds(&self) -> impl Iterator<Item = &Object> {
        let objects = self.items().map(|item| &item.object);
        objects.filter(|object| !is_builtin_group(object.group()) && self.definition_of(object).is_none())
    }

    /// The CustomResourceDefinition of the kit that makes an object's kind, if there is one.
    pub fn definition_of(&self, object: &Object) -> Option<&Value> {
        definition_of(&self.definitions, object)
    }

    /// Plans a rendered environment.
    ///
    /// # Errors
    /// When objects need each other in a circle, or something of an earlier phase needs something of a later one.
    pub fn of(rendered: &Rendered) -> Result<Self, Mistakes> {
        let environment = &rendered.environment;
        let instance = environment.instance.as_deref();
        let name = full_name(&environment.name, instance);
        let labels = Labels::of(environment);
        let needs = graph::needs(rendered)?;
        let definitions = definitions(rendered.phases.iter().flat_map(|phase| &phase.objects));
        let phases = rendered
            .phases
            .iter()
            .zip(needs)
            .map(|(phase, needs)| PlannedPhase {
                name: phase.name.clone(),
                settings: phase.settings.clone(),
                restored_bytes: 0,
                gates: phase.gates.clone(),
                items: phase
                    .objects
                    .iter()
                    .zip(needs)
                    .map(|(object, needs)| {
                        let object = as_sent(object, &labels);
                        let (key, desired) = (object.key(), desired_hash(object.body()));
                        Item { object, key, desired, needs }
                    })
                    .collect(),
            })
            .collect();
        Ok(Self {
            environment: name,
            stack: rendered.stack.clone(),
            selector: selector(&environment.name, instance),
            phases,
            claims: rendered.claims.clone(),
            data_sets: rendered.data_sets().cloned().collect(),
            data: Decisions::default(),
            definitions,
        })
    }
}
