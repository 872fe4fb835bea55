//! What the API server refuses: names that cannot be, fields that are needed, fields that cannot change. A part of
//! `pkg/apis/*/validation`, chosen by what deploy tools meet.

mod access;
mod choices;
mod container;
pub mod custom;
mod names;
mod network;
mod number;
mod pod;
#[cfg(test)]
mod refused;
mod schedule;
mod size;
mod volume;
mod workload;

use serde_json::{Value, json};

use super::status::FieldError;
use super::{defaults, typed};
use crate::cluster::volumes::source;
use crate::manifest::schema::Kind;
use crate::manifest::{Object, fit};

const IMMUTABLE: &str = "field is immutable";

fn name_errors(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let wrong = match (kind.group.as_str(), kind.kind.as_str()) {
        ("rbac.authorization.k8s.io", _) => Vec::new(),
        ("", "Namespace") | ("apps", "StatefulSet") => names::label(name),
        ("", "Service") => names::service(name),
        ("batch", "CronJob") => workload::cron_job_name(name),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let part = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let fits = name == format!("{}.{}", part("/spec/names/plural"), part("/spec/group"));
            if fits { Vec::new() } else { vec!["must be spec.names.plural+\".\"+spec.group".into()] }
        }
        _ => names::subdomain(name),
    };
    names::errors("metadata.name", name, wrong).collect()
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
    let mut errors = name_errors(kind, object);
    errors.extend(common(kind, object));
    // Volumes that are left of before may be told without where their bytes are; what is told cannot change later.
    if kind.group.is_empty() && kind.kind == "PersistentVolume" {
        errors.extend(volume::persistent(object));
    }
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
    errors.extend(names::annotations(object.pointer("/metadata/annotations"), "metadata.annotations"));
    errors.extend(size::errors(kind, object));
    errors.extend(number::errors(kind, object));
    errors.extend(choices::errors(kind, object));
    let spec = &object["spec"];
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") => {
            errors.extend(workload::errors(&kind.kind, spec));
        }
        ("batch", "Job") => errors.extend(workload::job(spec, "spec")),
        ("batch", "CronJob") => errors.extend(workload::cron_job(spec)),
        ("", "Pod") => errors.extend(pod::errors(object.get("spec"), "spec", None)),
        ("", "Service") => errors.extend(network::service(spec)),
        ("", "ResourceQuota") => {
            for (name, most) in spec.get("hard").and_then(Value::as_object).into_iter().flatten() {
                if most.as_str().is_some_and(|most| most.starts_with('-')) {
                    let detail = "must be greater than or equal to 0";
                    errors.push(FieldError::invalid(format!("spec.hard[{name}]"), most, detail));
                }
            }
        }
        ("", "PersistentVolumeClaim") => errors.extend(volume::of_claim(spec, "spec")),
        ("", "ConfigMap" | "Secret") => {
            if object["type"] == "kubernetes.io/tls" {
                for key in ["tls.crt", "tls.key"] {
                    if object.pointer(&format!("/data/{key}")).is_none() {
                        errors.push(FieldError::required(format!("data[{key}]"), ""));
                    }
                }
            }
            for key in object.get("data").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key) {
                errors.extend(names::errors(&format!("data[{key}]"), key, names::key(key)));
            }
        }
        ("storage.k8s.io", "StorageClass") if object.get("provisioner").is_none() => {
            errors.push(FieldError::required("provisioner", ""));
        }
        ("policy", "PodDisruptionBudget") if spec.get("minAvailable").and(spec.get("maxUnavailable")).is_some() => {
            let detail = "minAvailable and maxUnavailable cannot be both set";
            errors.push(FieldError::invalid("spec", spec, detail));
        }
        ("networking.k8s.io", "Ingress") => errors.extend(network::ingress(spec)),
        ("networking.k8s.io", "IngressClass") => {
            let controller = spec["controller"].as_str().unwrap_or_default();
            if !controller.is_empty() && !controller.contains('/') {
                let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
                errors.push(FieldError::invalid("spec.controller", &json!(controller), detail));
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => errors.extend(network::policy(spec)),
        ("autoscaling", "HorizontalPodAutoscaler") => errors.extend(workload::autoscaler(spec)),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => errors.extend(access::role(object)),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            errors.extend(access::binding(object, kind.namespaced));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") if spec.get("scope").is_none() => {
            errors.push(FieldError::required("spec.scope", ""));
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

/// What is wrong with an object's labels.
pub fn labels(object: &Value) -> Vec<FieldError> {
    names::labels(object.pointer("/metadata/labels"), "metadata.labels")
}

fn list<'v>(of: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    of.get(name).and_then(Value::as_array).into_iter().flatten()
}
