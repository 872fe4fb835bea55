//! Renders a kit for an environment: the one way from files to objects.

use std::collections::BTreeSet;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::context::Scope;
use super::objects::{Documents, Reader};
use super::stack::{COMPONENTS, STACK_FILE, Stack, StackPhase};
use super::template::Renderer;
use super::{Environment, Kit, Rendered, RenderedPhase, did_you_mean, mistake, validate};
use crate::data::claims::{self, Expected};
use crate::data::{DataSet, Lineage};
use crate::manifest::kinds::is_cluster_scoped;
use crate::manifest::mistake::{Mistake, Mistakes};
use crate::manifest::references::is_builtin_group;
use crate::manifest::{Object, Origin};
use crate::secrets::SecretSource;
use crate::secrets::redact::Redactor;

impl Kit {
    /// Renders every template for an environment and checks what comes out. Pure: the same kit, environment and secrets
    /// give the same result.
    ///
    /// # Errors
    /// Every mistake found, sorted by place. Secret values do not appear in them.
    pub fn render(&self, environment: &Environment, secrets: &dyn SecretSource) -> Result<Rendered, Mistakes> {
        let stack = self.stack()?;
        let mut mistakes = Vec::new();
        let mut warnings = Vec::new();
        self.check_folders(&stack, &mut mistakes, &mut warnings);
        let scope = Scope::new(environment);
        let renderer = Renderer::new(self, scope, environment, secrets, &mut mistakes);
        let mut phases: Vec<RenderedPhase> = Vec::new();
        let mut misfits = Vec::new();
        let stands_by = environment.lineages.values().any(Lineage::follows);
        for phase in stack.phases.iter().filter(|phase| !(phase.waits && stands_by)) {
            let documents = self.phase_documents(phase, environment, &renderer, &mut mistakes);
            if documents.objects.is_empty() && documents.gates.is_empty() && mistakes.is_empty() {
                let message = format!("the phase {} is empty", phase.name);
                warnings.push(self.mistake_at("empty-phase", message, &phase.origin));
            }
            misfits.extend(documents.misfits);
            let stated = environment.phases.get(&phase.name).cloned().unwrap_or_default();
            phases.push(RenderedPhase {
                name: phase.name.clone(),
                settings: stated.or(&phase.settings),
                objects: documents.objects,
                gates: documents.gates,
                data_sets: documents.data_sets,
            });
        }
        for set in phases.iter_mut().flat_map(|phase| &mut phase.data_sets) {
            let remembered = set.remember.iter_mut().map(|fact| &mut fact.question);
            for gate in set.proof.iter_mut().chain(&mut set.identity).chain(remembered) {
                gate.skipped = environment.skips(&gate.name).map(str::to_owned);
            }
        }
        self.set_namespaces(&mut phases, environment, &mut mistakes);
        add_namespace(&mut phases, environment);
        self.skip_gates(&mut phases, environment, &mut warnings);
        warnings.extend(validate::check(self, environment, &phases, &mut mistakes));
        let claims = self.data_sets(&phases, environment, &renderer, &mut mistakes, &mut warnings);
        warnings.extend(renderer.lint());
        let secret_values = renderer.secret_values();
        let redactor = Redactor::default();
        secret_values.values().for_each(|value| redactor.add(value.expose_secret()));
        finish(&mut warnings, &redactor);
        finish(&mut misfits, &redactor);
        finish(&mut mistakes, &redactor);
        if !mistakes.is_empty() {
            return Err(Mistakes(mistakes));
        }
        let (environment, stack) = (environment.clone(), stack.name);
        Ok(Rendered { environment, stack, phases, secret_values, claims, warnings, misfits })
    }

    /// Finds the claims that objects make, and checks that data sets and claims meet. Where something could not be rendered, what
    /// is missing is not told.
    fn data_sets(
        &self,
        phases: &[RenderedPhase],
        environment: &Environment,
        renderer: &Renderer<'_>,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<Mistake>,
    ) -> Vec<Expected> {
        let sets: Vec<DataSet> = phases.iter().flat_map(|phase| phase.data_sets.clone()).collect();
        let claims = claims::expected(phases.iter().map(|phase| (phase.name.as_str(), &phase.objects[..])), &sets);
        if !mistakes.is_empty() {
            return claims;
        }
        let objects: Vec<&Object> = phases.iter().flat_map(|phase| &phase.objects).collect();
        let at = |code, message: String, origin: &Origin| self.mistake_at(code, message, origin);
        let (wrong, remarks) = claims::check(&claims, &objects, &sets, environment.protected, &at);
        mistakes.extend(wrong);
        warnings.extend(remarks);
        for (file, name) in renderer.asked_data() {
            if sets.iter().all(|set| set.name != name) {
                let hint = did_you_mean(&name, sets.iter().map(|set| set.name.as_str()));
                let message = format!("data(name=\"{name}\"): no data set is named so");
                mistakes.push(Mistake { hint, ..mistake("unknown-data-set", message, &file, None) });
            }
        }
        claims
    }

    /// Everything below `templates/` has a place, or is a mistake.
    fn check_folders(&self, stack: &Stack, mistakes: &mut Vec<Mistake>, warnings: &mut Vec<Mistake>) {
        let mut strangers = BTreeSet::new();
        for file in self.files.keys().filter(|file| *file != STACK_FILE) {
            let Some(path) = file.strip_prefix("templates/") else { continue };
            let Some((folder, name)) = path.split_once('/') else {
                let hint = Some("templates stand in the folder of their phase".to_owned());
                warnings.push(Mistake {
                    hint,
                    ..mistake("ignored-file", "is in no phase and is not rendered", file, None)
                });
                continue;
            };
            let in_phase = stack.phases.iter().any(|phase| phase.name == folder);
            if folder != COMPONENTS && !in_phase {
                strangers.insert(folder);
            } else if in_phase && !is_template(name) && !is_prose(name) {
                warnings.push(Mistake {
                    hint: Some("templates end in .yaml or .yaml.tera".into()),
                    ..mistake("ignored-file", "is no template and is not rendered", file, None)
                });
            } else if folder == COMPONENTS && !name.ends_with(".tera") && !is_prose(name) {
                warnings.push(Mistake {
                    hint: Some("components end in .tera".into()),
                    ..mistake("ignored-file", "is not read", file, None)
                });
            }
        }
        for folder in strangers {
            let message = format!("the folder templates/{folder} is no phase of the stack");
            let hint = did_you_mean(folder, stack.phases.iter().map(|phase| phase.name.as_str()));
            let origin =
                Origin { file: STACK_FILE.into(), line: stack.phases.first().map_or(0, |phase| phase.origin.line) };
            mistakes.push(Mistake { hint, ..self.mistake_at("unknown-phase", message, &origin) });
        }
    }

    fn phase_documents(
        &self,
        phase: &StackPhase,
        environment: &Environment,
        renderer: &Renderer<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Documents {
        let prefix = format!("templates/{}/", phase.name);
        let mut all = Documents::default();
        for file in self.files.keys().filter(|file| file.starts_with(&prefix) && is_template(file)) {
            let output = if file.ends_with(".tera") {
                let Some(output) = renderer.render(file, mistakes) else { continue };
                Some(output)
            } else {
                None
            };
            let text = match (&output, self.text(file)) {
                (Some(output), _) => output.text.as_str(),
                (None, Some(Ok(text))) => text,
                (None, Some(Err(wrong))) => {
                    mistakes.extend(wrong.0);
                    continue;
                }
                (None, None) => continue,
            };
            let is_secret = |text: &str| renderer.secret_values().values().any(|secret| secret.expose_secret() == text);
            let namespace = environment.namespace.as_str();
            let reader = Reader { kit: self, file, text, output: output.as_ref(), namespace, is_secret: &is_secret };
            let documents = reader.read(mistakes);
            all.objects.extend(documents.objects);
            all.gates.extend(documents.gates);
            all.data_sets.extend(documents.data_sets);
            all.misfits.extend(documents.misfits);
        }
        all
    }

    /// Namespaced objects without a namespace go to the environment's. A custom kind is namespaced unless a definition in
    /// the kit, or the cluster, says otherwise.
    fn set_namespaces(&self, phases: &mut [RenderedPhase], environment: &Environment, mistakes: &mut Vec<Mistake>) {
        let of_the_kit: BTreeSet<(String, String)> = phases
            .iter()
            .flat_map(|phase| &phase.objects)
            .filter(|object| object.kind() == "CustomResourceDefinition")
            .filter(|object| object.body().pointer("/spec/scope").and_then(Value::as_str) == Some("Cluster"))
            .map(|object| {
                let text =
                    |pointer| object.body().pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                (text("/spec/group"), text("/spec/names/kind"))
            })
            .collect();
        for object in phases.iter_mut().flat_map(|phase| &mut phase.objects) {
            let kind = (object.group().to_owned(), object.kind().to_owned());
            let custom = || !is_builtin_group(&kind.0) && of_the_kit.contains(&kind);
            let cluster_scoped =
                is_cluster_scoped(&kind.0, &kind.1) || custom() || environment.cluster_kinds.contains(&kind);
            if cluster_scoped && object.namespace().is_some() {
                let message = format!("{} has a namespace, and its kind has none", object.key());
                let hint = Some("remove metadata.namespace".to_owned());
                mistakes.push(Mistake { hint, ..self.mistake_at("namespace", message, &object.origin) });
            } else if !cluster_scoped && object.namespace().is_none() {
                object.set_namespace(Some(&environment.namespace));
            }
        }
    }

    /// Marks the gates that the environment switches off. A pattern that matches nothing is worth a warning.
    fn skip_gates(&self, phases: &mut [RenderedPhase], environment: &Environment, warnings: &mut Vec<Mistake>) {
        for skip in &environment.skipped_gates {
            let mut matched = false;
            for gate in phases.iter_mut().flat_map(|phase| &mut phase.gates) {
                if glob(&skip.pattern, &gate.name) {
                    matched = true;
                    gate.skipped.get_or_insert_with(|| skip.reason.clone());
                }
            }
            if !matched {
                let names: Vec<&str> =
                    phases.iter().flat_map(|phase| &phase.gates).map(|gate| gate.name.as_str()).collect();
                let hint = did_you_mean(&skip.pattern, names);
                let message = format!("gates.skip: no gate is named {}", skip.pattern);
                warnings.push(Mistake { hint, ..self.mistake_at("unknown-gate", message, &skip.origin) });
            }
        }
    }
}

impl Environment {
    /// Why a gate of this name is switched off here, if it is.
    fn skips(&self, gate: &str) -> Option<&str> {
        self.skipped_gates.iter().find(|skip| glob(&skip.pattern, gate)).map(|skip| skip.reason.as_str())
    }
}

/// Without a template for it, the environment's namespace is the first object of the first phase.
fn add_namespace(phases: &mut [RenderedPhase], environment: &Environment) {
    let name = &environment.namespace;
    let made = |object: &Object| object.kind() == "Namespace" && object.group().is_empty() && object.name() == name;
    if matches!(name.as_str(), "default" | "kube-system" | "kube-public" | "kube-node-lease")
        || phases.iter().flat_map(|phase| &phase.objects).any(made)
    {
        return;
    }
    let origin = environment.provenance.get("namespace").cloned().unwrap_or_default();
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    if let (Some(first), Ok(object)) = (phases.first_mut(), Object::new(body, origin)) {
        first.objects.insert(0, object);
    }
}

fn is_template(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yaml.tera")
}

fn is_prose(name: &str) -> bool {
    let name = name.rsplit('/').next().unwrap_or_default();
    name.ends_with(".md") || name.ends_with(".txt") || name == "README"
}

/// Whether a name matches a pattern in which `*` stands for anything.
fn glob(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let Some((middle, last)) = rest.rsplit_once('*') else { return left.ends_with(rest) };
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Sorts by place, removes repetitions and secret values.
fn finish(mistakes: &mut Vec<Mistake>, redactor: &Redactor) {
    for mistake in mistakes.iter_mut() {
        mistake.message = redactor.redact(&mistake.message);
        mistake.hint = mistake.hint.as_deref().map(|hint| redactor.redact(hint));
    }
    let line = |mistake: &Mistake| mistake.span.as_ref().map_or((0, 0), |span| (span.line, span.column));
    mistakes.sort_by(|a, b| (&a.file, line(a)).cmp(&(&b.file, line(b))));
    mistakes.dedup();
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
