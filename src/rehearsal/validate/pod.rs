//! What the API server refuses of a pod, wherever it stands. Source: `ValidatePodSpec` of Kubernetes'
//! pkg/apis/core/validation.

use serde_json::Value;

use super::{choices, container, list, names, volume};
use crate::rehearsal::status::FieldError;

/// What is wrong with a template of pods at a path.
pub fn template<'a>(template: &'a Value, path: &str, claims: impl IntoIterator<Item = &'a str>) -> Vec<FieldError> {
    // The API server leaves out `metadata` here.
    let mut errors = names::labels(template.pointer("/metadata/labels"), &format!("{path}.labels"));
    errors.extend(names::annotations(template.pointer("/metadata/annotations"), &format!("{path}.annotations")));
    errors.extend(self::errors(template.get("spec"), &format!("{path}.spec"), claims));
    errors
}

/// What is wrong with the spec of a pod at a path. `claims`: names that are mounted like volumes, those of a StatefulSet's
/// claims.
pub fn errors<'a>(spec: Option<&'a Value>, path: &str, claims: impl IntoIterator<Item = &'a str>) -> Vec<FieldError> {
    let spec = spec.unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    for (index, of) in list(spec, "volumes").enumerate() {
        errors.extend(volume::of_pod(of, &format!("{path}.volumes[{index}]")));
    }
    if list(spec, "containers").next().is_none() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let volumes = list(spec, "volumes").filter_map(|volume| volume["name"].as_str());
    let volumes: Vec<&str> = volumes.chain(claims).collect();
    let mut seen = Vec::new();
    for kind in ["containers", "initContainers"] {
        for (index, of) in list(spec, kind).enumerate() {
            let path = format!("{path}.{kind}[{index}]");
            errors.extend(container::errors(of, &path, &volumes));
            if let Some(name) = of["name"].as_str().filter(|name| !name.is_empty()) {
                if seen.contains(&name) {
                    errors.push(FieldError::duplicate(format!("{path}.name"), name));
                }
                seen.push(name);
            }
            if kind == "initContainers" {
                errors.extend(container::of_ending(of, &path));
            }
        }
    }
    errors.extend(choices::of_pod(spec, path));
    let account = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty());
    if let Some(name) = account {
        errors.extend(names::errors(&format!("{path}.serviceAccountName"), name, names::subdomain(name)));
    }
    errors
}
