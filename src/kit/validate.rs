//! Checks that need all objects of a kit at once: duplicates, references, the order of phases.

use std::collections::BTreeMap;

use super::{Environment, Kit, RenderedPhase};
use crate::health::gate::Gate;
use crate::manifest::catalogue::Catalogue;
use crate::manifest::mistake::{Mistake, nearest};
use crate::manifest::references::{Reference, Target, references};
use crate::manifest::{Object, ObjectKey};

/// Kinds of which a kit is expected to make what it uses.
const MADE_BY_KITS: [&str; 7] =
    ["ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim", "Role", "Service", "Namespace"];

/// Checks all objects together; returns warnings. Where something could not be rendered, what is missing is not told: it may
/// be just that.
pub fn check(
    kit: &Kit,
    environment: &Environment,
    phases: &[RenderedPhase],
    mistakes: &mut Vec<Mistake>,
) -> Vec<Mistake> {
    let complete = mistakes.is_empty();
    duplicates(kit, phases, mistakes);
    let objects: Vec<(usize, &Object)> = phases
        .iter()
        .enumerate()
        .flat_map(|(number, phase)| phase.objects.iter().map(move |object| (number, object)))
        .collect();
    let catalogue = Catalogue::new(objects.iter().map(|(_, object)| *object));
    let mut warnings = Vec::new();
    for (phase, object) in &objects {
        for reference in references(object) {
            match catalogue.find(&reference.target) {
                Some(found) => {
                    let (other, target) = objects[found];
                    if other > *phase && !reference.optional {
                        mistakes.push(deadlock(
                            kit,
                            object,
                            &reference,
                            target,
                            &phases[*phase].name,
                            &phases[other].name,
                        ));
                    }
                }
                None if !complete => {}
                None => missing(kit, environment, object, &reference, &catalogue, mistakes, &mut warnings),
            }
        }
    }
    if complete {
        for gate in phases.iter().flat_map(|phase| &phase.gates).filter(|gate| gate.skipped.is_none()) {
            unknown_to_gate(kit, environment, gate, &catalogue, &mut warnings);
        }
    }
    warnings
}

/// What a gate asks or reads, and no template makes. An operator may make it, so it is no mistake.
fn unknown_to_gate(
    kit: &Kit,
    environment: &Environment,
    gate: &Gate,
    catalogue: &Catalogue<'_>,
    warnings: &mut Vec<Mistake>,
) {
    if gate.namespace != environment.namespace {
        return;
    }
    let needs = [("Service", gate.probe.service()), ("Secret", gate.probe.credentials())];
    for (kind, name) in needs.into_iter().filter_map(|(kind, name)| Some((kind, name?))) {
        let known: Vec<&str> = catalogue
            .objects()
            .iter()
            .filter(|it| it.kind() == kind && it.namespace() == Some(gate.namespace.as_str()))
            .map(|it| it.name())
            .collect();
        if !known.contains(&name) {
            let message = format!("gate {} needs {kind}/{name}, which no template makes", gate.name);
            let hint = meant(name, known);
            warnings.push(Mistake { hint, ..kit.mistake_at("unknown-object", message, &gate.origin) });
        }
    }
}

fn duplicates(kit: &Kit, phases: &[RenderedPhase], mistakes: &mut Vec<Mistake>) {
    let mut seen: BTreeMap<ObjectKey, &Object> = BTreeMap::new();
    let mut gates = BTreeMap::new();
    for phase in phases {
        for object in &phase.objects {
            if let Some(first) = seen.insert(object.key(), object) {
                let namespace =
                    object.namespace().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
                let message = format!("{}{namespace} is already made by {}", object.key(), first.origin);
                mistakes.push(kit.mistake_at("duplicate", message, &object.origin));
                seen.insert(first.key(), first);
            }
        }
        for gate in &phase.gates {
            if let Some(first) = gates.insert(gate.name.as_str(), &gate.origin) {
                let message = format!("the gate {} is already written at {first}", gate.name);
                mistakes.push(kit.mistake_at("duplicate", message, &gate.origin));
            }
        }
    }
}

fn deadlock(kit: &Kit, object: &Object, reference: &Reference, target: &Object, phase: &str, later: &str) -> Mistake {
    let message = format!(
        "{} of phase {phase} needs {} of the later phase {later} ({}): it would wait for ever",
        object.key(),
        target.key(),
        reference.path
    );
    let hint = Some(format!("move {} ({}) to phase {phase} or before", target.key(), target.origin));
    Mistake { hint, ..kit.mistake_at("order", message, &object.origin) }
}

/// The hint that names what was probably meant.
fn meant<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(typed, known).map(|known| format!("did you mean {known}?"))
}

fn missing(
    kit: &Kit,
    environment: &Environment,
    object: &Object,
    reference: &Reference,
    catalogue: &Catalogue<'_>,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Mistake>,
) {
    match &reference.target {
        Target::Named { kind, name, .. } => {
            let known: Vec<String> = catalogue.objects().iter().map(|object| object.key().to_string()).collect();
            let typed = format!("{kind}/{name}");
            let hint = meant(&typed, known.iter().map(String::as_str));
            let message = format!("{} waits for {typed} (rekindle.dev/after), which no template makes", object.key());
            mistakes.push(Mistake { hint, ..kit.mistake_at("unknown-object", message, &object.origin) });
        }
        Target::Object(key) => {
            let here = key.namespace.as_deref() == Some(environment.namespace.as_str());
            let given =
                key.kind == "ConfigMap" && key.name == "kube-root-ca.crt" || made_by_a_stateful_set(key, catalogue);
            if here && !given && !reference.optional && MADE_BY_KITS.contains(&key.kind.as_str()) {
                let message = format!("{} needs {key} ({}), which no template makes", object.key(), reference.path);
                let same = catalogue.objects().iter().filter(|object| object.kind() == key.kind);
                let hint = meant(&key.name, same.map(|object| object.name()));
                warnings.push(Mistake { hint, ..kit.mistake_at("unknown-object", message, &object.origin) });
            }
        }
        Target::Definition { .. } => {}
    }
}

/// Whether a claim is one that a StatefulSet of the kit makes from its templates: `<template>-<set>-<ordinal>`.
fn made_by_a_stateful_set(key: &ObjectKey, catalogue: &Catalogue<'_>) -> bool {
    key.kind == "PersistentVolumeClaim"
        && catalogue.objects().iter().filter(|object| object.kind() == "StatefulSet").any(|set| {
            let templates = set.body().pointer("/spec/volumeClaimTemplates").and_then(serde_json::Value::as_array);
            templates.into_iter().flatten().any(|template| {
                let name = template.pointer("/metadata/name").and_then(serde_json::Value::as_str).unwrap_or_default();
                let ordinal = key.name.strip_prefix(&format!("{name}-{}-", set.name()));
                ordinal.is_some_and(|ordinal| !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit()))
            })
        })
}
