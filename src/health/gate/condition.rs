//! Condition gates: CEL over objects of the cluster.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::{GroupVersion, GroupVersionKind};
use kube::discovery::{self, ApiCapabilities, Discovery, Scope};
use serde_json::Value;

use super::answer::quote;
use super::spec::{Condition, Selected};
use super::{Answer, Asker, Expression};
use crate::cluster::forward::api_text;
use crate::health::cel::{CelError, eval_bool, eval_text};

/// Kinds that discovery has found, by kind and version as written.
#[derive(Default)]
pub(super) struct Kinds(Mutex<HashMap<(String, Option<String>), Kind>>);

type Kind = (ApiResource, ApiCapabilities);

/// Why there is no kind: may it come, or is the gate written wrongly?
enum NoKind {
    NotYet(String),
    Never(String),
}

pub(super) async fn ask(asker: &Asker, namespace: &str, spec: &Condition) -> Result<Answer, String> {
    let (resource, capabilities) = match kind(asker, spec).await {
        Ok(kind) => kind,
        Err(NoKind::NotYet(text)) => return Err(text),
        Err(NoKind::Never(text)) => return Ok(Answer::fatal(text)),
    };
    let namespace = spec.namespace.as_deref().unwrap_or(namespace);
    let api: Api<DynamicObject> = match capabilities.scope {
        Scope::Cluster => Api::all_with(asker.client.clone(), &resource),
        Scope::Namespaced => Api::namespaced_with(asker.client.clone(), namespace, &resource),
    };
    let (variable, value) = match &spec.selected {
        Selected::Name(name) => {
            let Some(object) = api.get_opt(name).await.map_err(|error| api_text(&error))? else {
                return Err(format!("{}/{name} does not exist", spec.kind));
            };
            ("object", as_value(object, &resource)?)
        }
        Selected::Selector(labels) => {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let labels = labels.join(",");
            let found = api.list(&ListParams::default().labels(&labels)).await.map_err(|error| api_text(&error))?;
            if found.items.is_empty() {
                return Err(match labels.as_str() {
                    "" => format!("there is no {}", spec.kind),
                    labels => format!("no {} has the labels {labels}", spec.kind),
                });
            }
            let objects = found.items.into_iter().map(|object| as_value(object, &resource));
            ("objects", Value::Array(objects.collect::<Result<_, _>>()?))
        }
    };
    Ok(judge(spec, variable, &value))
}

/// An object as CEL sees it. Items of a list come without the kind that a single object has: it is put back.
fn as_value(mut object: DynamicObject, resource: &ApiResource) -> Result<Value, String> {
    object.types.get_or_insert_with(|| kube::core::TypeMeta {
        api_version: resource.api_version.clone(),
        kind: resource.kind.clone(),
    });
    serde_json::to_value(object).map_err(|error| error.to_string())
}

/// What the expressions say. A field that is not there yet makes `ready` and `failed` false.
fn judge(spec: &Condition, variable: &str, value: &Value) -> Answer {
    let subject = match &spec.selected {
        Selected::Name(name) => format!("{}/{name}", spec.kind),
        Selected::Selector(_) => {
            let count = value.as_array().map_or(0, Vec::len);
            format!("{count} {}", if count == 1 { "object".to_owned() } else { "objects".to_owned() })
        }
    };
    let progress = || {
        let text = eval_text(spec.progress.as_ref()?.text(), &[(variable, value)]).ok()?;
        Some(quote(&text)).filter(|text| !text.is_empty())
    };
    match spec.failed.as_ref().map(|failed| eval(failed, variable, value)) {
        Some(Ok(true)) => {
            let why = progress().unwrap_or_else(|| spec.failed.as_ref().map(|it| quote(it.text())).unwrap_or_default());
            return Answer::fatal(format!("{subject} failed: {why}"));
        }
        Some(Err(error)) if error.is_lasting() => return Answer::fatal(format!("failed: {error}")),
        Some(Err(error)) => return Answer::waiting(format!("failed cannot be evaluated: {error}")),
        Some(Ok(false)) | None => {}
    }
    match eval(&spec.ready, variable, value) {
        Ok(true) => Answer::passed(format!("true for {subject}")),
        Ok(false) => Answer::waiting(progress().unwrap_or_else(|| format!("false for {subject}"))),
        Err(error) if error.is_lasting() => Answer::fatal(format!("ready: {error}")),
        Err(error) => Answer::waiting(format!("ready cannot be evaluated: {error}")),
    }
}

fn eval(expression: &Expression, variable: &str, value: &Value) -> Result<bool, CelError> {
    match eval_bool(expression.text(), &[(variable, value)]) {
        Err(error) if error.is_missing() => Ok(false),
        other => other,
    }
}

/// What discovery says about the condition's kind.
async fn kind(asker: &Asker, spec: &Condition) -> Result<Kind, NoKind> {
    let key = (spec.kind.clone(), spec.api_version.clone());
    let known = asker.kinds.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    if let Some(kind) = known {
        return Ok(kind);
    }
    let found = match &spec.api_version {
        Some(version) => pinned(asker, &spec.kind, version).await?,
        None => search(asker, &spec.kind).await?,
    };
    asker.kinds.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
    Ok(found)
}

async fn pinned(asker: &Asker, kind: &str, version: &str) -> Result<Kind, NoKind> {
    let version: GroupVersion =
        version.parse().map_err(|_| NoKind::Never(format!("{} is no version of an API", quote(version))))?;
    let wanted = GroupVersionKind::gvk(&version.group, &version.version, kind);
    discovery::pinned_kind(&asker.client, &wanted).await.map_err(|error| {
        NoKind::NotYet(match error {
            // A definition may still be on its way.
            kube::Error::Discovery(_) => format!("the cluster has no {kind} in {}", version.api_version()),
            kube::Error::Api(status) if status.is_not_found() => {
                format!("the cluster has no {kind} in {}", version.api_version())
            }
            other => api_text(&other),
        })
    })
}

async fn search(asker: &Asker, kind: &str) -> Result<Kind, NoKind> {
    let all = match Discovery::new(asker.client.clone()).run_aggregated().await {
        Ok(all) => all,
        // Servers with an aggregated API that does not know the short form are asked group by group.
        Err(_) => {
            let all = Discovery::new(asker.client.clone()).run().await;
            all.map_err(|error| NoKind::NotYet(api_text(&error)))?
        }
    };
    let mut found: Vec<Kind> = all.groups().filter_map(|group| group.recommended_kind(kind)).collect();
    found.sort_by(|a, b| a.0.group.cmp(&b.0.group));
    match found.len() {
        0 => Err(NoKind::NotYet(format!("the cluster has no kind {kind}"))),
        1 => Ok(found.remove(0)),
        _ => {
            let versions: Vec<&str> = found.iter().map(|(resource, _)| resource.api_version.as_str()).collect();
            let versions = versions.join(", ");
            Err(NoKind::Never(format!("{kind} is a kind of {versions}: the gate must name one as api_version")))
        }
    }
}
