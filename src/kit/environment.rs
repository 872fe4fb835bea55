//! Environments: follows `extends`, merges, applies what the command line changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::layer::{self, Layer, check_label};
use super::merge::Tree;
use super::{ClusterHint, Environment, Kit, Overrides, PhaseSettings, SkippedGate, did_you_mean, mistake};
use crate::manifest::Origin;
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::manifest::yaml::{Key, Node, NodeKind};

impl Kit {
    /// The names of all environments, sorted: the stems of `environments/*.yaml`.
    pub fn environment_names(&self) -> Vec<&str> {
        let names = self.files.keys().filter_map(|path| path.strip_prefix("environments/")?.strip_suffix(".yaml"));
        names.filter(|name| !name.contains('/') && !name.is_empty()).collect()
    }

    /// The environment that an environment's file extends, if its file can be read that far.
    pub fn extends(&self, name: &str) -> Option<String> {
        let file = file_of(name);
        let text = self.text(&file)?.ok()?;
        Some(layer::read(&file, text, &mut Vec::new())?.extends?.0)
    }

    /// Whether an environment's files, or those that they extend, have a key at their top, as far as they can be read.
    pub fn states(&self, name: &str, key: &str) -> bool {
        let layers = self.chain(name, &mut Vec::new()).unwrap_or_default();
        layers.iter().any(|layer| layer.entries.iter().any(|(stated, _)| stated.text == key))
    }

    /// Resolves an environment.
    ///
    /// # Errors
    /// Every mistake in its files and in the overrides.
    pub fn environment(&self, name: &str, overrides: &Overrides) -> Result<Environment, Mistakes> {
        let mut mistakes = Vec::new();
        let layers = self.chain(name, &mut mistakes)?;
        let mut tree = Tree::default();
        let mut others_pin = BTreeMap::new();
        for (distance, layer) in layers.iter().enumerate().rev() {
            let place = |node: &Node| Origin { file: layer.file.clone(), line: node.place.line };
            for (key, node) in &layer.entries {
                if distance > 0 && key.text == "cluster" {
                    let (rest, pin) = without_pin(node);
                    tree.apply(&[&key.text], &rest, &place);
                    others_pin.extend(pin.iter().filter_map(|(key, node)| {
                        Some((format!("cluster.{}", key.text), (node.as_text()?.to_owned(), place(node))))
                    }));
                } else {
                    tree.apply(&[&key.text], node, &place);
                }
            }
        }
        for layer in layers.iter().rev().filter(|_| overrides.rehearsal) {
            let place = |node: &Node| Origin { file: layer.file.clone(), line: node.place.line };
            let rehearsal = layer.entries.iter().filter(|(key, _)| key.text == "rehearsal");
            for (_, node) in rehearsal.flat_map(|(_, node)| node.as_map().unwrap_or_default()) {
                tree.apply(&["values"], node, &place);
            }
        }
        self.check_phases(&tree, &mut mistakes);
        super::overrides::apply(&mut tree, overrides, &mut mistakes);
        let environment = self.build(name, &layers, &tree, overrides, &mut mistakes);
        match environment {
            Some(environment) if mistakes.is_empty() => Ok(Environment { others_pin, ..environment }),
            _ => Err(Mistakes(mistakes)),
        }
    }

    /// The environment's file and those it extends, nearest first.
    fn chain(&self, name: &str, mistakes: &mut Vec<Mistake>) -> Result<Vec<Layer>, Mistakes> {
        let file = file_of(name);
        if !self.environment_names().contains(&name) {
            let hint = did_you_mean(name, self.environment_names());
            return Err(Mistake {
                hint,
                ..mistake("unknown-environment", format!("no environment is named {name}"), "", None)
            }
            .into());
        }
        // The name becomes a label and part of the name of a Secret; a dot there stands before an instance.
        if let Err(message) = check_label(name) {
            let hint = Some("rename the file".into());
            mistakes
                .push(Mistake { hint, ..mistake("name", format!("the environment {name} {message}"), &file, None) });
        }
        let mut layers: Vec<Layer> = Vec::new();
        let mut next = Some(file);
        while let Some(file) = next.take() {
            let text = match self.text(&file) {
                Some(Ok(text)) => text,
                Some(Err(wrong)) => {
                    mistakes.extend(wrong.0);
                    break;
                }
                None => break,
            };
            let Some(layer) = layer::read(&file, text, mistakes) else { break };
            if let Some((parent, node)) = &layer.extends {
                let parent_file = file_of(parent);
                let span = node.place.span(text);
                let known = self.environment_names();
                if parent_file == file || layers.iter().any(|layer| layer.file == parent_file) {
                    let mut round: Vec<&str> =
                        layers.iter().chain([&layer]).map(|layer| stem_of(&layer.file)).collect();
                    round.push(parent);
                    let message = format!("extends goes in a circle: {}", round.join(" → "));
                    mistakes.push(mistake("cycle", message, &file, span));
                } else if known.contains(&parent.as_str()) {
                    next = Some(parent_file);
                } else {
                    let message = format!("extends {parent}, and there is no {parent_file}");
                    let hint = did_you_mean(parent, known.into_iter().filter(|known| *known != stem_of(&file)));
                    mistakes.push(Mistake { hint, ..mistake("unknown-environment", message, &file, span) });
                }
            }
            layers.push(layer);
        }
        if layers.is_empty() { Err(Mistakes(std::mem::take(mistakes))) } else { Ok(layers) }
    }

    fn check_phases(&self, tree: &Tree, mistakes: &mut Vec<Mistake>) {
        // A stack file with mistakes is told by whoever renders; here it only means that names cannot be checked.
        let Ok(stack) = self.stack() else { return };
        for (name, settings) in tree.get(&["phases"]).map_or(&[][..], |phases| phases.entries()) {
            if stack.phases.iter().all(|phase| phase.name != *name) {
                let hint = did_you_mean(name, stack.phases.iter().map(|phase| phase.name.as_str()));
                let message = format!("the stack has no phase {name}");
                mistakes.push(Mistake { hint, ..self.mistake_at("unknown-phase", message, &settings.origin) });
            }
        }
    }

    fn build(
        &self,
        name: &str,
        layers: &[Layer],
        tree: &Tree,
        overrides: &Overrides,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<Environment> {
        let text = |path: &[&str]| tree.get(path).and_then(|merged| merged.to_value().as_str().map(str::to_owned));
        let value = |path: &[&str]| tree.get(path).map(super::merge::Merged::to_value);
        let namespace = namespace(text(&["namespace"]), layers, tree, overrides, mistakes);
        let entries = |path: &[&str]| tree.get(path).map_or_else(Vec::new, |merged| merged.entries().to_vec());
        let images = entries(&["images"])
            .into_iter()
            .filter_map(|(name, merged)| Some((name, merged.to_value().as_str()?.to_owned())))
            .collect();
        let phases = entries(&["phases"])
            .into_iter()
            .map(|(name, merged)| {
                let values: Vec<(String, Value)> =
                    merged.entries().iter().map(|(key, merged)| (key.clone(), merged.to_value())).collect();
                let settings = PhaseSettings::read(values.iter().map(|(key, value)| (key.as_str(), value.as_str())));
                (name, settings)
            })
            .collect();
        let skipped_gates = entries(&["gates", "skip"])
            .into_iter()
            .filter_map(|(pattern, merged)| {
                let reason = merged.to_value().as_str()?.to_owned();
                Some(SkippedGate { pattern, reason, origin: merged.origin })
            })
            .collect();
        let data_allow = value(&["data", "allow"]).and_then(|list| {
            let list = list.as_array()?.iter();
            Some(list.filter_map(|item| item.as_str().map(str::to_owned)).collect())
        });
        let (mut provenance, mut overridden) = (BTreeMap::new(), BTreeMap::new());
        tree.walk(&mut |path, merged| {
            provenance.insert(path.to_owned(), merged.origin.clone());
            if !merged.overridden().is_empty() {
                overridden.insert(path.to_owned(), merged.overridden().to_vec());
            }
        });
        let mut settings = tree.to_value();
        settings["namespace"] = Value::String(namespace.clone()?);
        Some(Environment {
            settings,
            name: name.to_owned(),
            files: layers.iter().map(|layer| layer.file.clone()).collect(),
            protected: value(&["protected"]) == Some(Value::Bool(true)),
            instance: overrides.instance.clone(),
            namespace: namespace?,
            cluster: ClusterHint {
                context: text(&["cluster", "context"]),
                uid: text(&["cluster", "uid"]),
                ca: text(&["cluster", "ca"]),
            },
            stack: self.stack().map(|stack| stack.name).unwrap_or_default(),
            data_allow,
            data: BTreeMap::new(),
            lineages: BTreeMap::new(),
            cluster_kinds: BTreeSet::new(),
            images,
            values: value(&["values"]).unwrap_or_else(|| Value::Object(serde_json::Map::new())),
            phases,
            skipped_gates,
            provenance,
            overridden,
            removed: tree.removed.clone(),
            others_pin: BTreeMap::new(),
        })
    }
}

/// What a file says of its cluster, without the pin and the pin by itself. A pin binds the environment that it is written
/// for, and no other that extends it: a stand-by is not bound to production's cluster because production is.
fn without_pin(cluster: &Node) -> (Node, Vec<(Key, Node)>) {
    let entries = cluster.as_map().unwrap_or_default().iter().cloned();
    let (pin, rest): (Vec<_>, Vec<_>) = entries.partition(|(key, _)| matches!(key.text.as_str(), "uid" | "ca"));
    let rest = if pin.is_empty() { cluster.clone() } else { Node { kind: NodeKind::Map(rest), ..cluster.clone() } };
    (rest, pin)
}

fn namespace(
    stated: Option<String>,
    layers: &[Layer],
    tree: &Tree,
    overrides: &Overrides,
    mistakes: &mut Vec<Mistake>,
) -> Option<String> {
    let nearest = layers.first().map_or("", |layer| layer.file.as_str());
    let Some(base) = stated else {
        // With another mistake it may be stated where it could not be read.
        if mistakes.is_empty() {
            let hint = Some("say in which namespace it lives: namespace: NAME".into());
            mistakes.push(Mistake { hint, ..mistake("missing", "the environment has no namespace", nearest, None) });
        }
        return None;
    };
    let Some(instance) = &overrides.instance else { return Some(base) };
    if let Err(message) = check_label(instance) {
        mistakes.push(mistake("name", format!("--instance {instance} {message}"), "", None));
        return None;
    }
    let namespace = format!("{base}-{instance}");
    if let Err(message) = check_label(&namespace) {
        let origin = tree.get(&["namespace"]).map(|merged| merged.origin.to_string()).unwrap_or_default();
        let hint = Some(format!("choose a shorter instance; the namespace {base} is from {origin}"));
        mistakes.push(Mistake { hint, ..mistake("name", format!("the namespace {namespace} {message}"), "", None) });
        return None;
    }
    Some(namespace)
}

fn file_of(name: &str) -> String {
    format!("environments/{name}.yaml")
}

fn stem_of(file: &str) -> &str {
    file.strip_prefix("environments/").and_then(|file| file.strip_suffix(".yaml")).unwrap_or(file)
}
