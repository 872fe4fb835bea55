//! What the API server refuses of a container: its ports, variables, mounts and probes. Source: `validateContainerCommon` and
//! `validateHandler` of Kubernetes' pkg/apis/core/validation.

use serde_json::{Value, json};

use super::{choices, list, names, number};
use crate::rehearsal::status::FieldError;

/// What is wrong with a container at a path. `volumes`: names that it may mount.
pub fn errors(container: &Value, path: &str, volumes: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match container["name"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{path}.name"), "")),
        name => errors.extend(names::errors(&format!("{path}.name"), name, names::label(name))),
    }
    if container["image"].as_str().is_none_or(str::is_empty) {
        errors.push(FieldError::required(format!("{path}.image"), ""));
    }
    errors.extend(ports(container, path));
    for (index, variable) in list(container, "env").enumerate() {
        errors.extend(environment(variable, &format!("{path}.env[{index}]")));
    }
    for (index, source) in list(container, "envFrom").enumerate() {
        errors.extend(environment_from(source, &format!("{path}.envFrom"), index));
    }
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
    errors.extend(choices::of_container(container, path));
    errors.extend(number::resources(container, path));
    for hook in ["postStart", "preStop"] {
        if let Some(hook_of) = container["lifecycle"].get(hook) {
            errors.extend(handler(hook_of, &format!("{path}.lifecycle.{hook}")));
        }
    }
    for name in PROBES {
        if let Some(of) = container.get(name) {
            errors.extend(probe(of, &format!("{path}.{name}"), name != "readinessProbe"));
        }
    }
    errors
}

const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// What a container that runs before the others, and ends, may not have.
pub fn of_ending(container: &Value, path: &str) -> Vec<FieldError> {
    if container["restartPolicy"] == "Always" {
        return Vec::new();
    }
    let detail = "may not be set for init containers without restartPolicy=Always";
    let set = ["lifecycle"].into_iter().chain(PROBES).filter(|name| container.get(name).is_some());
    set.map(|name| FieldError::forbidden(format!("{path}.{name}"), detail)).collect()
}

fn ports(container: &Value, path: &str) -> Vec<FieldError> {
    let (mut errors, mut seen) = (Vec::new(), Vec::new());
    for (index, port) in list(container, "ports").enumerate() {
        let path = format!("{path}.ports[{index}]");
        if let Some(name) = port["name"].as_str().filter(|name| !name.is_empty()) {
            let wrong = names::port(name);
            if wrong.is_empty() && seen.contains(&name) {
                errors.push(FieldError::duplicate(format!("{path}.name"), name));
            }
            errors.extend(names::errors(&format!("{path}.name"), name, wrong));
            seen.push(name);
        }
        match port["containerPort"].as_i64().unwrap_or_default() {
            0 => errors.push(FieldError::required(format!("{path}.containerPort"), "")),
            number => errors.extend(names::port_number(&format!("{path}.containerPort"), number)),
        }
        if let Some(number) = port["hostPort"].as_i64().filter(|number| *number != 0) {
            errors.extend(names::port_number(&format!("{path}.hostPort"), number));
        }
    }
    errors
}

const NO_VARIABLE: &str =
    "a valid environment variable name must consist only of printable ASCII characters other than '='";

fn environment(variable: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = variable["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        errors.push(FieldError::required(format!("{path}.name"), ""));
    } else if !name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'=') {
        errors.push(FieldError::invalid(format!("{path}.name"), &json!(name), NO_VARIABLE));
    }
    let Some(from) = variable.get("valueFrom").filter(|from| from.is_object()) else { return errors };
    let path = format!("{path}.valueFrom");
    if let Some(field) = from.pointer("/fieldRef/fieldPath").and_then(Value::as_str).filter(|field| !is_field(field)) {
        let detail = format!("error converting fieldPath: field label not supported: {field}");
        errors.push(FieldError::invalid(format!("{path}.fieldRef.fieldPath"), &json!(field), &detail));
    }
    for source in ["configMapKeyRef", "secretKeyRef"] {
        let Some(of) = from.get(source) else { continue };
        let name = of["name"].as_str().unwrap_or_default();
        errors.extend(names::errors(&format!("{path}.{source}.name"), name, names::subdomain(name)));
        match of["key"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(format!("{path}.{source}.key"), "")),
            key => errors.extend(names::errors(&format!("{path}.{source}.key"), key, names::key(key))),
        }
    }
    let sources = from.as_object().map_or(0, serde_json::Map::len);
    let detail = if sources == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
    } else if variable["value"].as_str().is_some_and(|value| !value.is_empty()) {
        "may not be specified when `value` is not empty"
    } else if sources > 1 {
        "may not have more than one field specified at a time"
    } else {
        return errors;
    };
    errors.push(FieldError::invalid(path, &json!(""), detail));
    errors
}

/// Whether a variable can be told a field of its pod. Source: `ConvertDownwardAPIFieldLabel` of pkg/apis/core/pods.
fn is_field(path: &str) -> bool {
    let of_map = |map: &str| path.strip_prefix(map).is_some_and(|key| key.starts_with("['") && key.ends_with("']"));
    of_map("metadata.annotations")
        || of_map("metadata.labels")
        || matches!(
            path,
            "metadata.annotations"
                | "metadata.labels"
                | "metadata.name"
                | "metadata.namespace"
                | "metadata.uid"
                | "spec.nodeName"
                | "spec.restartPolicy"
                | "spec.serviceAccountName"
                | "spec.schedulerName"
                | "spec.host"
                | "status.phase"
                | "status.hostIP"
                | "status.hostIPs"
                | "status.podIP"
                | "status.podIPs"
        )
}

fn environment_from(from: &Value, path: &str, index: usize) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let sources: Vec<&str> =
        ["configMapRef", "secretRef"].into_iter().filter(|source| from.get(source).is_some()).collect();
    for source in &sources {
        let field = format!("{path}[{index}].{source}.name");
        match from[source]["name"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(field, "")),
            name => errors.extend(names::errors(&field, name, names::subdomain(name))),
        }
    }
    let detail = match sources.len() {
        0 => "must specify one of: `configMapRef` or `secretRef`",
        1 => return errors,
        _ => "may not have more than one field specified at a time",
    };
    // The API server names the list, not the item.
    errors.push(FieldError::invalid(path, &json!(""), detail));
    errors
}

/// What is done to a container from outside: exactly one thing.
fn handler(of: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].into_iter().filter(|kind| of.get(kind).is_some());
    let Some(kind) = kinds.next() else {
        return vec![FieldError::required(path, "must specify a handler type")];
    };
    match kind {
        "exec" if list(&of[kind], "command").next().is_none() => {
            errors.push(FieldError::required(format!("{path}.exec.command"), ""));
        }
        "httpGet" | "tcpSocket" | "grpc" => {
            errors.extend(names::port_errors(&format!("{path}.{kind}.port"), &of[kind]["port"]));
        }
        _ => {}
    }
    let detail = "may not specify more than 1 handler type";
    errors.extend(kinds.map(|more| FieldError::forbidden(format!("{path}.{more}"), detail)));
    errors
}

fn probe(of: &Value, path: &str, once: bool) -> Vec<FieldError> {
    let mut errors = handler(of, path);
    let numbers = ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    errors.extend(number::negative(of, path, &numbers));
    // None at all is the default.
    if let Some(successes) = of["successThreshold"].as_i64().filter(|number| once && !matches!(number, 0 | 1)) {
        errors.push(FieldError::invalid(format!("{path}.successThreshold"), &json!(successes), "must be 1"));
    }
    errors
}
