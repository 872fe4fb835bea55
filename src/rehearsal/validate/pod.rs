//! What the API server refuses of a pod's spec, wherever it stands.

use serde_json::{Value, json};

use super::{LABEL, SUBDOMAIN, is_label, list, number};
use crate::rehearsal::status::FieldError;

/// What is wrong with the spec of a pod at a path. `claims`: names that are mounted like volumes, those of a StatefulSet's
/// claims.
pub fn errors<'a>(spec: Option<&'a Value>, path: &str, claims: impl IntoIterator<Item = &'a str>) -> Vec<FieldError> {
    let spec = spec.unwrap_or(&Value::Null);
    let mut errors = Vec::new();
    if list(spec, "containers").next().is_none() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let volumes = list(spec, "volumes").filter_map(|volume| volume["name"].as_str());
    let volumes: Vec<&str> = volumes.chain(claims).collect();
    for kind in ["containers", "initContainers"] {
        for (index, container) in list(spec, kind).enumerate() {
            errors.extend(container_errors(container, &format!("{path}.{kind}[{index}]"), &volumes));
        }
    }
    let account = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty());
    if let Some(name) = account.filter(|name| !name.split('.').all(is_label)) {
        errors.push(FieldError::invalid(format!("{path}.serviceAccountName"), &json!(name), SUBDOMAIN));
    }
    errors
}

fn container_errors(container: &Value, path: &str, volumes: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match container["name"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{path}.name"), "")),
        name if !is_label(name) => errors.push(FieldError::invalid(format!("{path}.name"), &json!(name), LABEL)),
        _ => {}
    }
    if container["image"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    errors.extend(number::resources(container, path));
    for (index, mount) in list(container, "volumeMounts").enumerate() {
        let name = mount["name"].as_str().unwrap_or_default();
        if !volumes.contains(&name) {
            errors.push(FieldError {
                reason: "FieldValueNotFound",
                field: format!("{path}.volumeMounts[{index}].name"),
                message: format!("Not found: {name:?}"),
            });
        }
    }
    errors
}
