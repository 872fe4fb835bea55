//! What the API server refuses: names that cannot be, fields that are needed, fields that cannot change. A part of
//! `pkg/apis/*/validation`, chosen by what deploy tools meet.

mod number;
mod pod;
mod schedule;
mod size;

use serde_json::{Value, json};

use super::request::selects;
use super::status::FieldError;
use super::{defaults, typed};
use crate::cluster::volumes::source;
use crate::manifest::schema::Kind;
use crate::manifest::{Object, fit};

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
                     end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                         must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const IMMUTABLE: &str = "field is immutable";

fn is_label(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.iter().all(|byte| letter(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| letter(*byte))
        && bytes.last().is_some_and(|byte| letter(*byte))
}

fn name_error(kind: &Kind, name: &str) -> Option<FieldError> {
    let value = json!(name);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => None,
        ("", "Namespace") | ("apps", "StatefulSet") if !is_label(name) => {
            Some(FieldError::invalid("metadata.name", &value, LABEL))
        }
        _ if !name.split('.').all(is_label) => Some(FieldError::invalid("metadata.name", &value, SUBDOMAIN)),
        _ => None,
    }
}

/// What the API server would say of an object of a kit that is made in an empty cluster; kinds of definitions are not judged.
pub fn refusals(object: &Object) -> Vec<FieldError> {
    let Some(kind) = fit::kind_of(object) else { return Vec::new() };
    let mut body = object.body().clone();
    if (object.group(), object.kind()) == ("", "Secret") {
        defaults::fold_string_data(&mut body);
    }
    typed::normalise(&kind.root, &mut body);
    defaults::fill(kind, &mut body);
    created(kind, &body)
}

/// What is wrong with an object that is to be made.
pub fn created(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let mut errors: Vec<FieldError> = name_error(kind, name).into_iter().collect();
    errors.extend(common(kind, object));
    errors
}

/// What is wrong with an object that is to change.
pub fn updated(kind: &Kind, old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = common(kind, new);
    let differs = |pointer: &str| old.pointer(pointer) != new.pointer(pointer);
    let shown = |pointer: &str| new.pointer(pointer).cloned().unwrap_or_default();
    let mut fixed = |pointer: &str| {
        if differs(pointer) {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::invalid(field, &shown(pointer), IMMUTABLE));
        }
    };
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => fixed("/spec/selector"),
        ("networking.k8s.io", "IngressClass") => fixed("/spec/controller"),
        ("scheduling.k8s.io", "PriorityClass") if differs("/value") => {
            errors.push(FieldError::forbidden("value", "may not be changed in an update."));
        }
        ("batch", "Job") => {
            for pointer in ["/spec/completions", "/spec/selector", "/spec/template", "/spec/completionMode"] {
                fixed(pointer);
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            for (pointer, what) in [
                ("/parameters", "updates to parameters are forbidden."),
                ("/provisioner", "updates to provisioner are forbidden."),
                ("/reclaimPolicy", "updates to reclaimPolicy are forbidden."),
            ] {
                if differs(pointer) {
                    errors.push(FieldError::forbidden(pointer.trim_start_matches('/'), what));
                }
            }
            if differs("/volumeBindingMode") {
                errors.push(FieldError::invalid("volumeBindingMode", &shown("/volumeBindingMode"), IMMUTABLE));
            }
        }
        ("apps", "StatefulSet") => {
            let bare = |object: &Value| {
                let mut spec = object.get("spec").cloned().unwrap_or_default();
                if let Some(spec) = spec.as_object_mut() {
                    for free in [
                        "replicas",
                        "ordinals",
                        "template",
                        "updateStrategy",
                        "revisionHistoryLimit",
                        "persistentVolumeClaimRetentionPolicy",
                        "minReadySeconds",
                    ] {
                        spec.shift_remove(free);
                    }
                }
                spec
            };
            if bare(old) != bare(new) {
                errors.push(FieldError::forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                     'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ));
            }
        }
        ("", "ConfigMap" | "Secret") => {
            if old.get("immutable") == Some(&json!(true)) {
                let detail = "field is immutable when `immutable` is set";
                for part in ["immutable", "data", "binaryData"] {
                    if old.get(part) != new.get(part) {
                        errors.push(FieldError::forbidden(part, detail));
                    }
                }
            }
            if kind.kind == "Secret" && old.get("type") != new.get("type") {
                errors.push(FieldError::invalid("type", &new["type"], IMMUTABLE));
            }
        }
        ("", "Service") => {
            let given = |object: &Value| object.pointer("/spec/clusterIP").cloned().unwrap_or_default();
            if given(old) != given(new)
                && given(old).as_str().is_some_and(|ip| !ip.is_empty())
                && new["spec"]["type"] != "ExternalName"
            {
                let new_ip = given(new);
                let ips = new.pointer("/spec/clusterIPs").cloned().unwrap_or(json!([new_ip]));
                errors.push(FieldError::invalid("spec.clusterIPs[0]", &ips, "may not change once set"));
            }
        }
        ("", "PersistentVolume") if !source(old).eq(source(new)) => {
            let detail = "spec.persistentvolumesource is immutable after creation";
            errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") if differs("/roleRef") => {
            errors.push(FieldError::invalid("roleRef", &shown("/roleRef"), "cannot change roleRef"));
        }
        ("", "PersistentVolumeClaim") => {
            let bare = |object: &Value| {
                let mut spec = object.get("spec").cloned().unwrap_or_default();
                if let Some(spec) = spec.as_object_mut() {
                    spec.shift_remove("resources");
                    spec.shift_remove("volumeAttributesClassName");
                    // Once it may be filled in.
                    for late in ["volumeName", "storageClassName"] {
                        if old.pointer(&format!("/spec/{late}")).is_none() {
                            spec.shift_remove(late);
                        }
                    }
                }
                spec
            };
            if bare(old) != bare(new) {
                errors.push(FieldError::forbidden(
                    "spec",
                    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
                ));
            }
        }
        _ => {}
    }
    // These are asked about their past first.
    if matches!(kind.kind.as_str(), "DaemonSet" | "IngressClass") {
        errors.sort_by_key(|error| !error.message.ends_with(IMMUTABLE));
    }
    errors
}

/// What must hold whenever it is written.
fn common(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = labels(object);
    errors.extend(size::errors(kind, object));
    errors.extend(number::errors(kind, object));
    let spec = &object["spec"];
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            let selector = spec.get("selector").filter(|it| it.as_object().is_some_and(|it| !it.is_empty()));
            match selector {
                None => errors.push(FieldError::required("spec.selector", "")),
                Some(selector) => {
                    let labels = json!({"metadata": {"labels": spec.pointer("/template/metadata/labels")}});
                    if !selects(selector, &labels) {
                        errors.push(FieldError::invalid(
                            "spec.template.metadata.labels",
                            spec.pointer("/template/metadata/labels").unwrap_or(&Value::Null),
                            "`selector` does not match template `labels`",
                        ));
                    }
                }
            }
            let claims =
                list(spec, "volumeClaimTemplates").filter_map(|claim| claim.pointer("/metadata/name")?.as_str());
            errors.extend(pod::errors(spec.pointer("/template/spec"), "spec.template.spec", claims));
            let strategy = spec.pointer("/strategy");
            if strategy.is_some_and(|it| it["type"] == "Recreate" && !it["rollingUpdate"].is_null()) {
                let detail = "may not be specified when strategy `type` is 'Recreate'";
                errors.push(FieldError::forbidden("spec.strategy.rollingUpdate", detail));
            }
        }
        ("batch", "Job" | "CronJob") => {
            if kind.kind == "CronJob" {
                errors.extend(schedule::error(&spec["schedule"]));
            }
            let path = if kind.kind == "Job" { "spec.template.spec" } else { "spec.jobTemplate.spec.template.spec" };
            let pod = object.pointer(&format!("/{}", path.replace('.', "/")));
            errors.extend(pod::errors(pod, path, None));
            let policy = pod.and_then(|pod| pod.get("restartPolicy")).and_then(Value::as_str);
            if !matches!(policy, Some("OnFailure" | "Never")) {
                let detail = "valid values: \"OnFailure\", \"Never\"";
                errors.push(FieldError::required(format!("{path}.restartPolicy"), detail));
            }
        }
        ("", "Pod") => errors.extend(pod::errors(object.get("spec"), "spec", None)),
        ("", "Service") => {
            let ports = spec.get("ports").and_then(Value::as_array).map_or(0, Vec::len);
            if ports == 0 && spec["clusterIP"] != "None" && spec["type"] != "ExternalName" {
                errors.push(FieldError::required("spec.ports", ""));
            }
            for (index, port) in list(spec, "ports").enumerate() {
                for name in ["port", "targetPort"] {
                    if let Some(number) = port[name].as_i64().filter(|number| !(1..=65535).contains(number)) {
                        let field = format!("spec.ports[{index}].{name}");
                        let detail = "must be between 1 and 65535, inclusive";
                        errors.push(FieldError::invalid(field, &json!(number), detail));
                    }
                }
            }
            if spec["clusterIP"] == "None" && matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
                let detail =
                    format!("may not be set to 'None' for {} services", spec["type"].as_str().unwrap_or_default());
                errors.push(FieldError::invalid("spec.clusterIPs[0]", &json!("None"), &detail));
            }
        }
        ("", "ResourceQuota") => {
            for (name, most) in spec.get("hard").and_then(Value::as_object).into_iter().flatten() {
                if most.as_str().is_some_and(|most| most.starts_with('-')) {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(format!("spec.hard[{name}]"), most, detail));
                }
            }
        }
        ("", "PersistentVolumeClaim") => {
            if spec.get("accessModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
                errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
            }
            if spec.pointer("/resources/requests/storage").is_none() {
                errors.push(FieldError::required("spec.resources[storage]", ""));
            }
        }
        ("", "ConfigMap" | "Secret") => {
            if object["type"] == "kubernetes.io/tls" {
                for key in ["tls.crt", "tls.key"] {
                    if object.pointer(&format!("/data/{key}")).is_none() {
                        errors.push(FieldError::required(format!("data[{key}]"), ""));
                    }
                }
            }
            for key in object.get("data").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                    let detail = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
                                  'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is \
                                  '[-._a-zA-Z0-9]+')";
                    errors.push(FieldError::invalid(format!("data[{key}]"), &json!(key), detail));
                }
            }
        }
        ("storage.k8s.io", "StorageClass") if object.get("provisioner").is_none() => {
            errors.push(FieldError::required("provisioner", ""));
        }
        ("policy", "PodDisruptionBudget") if spec.get("minAvailable").and(spec.get("maxUnavailable")).is_some() => {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid("spec", spec, detail));
        }
        ("networking.k8s.io", "Ingress") => {
            for (index, rule) in list(spec, "rules").enumerate() {
                let host = rule.get("host").and_then(Value::as_str).unwrap_or_default();
                let bare = host.strip_prefix("*.").unwrap_or(host);
                if !host.is_empty() && !bare.split('.').all(is_label) {
                    errors.push(FieldError::invalid(format!("spec.rules[{index}].host"), &json!(host), SUBDOMAIN));
                }
            }
        }
        ("networking.k8s.io", "IngressClass") => {
            let controller = spec["controller"].as_str().unwrap_or_default();
            if !controller.is_empty() && !controller.contains('/') {
                let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
                errors.push(FieldError::invalid("spec.controller", &json!(controller), detail));
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
                for (index, rule) in list(spec, direction).enumerate() {
                    for (at, peer) in list(rule, peers).enumerate() {
                        let Some(cidr) = peer.pointer("/ipBlock/cidr").and_then(Value::as_str) else { continue };
                        if !is_cidr(cidr) {
                            let field = format!("spec.{direction}[{index}].{peers}[{at}].ipBlock.cidr");
                            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                            errors.push(FieldError::invalid(field, &json!(cidr), detail));
                        }
                    }
                }
            }
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let number = |name: &str| spec[name].as_i64();
            if let (Some(least), Some(most)) = (number("minReplicas"), number("maxReplicas"))
                && most < least
            {
                let detail = "must be greater than or equal to `minReplicas`";
                errors.push(FieldError::invalid("spec.maxReplicas", &json!(most), detail));
            }
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            for (index, rule) in list(object, "rules").enumerate() {
                let none = |name: &str| rule.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty);
                if none("verbs") {
                    let detail = "verbs must contain at least one value";
                    errors.push(FieldError::required(format!("rules[{index}].verbs"), detail));
                }
                if none("nonResourceURLs") && none("resources") {
                    let detail = "resource rules must supply at least one resource";
                    errors.push(FieldError::required(format!("rules[{index}].resources"), detail));
                }
            }
        }
        ("coordination.k8s.io", "Lease") => {
            if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
                let field = "spec.leaseDurationSeconds";
                errors.push(FieldError::invalid(field, &json!(seconds), "must be greater than 0"));
            }
        }
        _ => {}
    }
    errors
}

/// What is wrong with the names of an object's labels.
pub fn labels(object: &Value) -> Vec<FieldError> {
    let names = object.pointer("/metadata/labels").and_then(Value::as_object);
    let wrong = names.into_iter().flatten().filter(|(name, _)| {
        let name = name.rsplit('/').next().unwrap_or_default().as_bytes();
        let letter = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        !(letter(name.first())
            && letter(name.last())
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)))
    });
    let detail = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                  alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                  '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    wrong.map(|(name, _)| FieldError::invalid("metadata.labels", &json!(name), detail)).collect()
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<std::net::IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}
