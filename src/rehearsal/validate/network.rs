//! What the API server refuses of Services, Ingresses and NetworkPolicies. Source: `ValidateService` of Kubernetes'
//! pkg/apis/core/validation, and pkg/apis/networking/validation.

use serde_json::{Value, json};

use super::{list, names};
use crate::rehearsal::status::FieldError;

/// What is wrong with the spec of a Service.
pub fn service(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let count = list(spec, "ports").count();
    let kind = spec["type"].as_str().unwrap_or_default();
    if count == 0 && spec["clusterIP"] != "None" && kind != "ExternalName" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if kind == "ExternalName" {
        match spec["externalName"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required("spec.externalName", "")),
            name => {
                let name = name.strip_suffix('.').unwrap_or(name);
                errors.extend(names::errors("spec.externalName", name, names::subdomain(name)));
            }
        }
    }
    let mut seen = Vec::new();
    for (index, port) in list(spec, "ports").enumerate() {
        let path = format!("spec.ports[{index}]");
        match port["name"].as_str().unwrap_or_default() {
            "" if count > 1 => errors.push(FieldError::required(format!("{path}.name"), "")),
            "" => {}
            name => {
                let wrong = names::label(name);
                if wrong.is_empty() && seen.contains(&name) {
                    errors.push(FieldError::duplicate(format!("{path}.name"), name));
                }
                errors.extend(names::errors(&format!("{path}.name"), name, wrong));
                seen.push(name);
            }
        }
        errors.extend(names::port_number(&format!("{path}.port"), port["port"].as_i64().unwrap_or_default()));
        if let Some(target) = port.get("targetPort") {
            errors.extend(names::port_errors(&format!("{path}.targetPort"), target));
        }
    }
    errors.extend(names::labels(spec.get("selector"), "spec.selector"));
    if spec["clusterIP"] == "None" && matches!(kind, "NodePort" | "LoadBalancer") {
        let detail = format!("may not be set to 'None' for {kind} services");
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!("None"), &detail));
    }
    errors
}

/// What is wrong with the spec of an Ingress.
pub fn ingress(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let default = spec.get("defaultBackend");
    if list(spec, "rules").next().is_none() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid("spec", &Value::Null, detail));
    }
    if let Some(default) = default {
        errors.extend(backend(default, "spec.defaultBackend"));
    }
    for (index, rule) in list(spec, "rules").enumerate() {
        let path = format!("spec.rules[{index}]");
        if let Some(host) = rule["host"].as_str().filter(|host| !host.is_empty()) {
            errors.extend(names::errors(&format!("{path}.host"), host, names::host(host)));
        }
        if rule.get("http").is_some() && list(&rule["http"], "paths").next().is_none() {
            errors.push(FieldError::required(format!("{path}.http.paths"), ""));
        }
        for (at, of) in list(&rule["http"], "paths").enumerate() {
            errors.extend(path_errors(of, &format!("{path}.http.paths[{at}]")));
        }
    }
    errors
}

/// Parts that a path may not have, each with what is told. Source: `invalidPathSequences` and `invalidPathSuffixes`.
const NOT_WITHIN: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const NOT_LAST: [&str; 2] = ["/..", "/."];

fn path_errors(of: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let place = of["path"].as_str().unwrap_or_default();
    let mut wrong = |detail: String| errors.push(FieldError::invalid(format!("{path}.path"), &json!(place), &detail));
    match of["pathType"].as_str().unwrap_or_default() {
        "" => errors.push(FieldError::required(format!("{path}.pathType"), "pathType must be specified")),
        "Exact" | "Prefix" => {
            if !place.starts_with('/') {
                wrong("must be an absolute path".into());
            }
            for part in NOT_WITHIN.into_iter().filter(|part| place.contains(part)) {
                wrong(format!("must not contain '{part}'"));
            }
            for end in NOT_LAST.into_iter().filter(|end| place.ends_with(end)) {
                wrong(format!("cannot end with '{end}'"));
            }
        }
        "ImplementationSpecific" if !place.is_empty() && !place.starts_with('/') => {
            wrong("must be an absolute path".into());
        }
        _ => {}
    }
    errors.extend(backend(&of["backend"], &format!("{path}.backend")));
    errors
}

fn backend(of: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |detail: &str| errors.push(FieldError::invalid(path, &json!(""), detail));
    match (of.get("service"), of.get("resource")) {
        (None, None) => wrong("resource or service backend is required"),
        (Some(_), Some(_)) => wrong("cannot set both resource and service backends"),
        (None, Some(_)) => {}
        (Some(service), None) => {
            let name = service["name"].as_str().unwrap_or_default();
            let named = service.pointer("/port/name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let number = service.pointer("/port/number").and_then(Value::as_i64).filter(|number| *number != 0);
            if named.is_some() && number.is_some() {
                wrong("cannot set both port name & port number");
            }
            let field = format!("{path}.service.name");
            if name.is_empty() {
                errors.push(FieldError::required(field, ""));
            } else {
                errors.extend(names::errors(&field, name, names::service(name)));
            }
            match (named, number) {
                (None, None) => errors.push(FieldError::required(path, "port name or number is required")),
                (Some(_), Some(_)) => {}
                (Some(name), None) => {
                    errors.extend(names::errors(&format!("{path}.service.port.name"), name, names::port(name)));
                }
                (None, Some(number)) => {
                    errors.extend(names::port_number(&format!("{path}.service.port.number"), number));
                }
            }
        }
    }
    errors
}

/// What is wrong with the spec of a NetworkPolicy.
pub fn policy(spec: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, direction).enumerate() {
            let path = format!("spec.{direction}[{index}]");
            for (at, port) in list(rule, "ports").enumerate() {
                if let Some(number) = port.get("port") {
                    errors.extend(names::port_errors(&format!("{path}.ports[{at}].port"), number));
                }
            }
            for (at, peer) in list(rule, peers).enumerate() {
                let Some(cidr) = peer.pointer("/ipBlock/cidr").and_then(Value::as_str) else { continue };
                if !is_cidr(cidr) {
                    let field = format!("{path}.{peers}[{at}].ipBlock.cidr");
                    let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                    errors.push(FieldError::invalid(field, &json!(cidr), detail));
                }
            }
        }
    }
    errors
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<std::net::IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}
